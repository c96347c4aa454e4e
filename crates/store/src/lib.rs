//! SQL, one file per aggregate, one text for SQLite and PostgreSQL.
//! A [`Reader`] cannot write, and a [`Writer`] can only begin a [`Tx`]. Knows nothing of HTTP, queues or sockets.

mod alone;
pub mod archive;
pub mod audit;
mod bearer;
mod change;
mod delivery;
mod durability;
mod engine;
mod error;
mod execution;
mod folding;
mod foresight;
pub mod idempotency;
mod job;
mod known;
mod ledger;
mod login_failure;
mod membership;
mod migrate;
mod notification_target;
mod options;
mod pipeline;
mod project;
mod prune;
mod purge;
mod query;
mod reader;
mod recording;
mod reference;
mod replica;
mod retention_policy;
pub mod sealed;
mod seq;
mod session;
mod setting;
mod setup;
mod sight;
mod signing_key;
pub mod source;
mod stale;
mod stamps;
mod state;
mod sync;
mod token;
mod topic;
mod totp;
mod user;
mod writer;

use pipecast_model::{Delivery, DeliveryId, Outcome, Timestamp};

pub use alone::Task;
pub use bearer::{Bearer, Credential, Limits};
pub use delivery::Noted;
pub use error::Error;
pub use ledger::{Changed, DeliveryQuery, Listed, Silence};
pub use login_failure::{Anew, LoginFailures};
pub use membership::{Membership, MembershipQuery};
pub use migrate::migrate;
pub use notification_target::{NotificationTarget, TargetFields, TargetQuery, place_of_destination, place_of_recipients};
pub use options::Options;
pub use pipeline::keeping::{KeptPipeline, KeptPipelineQuery, PipelineChange};
pub use project::keeping::{KeptProject, KeptProjectQuery, ProjectChange};
pub use prune::{Pruned, Retention};
pub use purge::Purged;
pub use query::{ByNameOrId, Deleted, Direction, ExecutionQuery, PipelineQuery, Sort};
pub use reader::Reader;
pub use replica::{Replica, Standing};
pub use retention_policy::{MOST_POLICIES, MadePolicy, PolicyQuery, RetentionPolicy};
pub use session::{Ended, NewRefresh, Refresh, Session, SessionQuery};
pub use setting::StoredSetting;
pub use setup::Offer;
pub use sight::Sight;
pub use signing_key::SigningKey;
pub use token::{ApiToken, NewToken, TokenQuery};
pub use totp::Totp;
pub use user::{Login, NewUser, User, UserQuery};
pub use writer::{Tx, Writer};

/// What the store returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Opens both sides of the database, and looks whether its schema is the one of this build. Both are on the primary; the reader is
/// read-only on the engine itself.
///
/// # Errors
/// `NotMigrated` or `NewerSchema` where the schema is not the one of this build, `OldSqlite` under SQLite 3.51.3, `Unavailable`.
pub async fn open(options: &Options) -> Result<(Reader, Writer)> {
    let (reader, writer) = connect(options).await?;
    reader.recognise().await?;
    Ok((reader, writer))
}

/// The same without a look at the schema. On PostgreSQL nothing is connected yet, so a server that is down is no error here.
///
/// # Errors
/// `BadUrl`; on SQLite `OldSqlite` and `Unavailable` too.
pub async fn connect(options: &Options) -> Result<(Reader, Writer)> {
    let writer = Writer::open(options).await?;
    let reader = Reader::connect(options).await?;
    Ok((reader, writer))
}

/// A delivery as the ledger keeps it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The delivery; its body is empty once it has been pruned.
    pub delivery: Delivery,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where there is a why.
    pub detail: Option<String>,
    /// How often the same delivery key came again.
    pub repeats: i64,
    /// When the consumer wrote it down.
    pub recorded_at: Timestamp,
}

/// Where in the ledger a duplicate was seen first.
pub type Original = DeliveryId;
