//! SQL, one file per aggregate, one text for SQLite and PostgreSQL.
//! A [`Reader`] cannot write, and a [`Writer`] can only begin a [`Tx`]. Knows nothing of HTTP, queues or sockets.

mod change;
mod delivery;
mod engine;
mod error;
mod execution;
mod job;
mod known;
mod migrate;
mod options;
mod pipeline;
mod project;
mod prune;
mod query;
mod reader;
mod recording;
mod reference;
mod source;
mod stale;
mod stamps;
mod state;
mod sync;
mod topic;
mod writer;

use pipecast_model::{Delivery, DeliveryId, Timestamp};

pub use delivery::Noted;
pub use error::Error;
pub use migrate::migrate;
pub use options::Options;
pub use prune::{Pruned, Retention};
pub use query::{ExecutionQuery, PipelineQuery, Sort};
pub use reader::Reader;
pub use writer::{Tx, Writer};

/// What the store returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Opens both sides of the database. The reader is read-only on the engine itself.
///
/// # Errors
/// `NotMigrated` or `NewerSchema` where the schema is not the one of this build, `OldSqlite` under SQLite 3.51.3, `Unavailable`.
pub async fn open(options: &Options) -> Result<(Reader, Writer)> {
    let writer = Writer::open(options).await?;
    let reader = Reader::open(options).await?;
    Ok((reader, writer))
}

/// A delivery as the ledger keeps it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The delivery; its body is empty once it has been pruned.
    pub delivery: Delivery,
    /// `applied`, `ping`, `ignored`, `unprocessable`, `duplicate`, `refused`.
    pub outcome: String,
    /// Why, where there is a why.
    pub detail: Option<String>,
    /// How often the same delivery key came again.
    pub repeats: i64,
    /// When the consumer wrote it down.
    pub recorded_at: Timestamp,
}

/// Where in the ledger a duplicate was seen first.
pub type Original = DeliveryId;
