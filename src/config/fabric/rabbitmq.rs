//! Settings of RabbitMQ and of the spool before it: sections `[fabric.rabbitmq]` and `[fabric.spool]`. Knows nothing of what goes there.

use std::path::Path;
use std::time::Duration;

use pipecast_fabric::queue::embedded;
use pipecast_fabric::queue::rabbitmq::RabbitmqOptions;
use serde::Deserialize;

use super::{Queue, message_bytes};
use crate::config::value;

/// How RabbitMQ is used, where `fabric.amqp_url` is set. What a queue holds and how it retries stands in `[fabric.queue]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rabbitmq {
    /// What the names of the queues begin with.
    pub prefix: String,
    /// A message that was handed out so often without a verdict is buried.
    pub max_crashes: u32,
    /// Messages that one worker holds at once.
    pub prefetch: u16,
    /// Longest wait for a confirm.
    #[serde(deserialize_with = "value::duration")]
    pub confirm_timeout: Duration,
    /// Longest wait for a connection.
    #[serde(deserialize_with = "value::duration")]
    pub connect_timeout: Duration,
}

/// What an edge keeps while RabbitMQ takes nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// Most messages.
    pub max_messages: u64,
    /// Most bytes.
    #[serde(deserialize_with = "value::size")]
    pub max_size: u64,
    /// How long a delivery waits for RabbitMQ alone.
    #[serde(deserialize_with = "value::duration")]
    pub patience: Duration,
}

impl Rabbitmq {
    /// What the fabric wants to know, for the broker at `url`, a queue with the limits of `queue`, and bodies of at most `max_body`
    /// bytes.
    pub fn options(&self, url: &str, queue: &Queue, max_body: u64) -> RabbitmqOptions {
        let Rabbitmq {
            prefix,
            max_crashes,
            prefetch,
            confirm_timeout,
            connect_timeout,
        } = self.clone();
        RabbitmqOptions {
            url: url.to_owned(),
            prefix,
            max_messages: queue.max_messages,
            max_message_bytes: message_bytes(max_body),
            max_failures: queue.max_failures,
            max_crashes,
            retry_base: queue.retry_base,
            retry_cap: queue.retry_cap,
            prefetch,
            confirm_timeout,
            connect_timeout,
        }
    }
}

impl Spool {
    /// What the embedded queue that serves as the spool wants to know.
    pub fn options(&self, queue: &Queue, data_dir: &Path, max_body: u64) -> embedded::Options {
        embedded::Options {
            path: data_dir.join("spool.db"),
            max_messages: self.max_messages,
            max_bytes: self.max_size,
            ..queue.options(data_dir, max_body)
        }
    }
}
