//! Attempts to prove who one is: one at a time of each kind, none before its time, and what fails is counted and stands in the audit.
//! Knows nothing of what is proven.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pipecast_auth::throttle::{self, ALARMING, Subject};
use pipecast_model::{Timestamp, UserId};
use pipecast_store::audit::{By, Entry};
use tokio::sync::OwnedMutexGuard;
use tracing::warn;

use super::{Accounts, Error};

/// Who is at it. So many requests at once do not all pass before the first of them has failed; in this process, as others have turns of
/// their own.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Short sections. There is one entry for each subject that is being tried, and for those that were before the last one came.
    taken: Mutex<HashMap<Subject, Arc<tokio::sync::Mutex<()>>>>,
}

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    async fn next(&self, subject: &Subject) -> Turn {
        let turn = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(taken.entry(subject.clone()).or_default())
        };
        Turn {
            _held: Some(turn.lock_owned().await),
        }
    }
}

/// A failed attempt.
pub(super) struct Failure<'a> {
    /// What was tried, in the word of the audit.
    pub(super) action: &'static str,
    /// Whose account it was, where there is such an account.
    pub(super) user: Option<UserId>,
    /// What of it was wrong, where that says more than that it was refused.
    pub(super) why: &'static str,
    /// What it is counted under.
    pub(super) subjects: &'a [&'a Subject],
}

impl Accounts {
    /// Waits for the turn of the first of these subjects, and then looks whether an attempt may be made now.
    ///
    /// # Errors
    /// `Wait`, `Store`.
    pub(super) async fn attempt(&self, subjects: &[&Subject]) -> Result<Turn, Error> {
        let Some(first) = subjects.first().filter(|_| self.settings.throttle) else {
            return Ok(Turn { _held: None });
        };
        let turn = self.turns.next(first).await;
        let keys: Vec<_> = subjects.iter().map(|subject| subject.key()).collect();
        let failures = self.reader.list_login_failures(&keys).await?;
        match throttle::wait(subjects, &failures, Timestamp::now()) {
            Some(wait) => Err(Error::Wait(wait)),
            None => Ok(turn),
        }
    }

    /// Counts a failed attempt, and writes it into the audit.
    ///
    /// # Errors
    /// `Store`.
    pub(super) async fn note_failure(&self, failure: Failure<'_>, from: &By) -> Result<(), Error> {
        let now = Timestamp::now();
        let mut tx = self.writer.begin().await?;
        // What was typed as a name may be a password, so only names that there are stand in the audit, as ids.
        let id = failure.user.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        tx.audit(Entry::new(from.clone(), failure.action).on("user", id, failure.why).denied());
        let mut is_alarming = false;
        let counted = failure.subjects.iter().filter(|_| self.settings.throttle);
        for subject in counted {
            let failures = tx.note_login_failure(&subject.key(), now, subject.anew(now)).await?;
            is_alarming |= matches!(subject, Subject::Account(_)) && failures == ALARMING;
        }
        tx.commit().await?;
        if let Some(user) = failure.user.filter(|_| is_alarming) {
            warn!(user.id = %user, "account {user} has had {ALARMING} failed logins within a day; somebody may be guessing its password or its codes");
        }
        Ok(())
    }

    /// Forgets what has failed under a subject, now that an attempt was right.
    ///
    /// # Errors
    /// `Store`.
    pub(super) async fn forget_failures(&self, subject: &Subject) -> Result<(), Error> {
        let key = subject.key();
        if !self.settings.throttle || self.reader.list_login_failures(std::slice::from_ref(&key)).await?.is_empty() {
            return Ok(());
        }
        let mut tx = self.writer.begin().await?;
        tx.forget_login_failures(&key).await?;
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_is_at_it_at_a_time_and_nobody_is_remembered_who_has_gone() {
        let turns = Turns::default();
        let (ada, bob) = (Subject::account("ada"), Subject::account("bob"));

        let first = turns.next(&ada).await;
        let other = turns.next(&bob).await;
        let mut second = std::pin::pin!(turns.next(&ada));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        let second = second.await;

        drop((second, other));
        let _third = turns.next(&ada).await;
        assert_eq!(turns.taken.lock().map(|taken| taken.len()).ok(), Some(1));
    }
}
