//! Requests that are to be done once, however often they come: the key that a client gives them, and what was answered.
//! Knows nothing of what is done.

use aws_lc_rs::digest::{SHA256, digest};
use pipecast_model::Timestamp;
use pipecast_store::Tx;
use pipecast_store::idempotency::Known;
use pipecast_store::sealed::Keyring;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long an answer is kept.
pub const KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// A request that a client has given a key.
#[derive(Clone, Debug)]
pub struct Once {
    caller: String,
    key_hash: String,
    request_hash: String,
}

/// Where a request stands that has a key.
pub enum Stand<T> {
    /// It is to be done, and the answer kept under this id.
    First(i64),
    /// It was done, and answered so.
    Again(T),
    /// Its key was used for another request.
    Other,
}

impl Once {
    /// `key` of `caller` for a request that is told by `request`: its method, its path, and its body as it was understood.
    pub fn new(caller: impl Into<String>, key: &str, request: &[&str]) -> Once {
        Once {
            caller: caller.into(),
            key_hash: hash(&[key]),
            request_hash: hash(request),
        }
    }

    /// Takes the key within the transaction of what is done, so that both come about or neither.
    ///
    /// # Errors
    /// `Corrupt` where an answer is kept that does not open.
    pub async fn stand<T: DeserializeOwned>(&self, tx: &mut Tx, ring: &Keyring) -> pipecast_store::Result<Stand<T>> {
        let known = tx.take_key(&self.caller, &self.key_hash, &self.request_hash, ring, Timestamp::now()).await?;
        Ok(match known {
            Known::New(id) => Stand::First(id),
            Known::Other => Stand::Other,
            Known::Same(answer) => match serde_json::from_slice(&answer) {
                Ok(answer) => Stand::Again(answer),
                Err(_) => Stand::Other,
            },
        })
    }
}

/// Keeps the answer to a request that came first.
///
/// # Errors
/// `Unavailable`.
pub async fn keep<T: Serialize>(tx: &mut Tx, id: i64, answer: &T, ring: &Keyring) -> pipecast_store::Result<()> {
    let answer = zeroize::Zeroizing::new(serde_json::to_vec(answer).expect("an answer is plain JSON"));
    tx.keep_answer(id, &answer, ring).await
}

/// SHA-256 in hex of texts that cannot run into each other.
fn hash(texts: &[&str]) -> String {
    let whole: String = texts.iter().map(|text| format!("{}:{text};", text.len())).collect();
    digest(&SHA256, whole.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
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
