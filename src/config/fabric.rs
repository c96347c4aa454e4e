//! Settings of bus, cache and queue: section `[fabric]`. Knows nothing of what they carry.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::value;

pub mod rabbitmq;
pub mod redis;
pub mod spool;

/// Where the ports between processes live, and what their embedded backends hold.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fabric {
    /// Bus and cache; not set: inside this process.
    #[serde(deserialize_with = "value::optional_text")]
    pub redis_url: Option<String>,
    /// The queue; not set: a file in the data directory.
    #[serde(deserialize_with = "value::optional_text")]
    pub amqp_url: Option<String>,
    /// Messages that wait for a listener of the bus.
    pub bus_backlog: usize,
    /// Entries of the embedded cache.
    pub cache_entries: u64,
    /// How Redis is reached, where `redis_url` is set.
    pub redis: redis::Redis,
    /// Limits of the queue.
    pub queue: Queue,
    /// How RabbitMQ is used, where `amqp_url` is set.
    pub rabbitmq: rabbitmq::Rabbitmq,
    /// What stands in for it while it is away.
    pub spool: spool::Spool,
}

/// Without the URLs, which have passwords in them.
impl fmt::Debug for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fabric {
            redis_url,
            amqp_url,
            bus_backlog,
            cache_entries,
            redis,
            queue,
            rabbitmq,
            spool,
        } = self;
        f.debug_struct("Fabric")
            .field("has_redis_url", &redis_url.is_some())
            .field("has_amqp_url", &amqp_url.is_some())
            .field("bus_backlog", bus_backlog)
            .field("cache_entries", cache_entries)
            .field("redis", redis)
            .field("queue", queue)
            .field("rabbitmq", rabbitmq)
            .field("spool", spool)
            .finish()
    }
}

/// Limits of the queue, on either backend.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Most messages that wait.
    pub max_messages: u64,
    /// Most bytes that wait in the embedded queue; RabbitMQ looks after its own memory and disk.
    #[serde(deserialize_with = "value::size")]
    pub max_size: u64,
    /// A message that failed so often is buried.
    pub max_failures: u32,
    /// Longest wait after a first failure.
    #[serde(deserialize_with = "value::duration")]
    pub retry_base: Duration,
    /// Longest wait after many.
    #[serde(deserialize_with = "value::duration")]
    pub retry_cap: Duration,
}

/// What an envelope adds to a body at most: its JSON with the headers that are kept.
const ENVELOPE: u64 = 256 << 10;

/// The largest message, for bodies of at most `max_body` bytes.
fn max_message_bytes(max_body: u64) -> usize {
    usize::try_from(max_body + ENVELOPE).unwrap_or(usize::MAX)
}

impl Queue {
    /// What the embedded queue wants to know, for bodies of at most `max_body` bytes.
    pub fn options(&self, data_dir: &Path, max_body: u64) -> pipecast_fabric::queue::embedded::Options {
        pipecast_fabric::queue::embedded::Options {
            path: data_dir.join("queue.db"),
            max_messages: self.max_messages,
            max_bytes: self.max_size,
            max_message_bytes: max_message_bytes(max_body),
            max_failures: self.max_failures,
            retry_base: self.retry_base,
            retry_cap: self.retry_cap,
            sync_delay: Duration::ZERO,
        }
    }
}
