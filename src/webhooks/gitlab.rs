//! GitLab's deliveries: whom to believe, and what its headers say.
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
    HeaderName::from_static("x-gitlab-event"),
    HeaderName::from_static("x-gitlab-instance"),
    HeaderName::from_static("x-gitlab-event-uuid"),
    HeaderName::from_static("x-gitlab-webhook-uuid"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
];

/// Headers that carry a proof; without one of them nothing is believed.
pub(super) const PROOFS: [&str; 2] = ["x-gitlab-token", "webhook-signature"];

/// What a source of GitLab may have to compare with.
pub(super) const KINDS: &[SecretKind] = &[SecretKind::Token, SecretKind::SigningToken];

/// A signing token wants a signature, so that nobody can fall back to the plain token; without one, the plain token must be there.
///
/// # Errors
/// Why it is not believed.
pub(super) fn verify(kind: SecretKind, secret: &Secret, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Distrust> {
    match kind {
        SecretKind::SigningToken => signature::STANDARD_WEBHOOKS.verify(secret, headers, body, now),
        SecretKind::Token | SecretKind::Hmac => signature::verify_plain(secret, headers, "x-gitlab-token"),
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
