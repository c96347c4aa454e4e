//! The lock that keeps a second process from a queue file.
//! Knows nothing of what is in the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Another process has the file open, or says it has.
#[derive(Debug, thiserror::Error)]
#[error("{path} is held by process {holder}")]
struct Held {
    path: PathBuf,
    holder: String,
}

/// The lock of a queue file without the queue: while it is held, no process can open it.
#[derive(Debug)]
pub struct Hold(File);

/// Takes it, for work on the data of a process that must not run meanwhile.
///
/// # Errors
/// `Unavailable` where another process has the file open; the cause names that process.
pub fn hold(path: &Path) -> Result<Hold> {
    lock_beside(path).map(Hold)
}

impl Drop for Hold {
    fn drop(&mut self) {
        // It ends with the process at the latest.
        drop(self.0.unlock());
    }
}

/// An exclusive lock that ends with the process, and our process id in it for whoever comes second.
pub(super) fn lock_beside(path: &Path) -> Result<File> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unavailable {
        attempted: "lock the queue file",
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.with_extension("lock"))
        .map_err(|error| failed(error.into()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = match file.read_to_string(&mut holder) {
                Ok(_) if !holder.trim().is_empty() => holder.trim().to_owned(),
                _ => "unknown".to_owned(),
            };
            return Err(failed(Box::new(Held { path: path.to_owned(), holder })));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error.into())),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|error| failed(error.into()))?;
    Ok(file)
}
