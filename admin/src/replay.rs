//! Replays: deliveries of the ledger that go through the queue once more, because somebody wants it.
//! Knows nothing of who may; what a replay may do is the consumer's, which takes it for a delivery like any other that is no duplicate.
//!
//! A replay keeps the instant at which the first one was received: some of what hosts tell has no time of its own, and an old delivery
//! must not become the newest word by being replayed.

use futures_util::stream::{StreamExt, iter};
use pipecast_fabric::Queue;
use pipecast_model::{Delivery, DeliveryId, Lane, Outcome, Work};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{DeliveryQuery, Reader, Writer};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Most that are replayed at once.
pub const MOST: i64 = 1_000;

/// No further are those counted that a query finds.
const MOST_FOUND: i64 = 100_000;

/// Sends that share the queue's syncs…
const AT_ONCE: usize = 32;
/// …and bytes of their bodies; each is in memory twice, once as it lies in the queue.
const BYTES_AT_ONCE: u32 = 32 << 20;

/// What a replay works with.
#[derive(Clone, Copy)]
pub struct Replayer<'a> {
    /// The ledger.
    pub reader: &'a Reader,
    /// For the audit.
    pub writer: &'a Writer,
    /// Where they go.
    pub queue: &'a dyn Queue,
}

/// What a query would replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Deliveries that it finds, counted up to 100,000.
    pub found: i64,
    /// Those of them that can be replayed, counted up to one more than [`MOST`]: the others were refused, or their body has been taken away.
    pub replayable: i64,
}

/// Why nothing, or not everything, was replayed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such delivery.
    #[error("there is no delivery {0}")]
    Unknown(DeliveryId),
    /// It was refused, or its body has been taken away.
    #[error("the delivery has no body, so there is nothing to replay")]
    NoBody,
    /// More than may be at once.
    #[error("more than the {MOST} deliveries that can be replayed at once")]
    TooMany,
    /// It is not what was counted before.
    #[error("{0} deliveries would be replayed now")]
    Changed(i64),
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
    /// The queue; as many have been sent.
    #[error("{sent} were sent before the queue failed")]
    Queue {
        /// How many.
        sent: u64,
        /// The cause.
        #[source]
        source: pipecast_fabric::Error,
    },
}

impl Replayer<'_> {
    /// Replays one, ahead of what may wait. Returns the replay's own id, under which it will stand in the ledger.
    ///
    /// # Errors
    /// `Unknown`, `NoBody`, `Store`, `Queue`.
    pub async fn one(&self, id: DeliveryId, by: By) -> Result<DeliveryId, Error> {
        let replay = self.prepare(id).await?;
        let label = format!("{} {}", replay.host, replay.event);
        self.note(
            Entry::new(by, "delivery.replay")
                .on("delivery", id, label)
                .after(json!({ "replay_id": replay.id })),
        )
        .await?;
        let replay_id = replay.id;
        self.send(Lane::Urgent, replay).await?;
        Ok(replay_id)
    }

    /// What a query would replay, as it is now.
    ///
    /// # Errors
    /// `Store`.
    pub async fn plan(&self, query: &DeliveryQuery) -> Result<Plan, Error> {
        let all = DeliveryQuery {
            limit: MOST_FOUND,
            after: None,
            ..query.clone()
        };
        Ok(Plan {
            found: self.reader.count_deliveries(&all).await?,
            replayable: counted(&self.replayable(query).await?),
        })
    }

    /// Those that can be replayed with the bytes of their bodies, and one more than may be: what is counted is what is replayed.
    async fn replayable(&self, query: &DeliveryQuery) -> Result<Vec<(DeliveryId, i64)>, Error> {
        let query = DeliveryQuery {
            limit: MOST + 1,
            after: None,
            ..query.clone()
        };
        Ok(self.reader.list_replayable(&query).await?)
    }

    /// Replays what a query finds, the first received first, behind everything urgent. `expected` is what `plan` has counted as replayable;
    /// where that is no longer so, nothing is replayed. `filter` is the query as the audit is to show it. Returns how many were sent.
    ///
    /// # Errors
    /// `TooMany`, `Changed`, `Store`, `Queue`.
    pub async fn many(&self, query: &DeliveryQuery, expected: i64, filter: Value, by: By) -> Result<u64, Error> {
        let found = self.replayable(query).await?;
        let count = counted(&found);
        if count > MOST {
            return Err(Error::TooMany);
        }
        if count != expected {
            return Err(Error::Changed(count));
        }
        self.note(Entry::new(by, "delivery.replay_many").after(json!({ "filter": filter, "count": count })))
            .await?;
        let room = Room::of(BYTES_AT_ONCE);
        let mut sending = iter(found)
            .map(async |(id, bytes)| {
                let _in_hand = room.take(bytes).await;
                match self.prepare(id).await {
                    Ok(replay) => self.send(Lane::Bulk, replay).await.map(|()| 1),
                    // Retention was faster.
                    Err(Error::NoBody | Error::Unknown(_)) => Ok(0),
                    Err(error) => Err(error),
                }
            })
            .buffered(AT_ONCE);
        let mut sent = 0;
        while let Some(one) = sending.next().await {
            sent += one.map_err(|error| match error {
                Error::Queue { source, .. } => Error::Queue { sent, source },
                other => other,
            })?;
        }
        Ok(sent)
    }

    async fn prepare(&self, id: DeliveryId) -> Result<Delivery, Error> {
        let record = self.reader.find_delivery(id).await?.ok_or(Error::Unknown(id))?;
        // No host sends an empty body.
        if record.outcome == Outcome::Refused || record.delivery.body.is_empty() {
            return Err(Error::NoBody);
        }
        let first = record.delivery.replay_of.unwrap_or(id);
        Ok(Delivery {
            id: DeliveryId::fresh(),
            replay_of: Some(first),
            ..record.delivery
        })
    }

    async fn note(&self, entry: Entry) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        tx.audit(entry);
        Ok(tx.commit().await?)
    }

    async fn send(&self, lane: Lane, replay: Delivery) -> Result<(), Error> {
        let sent = self.queue.send(lane, Work::Delivery(replay).encode()).await;
        sent.map(drop).map_err(|source| Error::Queue { sent: 0, source })
    }
}

/// Bytes that may be in hand at once. Who comes first gets room first.
struct Room {
    bytes: u32,
    free: Semaphore,
}

impl Room {
    fn of(bytes: u32) -> Room {
        Room {
            bytes,
            free: Semaphore::new(bytes as usize),
        }
    }

    /// Waits until there is room for so many; what takes more than all of it has all of it to itself.
    async fn take(&self, bytes: i64) -> SemaphorePermit<'_> {
        let wanted = u32::try_from(bytes.max(0)).unwrap_or(u32::MAX).min(self.bytes);
        self.free.acquire_many(wanted).await.expect("it is never closed")
    }
}

fn counted(found: &[(DeliveryId, i64)]) -> i64 {
    i64::try_from(found.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn bodies_in_hand_are_bounded_by_their_bytes() {
        let room = Room::of(100);

        let first = room.take(60).await;
        assert!(room.take(60).now_or_never().is_none(), "120 bytes are more than 100");
        let second = room.take(40).now_or_never().expect("it fits beside the first");
        assert!(room.take(1_000).now_or_never().is_none());
        drop((first, second));
        assert!(room.take(1_000).now_or_never().is_some(), "what is larger than all of it goes alone");
    }
}
