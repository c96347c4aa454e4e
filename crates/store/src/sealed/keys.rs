//! The keys of a process: where they come from, and that a ring which changes in its file is the one that is used from then on.
//! Knows nothing of what is sealed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::file::{self, KeyFileError, Stamp};
use super::keyring::{Keyring, Kid, RingError};

/// The keys of a process, shared by all who seal and open. It has no `Debug`.
pub struct Keys {
    origin: Origin,
    /// A short lock: a look at the file, and where that has changed, reading it.
    held: Mutex<Option<Held>>,
}

enum Origin {
    /// A text of the configuration.
    Given,
    /// A file that is looked at again.
    File(PathBuf),
}

struct Held {
    ring: Arc<Keyring>,
    stamp: Option<Stamp>,
}

/// Why there are no keys, or why they cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The text of the configuration.
    #[error("keys.ring cannot be used: {0}")]
    Given(#[source] RingError),
    /// Only a file can be changed.
    #[error("the keys come from keys.ring: change them there, for every process")]
    NoFile,
}

impl Keys {
    /// Keys that are written in the configuration.
    ///
    /// # Errors
    /// `Given`.
    pub fn given(text: &str) -> Result<Keys, KeysError> {
        let ring = Arc::new(Keyring::read(text).map_err(KeysError::Given)?);
        Ok(Keys {
            origin: Origin::Given,
            held: Mutex::new(Some(Held { ring, stamp: None })),
        })
    }

    /// Keys of a file, which need not be there before they are needed.
    pub fn of_file(path: &Path) -> Keys {
        Keys {
            origin: Origin::File(path.to_owned()),
            held: Mutex::default(),
        }
    }

    /// The file, where there is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Given => None,
            Origin::File(path) => Some(path),
        }
    }

    /// The ring as it is now. A file that cannot be read any more leaves the ring that was read from it last.
    ///
    /// # Errors
    /// `File`, where it could never be read.
    pub fn ring(&self) -> Result<Arc<Keyring>, KeysError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Origin::File(path) = &self.origin else {
            let held = held.as_ref().expect("a ring that is given is there from the start");
            return Ok(Arc::clone(&held.ring));
        };
        let stamp = file::stamp(path);
        if let Some(held) = held.as_ref()
            && (stamp.is_none() || held.stamp == stamp)
        {
            return Ok(Arc::clone(&held.ring));
        }
        match (file::read(path), held.as_ref()) {
            (Ok(ring), _) => {
                let ring = Arc::new(ring);
                *held = Some(Held {
                    ring: Arc::clone(&ring),
                    stamp,
                });
                Ok(ring)
            }
            (Err(_), Some(held)) => Ok(Arc::clone(&held.ring)),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Makes a file with a fresh key, unless there is one.
    ///
    /// # Errors
    /// `File`, `NoFile`.
    pub fn create(&self) -> Result<(), KeysError> {
        let path = self.path().ok_or(KeysError::NoFile)?;
        Ok(file::create(path, &Keyring::generate())?)
    }

    /// Whether others than its owner may read the file.
    pub fn is_open_to_others(&self) -> bool {
        self.path().is_some_and(file::is_open_to_others)
    }

    /// Puts a fresh key first, so that it seals from now on.
    ///
    /// # Errors
    /// `File`, `NoFile`.
    pub fn add(&self) -> Result<Keyring, KeysError> {
        self.change(|ring| Ok(ring.with_new_key()))
    }

    /// Has another key of the ring seal from now on.
    ///
    /// # Errors
    /// `File`, `NoFile`.
    pub fn seal_with(&self, kid: &Kid) -> Result<Keyring, KeysError> {
        self.change(|ring| ring.sealing_with(kid))
    }

    /// Takes a key off the ring. Whether something still needs it is for the caller to know.
    ///
    /// # Errors
    /// `File`, `NoFile`.
    pub fn remove(&self, kid: &Kid) -> Result<Keyring, KeysError> {
        self.change(|ring| ring.without(kid))
    }

    fn change(&self, change: impl FnOnce(&Keyring) -> Result<Keyring, RingError>) -> Result<Keyring, KeysError> {
        let path = self.path().ok_or(KeysError::NoFile)?;
        Ok(file::change(path, change)?)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_key_that_another_process_adds_is_used_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring");
        let (service, command) = (Keys::of_file(&path), Keys::of_file(&path));
        assert!(matches!(service.ring(), Err(KeysError::File(KeyFileError::Missing(_)))));
        service.create().unwrap();
        let before = service.ring().unwrap();

        let added = command.add().unwrap();

        let after = service.ring().unwrap();
        assert_eq!(after.sealing(), added.sealing());
        assert!(after.has(&before.sealing()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(service.ring().unwrap().sealing(), added.sealing(), "what was read stays");
    }

    #[test]
    fn keys_of_the_configuration_are_changed_there() {
        let keys = Keys::given(&Keyring::generate().text()).unwrap();

        assert!(matches!(keys.add(), Err(KeysError::NoFile)));
        assert!(matches!(Keys::given("changeme"), Err(KeysError::Given(RingError::Placeholder(1)))));
    }
}
