//! GitHub's deliveries: whom to believe, and what its headers say.
//! Knows nothing of what stands in the body.

use actix_web::http::header::{self, HeaderMap, HeaderName};
use pipecast_model::{SecretKind, Timestamp};

use super::headers::{Named, text};
use super::signature::{self, Distrust};
use crate::config::Secret;

/// Headers that are kept with a delivery.
pub(super) static KEPT: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("x-github-event"),
    HeaderName::from_static("x-github-delivery"),
    HeaderName::from_static("x-github-hook-id"),
    HeaderName::from_static("x-github-hook-installation-target-id"),
    HeaderName::from_static("x-github-hook-installation-target-type"),
    HeaderName::from_static("x-github-enterprise-host"),
    HeaderName::from_static("x-github-enterprise-version"),
];

/// Headers that carry a proof; without one of them nothing is believed.
pub(super) const PROOFS: [&str; 1] = ["x-hub-signature-256"];

/// What a source of GitHub may have to compare with.
pub(super) const KINDS: &[SecretKind] = &[SecretKind::Hmac];

/// Gitea, Forgejo and Gogs send GitHub's headers beside their own. Their bodies are others, and so would be what we understand.
pub(super) fn is_imitation(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .any(|name| ["x-gitea-", "x-forgejo-", "x-gogs-"].iter().any(|own| name.as_str().starts_with(own)))
}

/// Believes `X-Hub-Signature-256` over the raw body alone; the SHA-1 header beside it is never looked at.
///
/// # Errors
/// Why it is not believed.
pub(super) fn verify(secret: &Secret, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Distrust> {
    signature::GITHUB.verify(secret, headers, body, now)
}

/// Event and delivery key. GitHub sends the same key when a delivery is sent again.
pub(super) fn name(headers: &HeaderMap) -> Named {
    Named {
        event: text(headers, "x-github-event"),
        key: text(headers, "x-github-delivery"),
    }
}
