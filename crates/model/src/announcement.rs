//! A topic's current state as it travels over bus and cache.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::envelope::{self, EnvelopeError};
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

    /// The oldest version that this build still reads.
    pub const OLDEST: u8 = 1;

    /// Reads one of ours, as it comes over the bus or lies in the cache.
    ///
    /// # Errors
    /// `Unknown` for a version of another build, `Malformed` for anything else, which may be another program's word.
    pub fn read(text: &[u8]) -> Result<Announcement, EnvelopeError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }

        let known = Announcement::OLDEST..=Announcement::VERSION;
        match serde_json::from_slice::<Announcement>(text) {
            Ok(announcement) => envelope::check(announcement.v.into(), known).map(|()| announcement),
            Err(error) => {
                // What another build has made of it may not fit in here at all.
                if let Ok(Versioned { v }) = serde_json::from_slice(text) {
                    envelope::check(v, known)?;
                }
                Err(EnvelopeError::Malformed(error.to_string()))
            }
        }
    }

    /// The cursor that a client hands back: `<epoch>-<seq>`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.epoch, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"v":1,"topic":"pipeline:7","status":"running","timestamp":"2026-11-21T10:00:00Z","epoch":"kqzxbtwm","seq":3,"data":null}"#;

    #[test]
    fn another_builds_version_is_unknown_whether_it_would_fit_or_not() {
        let added = WHOLE.replace("\"seq\"", "\"shard\":7,\"seq\"");
        assert_eq!(Announcement::read(WHOLE.as_bytes()).expect("ours").seq, 3);
        assert_eq!(Announcement::read(added.as_bytes()).expect("ours, with a field more").seq, 3);

        for (version, text) in [
            (2, WHOLE.replace("\"v\":1", "\"v\":2")),
            (0, WHOLE.replace("\"v\":1", "\"v\":0")),
            (900, WHOLE.replace("\"v\":1", "\"v\":900")),
            (2, r#"{"v":2,"about":["pipeline",7],"epoch":"kqzxbtwm","seq":4}"#.to_owned()),
        ] {
            assert!(
                matches!(Announcement::read(text.as_bytes()), Err(EnvelopeError::Unknown(v)) if v == version),
                "{text}"
            );
        }
        for text in ["running", "{}", r#"{"v":1,"status":"running"}"#] {
            assert!(matches!(Announcement::read(text.as_bytes()), Err(EnvelopeError::Malformed(_))), "{text}");
        }
    }
}
