//! The key that this process signs with. Its private half is nowhere else, so there is nothing to store, to seal or to steal; the public
//! half is published before the first signature, and every node reads it.
//! Knows nothing of what is signed.

use std::sync::Arc;
use std::time::Duration;

use pipecast_auth::SigningPair;
use pipecast_model::Timestamp;
use pipecast_store::{Result, SigningKey, Writer};

use super::after;

/// How long one key signs.
const SIGNS_FOR: Duration = Duration::from_secs(24 * 3600);

/// How long what it signed last may still be verified.
const VERIFIES_ON: Duration = Duration::from_secs(24 * 3600);

/// The current key; made when it is first needed.
#[derive(Default)]
pub(super) struct Keyring {
    current: tokio::sync::Mutex<Option<(Arc<SigningPair>, Timestamp)>>,
}

impl Keyring {
    /// The key to sign with, which is published.
    pub(super) async fn pair(&self, writer: &Writer) -> Result<Arc<SigningPair>> {
        let mut current = self.current.lock().await;
        let now = Timestamp::now();
        if let Some((pair, until)) = current.as_ref()
            && *until > now
        {
            return Ok(Arc::clone(pair));
        }
        let (pair, until) = (Arc::new(SigningPair::generate()), after(now, SIGNS_FOR));
        let mut tx = writer.begin().await?;
        tx.publish_signing_key(&SigningKey {
            id: pair.id().to_owned(),
            public_key: pair.public().to_vec(),
            expires_at: after(until, VERIFIES_ON),
        })
        .await?;
        tx.commit().await?;
        *current = Some((Arc::clone(&pair), until));
        Ok(pair)
    }
}
