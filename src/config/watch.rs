//! Settings of the topics that this node keeps current: section `[watch]`. Knows nothing of who watches.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// How much a node watches and for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Topics at once.
    pub max_topics: usize,
    /// Pipelines that the monitor holds.
    pub monitor_pipelines: usize,
    /// How long a topic that nobody wants is still kept current.
    #[serde(deserialize_with = "value::duration")]
    pub linger: Duration,
    /// How long a value stays in the cache.
    #[serde(deserialize_with = "value::duration")]
    pub cache_for: Duration,
    /// How often the cache is asked for what other programs wrote.
    #[serde(deserialize_with = "value::duration")]
    pub foreign_every: Duration,
    /// How long another program's word lies over a value of ours.
    #[serde(deserialize_with = "value::duration")]
    pub foreign_for: Duration,
}

impl Watch {
    /// What the watch crate wants to know.
    pub fn settings(&self) -> pipecast_watch::Settings {
        let Watch {
            max_topics,
            monitor_pipelines,
            linger,
            cache_for,
            foreign_every,
            foreign_for,
        } = *self;
        pipecast_watch::Settings {
            max_topics,
            monitor_pipelines,
            linger,
            cache_for,
            foreign_every,
            foreign_for,
        }
    }
}
