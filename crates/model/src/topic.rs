//! What can be watched.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{ExecutionId, PipelineId};

/// A subject with one current state, as in `pipeline:42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// A pipeline with its newest execution.
    Pipeline(PipelineId),
    /// One execution with its jobs.
    Execution(ExecutionId),
    /// Every pipeline at once. Keyed by pipeline; it has no sequence of its own.
    Monitor,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Pipeline(id) => write!(f, "pipeline:{id}"),
            Topic::Execution(id) => write!(f, "execution:{id}"),
            Topic::Monitor => f.write_str("monitor"),
        }
    }
}

/// The text names no topic.
#[derive(Debug, thiserror::Error)]
#[error("unknown topic {0:?}; topics are pipeline:ID, execution:ID and monitor")]
pub struct UnknownTopic(String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let topic = match text.split_once(':') {
            Some(("pipeline", id)) => id.parse().ok().map(Topic::Pipeline),
            Some(("execution", id)) => id.parse().ok().map(Topic::Execution),
            None if text == "monitor" => Some(Topic::Monitor),
            _ => None,
        };
        topic.ok_or_else(|| UnknownTopic(text.chars().take(80).collect()))
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
