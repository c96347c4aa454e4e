//! Who may call an operation, as the document says it.
//! Knows nothing of single permissions; `tests/it` holds this against what strangers are answered.

use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

const TOKEN: &str = "token";
const COOKIE: &str = "cookie";

/// Operations that take no account: the way in, and what says nothing of anybody's work or proves itself.
const OPEN: [&str; 11] = [
    "find_setup",
    "list_keys",
    "log_in",
    "receive_delivery",
    "receive_delivery_of_source",
    "refresh_session",
    "set_up",
    "show_health",
    "show_liveness",
    "show_readiness",
    "show_service",
];

/// What it takes to call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// Nothing.
    Open,
    /// An account, or that everybody may read: `server.anonymous_reading`.
    Reading,
    /// An account.
    Account,
}

impl Lock {
    /// That of an operation.
    pub(super) fn of(path: &str, id: &str) -> Lock {
        match () {
            () if OPEN.contains(&id) => Lock::Open,
            () if path.starts_with("/admin/") || path == "/api/ws-tickets" => Lock::Account,
            () => Lock::Reading,
        }
    }

    /// The same in the words of the document: any one of these is enough.
    pub(super) fn requirements(self) -> Vec<SecurityRequirement> {
        let shown = [TOKEN, COOKIE].map(|name| SecurityRequirement::new::<_, [&str; 0], _>(name, []));
        match self {
            Lock::Open => Vec::new(),
            Lock::Account => shown.into(),
            Lock::Reading => [SecurityRequirement::default()].into_iter().chain(shown).collect(),
        }
    }

    /// Describes what can be shown.
    pub(super) fn describe(document: &mut OpenApi) {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An access token of `POST /admin/v1/sessions`, or a token of `POST /admin/v1/tokens`"));
        let cookie = ApiKeyValue::with_description(
            "__Host-pc_rt",
            "The session of the page; whatever changes something then comes from a page of `server.public_url` and has the header `X-Pipecast: 1`",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(token.build()));
        components.add_security_scheme(COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}
