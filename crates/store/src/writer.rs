//! The only way to write: a transaction.

use std::time::Duration;

use pipecast_model::{Delivery, Facts, Refusal, Timestamp, Topic};

use crate::{Original, Result};

/// The side that can begin a transaction, and nothing else.
#[derive(Debug)]
pub struct Writer {}

/// A transaction. Dropped without `commit`, it is undone.
#[derive(Debug)]
pub struct Tx {}

/// Whether a delivery has been here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is new and now stands in the ledger.
    New,
    /// It has been here: the same delivery key, or the same body within a day.
    Duplicate(Original),
}

/// How long what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Bodies of deliveries.
    pub bodies: Duration,
    /// All bodies together, in bytes; the oldest go first.
    pub bodies_bytes: i64,
    /// The ledger, which is also the inbox that tells duplicates, and the changes of topics.
    pub deliveries: Duration,
}

/// What `prune` took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Bodies.
    pub bodies: u64,
    /// Rows of the ledger.
    pub deliveries: u64,
}

impl Writer {
    /// Begins a transaction. On SQLite it waits for the one before.
    pub async fn begin(&self) -> Result<Tx> {
        unimplemented!()
    }
}

impl Tx {
    /// Marks a point to come back to.
    pub async fn savepoint(&mut self) -> Result<()> {
        unimplemented!()
    }

    /// Undoes everything since the savepoint, and forgets it.
    pub async fn roll_back(&mut self) -> Result<()> {
        unimplemented!()
    }

    /// Keeps everything since the savepoint, and forgets it.
    pub async fn release(&mut self) -> Result<()> {
        unimplemented!()
    }

    /// Writes a delivery into the ledger with its body, unless it has been here before. A duplicate by key counts on the first
    /// one's row; a duplicate by body alone gets a row of its own that says so. A replay is always new.
    pub async fn note_delivery(&mut self, delivery: &Delivery) -> Result<Noted> {
        let _ = delivery;
        unimplemented!()
    }

    /// Merges what a noted delivery tells into the database, gives every topic that changed by it its next sequence (once,
    /// with the delivery beside it), marks those topics dirty, and writes the outcome. Returns the topics that changed.
    pub async fn record_facts(&mut self, delivery: &Delivery, facts: &Facts) -> Result<Vec<Topic>> {
        let _ = (delivery, facts);
        unimplemented!()
    }

    /// Writes a refused delivery into the ledger.
    pub async fn note_refusal(&mut self, refusal: &Refusal) -> Result<()> {
        let _ = refusal;
        unimplemented!()
    }

    /// Takes topics out of the dirty ones, where no later sequence than the announced one is there.
    pub async fn clear_dirty(&mut self, announced: &[(Topic, i64)]) -> Result<()> {
        let _ = announced;
        unimplemented!()
    }

    /// Marks open executions that have not changed since `before` as stale, at most `limit`. Returns the topics that changed.
    pub async fn mark_stale(&mut self, before: Timestamp, limit: i64) -> Result<Vec<Topic>> {
        let _ = (before, limit);
        unimplemented!()
    }

    /// Takes away what is older than it may be, at most `limit` rows of each kind.
    pub async fn prune(&mut self, retention: &Retention, now: Timestamp, limit: i64) -> Result<Pruned> {
        let _ = (retention, now, limit);
        unimplemented!()
    }

    /// Makes it all so, durably.
    pub async fn commit(self) -> Result<()> {
        unimplemented!()
    }
}
