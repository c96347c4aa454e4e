//! When what SQLite has committed becomes durable: its write-ahead log is synced here, for many commits at once.
//! Knows nothing of transactions.
//!
//! The writing connection runs with `synchronous=NORMAL`: a commit is in the log, which every connection sees and which survives the
//! end of the process, but not on the disk. Checkpoints sync the log before they take anything out of it, so whatever this sync does
//! not find in the log is durable already.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Result;
use crate::engine::{On, place};
use crate::error::Attempt;

/// The write-ahead log of a SQLite database.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// A sync has failed. The kernel reports that once and forgets it, so no later sync proves anything.
    failed: Arc<AtomicBool>,
}

impl Log {
    /// The log of the database at `url`; PostgreSQL syncs its own.
    pub(crate) fn of(url: &str) -> Result<Option<Self>> {
        let On::Sqlite(options) = place(url)? else { return Ok(None) };
        let mut path = options.get_filename().as_os_str().to_owned();
        path.push("-wal");
        Ok(Some(Log {
            path: path.into(),
            failed: Arc::default(),
        }))
    }

    /// Returns once everything that was committed before the call is on the disk.
    pub(crate) async fn sync(&self) -> Result<()> {
        let log = self.clone();
        let synced = tokio::task::spawn_blocking(move || log.sync_file()).await;
        synced
            .unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)))
            .map_err(sqlx::Error::Io)
            .attempted("sync the database")
    }

    /// SQLite takes no locks on this file, so opening and closing it does not disturb any.
    fn sync_file(&self) -> std::io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(std::io::Error::other("an earlier sync of the database failed; restart once the disk is sound"));
        }
        let synced = match File::open(&self.path) {
            Ok(file) => file.sync_data(),
            // Emptied into the database and removed.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => return Err(error),
        };
        if synced.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_a_sync_that_failed_no_later_one_is_believed() {
        let directory = tempfile::tempdir().expect("a directory");
        let sound = Log {
            path: directory.path().join("pipecast.db-wal"),
            failed: Arc::default(),
        };
        std::fs::write(&sound.path, "frames").expect("a file");
        // A device that cannot be synced.
        let broken = Log {
            path: "/dev/null".into(),
            failed: Arc::clone(&sound.failed),
        };

        sound.sync().await.expect("nothing has failed yet");
        broken.sync().await.expect_err("it cannot be synced");
        let error = sound.sync().await.expect_err("what the failed one was to write may be missing");

        assert!(matches!(error, crate::Error::Unavailable { .. }), "{error:?}");
    }
}
