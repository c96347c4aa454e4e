//! Dead letters: what the queue has given up, in words; tried again or dropped by somebody, and audited.
//! Knows nothing of queues' own names, nor of who may.

use bytes::Bytes;
use pipecast_fabric::{Dead, DeadId, Queue};
use pipecast_model::{DeliveryId, Host, Lane, Timestamp, Work};
use pipecast_store::Writer;
use pipecast_store::audit::{By, Entry};
use serde::Serialize;
use serde_json::json;

/// Most that are tried again or dropped at once.
pub const MOST: usize = 200;

/// A buried message as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DeadLetter {
    /// Names it as long as it is buried.
    pub id: String,
    /// The lane that it was in.
    #[schema(value_type = String, example = "urgent")]
    pub lane: Lane,
    /// How often it failed.
    pub failures: u32,
    /// Why, the last time.
    pub reason: String,
    /// When it was buried; null where the broker did that by itself.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub buried_at: Option<Timestamp>,
    /// Bytes of the message.
    pub bytes: usize,
    /// The delivery in it; null where there is none, or where this build cannot read it.
    pub delivery: Option<Buried>,
}

/// The delivery in a buried message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Buried {
    /// Our id of it.
    pub id: DeliveryId,
    /// Who sent it.
    pub host: Host,
    /// The key of its source.
    pub source: String,
    /// The host's word for what it tells.
    pub event: Option<String>,
    /// When its last byte arrived.
    #[schema(value_type = String, format = "date-time")]
    pub received_at: Timestamp,
    /// What it is a replay of.
    pub replay_of: Option<DeliveryId>,
}

/// What a host sent that lies in a buried message: nobody else has it where the database never took it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The headers that are kept.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte; empty where there is none.
    pub body: Bytes,
}

impl Sent {
    /// What is in this one; nothing where it is no delivery that was believed, or where this build cannot read it.
    pub fn of(dead: &Dead) -> Sent {
        match Work::decode(&dead.message) {
            Ok(Work::Delivery(delivery)) => Sent {
                headers: delivery.headers,
                body: delivery.body,
            },
            Ok(Work::Refusal(_) | Work::Witnessed(_)) | Err(_) => Sent::default(),
        }
    }
}

impl From<Dead> for DeadLetter {
    fn from(dead: Dead) -> DeadLetter {
        let delivery = Work::decode(&dead.message).ok().and_then(buried);
        DeadLetter {
            id: dead.id.0,
            lane: dead.lane,
            failures: dead.failures,
            reason: dead.reason,
            buried_at: Some(dead.buried_at).filter(|at| at.0 > 0),
            bytes: dead.bytes,
            delivery,
        }
    }
}

/// What is to become of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are tried again as if they were new.
    Retry,
    /// They are dropped for ever.
    Drop,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database, which has to take the audit first.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] pipecast_fabric::Error),
}

/// Does it to those that are still there, after it was audited of them; returns how many that were.
///
/// # Errors
/// See [`Error`]; some of them may have met their fate then.
pub async fn settle(queue: &dyn Queue, writer: &Writer, ids: &[DeadId], fate: Fate, by: By) -> Result<u64, Error> {
    let action = match fate {
        Fate::Retry => "dead_letter.retry",
        Fate::Drop => "dead_letter.drop",
    };
    let there = queue.which_are_dead(ids).await?;
    if there.is_empty() {
        return Ok(0);
    }
    let names: Vec<&str> = there.iter().map(|id| id.0.as_str()).collect();
    let entry = match names[..] {
        [name] => Entry::new(by, action).on("dead_letter", name, ""),
        _ => Entry::new(by, action).after(json!({ "ids": names })),
    };
    let mut tx = writer.begin().await?;
    tx.audit(entry);
    tx.commit().await?;
    Ok(match fate {
        Fate::Retry => queue.retry_dead(&there).await?,
        Fate::Drop => queue.drop_dead(&there).await?,
    })
}

fn buried(work: Work) -> Option<Buried> {
    match work {
        Work::Delivery(delivery) => Some(Buried {
            id: delivery.id,
            host: delivery.host,
            source: delivery.source,
            event: Some(delivery.event),
            received_at: delivery.received_at,
            replay_of: delivery.replay_of,
        }),
        Work::Refusal(refusal) => Some(Buried {
            id: refusal.id,
            host: refusal.host,
            source: refusal.source,
            event: refusal.event,
            received_at: refusal.received_at,
            replay_of: None,
        }),
        Work::Witnessed(_) => None,
    }
}
