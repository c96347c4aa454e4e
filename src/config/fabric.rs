//! Settings of bus, cache and queue: section `[fabric]`. Knows nothing of what they carry.

use serde::Deserialize;

use super::value;

/// Where the ports between processes live.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fabric {
    /// Bus and cache; not set: inside this process.
    #[serde(deserialize_with = "value::optional_text")]
    pub redis_url: Option<String>,
    /// The queue; not set: a file in the data directory.
    #[serde(deserialize_with = "value::optional_text")]
    pub amqp_url: Option<String>,
}
