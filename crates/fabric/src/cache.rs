//! The cache of newest states, shared by all nodes.
//!
//! **Guarantee.** The newer sequence wins: an `offer` of an older one changes nothing, so late writers do no harm. Every entry
//! expires. A cache may forget anything at any time; it is never the truth and never decides what a caller may see.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipecast_model::{Epoch, Topic};

use crate::Result;

pub mod embedded;

/// See the module for what it promises.
#[async_trait]
pub trait Cache: Send + Sync {
    /// The newest value that is known of `topic`, if it has not expired.
    ///
    /// # Errors
    /// `Unavailable` where the cache cannot be reached in time; readers then go to the database.
    async fn get(&self, topic: Topic) -> Result<Option<Bytes>>;

    /// Puts `value` there for `keep`, unless a value with an equal or greater `seq` of the same `epoch` is there already.
    /// A value of another epoch is always replaced. Says whether it was taken.
    ///
    /// # Errors
    /// `Unavailable` where the cache cannot be reached in time.
    async fn offer(&self, topic: Topic, epoch: &Epoch, seq: i64, value: Bytes, keep: Duration) -> Result<bool>;
}
