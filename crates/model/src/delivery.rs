//! A webhook as it was received, and the envelope in which work travels through the queue.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::envelope::{self, EnvelopeError};
use crate::{DeliveryId, SecretId, Timestamp, Witnessed};

/// A Git host or CI tool that Pipecast understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "TEXT", rename_all = "lowercase")]
pub enum Host {
    /// GitHub.com, GitHub Enterprise Server.
    Github,
    /// GitLab.com, self-managed GitLab.
    Gitlab,
}

impl Host {
    /// Every host.
    pub const ALL: [Host; 2] = [Host::Github, Host::Gitlab];

    /// The word in paths, JSON and the database.
    pub fn word(self) -> &'static str {
        match self {
            Host::Github => "github",
            Host::Gitlab => "gitlab",
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// No host goes by this word.
#[derive(Debug, thiserror::Error)]
#[error("unknown host {0:?}; hosts are github and gitlab")]
pub struct UnknownHost(String);

impl FromStr for Host {
    type Err = UnknownHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Host::ALL
            .into_iter()
            .find(|host| host.word() == text)
            .ok_or_else(|| UnknownHost(text.chars().take(80).collect()))
    }
}

/// How urgent work is. Which event goes where is configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// What a watcher waits for.
    Urgent,
    /// What may wait.
    Bulk,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Lane; 2] = [Lane::Urgent, Lane::Bulk];

    /// The word in metrics and names of queues.
    pub fn word(self) -> &'static str {
        match self {
            Lane::Urgent => "urgent",
            Lane::Bulk => "bulk",
        }
    }
}

/// One verified webhook, byte for byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Our id of it, answered to the sender.
    pub id: DeliveryId,
    /// Who sent it.
    pub host: Host,
    /// Which of that host's sources: the last part of the path, or `default`.
    pub source: String,
    /// The host's word for the event: `workflow_run`, `Pipeline Hook`. Not covered by the signature.
    pub event: String,
    /// The host's id of this delivery, stable when it is sent again; none where the host has no such id.
    pub key: Option<String>,
    /// SHA-256 of the raw body in hex: the second replay key, because hosts do not sign their delivery ids. Empty on the way from an edge to
    /// whoever consumes, who makes it; edges have enough to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body_sha256: String,
    /// When its last byte arrived.
    pub received_at: Timestamp,
    /// The headers that are kept, names in lower case; secrets are never among them.
    pub headers: Vec<(String, String)>,
    /// The delivery that this is a wanted repetition of; such a one passes by the duplicate checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<DeliveryId>,
    /// The secret of its source that it was signed with; none where that is configured, or where an older edge has received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretId>,
    /// The raw body. Travels beside the JSON of the envelope, not in it.
    #[serde(skip)]
    pub body: Bytes,
}

/// A webhook that was turned away, as a sample for the ledger. It carries no body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Our id of it.
    pub id: DeliveryId,
    /// Whom it claims to come from.
    pub host: Host,
    /// The source in its path.
    pub source: String,
    /// The event that it claims to be.
    pub event: Option<String>,
    /// Why it was turned away: `bad_signature`, `missing_signature`, `no_secret`…
    pub reason: String,
    /// When.
    pub received_at: Timestamp,
}

/// The version and the length of the JSON, in bytes.
const PREFIX: usize = 5;
/// Room for the JSON, in bytes; that of a delivery of GitHub takes two thirds of it.
const HEAD: usize = 1024;

/// Something to do, as it lies in the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Understand a delivery and write what it tells.
    Delivery(Delivery),
    /// Note a refused delivery in the ledger.
    Refusal(Refusal),
    /// Note which tokens were used, and who was denied what.
    Witnessed(Witnessed),
}

impl Work {
    /// The version of the envelope that this build writes. In the second one a delivery may come without the hash of its body.
    pub const VERSION: u8 = 2;

    /// The oldest version that this build still reads.
    pub const OLDEST: u8 = 1;

    /// The envelope: a version byte, the length of the JSON as a big-endian u32, the JSON, the raw body.
    pub fn encode(&self) -> Bytes {
        let body: &[u8] = match self {
            Work::Delivery(delivery) => &delivery.body,
            Work::Refusal(_) | Work::Witnessed(_) => &[],
        };
        let mut envelope = Vec::with_capacity(PREFIX + HEAD + body.len());
        envelope.extend_from_slice(&[Work::VERSION, 0, 0, 0, 0]);
        serde_json::to_writer(&mut envelope, self).expect("work has only strings and numbers in it");
        let length = u32::try_from(envelope.len() - PREFIX).expect("headers are limited to a few kilobytes");
        envelope[1..PREFIX].copy_from_slice(&length.to_be_bytes());
        envelope.extend_from_slice(body);
        envelope.into()
    }

