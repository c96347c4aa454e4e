//! Passwords: hashed with argon2id off the async threads, a few at once, and as long for a name that does not exist.
//! Knows nothing of users.
//!
//! While stored hashes have different costs, a password is compared with one hash of each: the one that it may be the password of, and others
//! that no password has. So it takes as long whatever the cost of the stored one, and tells nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

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

/// What a hash was made at: KiB, passes and lanes.
type Made = (u32, u32, u32);

/// Hashes and verifies.
#[derive(Debug)]
pub struct Passwords {
    params: Params,
    /// For each cost that stored hashes were made at, and for ours, a hash that no password has. There are a few.
    dummies: RwLock<BTreeMap<Made, String>>,
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
        let own = (cost.memory_kib, cost.passes, 1);
        Ok(Passwords {
            params,
            dummies: RwLock::new(BTreeMap::from([(own, dummy(own))])),
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

    /// Reckons with stored hashes that begin so, up to their salt.
    pub fn reckon_with(&self, beginnings: &[String]) {
        let (salt, tag) = (STANDARD_NO_PAD.encode([0; 16]), STANDARD_NO_PAD.encode([0; 32]));
        let hashes = beginnings.iter().map(|beginning| format!("{beginning}${salt}${tag}"));
        hashes.filter_map(|phc| made_at(&phc)).for_each(|made| self.reckon(made));
    }

    fn reckon(&self, made: Made) {
        let mut dummies = self.dummies.write().unwrap_or_else(PoisonError::into_inner);
        dummies.entry(made).or_insert_with(|| dummy(made));
    }

    /// Whether it is the password of `phc`. Without one it takes as long, and is not.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn verify(&self, phc: Option<&str>, password: &str) -> Result<bool, Busy> {
        let is_real = phc.is_some();
        let (compared, password) = (self.compared(phc), password.to_owned());
        let is_right = self.work(move || {
            // Each of them, whatever became of those before.
            let right = |phc: &String| {
                let parsed = PasswordHash::new(phc);
                parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
            };
            compared.iter().fold(false, |any, phc| any | right(phc))
        });
        Ok(is_right.await? && is_real)
    }

    /// What a password is compared with where it may be that of `phc`: one hash of each cost.
    fn compared(&self, phc: Option<&str>) -> Vec<String> {
        let made = phc.and_then(made_at);
        if let Some(made) = made {
            self.reckon(made);
        }
        let dummies = self.dummies.read().unwrap_or_else(PoisonError::into_inner);
        let others = dummies.iter().filter(|(other, _)| Some(**other) != made).map(|(_, dummy)| dummy.clone());
        phc.map(str::to_owned).into_iter().chain(others).collect()
    }

    /// Whether a hash was made at another cost, and is to be made anew when the password is known.
    pub fn is_outdated(&self, phc: &str) -> bool {
        made_at(phc).is_none_or(|(memory, passes, _)| (memory, passes) != (self.params.m_cost(), self.params.t_cost()))
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

fn made_at(phc: &str) -> Option<Made> {
    let made = PasswordHash::new(phc).ok().and_then(|hash| Params::try_from(&hash).ok())?;
    Some((made.m_cost(), made.t_cost(), made.p_cost()))
}

/// As a hash looks, and of nothing: so it costs nothing to make and as much as any to compare with.
fn dummy((memory, passes, lanes): Made) -> String {
    let (salt, tag) = (STANDARD_NO_PAD.encode(random::<16>()), STANDARD_NO_PAD.encode(random::<32>()));
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${tag}")
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
        assert!(!passwords.is_outdated(&dummy((8, 1, 1))));
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
    async fn whatever_the_cost_of_a_hash_a_password_is_compared_at_the_same_costs() {
        let (old, new) = (
            Passwords::new(CHEAP).expect("a cost"),
            Passwords::new(Cost { passes: 2, ..CHEAP }).expect("a cost"),
        );
        let phc = old.hash("a password of long ago").await.expect("room");
        let own = new.hash("a password of today").await.expect("room");
        let beginning = phc.rsplitn(3, '$').last().expect("the rest").to_owned();
        new.reckon_with(&[beginning, "$argon2id$v=19$nonsense".to_owned()]);
        let costs = |phc: Option<&str>| {
            let mut costs: Vec<_> = new.compared(phc).iter().filter_map(|phc| made_at(phc)).collect();
            costs.sort_unstable();
            costs
        };

        for phc in [None, Some(phc.as_str()), Some(own.as_str())] {
            assert_eq!(costs(phc), [(8, 1, 1), (8, 2, 1)], "{phc:?}");
        }
        assert_eq!(new.verify(Some(&own), "a password of today").await, Ok(true));
        assert_eq!(new.verify(Some(&phc), "a password of long ago").await, Ok(true));
        assert_eq!(new.verify(None, "a password of long ago").await, Ok(false));
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused_and_not_queued() {
        let passwords = Passwords::new(CHEAP).expect("a cost");

        let all = futures_util::future::join_all((0..10).map(|_| passwords.hash("many at once"))).await;

        assert!(all.contains(&Err(Busy)) && all.iter().any(Result::is_ok));
    }
}
