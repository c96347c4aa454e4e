//! Deliveries as the ledger shows them.
//! Knows nothing of who may see them.

use std::collections::BTreeMap;

use pipecast_model::{DeliveryId, Host, Outcome, ProjectId, SecretId, SourceId, Timestamp, Topic};
use pipecast_store::{Changed, Listed, Silence};
use serde::Serialize;

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Parts of the names of headers whose values nobody is shown. None of them is kept in the first place; this is for what a later build, or
/// another way into the ledger, may bring.
const SECRET: [&str; 6] = ["authorization", "cookie", "token", "secret", "signature", "key"];

/// A delivery.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Delivery {
    id: DeliveryId,
    host: Host,
    /// The key of its source.
    source: String,
    /// The host's word for what it tells.
    #[schema(example = "workflow_run")]
    event: Option<String>,
    /// The host's own id of it.
    delivery_key: Option<String>,
    /// SHA-256 of its body in hex.
    body_sha256: Option<String>,
    /// Bytes of its body, as long as that is kept.
    body_bytes: Option<i64>,
    /// When its last byte arrived; for a replay, when that of the first one did.
    #[schema(value_type = String, format = "date-time")]
    received_at: Timestamp,
    /// When it took effect.
    #[schema(value_type = String, format = "date-time")]
    recorded_at: Timestamp,
    /// Whether it was believed: `verified`, or the reason why not.
    #[schema(example = "verified")]
    verification: String,
    /// The secret of its source that it was signed with; null where that is configured.
    secret_id: Option<SecretId>,
    /// `applied`, `ping`, `ignored`, `unprocessable`, `duplicate`, `refused`.
    #[schema(value_type = String, example = "applied")]
    outcome: Outcome,
    /// Why, where there is a why.
    #[schema(example = "the body is no workflow run")]
    detail: Option<String>,
    /// How often it was tried until it took effect.
    attempts: i64,
    /// How often the same came again.
    repeats: i64,
    /// What it is a wanted repetition of.
    replay_of: Option<DeliveryId>,
    /// What it is an unwanted repetition of.
    duplicate_of: Option<DeliveryId>,
    project_id: Option<ProjectId>,
}

impl From<Listed> for Delivery {
    fn from(listed: Listed) -> Delivery {
        let refused = listed.outcome == Outcome::Refused;
        Delivery {
            id: listed.id,
            host: listed.host,
            source: listed.source,
            event: listed.event,
            delivery_key: listed.delivery_key,
            body_sha256: listed.body_sha256,
            body_bytes: listed.bytes,
            received_at: listed.received_at,
            recorded_at: listed.recorded_at,
            verification: match (&listed.detail, refused) {
                (Some(reason), true) => reason.clone(),
                (None, true) => "refused".to_owned(),
                (_, false) => "verified".to_owned(),
            },
            secret_id: listed.secret_id,
            outcome: listed.outcome,
            detail: listed.detail,
            attempts: listed.attempts,
            repeats: listed.repeats,
            replay_of: listed.replay_of,
            duplicate_of: listed.duplicate_of,
            project_id: listed.project_id,
        }
    }
}

/// A topic that a delivery changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TopicChange)]
pub(super) struct Change {
    /// `pipeline:ID` or `execution:ID`.
    #[schema(value_type = String, example = "pipeline:42")]
    topic: Topic,
    /// Its sequence since then.
    seq: i64,
    /// When.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
}

/// A delivery with all that is known of it but its body.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DeliveryInFull {
    #[serde(flatten)]
    delivery: Delivery,
    /// Those of its headers that are kept.
    #[schema(example = json!({"x-github-event": "workflow_run"}))]
    headers: BTreeMap<String, String>,
    /// What it changed.
    changes: Vec<Change>,
    /// Its replays, the last first.
    replays: Vec<Delivery>,
}

impl DeliveryInFull {
    pub(super) fn new(listed: Listed, headers: Vec<(String, String)>, changes: Vec<Changed>, replays: Vec<Listed>) -> Self {
        let change = |changed: Changed| Change {
            topic: changed.topic,
            seq: changed.seq,
            at: changed.at,
        };
        DeliveryInFull {
            delivery: listed.into(),
            headers: headers.into_iter().map(masked).collect(),
            changes: changes.into_iter().map(change).collect(),
            replays: replays.into_iter().map(Delivery::from).collect(),
        }
    }
}

/// A header as it is shown.
pub(in crate::api) fn masked((name, value): (String, String)) -> (String, String) {
    let lower = name.to_ascii_lowercase();
    let value = if SECRET.iter().any(|part| lower.contains(part)) {
        MASK.to_owned()
    } else {
        value
    };
    (name, value)
}

/// A source that has fallen silent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SilentSource {
    source_id: SourceId,
    host: Host,
    /// Its key.
    source: String,
    /// When it came to be known.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When its last delivery came that was believed, as far back as the ledger goes.
    #[schema(value_type = Option<String>, format = "date-time")]
    last_delivery_at: Option<Timestamp>,
}

impl From<Silence> for SilentSource {
    fn from(silence: Silence) -> SilentSource {
        SilentSource {
            source_id: silence.source_id,
            host: silence.host,
            source: silence.source,
            created_at: silence.created_at,
            last_delivery_at: silence.last_delivery_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_carry_secrets_are_masked() {
        let shown = |name: &str| masked((name.to_owned(), "v".to_owned())).1;

        assert_eq!(["X-Gitlab-Token", "authorization", "x-hub-signature-256", "X-Api-Key"].map(shown), [MASK; 4]);
        assert_eq!(["x-github-event", "user-agent", "content-type"].map(shown), ["v"; 3]);
    }
}
