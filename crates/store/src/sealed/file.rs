//! The file that keys are kept in: made whole or not at all, for its owner alone, by one process at a time.
//! Knows nothing of what keys do.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::keyring::{Keyring, RingError};

/// Why there are no keys to be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is none.
    #[error("there is no key file {0}")]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("cannot {attempted} the key file {path}")]
    Unusable {
        /// What was tried.
        attempted: &'static str,
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// What is in it are no keys.
    #[error("the key file {path} cannot be used: {source}")]
    Bad {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: RingError,
    },
}

/// By what a change of the file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    seconds: i64,
    nanos: i64,
    length: u64,
}

/// The stamp of a file; `None` where it cannot be looked at.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        inode: meta.ino(),
        seconds: meta.mtime(),
        nanos: meta.mtime_nsec(),
        length: meta.len(),
    })
}

/// Whether others than its owner may read it.
pub(super) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

pub(super) fn read(path: &Path) -> Result<Keyring, KeyFileError> {
    let text = fs::read(path).map(Zeroizing::new).map_err(|source| match source.kind() {
        ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
        _ => unusable("read", path)(source),
    })?;
    let bad = |source| KeyFileError::Bad { path: path.to_owned(), source };
    let text = std::str::from_utf8(&text).map_err(|_| bad(RingError::NoKey(1)))?;
    Keyring::read(text).map_err(bad)
}

/// Makes the file, unless there is one; that one stays.
pub(super) fn create(path: &Path, ring: &Keyring) -> Result<(), KeyFileError> {
    let folder = folder_of(path);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(unusable("create the folder of", path))?;
    let draft = write_draft(path, ring)?;
    let linked = fs::hard_link(&draft, path);
    drop(fs::remove_file(&draft));
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(unusable("create", path)(error)),
        _ => sync(folder, path),
    }
}

/// Changes the ring in the file, while no other process does.
pub(super) fn change(path: &Path, change: impl FnOnce(&Keyring) -> Result<Keyring, RingError>) -> Result<Keyring, KeyFileError> {
    let _alone = lock(path)?;
    let bad = |source| KeyFileError::Bad { path: path.to_owned(), source };
    let ring = change(&read(path)?).map_err(bad)?;
    let draft = write_draft(path, &ring)?;
    if let Err(error) = fs::rename(&draft, path) {
        drop(fs::remove_file(&draft));
        return Err(unusable("replace", path)(error));
    }
    sync(folder_of(path), path)?;
    Ok(ring)
}

/// Two that change the ring at once would each lose the other's key, and with it what was sealed with it.
fn lock(path: &Path) -> Result<File, KeyFileError> {
    let beside = path.with_extension("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside);
    let file = file.map_err(unusable("lock", path))?;
    file.lock().map_err(unusable("lock", path))?;
    Ok(file)
}

/// The whole ring, synced, under a name beside the file's.
fn write_draft(path: &Path, ring: &Keyring) -> Result<PathBuf, KeyFileError> {
    let draft = path.with_extension(format!("{}.partial", std::process::id()));
    drop(fs::remove_file(&draft));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(ring.text().as_bytes()).and_then(|()| file.sync_all()));
    match written {
        Ok(()) => Ok(draft),
        Err(error) => {
            drop(fs::remove_file(&draft));
            Err(unusable("write", path)(error))
        }
    }
}

fn sync(folder: &Path, path: &Path) -> Result<(), KeyFileError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable("sync", path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unusable(attempted: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Unusable { attempted, path, source }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/keyring");
        assert!(matches!(read(&path), Err(KeyFileError::Missing(_))));

        let (first, second) = (Keyring::generate(), Keyring::generate());
        create(&path, &first).unwrap();
        create(&path, &second).unwrap();

        assert_eq!(read(&path).map(|ring| ring.sealing()).unwrap(), first.sealing());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!is_open_to_others(&path));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn changes_of_many_at_once_lose_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring");
        create(&path, &Keyring::generate()).unwrap();

        // Drafts are named by the process, so threads stand in for processes only behind the lock.
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| change(&path, |ring| Ok(ring.with_new_key())).map(drop).unwrap());
            }
        });

        assert_eq!(read(&path).map(|ring| ring.kids().count()).unwrap(), 9);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_in_a_file_and_is_no_key_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring");
        fs::write(&path, "changeme\n").unwrap();

        let Err(error) = read(&path) else { panic!("it was taken") };

        assert!(error.to_string().contains("keyring") && error.to_string().contains("placeholder"), "{error}");
    }
}
