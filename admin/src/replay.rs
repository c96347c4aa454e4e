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

/// Most that are replayed at once.
pub const MOST: i64 = 1_000;

/// Sends that share the queue's syncs.
const AT_ONCE: usize = 32;

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
    /// Deliveries that it finds.
    pub found: i64,
    /// Those of them that can be replayed: the others were refused, or their body has been taken away.
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
    #[error("{0} deliveries are more than the {MOST} that can be replayed at once")]
    TooMany(i64),
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
        let query = DeliveryQuery {
            limit: 100 * MOST,
            after: None,
            ..query.clone()
        };
        let (found, replayable) = self.reader.count_deliveries(&query).await?;
        Ok(Plan { found, replayable })
    }

    /// Replays what a query finds, the first received first, behind everything urgent. `expected` is what `plan` has counted as replayable;
    /// where that is no longer so, nothing is replayed. `filter` is the query as the audit is to show it. Returns how many were sent.
    ///
    /// # Errors
    /// `TooMany`, `Changed`, `Store`, `Queue`.
    pub async fn many(&self, query: &DeliveryQuery, expected: i64, filter: Value, by: By) -> Result<u64, Error> {
        let Plan { replayable, .. } = self.plan(query).await?;
        if replayable > MOST {
            return Err(Error::TooMany(replayable));
        }
        let query = DeliveryQuery {
            limit: MOST + 1,
            after: None,
            ..query.clone()
        };
        let ids = self.reader.list_replayable(&query).await?;
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        if count != expected {
            return Err(Error::Changed(count));
        }
        self.note(Entry::new(by, "delivery.replay_many").after(json!({ "filter": filter, "count": count })))
            .await?;
        let mut sending = iter(ids)
            .map(async |id| match self.prepare(id).await {
                Ok(replay) => self.send(Lane::Bulk, replay).await.map(|()| 1),
                // Retention was faster.
                Err(Error::NoBody | Error::Unknown(_)) => Ok(0),
                Err(error) => Err(error),
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
