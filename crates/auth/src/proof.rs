//! Proofs: when somebody showed last that they are who they say, by a password and the code of a second factor where there is one.
//! Knows nothing of how it is shown, nor of what it is needed for.

use std::time::Duration;

use pipecast_model::{SessionId, Timestamp};
use pipecast_store::Credential;

use crate::jwt::Claims;

/// Clocks of two nodes may differ by so much, in microseconds.
const LEEWAY: i64 = 5_000_000;

/// When somebody proved last who they are, as what they came in with tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is a program, which has nothing to prove it by but its token.
    Program,
    /// Then, as the token says; `None`: it does not.
    At(Option<Timestamp>),
    /// Their session knows.
    OfSession(SessionId),
}

impl Proof {
    /// What an access token says.
    pub(crate) fn of_claims(claims: &Claims) -> Proof {
        Proof::At(claims.auth_time.map(|at| Timestamp(at.saturating_mul(1_000_000))))
    }

    /// Where it is to be looked for when nothing but a credential is known.
    pub(crate) fn of_credential(credential: Credential) -> Proof {
        match credential {
            Credential::Session(session) => Proof::OfSession(session),
            Credential::Token(_) => Proof::Program,
        }
    }
}

/// Whether it was within `age` before `now`. What lies ahead, by a clock that was set back, was not.
pub(crate) fn is_within(at: Timestamp, age: Duration, now: Timestamp) -> bool {
    at >= now.minus(age) && at.0 <= now.0.saturating_add(LEEWAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_its_time_and_not_from_the_future() {
        let (now, age) = (Timestamp(10_000_000_000), Duration::from_secs(600));
        let is_good = |seconds: i64| is_within(Timestamp(now.0 + seconds * 1_000_000), age, now);

        assert!(is_good(0) && is_good(-600) && is_good(5));
        assert!(!is_good(-601) && !is_good(6));
    }
}