    /// Opens an envelope; the body shares its memory.
    ///
    /// # Errors
    /// `Unknown` for a version, a kind or a host of another build, `Malformed` for anything else. Fields that this build does not know
    /// are passed over.
    pub fn decode(envelope: &Bytes) -> Result<Work, EnvelopeError> {
        let malformed = |why: &str| EnvelopeError::Malformed(why.to_owned());
        let version = *envelope.first().ok_or_else(|| malformed("it is empty"))?;
        envelope::check(version.into(), Work::OLDEST..=Work::VERSION)?;
        let length = envelope.get(1..PREFIX).ok_or_else(|| malformed("it ends before its length"))?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let head = envelope.get(PREFIX..PREFIX + length).ok_or_else(|| malformed("it ends before its JSON does"))?;
        let about: About = serde_json::from_slice(head).map_err(|error| EnvelopeError::Malformed(error.to_string()))?;
        if !about.is_known() {
            return Err(EnvelopeError::Unknown(version.into()));
        }
        let mut work: Work = serde_json::from_slice(head).map_err(|error| EnvelopeError::Malformed(error.to_string()))?;
        if let Work::Delivery(delivery) = &mut work {
            delivery.body = envelope.slice(PREFIX + length..);
        }
        Ok(work)
    }
}

/// What a newer build may have more of without another version: those who know a kind or a host are told by its word.
#[derive(Deserialize)]
struct About {
    kind: String,
    #[serde(default)]
    host: String,
}

impl About {
    fn is_known(&self) -> bool {
        match self.kind.as_str() {
            "delivery" | "refusal" => self.host.parse::<Host>().is_ok(),
            "witnessed" => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> Work {
        Work::Delivery(Delivery {
            id: DeliveryId::fresh(),
            host: Host::Github,
            source: "default".into(),
            event: "workflow_run".into(),
            key: Some("72d3162e".into()),
            body_sha256: "00".into(),
            received_at: Timestamp(1),
            headers: vec![("x-github-event".into(), "workflow_run".into())],
            replay_of: None,
            secret: Some(SecretId(7)),
            body: Bytes::from_static(b"{\"raw\": \xff}"),
        })
    }

    #[test]
    fn an_envelope_gives_back_every_byte() {
        let work = delivery();

        assert_eq!(Work::decode(&work.encode()).expect("our own envelope"), work);
    }

    #[test]
    fn what_has_no_body_comes_back_too() {
        let work = Work::Witnessed(Witnessed {
            uses: vec![crate::witnessed::TokenUse {
                token: crate::TokenId::fresh(),
                at: Timestamp(7),
                ip: Some([10, 1, 2, 3].into()),
            }],
            denials: Vec::new(),
        });

        assert_eq!(Work::decode(&work.encode()).expect("our own envelope"), work);
    }

    #[test]
    fn a_newer_envelope_is_unknown_not_malformed() {
        let mut newer = delivery().encode().to_vec();
        newer[0] = Work::VERSION + 1;

        assert!(matches!(Work::decode(&newer.into()), Err(EnvelopeError::Unknown(3))));
        for other in [r#"{"kind":"artifact"}"#, r#"{"kind":"delivery","host":"gitea","id":7}"#] {
            let other = framed(other);
            assert!(matches!(Work::decode(&other), Err(EnvelopeError::Unknown(2))), "{other:?}");
        }
    }

    #[test]
    fn fields_that_a_newer_build_has_added_are_passed_over() {
        let work = delivery();
        let mut head = serde_json::to_value(&work).expect("JSON");
        head["region"] = serde_json::json!({"name": "eu", "hops": [1, 2]});
        let Work::Delivery(Delivery { body, .. }) = &work else {
            unreachable!("it is one")
        };
        let envelope = [&framed(&head.to_string())[..], body].concat();

        assert_eq!(Work::decode(&envelope.into()).expect("it is readable"), work);
    }

    #[test]
    fn a_delivery_of_an_edge_that_knows_no_secrets_is_read() {
        let work = delivery();
        let mut head = serde_json::to_value(&work).expect("JSON");
        head.as_object_mut().expect("an object").remove("secret");

        let Work::Delivery(read) = Work::decode(&framed(&head.to_string())).expect("it is readable") else {
            unreachable!("it is one")
        };

        assert_eq!(read.secret, None);
    }

    fn framed(head: &str) -> Bytes {
        let length = u32::try_from(head.len()).expect("short").to_be_bytes();
        [&[Work::VERSION][..], &length, head.as_bytes()].concat().into()
    }

    #[test]
    fn a_cut_envelope_is_malformed() {
        let whole = delivery().encode();

        for length in [0, 3, 20] {
            assert!(matches!(Work::decode(&whole.slice(..length)), Err(EnvelopeError::Malformed(_))), "{length}");
        }
    }
}
