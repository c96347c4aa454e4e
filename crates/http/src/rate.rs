//! A rate with a burst: so many at once, then so many a second.
//! Knows nothing of whom it limits: each keeps one instant, in this process only.

use std::time::{Duration, Instant};

/// The generic cell rate algorithm: one instant of state for each who is limited, no timer.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// What one takes of the time; `None` where nothing is let through.
    interval: Option<Duration>,
    tolerance: Duration,
}

impl Rate {
    /// `burst` at once and `per_second` from then on. Zero a second lets nothing through.
    pub fn new(per_second: u32, burst: u32) -> Rate {
        let interval = Duration::from_secs(1).checked_div(per_second);
        Rate {
            interval,
            tolerance: interval.unwrap_or_default().saturating_mul(burst.saturating_sub(1)),
        }
    }

    /// Takes one if there is one to take. `paid_until` is when everything that was let through so far will have been paid for; whoever begins
    /// has paid until now.
    pub fn take(self, paid_until: &mut Instant, now: Instant) -> bool {
        let Some(interval) = self.interval else { return false };
        let owed_from = now.max(*paid_until);
        let allowed = owed_from.duration_since(now) <= self.tolerance;
        if allowed {
            *paid_until = owed_from + interval;
        }
        allowed
    }
}

/// The rate of one, with its instant.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    rate: Rate,
    paid_until: Instant,
}

impl Allowance {
    /// With the whole burst.
    pub fn new(rate: Rate) -> Allowance {
        Allowance {
            rate,
            paid_until: Instant::now(),
        }
    }

    /// Takes one if there is one to take.
    pub fn take(&mut self) -> bool {
        self.rate.take(&mut self.paid_until, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let (rate, mut paid_until) = (Rate::new(10, 3), start);

        let at_once = (0..5).filter(|_| rate.take(&mut paid_until, start)).count();
        let later = (1..=20)
            .filter(|tenth| rate.take(&mut paid_until, start + Duration::from_millis(100 * tenth)))
            .count();

        assert_eq!(at_once, 3);
        assert_eq!(later, 20);
    }

    #[test]
    fn zero_lets_nothing_through() {
        let now = Instant::now();
        assert!(!Rate::new(0, 5).take(&mut { now }, now));
    }
}
