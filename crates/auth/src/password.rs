//! Passwords: hashed with argon2id off the async threads, a few at once, and as long for a name that does not exist.
//! Knows nothing of users.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::Semaphore;

use crate::secret::random;

/// What a hash costs. Stored hashes keep the cost that they were made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Hashes at once.
    pub at_once: usize,
    /// Hashes that may wait; more are refused.
    pub waiting: usize,
}

/// As many passwords wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// The cost is none that argon2 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argon2 needs at least 8 KiB of memory and one pass")]
pub struct NoCost;

/// Hashes and verifies.
#[derive(Debug)]
pub struct Passwords {
    params: Params,
    /// A hash that no password has; what a name that does not exist is compared with.
    dummy: String,
    at_once: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Passwords {
    /// Has made no hash yet.
    ///
    /// # Errors
    /// `NoCost`.
    pub fn new(cost: Cost) -> Result<Passwords, NoCost> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, Some(32)).map_err(|_| NoCost)?;
        // As a hash looks, and of nothing: so it costs nothing to make and as much as any to compare with.
        let (salt, tag) = (STANDARD_NO_PAD.encode(random::<16>()), STANDARD_NO_PAD.encode(random::<32>()));
        let dummy = format!("$argon2id$v=19$m={},t={},p=1${salt}${tag}", cost.memory_kib, cost.passes);
        Ok(Passwords {
            params,
            dummy,
            at_once: Arc::new(Semaphore::new(cost.at_once.max(1))),
            places: Arc::new(Semaphore::new(cost.at_once.max(1) + cost.waiting)),
        })
    }

    /// The hash of a password, as a PHC string.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn hash(&self, password: &str) -> Result<String, Busy> {
        let (params, password) = (self.params.clone(), password.to_owned());
        self.work(move || hashed(&params, &password)).await
    }

    /// Whether it is the password of `phc`. Without one it takes as long, and is not.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn verify(&self, phc: Option<&str>, password: &str) -> Result<bool, Busy> {
        let is_real = phc.is_some();
        let (phc, password) = (phc.unwrap_or(&self.dummy).to_owned(), password.to_owned());
        let is_right = self.work(move || {
            let parsed = PasswordHash::new(&phc);
            parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(is_right.await? && is_real)
    }

    /// Whether a hash was made at another cost, and is to be made anew when the password is known.
    pub fn is_outdated(&self, phc: &str) -> bool {
        let made_with = PasswordHash::new(phc).ok().and_then(|hash| Params::try_from(&hash).ok());
        made_with.is_none_or(|made| (made.m_cost(), made.t_cost()) != (self.params.m_cost(), self.params.t_cost()))
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.at_once).acquire_owned().await.map_err(|_| Busy)?;
        let worked = tokio::task::spawn_blocking(move || {
            // Held by the work itself: who gives up waiting does not make room for another that runs beside it.
            let _held = (place, turn);
            work()
        });
        worked.await.map_err(|_| Busy)
    }
}

fn hashed(params: &Params, password: &str) -> String {
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let hash = argon.hash_password(password.as_bytes());
    hash.expect("any password up to 4 GiB has a hash").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 8,
        passes: 1,
        at_once: 1,
        waiting: 1,
    };

    #[tokio::test]
    async fn a_password_is_verified_and_no_other() {
        let passwords = Passwords::new(CHEAP).expect("a cost");

        let phc = passwords.hash("correct horse battery").await.expect("room");

        assert!(phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{phc}");
        assert_eq!(passwords.verify(Some(&phc), "correct horse battery").await, Ok(true));
        assert_eq!(passwords.verify(Some(&phc), "correct horse batterY").await, Ok(false));
        let dummy = PasswordHash::new(&passwords.dummy).expect("as any hash");
        assert!(!passwords.is_outdated(&dummy.to_string()));
        assert_eq!(passwords.verify(None, "correct horse battery").await, Ok(false));
        assert_eq!(passwords.verify(Some("no hash"), "").await, Ok(false));
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_still_verified_and_known_as_outdated() {
        let (old, new) = (
            Passwords::new(CHEAP).expect("a cost"),
            Passwords::new(Cost { passes: 2, ..CHEAP }).expect("a cost"),
        );

        let phc = old.hash("a password of long ago").await.expect("room");

        assert_eq!(new.verify(Some(&phc), "a password of long ago").await, Ok(true));
        assert!(new.is_outdated(&phc) && !old.is_outdated(&phc));
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused_and_not_queued() {
        let passwords = Passwords::new(CHEAP).expect("a cost");

        let all = futures_util::future::join_all((0..10).map(|_| passwords.hash("many at once"))).await;

        assert!(all.contains(&Err(Busy)) && all.iter().any(Result::is_ok));
    }
}
