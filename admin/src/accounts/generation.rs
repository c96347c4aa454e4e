//! Generations of the tokens that carry a session on: which token goes on, in which generation its successor is, and which one shows that two
//! have the session.
//! Knows nothing of where tokens lie.
//!
//! A token is used once, and its first use begins the next generation. Tabs of one browser may show the same token at the same time, or one that
//! another tab has just replaced, and each gets a successor; the browser keeps the one of them that comes last. So for [`GRACE`] after its
//! beginning a generation takes whatever of it is shown, and after that one token of it goes on, once. A thief who was quick enough to
//! get a successor of their own goes on with it, or the owner does; the second of the two ends the session.

use pipecast_model::Timestamp;
use pipecast_store::Refresh;

/// How long after its beginning, in microseconds, a generation takes whatever of it is shown.
const GRACE: i64 = 10_000_000;

/// What becomes of a token that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has a successor, of a generation that began then.
    GoesOn(Timestamp),
    /// Two have the session, and one of them has stolen it.
    Stolen,
}

/// Until when a token's generation takes whatever of it is shown.
pub(super) fn settles(token: &Refresh) -> Timestamp {
    Timestamp(token.begun_at.0.saturating_add(GRACE))
}

/// `is_other_carried_on`: whether another token of its generation was used after that had settled.
pub(super) fn judge(token: &Refresh, is_other_carried_on: bool, now: Timestamp) -> Verdict {
    let settles = settles(token);
    match token.used_at {
        _ if now <= settles => Verdict::GoesOn(token.begun_at),
        None if !is_other_carried_on => Verdict::GoesOn(now),
        Some(used) if used > settles && now.0 <= used.0.saturating_add(GRACE) => Verdict::GoesOn(used),
        _ => Verdict::Stolen,
    }
}

#[cfg(test)]
mod tests {
    use pipecast_model::{SessionId, UserId};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    /// A token of the generation that began at 100 s.
    fn token(used: Option<i64>) -> Refresh {
        Refresh {
            session_id: SessionId::fresh(),
            user_id: UserId(1),
            begun_at: at(100),
            used_at: used.map(at),
            expires_at: at(9_999),
            proved_at: at(100),
            session_expires_at: at(9_999),
            is_ended: false,
        }
    }

    #[test]
    fn the_first_use_begins_a_generation_that_others_who_show_the_same_are_of() {
        assert_eq!(judge(&token(None), false, at(700)), Verdict::GoesOn(at(700)));
        assert_eq!(judge(&token(Some(700)), false, at(700)), Verdict::GoesOn(at(700)));
        assert_eq!(judge(&token(Some(700)), false, at(710)), Verdict::GoesOn(at(700)));
        assert_eq!(judge(&token(Some(700)), false, at(711)), Verdict::Stolen);
    }

    #[test]
    fn a_young_generation_takes_whatever_of_it_is_shown_and_stays_one() {
        for (used, is_other_carried_on) in [(None, false), (None, true), (Some(101), false), (Some(104), true)] {
            assert_eq!(judge(&token(used), is_other_carried_on, at(110)), Verdict::GoesOn(at(100)));
        }
        assert_eq!(judge(&token(Some(105)), false, at(111)), Verdict::Stolen, "another of it went on meanwhile");
    }

    #[test]
    fn of_a_generation_that_has_settled_one_goes_on() {
        assert_eq!(judge(&token(None), false, at(111)), Verdict::GoesOn(at(111)));
        assert_eq!(judge(&token(None), true, at(111)), Verdict::Stolen);
        assert_eq!(judge(&token(None), true, at(9_000)), Verdict::Stolen);
    }
}
