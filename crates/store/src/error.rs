//! What can go wrong in the store.

/// Each variant is a case that callers treat differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, is locked for too long, or its disk is full. Try again later.
    #[error("cannot {attempted}")]
    Unavailable {
        /// What was tried.
        attempted: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The statement itself is refused: a defect, or data that the schema forbids.
    #[error("the database refuses to {attempted}")]
    Refused {
        /// What was tried.
        attempted: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The schema is older than this build. Run `pipecast migrate`, or start a process with the admin role.
    #[error("the schema is older than this build; run `pipecast migrate`")]
    NotMigrated,
    /// The schema is newer than this build.
    #[error("the schema is from a newer build of pipecast; a downgrade is not possible, restore a backup from before the upgrade")]
    NewerSchema,
    /// SQLite before 3.51.3 can corrupt a database in WAL mode.
    #[error("sqlite {0} is too old: versions before 3.51.3 can corrupt a database in WAL mode")]
    OldSqlite(String),
    /// The URL is neither `sqlite:` nor `postgres:`.
    #[error("store.url {0:?} is not understood; use sqlite:PATH or postgres://USER@HOST/DATABASE")]
    BadUrl(String),
    /// A row says something that this build does not understand.
    #[error("cannot understand {what} in the database")]
    Corrupt {
        /// Which column of which row.
        what: String,
    },
}
