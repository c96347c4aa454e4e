//! How long what is kept: section `[retention]`. Knows nothing of tables.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Ages and sizes after which the admin takes things away, and when it calls an execution stale.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Bodies of deliveries.
    #[serde(deserialize_with = "value::duration")]
    pub bodies: Duration,
    /// All bodies together, in bytes.
    #[serde(deserialize_with = "value::size")]
    pub bodies_size: u64,
    /// The ledger of deliveries.
    #[serde(deserialize_with = "value::duration")]
    pub deliveries: Duration,
    /// Silence after which an open execution is stale.
    #[serde(deserialize_with = "value::duration")]
    pub stale_after: Duration,
    /// How long deleted sources and users can be restored; tokens that have ended are taken away with them.
    #[serde(deserialize_with = "value::duration")]
    pub deleted: Duration,
}

impl Retention {
    /// What the store wants to know.
    pub fn keep(&self) -> pipecast_store::Retention {
        pipecast_store::Retention {
            bodies: self.bodies,
            bodies_bytes: i64::try_from(self.bodies_size).unwrap_or(i64::MAX),
            deliveries: self.deliveries,
        }
    }
}
