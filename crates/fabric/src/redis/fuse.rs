//! When to stop asking a server that does not answer. Knows nothing of what is asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many failures in a row blow it: one late answer is no reason to leave everything untold.
const FAILURES: u32 = 3;
/// How long nothing is asked then, at most.
const REST: Duration = Duration::from_millis(500);

/// Blows after some failures in a row, and lets questions through again after a rest.
#[derive(Debug, Default)]
pub(super) struct Fuse(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Fuse {
    /// Whether there is no use in asking now.
    pub(super) fn is_blown(&self) -> bool {
        self.lock().rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Notes an answer.
    pub(super) fn mend(&self) {
        *self.lock() = State::default();
    }

    /// Notes a failure; says whether it was the one that blew the fuse for the first time since the last answer.
    pub(super) fn strain(&self) -> bool {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            // At random, so that the nodes do not all knock at the same moment.
            state.rests_until = Some(Instant::now() + REST.mul_f64(rand::random_range(0.5..=1.0)));
        }
        state.failures == FAILURES
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_blows_after_failures_in_a_row_and_an_answer_mends_it() {
        let fuse = Fuse::default();

        assert!(!fuse.strain());
        assert!(!fuse.strain());
        fuse.mend();
        assert_eq!([fuse.strain(), fuse.strain(), fuse.strain(), fuse.strain()], [false, false, true, false]);

        assert!(fuse.is_blown());
        fuse.mend();
        assert!(!fuse.is_blown());
    }
}
