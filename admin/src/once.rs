//! Requests that are to be done once, however often they come: the key that a client gives them, and what was answered.
//! Knows nothing of what is done.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use pipecast_model::{Timestamp, hexadecimal};
use pipecast_store::Tx;
use pipecast_store::audit::{By, Entry};
use pipecast_store::idempotency::Known;
use pipecast_store::sealed::Keyring;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long an answer is kept.
pub const KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// A request that a client has given a key.
#[derive(Clone)]
pub struct Once {
    caller: String,
    by: By,
    key_hash: String,
    request_hash: String,
    ring: Arc<Keyring>,
}

/// What is answered to whoever makes something, and kept to be answered again.
#[derive(Serialize, Deserialize)]
pub struct Answer {
    /// Where it is from now on.
    pub location: String,
    /// Its version then.
    pub version: i64,
    /// The body, with what is shown once.
    pub body: Value,
    /// Whether there is something secret in it.
    pub secret: bool,
    /// Whether it was answered before, and nothing was done now.
    #[serde(skip)]
    pub again: bool,
}

/// Why a key is no good for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// It was used for another one.
    #[error("the key was used for another request")]
    OtherRequest,
    /// The request that it was used for first has not come to an end.
    #[error("the request with this key is still under way")]
    UnderWay,
}

/// What is sealed of a request: a hash over a password of few bits would be a way to try passwords, so the hash is in it too.
#[derive(Serialize, Deserialize)]
struct Kept {
    request: String,
    answer: Answer,
}

impl Answer {
    /// The answer to a request that came first.
    pub fn new(location: impl Into<String>, version: i64, body: Value) -> Answer {
        Answer {
            location: location.into(),
            version,
            body,
            secret: false,
            again: false,
        }
    }

    /// There is something secret in it, so that whoever is shown it again is noted.
    pub fn with_secret(self) -> Answer {
        Answer { secret: true, ..self }
    }
}

impl Once {
    /// `key` of `caller` for a request that is told by `request`: its method, its path, and its body as it was understood. `by` is who asks this time.
    pub fn new(caller: impl Into<String>, by: By, key: &str, request: &[&str], ring: Arc<Keyring>) -> Once {
        Once {
            caller: caller.into(),
            by,
            key_hash: hash(&[key]),
            request_hash: hash(request),
            ring,
        }
    }
}

/// Makes something once for each key of a client: `make` runs for the first request with it, within the transaction that takes the key, so
/// that both come about or neither; to the same request the same is answered again, and where that is a secret the audit has who was shown it.
/// Without a key it runs every time.
///
/// # Errors
/// Those of `make`; `OtherRequest`, also for what a build from before has kept; `UnderWay` on PostgreSQL, where the same key is waited for no longer than
/// for any lock; `Corrupt` where an answer is kept that does not open.
pub async fn once<E>(tx: &mut Tx, once: Option<&Once>, make: impl AsyncFnOnce(&mut Tx) -> Result<Answer, E>) -> Result<Answer, E>
where
    E: From<KeyRefused> + From<pipecast_store::Error>,
{
    let Some(once) = once else { return make(tx).await };
    match tx.take_key(&once.caller, &once.key_hash, &once.ring, Timestamp::now()).await? {
        Known::New(slot) => {
            let request = once.request_hash.clone();
            let kept = Kept {
                request,
                answer: make(tx).await?,
            };
            let text = zeroize::Zeroizing::new(serde_json::to_vec(&kept).expect("an answer is plain JSON"));
            tx.keep_answer(slot, &text, &once.ring).await?;
            Ok(kept.answer)
        }
        Known::Answered(text) => match serde_json::from_slice::<Kept>(&text) {
            Ok(kept) if kept.request == once.request_hash => {
                let answer = Answer { again: true, ..kept.answer };
                if answer.secret {
                    tx.audit(Entry::new(once.by.clone(), "secret.read").on("secret", &answer.location, ""));
                }
                Ok(answer)
            }
            _ => Err(KeyRefused::OtherRequest.into()),
        },
        Known::Older => Err(KeyRefused::OtherRequest.into()),
        Known::UnderWay => Err(KeyRefused::UnderWay.into()),
    }
}

/// SHA-256 in hex of texts that cannot run into each other.
fn hash(texts: &[&str]) -> String {
    let whole: String = texts.iter().map(|text| format!("{}:{text};", text.len())).collect();
    hexadecimal::write(digest(&SHA256, whole.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_do_not_run_into_each_other() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_eq!(hash(&["a"]), hash(&["a"]));
    }
}
