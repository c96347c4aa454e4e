//! GitLab's deliveries: whom to believe, and what its headers say.
//! Knows nothing of what stands in the body.

use actix_web::http::header::HeaderMap;
use pipecast_model::Timestamp;

use super::headers::{Named, text};
use super::signature::{self, Distrust};
use crate::config::Secret;

/// Headers that are kept with a delivery.
pub(super) const KEPT: &[&str] = &[
    "content-type",
    "user-agent",
    "x-gitlab-event",
    "x-gitlab-instance",
    "x-gitlab-event-uuid",
    "x-gitlab-webhook-uuid",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
];

/// What one GitLab source may show.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    /// The plain token.
    pub(super) token: Secret,
    /// The signing token, `whsec_…`.
    pub(super) signing_token: Secret,
}

impl Secrets {
    /// One text for either: a signing token says what it is by its prefix.
    pub(super) fn of_source(secret: &Secret) -> Secrets {
        if secret.expose().starts_with("whsec_") {
            Secrets {
                signing_token: secret.clone(),
                ..Secrets::default()
            }
        } else {
            Secrets {
                token: secret.clone(),
                ..Secrets::default()
            }
        }
    }
}

/// Once there is a signing token, a signature is required, so that nobody can fall back to the plain token; without one, the plain
/// token must be there.
///
/// # Errors
/// Why it is not believed.
pub(super) fn verify(secrets: &Secrets, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Distrust> {
    if secrets.signing_token.is_empty() {
        signature::verify_plain(&secrets.token, headers, "x-gitlab-token")
    } else {
        signature::STANDARD_WEBHOOKS.verify(&secrets.signing_token, headers, body, now)
    }
}

/// Event and delivery key. `X-Gitlab-Event-UUID` is shared by deliveries that set each other off and `X-Gitlab-Webhook-UUID` is new
/// for each attempt, so neither is a key.
pub(super) fn name(headers: &HeaderMap) -> Named {
    Named {
        event: text(headers, "x-gitlab-event"),
        key: text(headers, "webhook-id").or_else(|| text(headers, "idempotency-key")),
    }
}
