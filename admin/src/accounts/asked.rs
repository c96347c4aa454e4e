//! Logins whose password was right and that were asked for a code. Most come back with one; where no session was opened from there a minute later, somebody
//! may have a password that is not theirs, and that stands in the audit.
//! Knows nothing of how a login is verified.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pipecast_auth::throttle::Subject;
use pipecast_model::{Timestamp, UserId};
use pipecast_store::audit::{By, Entry};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Accounts, Error};

/// How long there is to come back with a code.
const WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked who has not.
const LOOK: Duration = Duration::from_secs(5);

/// Logins that are waited for at once. More are counted by the metric alone: nobody has so many right passwords, but one who has a right one may come from
/// many networks.
const MOST: usize = 1_000;

/// Who is waited for: each account and network once, in this process.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Short sections.
    waiting: Mutex<HashMap<Subject, Login>>,
}

/// A login that was asked for a code.
#[derive(Clone, Debug)]
struct Login {
    user: UserId,
    from: By,
    at: Timestamp,
}

impl Asked {
    /// Waits for an account from a network, if it does not yet.
    pub(super) fn note(&self, pair: &Subject, user: UserId, from: &By, at: Timestamp) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST && !waiting.contains_key(pair) {
            let from = from.clone();
            waiting.insert(pair.clone(), Login { user, from, at });
        }
    }

    /// Those that were asked at this time or before.
    fn asked_until(&self, until: Timestamp) -> Vec<(Subject, Login)> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let due = waiting.iter().filter(|(_, login)| login.at <= until);
        due.map(|(pair, login)| (pair.clone(), login.clone())).collect()
    }

    fn forget(&self, logins: &[(Subject, Login)]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (pair, _) in logins {
            waiting.remove(pair);
        }
    }
}

impl Accounts {
    /// Looks who has not come back with a code, until it is asked to end. Who is waited for then is not waited for any longer.
    pub async fn run(&self, ending: CancellationToken) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let goes_on = ending.run_until_cancelled(looks.tick()).await.is_some();
            let until = if goes_on { Timestamp::now().minus(WITHIN) } else { Timestamp(i64::MAX) };
            if let Err(error) = self.tell_unanswered(until).await {
                warn!(%error, "cannot write yet who has a password and no code");
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Writes into the audit who was asked until then and has opened no session since.
    async fn tell_unanswered(&self, until: Timestamp) -> Result<(), Error> {
        let due = self.asked.asked_until(until);
        let mut unanswered = Vec::new();
        for (_, login) in &due {
            let ip = login.from.ip.map(|ip| ip.to_string());
            if !self.reader.has_opened_session(login.user, login.at, ip.as_deref()).await? {
                unanswered.push(login);
            }
        }
        if !unanswered.is_empty() {
            let mut tx = self.writer.begin().await?;
            for login in unanswered {
                tx.audit(Entry::new(login.from.clone(), "session.open").on("user", login.user, "code missing").denied());
            }
            tx.commit().await?;
        }
        self.asked.forget(&due);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_and_network_is_waited_for_once_and_there_is_an_end_to_them() {
        let (asked, from) = (Asked::default(), By::system());
        let pair = |number: usize| Subject::Pair(format!("network {number}"));
        for at in [3, 9] {
            asked.note(&pair(0), UserId(1), &from, Timestamp(at));
        }
        assert!(asked.asked_until(Timestamp(2)).is_empty());
        let due = asked.asked_until(Timestamp(3));
        assert_eq!(
            due.iter().map(|(_, login)| login.at).collect::<Vec<_>>(),
            [Timestamp(3)],
            "the first time counts"
        );

        for number in 0..2 * MOST {
            asked.note(&pair(number), UserId(1), &from, Timestamp(9));
        }
        assert_eq!(asked.asked_until(Timestamp(9)).len(), MOST);
        asked.forget(&due);
        assert_eq!(asked.asked_until(Timestamp(9)).len(), MOST - 1);
    }
}
