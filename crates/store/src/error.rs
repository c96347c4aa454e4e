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
    #[error("the schema is from a newer build of pipecast; a downgrade is not possible, restore a backup from before the upgrade into an empty database")]
    NewerSchema,
    /// There is something where an empty database is needed.
    #[error("the database is not empty: {0} has rows")]
    NotEmpty(String),
    /// Others use a database that has to be ours alone.
    #[error("{0} connections of pipecast to the database are open; stop every process that uses it first")]
    InUse(i64),
    /// SQLite before 3.51.3 can corrupt a database in WAL mode.
    #[error("sqlite {0} is too old: versions before 3.51.3 can corrupt a database in WAL mode")]
    OldSqlite(String),
    /// The URL is neither `sqlite:` nor `postgres:`; only its scheme is told, because the rest may have a password in it.
    #[error("store.url {0:?} is not understood; use sqlite:PATH or postgres://USER@HOST/DATABASE")]
    BadUrl(String),
    /// A row says something that this build does not understand.
    #[error("cannot understand {what} in the database")]
    Corrupt {
        /// Which column of which row.
        what: String,
    },
}

impl Error {
    /// It did not come to an end in time, and the caller has given up waiting.
    pub fn unavailable(attempted: &'static str) -> Error {
        Error::Unavailable {
            attempted,
            source: sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Names what a statement was for, and sorts its error by what a caller can do about it.
pub(crate) trait Attempt<T> {
    /// `attempted` completes "cannot …".
    fn attempted(self, attempted: &'static str) -> Result<T, Error>;
}

impl<T> Attempt<T> for Result<T, sqlx::Error> {
    fn attempted(self, attempted: &'static str) -> Result<T, Error> {
        self.map_err(|source| match source {
            sqlx::Error::ColumnDecode { index, source } => Error::Corrupt {
                what: format!("column {index} ({source})"),
            },
            source if is_passing(&source) => Error::Unavailable { attempted, source },
            source => Error::Refused { attempted, source },
        })
    }
}

/// Whether the same statement may well succeed later.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            match error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                // The low byte is the primary result code: NOMEM, BUSY, LOCKED, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
                Some(_) => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 9 | 10 | 13 | 14 | 15)),
                // Classes of SQLSTATE: connection, rollback (deadlock), resources, lock or object not available, operator, system.
                None => matches!(code.get(..2), Some("08" | "40" | "53" | "55" | "57" | "58")) || code == "25P03",
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        _ => false,
    }
}

/// `false` where a unique name was taken.
pub(crate) fn taken(written: sqlx::Result<()>, attempted: &'static str) -> Result<bool, Error> {
    match written {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        written => written.map(|()| true).attempted(attempted),
    }
}

/// `None` where a row that it refers to is not there.
pub(crate) fn missing_parent<T>(written: sqlx::Result<T>, attempted: &'static str) -> Result<Option<T>, Error> {
    match written {
        Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Ok(None),
        written => written.map(Some).attempted(attempted),
    }
}
