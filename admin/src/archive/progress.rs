//! Says in the log how far a long work is.
//! Knows nothing of what the work is.

use std::time::{Duration, Instant};

use tracing::info;

/// How often.
const EVERY: Duration = Duration::from_secs(5);

/// Counts rows of one table.
pub(super) struct Progress {
    doing: &'static str,
    table: String,
    rows: u64,
    said: Instant,
}

impl Progress {
    /// `doing` is what is done to rows, as in "backing up".
    pub(super) fn new(doing: &'static str, table: &str) -> Self {
        Progress {
            doing,
            table: table.to_owned(),
            rows: 0,
            said: Instant::now(),
        }
    }

    pub(super) fn note(&mut self, rows: usize) {
        self.rows += rows as u64;
        if self.said.elapsed() >= EVERY {
            self.say();
        }
    }

    pub(super) fn done(mut self) {
        self.say();
    }

    fn say(&mut self) {
        info!(rows = self.rows, table = %self.table, "{} {}: {} rows", self.doing, self.table, self.rows);
        self.said = Instant::now();
    }
}
