//! Work that only one process does at a time, whoever of them comes first.
//! Knows nothing of what the work is.

use crate::Result;
use crate::engine::{On, in_time};
use crate::error::Attempt;
use crate::writer::Tx;

/// Work that must not be done twice at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Taking away what is older than it may be, and marking what is silent.
    Retention,
}

impl Task {
    /// Names the lock. Any number will do as long as nobody else in the database has it: these spell `pipecas` and a digit.
    fn key(self) -> i64 {
        match self {
            Task::Retention => 0x7069_7065_6361_7301,
        }
    }
}

impl Tx {
    /// Whether this transaction has the task to itself, from now until it ends. It never waits: where another process is at it, this
    /// one leaves it alone. A lock of the transaction and not of the session, so that it holds behind a pooler too, and a process
    /// that dies leaves nothing locked.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn has_alone(&mut self, task: Task) -> Result<bool> {
        match &mut self.on {
            // The one transaction of the one process that writes there.
            On::Sqlite(_) => Ok(true),
            On::Postgres(db) => {
                let lock = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(task.key());
                in_time(lock.fetch_one(&mut **db)).await.attempted("take a task for this process")
            }
        }
    }
}
