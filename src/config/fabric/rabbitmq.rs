//! Settings of RabbitMQ: section `[fabric.rabbitmq]`. Knows nothing of what is sent there.

use std::time::Duration;

use anyhow::Context;
use pipecast_fabric::queue::rabbitmq::RabbitmqOptions;
use serde::Deserialize;

use super::{Queue, value};

/// How RabbitMQ is used, where `fabric.amqp_url` is set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rabbitmq {
    /// Authorities in PEM that the certificate of an `amqps://` broker may come from; not set: those that the system trusts.
    #[serde(deserialize_with = "value::optional_text")]
    pub ca_file: Option<String>,
    /// What the names of the queues begin with.
    pub prefix: String,
    /// Messages of the urgent lane that one worker holds at once; of the bulk lane a quarter.
    pub prefetch: u16,
    /// A message that was delivered so often without a verdict is buried.
    pub max_crashes: u32,
    /// Longest wait for a confirm.
    #[serde(deserialize_with = "value::duration")]
    pub confirm_timeout: Duration,
    /// Longest wait for a connection.
    #[serde(deserialize_with = "value::duration")]
    pub connect_timeout: Duration,
}

impl Rabbitmq {
    /// What the fabric wants to know, for the broker at `url` and bodies of at most `max_body` bytes. How many messages wait, and how
    /// failures are tried again, is said once for every queue, in `[fabric.queue]`.
    ///
    /// # Errors
    /// The file of the authorities cannot be read.
    pub fn options(&self, url: &str, queue: &Queue, max_body: u64) -> anyhow::Result<RabbitmqOptions> {
        let Rabbitmq {
            ca_file,
            prefix,
            prefetch,
            max_crashes,
            confirm_timeout,
            connect_timeout,
        } = self;
        let ca = match ca_file {
            Some(path) => Some(std::fs::read_to_string(path).with_context(|| format!("cannot read fabric.rabbitmq.ca_file {path}"))?),
            None => None,
        };
        Ok(RabbitmqOptions {
            url: url.to_owned(),
            ca,
            prefix: prefix.clone(),
            max_messages: queue.max_messages,
            max_message_bytes: super::max_message_bytes(max_body),
            max_failures: queue.max_failures,
            max_crashes: *max_crashes,
            retry_base: queue.retry_base,
            retry_cap: queue.retry_cap,
            prefetch: *prefetch,
            confirm_timeout: *confirm_timeout,
            connect_timeout: *connect_timeout,
        })
    }
}
