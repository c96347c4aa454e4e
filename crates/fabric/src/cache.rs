//! The cache of newest states, shared by all nodes.
//!
//! **Guarantee.** The newer sequence wins: an `offer` of an older one changes nothing, so late writers do no harm. Every entry
//! expires. A cache may forget anything at any time; it is never the truth and never decides what a caller may see.
//!
//! **What is kept.** Ours are JSON objects with at least one field; a backend may add fields of its own in front. Where the cache
//! is shared, other programs may write at a pipeline's key too, in any form: what they wrote comes through as it is.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipecast_model::{Epoch, Topic};

use crate::Result;

pub mod embedded;
pub mod redis;

/// See the module for what it promises.
#[async_trait]
pub trait Cache: Send + Sync {
    /// Whether other programs can write here too.
    fn is_shared(&self) -> bool;

    /// The newest value that is known of `topic`, if it has not expired.
    ///
    /// # Errors
    /// `Unavailable` where the cache cannot be reached in time; readers then go to the database.
    async fn get(&self, topic: Topic) -> Result<Option<Found>>;

    /// Puts `value` there for `keep`, unless a value with an equal or greater `seq` of the same `epoch` is there already or was
    /// before another program wrote over it. A value of another epoch is always replaced. Says whether it was taken.
    ///
    /// # Errors
    /// `Unavailable` where the cache cannot be reached in time.
    async fn offer(&self, topic: Topic, epoch: &Epoch, seq: i64, value: Bytes, keep: Duration) -> Result<bool>;

    /// The same for many values, for the price of one where the backend can. On an error some may have been taken.
    ///
    /// # Errors
    /// `Unavailable` where the cache cannot be reached in time.
    async fn offer_all(&self, offers: &[Offer<'_>]) -> Result<()> {
        for Offer {
            topic,
            epoch,
            seq,
            value,
            keep,
        } in offers
        {
            self.offer(*topic, epoch, *seq, value.clone(), *keep).await?;
        }
        Ok(())
    }

    /// The same for a reader that brings along what it has found in the database: it never replaces what another program wrote.
    ///
    /// # Errors
    /// `Unavailable` where the cache cannot be reached in time.
    async fn fill(&self, topic: Topic, epoch: &Epoch, seq: i64, value: Bytes, keep: Duration) -> Result<bool>;

    /// Those of `topics` at which something stands that another program wrote. Costs little where nothing does.
    ///
    /// # Errors
    /// `Unavailable` where the cache cannot be reached in time.
    async fn list_foreign(&self, topics: &[Topic]) -> Result<Vec<(Topic, Foreign)>>;

    /// Claims `name` for `keep`: `true` for the first who does, on whichever node. Only for what is worth nothing without more than the
    /// name: whoever can write here can make it be claimed twice.
    ///
    /// # Errors
    /// `Unavailable` where the cache cannot be reached in time; nobody knows then who was the first.
    async fn claim(&self, name: &str, keep: Duration) -> Result<bool>;
}

/// A value for a topic; see [`Cache::offer`].
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    /// What it is about.
    pub topic: Topic,
    /// The epoch of `seq`.
    pub epoch: &'a Epoch,
    /// Its place among the values of the topic.
    pub seq: i64,
    /// A JSON object.
    pub value: Bytes,
    /// How long it stays.
    pub keep: Duration,
}

/// What stands in a cache at a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// What we wrote, the same object with perhaps more fields in front.
    Ours(Bytes),
    /// What another program wrote.
    Foreign(Foreign),
}

/// What another program wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// As it was written.
    pub text: Bytes,
    /// The newest of ours that the cache had taken before, where it is known.
    pub after: Option<(Epoch, i64)>,
}
