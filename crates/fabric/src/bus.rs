//! The bus that tells every node of a change.
//!
//! **Guarantee.** At most once, in order per topic. Whoever was away has missed it; a tap that fell behind or lost its
//! connection is told so by [`BusEvent::Lost`] and must read the truth again from the database. While nothing can be heard
//! at all, [`BusEvent::Away`] has said so.
//!
//! **What is carried.** Ours are JSON objects. On a bus that is shared, other programs may publish on a pipeline's topic too, in
//! any form; what they say comes through as it is.
//!
//! **Shape.** A node opens one tap and subscribes topics on it as they are watched, never one tap per socket.

use async_trait::async_trait;
use bytes::Bytes;
use pipecast_model::Topic;

use crate::Result;

mod ear;
pub mod embedded;
pub mod redis;

/// See the module for what it promises.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Tells everyone who subscribed `topic`. Returning says that the bus took it, not that anyone heard.
    ///
    /// # Errors
    /// `Unavailable` where the bus cannot be reached in time.
    async fn publish(&self, topic: Topic, message: Bytes) -> Result<()>;

    /// The same for many messages, in this order and for the price of one where the backend can. On an error some may have been told.
    ///
    /// # Errors
    /// `Unavailable` where the bus cannot be reached in time.
    async fn publish_all(&self, messages: &[(Topic, Bytes)]) -> Result<()> {
        for (topic, message) in messages {
            self.publish(*topic, message.clone()).await?;
        }
        Ok(())
    }

    /// Opens this node's tap.
    ///
    /// # Errors
    /// `Unavailable`, `Closed`.
    async fn tap(&self) -> Result<Box<dyn BusTap>>;
}

/// One node's ear on the bus. `next` and the two others may be called from different tasks.
#[async_trait]
pub trait BusTap: Send + Sync {
    /// From the return of this call on, every message of `topic` reaches `next`, or `Lost` does. Subscribing twice is one
    /// subscription. A bus that is away takes it too, and hears the topic once it is back.
    ///
    /// # Errors
    /// `Unavailable`, `Closed`.
    async fn subscribe(&self, topic: Topic) -> Result<()>;

    /// Ends it. Messages that are on their way may still arrive.
    ///
    /// # Errors
    /// `Unavailable`, `Closed`.
    async fn unsubscribe(&self, topic: Topic) -> Result<()>;

    /// The next event, in order per topic; `None` once the bus has closed. Only one task may wait here.
    async fn next(&self) -> Option<BusEvent>;
}

/// What comes out of a tap.
#[derive(Clone, Debug)]
pub enum BusEvent {
    /// Somebody published.
    Message {
        /// Where.
        topic: Topic,
        /// What.
        message: Bytes,
    },
    /// Messages were lost, and can be heard again: every subscribed topic may have changed unheard.
    Lost,
    /// The bus is away: nothing is heard until `Lost` says that it is back.
    Away,
}
