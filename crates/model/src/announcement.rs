//! A topic's current state as it travels over bus and cache.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Status, Timestamp, Topic};

/// Eight letters minted with the database and renewed by a restore: sequences of different epochs cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub String);

impl Epoch {
    /// Eight random letters.
    pub fn mint() -> Self {
        let letters = uuid::Uuid::new_v4().into_bytes().into_iter().take(8).map(|byte| char::from(b'a' + byte % 26));
        Epoch(letters.collect())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The newest state of one topic, written by the admin after its commit.
///
/// Its JSON is the body of a live frame without `type`: what a socket sends is this text with one field in front.
/// Readers ignore fields that they do not know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Announcement {
    /// Version of this envelope; 1 today.
    pub v: u8,
    /// What it is about; never [`Topic::Monitor`], which is made of pipelines.
    pub topic: Topic,
    /// The status after the change.
    pub status: Status,
    /// The status before it, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_status: Option<Status>,
    /// When the change became known.
    pub timestamp: Timestamp,
    /// The epoch of `seq`.
    pub epoch: Epoch,
    /// Counts the changes of this topic's row, from 1.
    pub seq: i64,
    /// The pipeline, or the execution with its `jobs`, as the API shows it.
    pub data: Box<RawValue>,
}

impl Announcement {
    /// The version that this build writes.
    pub const VERSION: u8 = 1;

    /// The cursor that a client hands back: `<epoch>-<seq>`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.epoch, self.seq)
    }
}
