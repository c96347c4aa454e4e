//! A rate with a burst: so many at once, then so many a second.
//! Knows nothing of whom it limits; one value limits one of them, in this process only.

use std::time::{Duration, Instant};

/// The generic cell rate algorithm: one instant of state, no timer.
#[derive(Clone, Debug)]
pub struct Rate {
    interval: Duration,
    tolerance: Duration,
    /// When everything that was let through so far will have been paid for.
    paid_until: Instant,
}

impl Rate {
    /// `burst` at once and `per_second` from then on. Zero a second lets nothing through.
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Rate {
        let interval = Duration::from_secs(1).checked_div(per_second).unwrap_or(Duration::MAX);
        Rate {
            interval,
            tolerance: interval.checked_mul(burst.saturating_sub(1)).unwrap_or(Duration::ZERO),
            paid_until: now,
        }
    }

    /// Takes one if there is one to take.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.interval == Duration::MAX {
            return false;
        }
        let paid_until = self.paid_until.max(now);
        let allowed = paid_until.duration_since(now) <= self.tolerance;
        if allowed {
            self.paid_until = paid_until + self.interval;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 3, start);

        let at_once = (0..5).filter(|_| rate.take(start)).count();
        let later = (1..=20).filter(|tenth| rate.take(start + Duration::from_millis(100 * tenth))).count();

        assert_eq!(at_once, 3);
        assert_eq!(later, 20);
    }

    #[test]
    fn zero_lets_nothing_through() {
        let now = Instant::now();
        assert!(!Rate::new(0, 5, now).take(now));
    }
}
