//! Settings of the spool: section `[fabric.spool]`. Knows nothing of the queue that it stands in for.

use std::path::Path;
use std::time::Duration;

use pipecast_fabric::queue::embedded;
use serde::Deserialize;

use super::value;

/// Where deliveries are safe while the broker is away, where `fabric.amqp_url` is set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// How long a delivery waits for the broker alone.
    #[serde(deserialize_with = "value::duration")]
    pub patience: Duration,
    /// Most messages that wait in it.
    pub max_messages: u64,
    /// Most bytes that wait in it.
    #[serde(deserialize_with = "value::size")]
    pub max_size: u64,
}

impl Spool {
    /// What the embedded queue wants to know to be the spool, for bodies of at most `max_body` bytes.
    pub fn options(&self, data_dir: &Path, max_body: u64) -> embedded::Options {
        embedded::Options {
            path: data_dir.join("spool.db"),
            max_messages: self.max_messages,
            max_bytes: self.max_size,
            max_message_bytes: super::max_message_bytes(max_body),
            // What can never be moved to the broker is buried at once. Nothing else fails in a spool.
            max_failures: 1,
            retry_base: Duration::ZERO,
            retry_cap: Duration::ZERO,
            sync_delay: Duration::ZERO,
        }
    }
}
