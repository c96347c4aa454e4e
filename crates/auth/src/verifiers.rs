//! Public keys by which access tokens are verified, as the database has them.
//! Knows nothing of what a token says.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use pipecast_store::{Error, Reader};

use crate::jwt::{PublicKey, jwk};

/// A key that is not known is looked for no more often; until then it is waited for.
const EVERY: Duration = Duration::from_millis(250);

/// The keys that are known here.
#[derive(Debug)]
pub(crate) struct Verifiers {
    reader: Reader,
    keys: RwLock<HashMap<String, PublicKey>>,
    /// When all were read last; one reading at a time.
    read: tokio::sync::Mutex<Option<Instant>>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}

impl Verifiers {
    /// Knows none yet.
    pub(crate) fn new(reader: Reader) -> Verifiers {
        Verifiers {
            reader,
            keys: RwLock::default(),
            read: tokio::sync::Mutex::default(),
        }
    }

    /// The key of this name. One that is not known is looked for, once for all who ask at the same time.
    pub(crate) async fn find(&self, id: &str) -> Result<Option<PublicKey>, Error> {
        if let Some(key) = self.known(id) {
            return Ok(Some(key));
        }
        let asked = Instant::now();
        let mut read = self.read.lock().await;
        if let Some(key) = self.known(id) {
            return Ok(Some(key));
        }
        if let Some(last) = *read {
            // Another has looked while this one waited.
            if last >= asked {
                return Ok(None);
            }
            // Names that nobody has cost no query each; and a key may have been made since the last look, however short ago that was.
            tokio::time::sleep_until((last + EVERY).into()).await;
        }
        let begun = Instant::now();
        let keys = self.reader.list_signing_keys().await?;
        *read = Some(begun);
        let keys = keys.into_iter().map(|key| (key.id, PublicKey::new(&key.public_key, key.expires_at))).collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(self.known(id))
    }

    /// All of them, for others who verify tokens.
    pub(crate) async fn jwks(&self) -> Result<serde_json::Value, Error> {
        let keys = self.reader.list_signing_keys().await?;
        let keys: Vec<_> = keys.iter().map(|key| jwk(&key.id, &key.public_key)).collect();
        Ok(serde_json::json!({ "keys": keys }))
    }

    fn known(&self, id: &str) -> Option<PublicKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}
