//! How brisk deliveries are, which decides whether a batch waits for company.
//! Knows nothing of what they are.

use tokio::time::Instant;

/// Deliveries in a millisecond from which on they are brisk.
const BRISK: f64 = 1.0;

/// How many deliveries come in a millisecond, smoothed over a few batches.
pub(super) struct Pace {
    per_millisecond: f64,
    noted: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Pace {
            per_millisecond: 0.0,
            noted: Instant::now(),
        }
    }

    pub(super) fn note(&mut self, deliveries: usize) {
        let now = Instant::now();
        let elapsed = (now - self.noted).as_secs_f64() * 1000.0;
        self.noted = now;
        self.per_millisecond = self.per_millisecond / 2.0 + deliveries as f64 / elapsed.max(0.1) / 2.0;
    }

    pub(super) fn is_brisk(&self) -> bool {
        self.per_millisecond >= BRISK
    }
}
