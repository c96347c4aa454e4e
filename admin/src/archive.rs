//! Backup, restore and move: everything that Pipecast keeps, in one file or in another database.
//! Knows nothing of what any row means, and nothing of keys: what is sealed in the database stays sealed in an archive.
//!
//! An archive is text, one JSON value a line, the same from either engine: a head, then tables with their rows, and at the end how many
//! rows there are and the SHA-256 of all that stands before. Bytes are base64. The queue's messages are a table like the others.
//!
//! ```text
//! {"archive":"pipecast","format":1,"build":"0.1.0","schema":1,"epoch":"hqxkwzpa","taken_at":"2026-01-01T00:00:00Z"}
//! {"table":{"name":"queue","columns":[{"name":"lane","kind":"text"},{"name":"message","kind":"bytes"}]}}
//! ["urgent","AQAAA…"]
//! {"table":{"name":"sources","columns":[{"name":"id","kind":"int"}, …]}}
//! [1,"github","default",1767225600000000]
//! {"ids":[["sources",1]]}
//! {"end":{"rows":{"queue":1,"sources":1},"sha256":"…"}}
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use pipecast_model::Timestamp;
use pipecast_store::archive::{Column, Kind, Table};
use serde::{Deserialize, Serialize};

mod backup;
mod moving;
mod progress;
mod reading;
mod restore;
mod writing;

pub use backup::backup;
pub use moving::move_rows;
pub use restore::restore;
pub use writing::Existing;

/// The format that this build writes. Readers ignore fields that they do not know, so only a change that an older build would
/// understand wrongly makes a new one.
const FORMAT: u32 = 1;

/// What every archive calls itself.
const NAME: &str = "pipecast";

/// Messages that waited or were claimed, of the queue and of the spool.
const QUEUE: &str = "queue";

/// Messages that were buried.
const BURIED: &str = "buried";

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    archive: String,
    format: u32,
    build: String,
    schema: i64,
    epoch: String,
    taken_at: Timestamp,
}

/// Every other line that is not a row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mark {
    /// The rows that follow are its.
    Table(Table),
    /// The last id that each table has given away.
    Ids(Vec<(String, i64)>),
    /// There is no more.
    End { rows: BTreeMap<String, u64>, sha256: String },
}

/// What is in an archive, or what was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Rows by table of the database.
    pub rows: BTreeMap<String, u64>,
    /// Deliveries of the queue and the spool that were acknowledged and not worked on yet.
    pub waiting: u64,
    /// Deliveries that were buried.
    pub buried: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Contents {
    fn of(mut rows: BTreeMap<String, u64>, bytes: u64) -> Contents {
        let waiting = rows.remove(QUEUE).unwrap_or(0);
        let buried = rows.remove(BURIED).unwrap_or(0);
        Contents { rows, waiting, buried, bytes }
    }

    /// All rows of the database.
    pub fn sum(&self) -> u64 {
        self.rows.values().sum()
    }
}

/// Why there is no archive, or why one was not restored. In every case nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot {attempted} {path}")]
    File {
        /// What was tried.
        attempted: &'static str,
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// There is a file of that name.
    #[error("{0} is there already; name another file, or use --force to replace it")]
    Exists(PathBuf),
    /// It is something else.
    #[error("{0} is not an archive of pipecast")]
    Foreign(PathBuf),
    /// A newer build has written it.
    #[error("{path} was written by pipecast {build}, whose {what} is newer than this build's; restore it with that build or a later one")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The build that wrote it.
        build: String,
        /// What is newer.
        what: &'static str,
    },
    /// Its end is missing.
    #[error("{0} is cut off: its last line is missing")]
    Cut(PathBuf),
    /// It is not as it was written.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How that shows.
        why: String,
    },
    /// The schema changed while the backup began.
    #[error("the database was migrated or restored meanwhile; try again")]
    Changed,
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] pipecast_fabric::Error),
}

/// How messages of a queue stand in an archive.
fn messages(name: &str) -> Table {
    let column = |name: &str, kind| Column { name: name.to_owned(), kind };
    Table {
        name: name.to_owned(),
        columns: vec![column("lane", Kind::Text), column("message", Kind::Bytes)],
    }
}
