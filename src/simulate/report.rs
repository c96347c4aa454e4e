//! How the sending went, in numbers.
//! Knows nothing of how anything was sent.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What became of all deliveries.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests that were begun, retries and repetitions included.
    pub sent: u64,
    /// Of these: events that had been sent before, as the way had it.
    pub repeated: u64,
    /// Of these: sent again because nobody knew whether the first one had arrived.
    pub retried: u64,
    /// Answered by 2xx.
    pub acknowledged: u64,
    /// Answered by anything else, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Without an answer.
    pub failed: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// From the first byte out to the last byte in, of those that were acknowledged.
    pub latencies: Latencies,
    /// The longest that a letter waited past its time because every line was busy.
    pub behind: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused: u64 = self.refused.values().sum();
        write!(
            f,
            "{} sent, {} acknowledged, {refused} refused, {} failed, {} repeated, {} retried; p50 {:.1} ms, p99 {:.1} ms; {:.0}/s",
            self.sent,
            self.acknowledged,
            self.failed,
            self.repeated,
            self.retried,
            self.latencies.quantile(0.50).as_secs_f64() * 1e3,
            self.latencies.quantile(0.99).as_secs_f64() * 1e3,
            self.acknowledged as f64 / self.elapsed.as_secs_f64().max(1e-9),
        )?;
        for (status, count) in &self.refused {
            write!(f, "; {count} answered {status}")?;
        }
        Ok(())
    }
}

/// Buckets per doubling: values are known to within 3 %.
const FINE: u64 = 32;

/// A histogram of durations with a relative error of at most 1/32, in about 15 KB.
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies {
            buckets: vec![0; bucket(u64::MAX) + 1],
            count: 0,
        }
    }
}

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        self.buckets[bucket(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))] += 1;
        self.count += 1;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration that this share of all is not longer than; zero where there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(middle(index as u64));
            }
        }
        Duration::ZERO
    }
}

fn bucket(micros: u64) -> usize {
    let index = match micros {
        small if small < 2 * FINE => small,
        _ => {
            let octave = u64::from(micros.ilog2()) - 5;
            (octave + 1) * FINE + (micros >> octave) - FINE
        }
    };
    usize::try_from(index).expect("at most two thousand buckets")
}

fn middle(index: u64) -> u64 {
    match index {
        small if small < 2 * FINE => small,
        _ => {
            let octave = index / FINE - 1;
            let low = (index % FINE + FINE) << octave;
            low + (1 << octave) / 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_true_to_a_few_percent() {
        let mut latencies = Latencies::default();
        for micros in 1..=100_000 {
            latencies.record(Duration::from_micros(micros));
        }

        for (share, expected) in [(0.5, 50_000.0), (0.99, 99_000.0), (1.0, 100_000.0), (0.000_5, 50.0)] {
            let found = latencies.quantile(share).as_micros() as f64;
            assert!((found / expected - 1.0).abs() < 0.035, "{share}: {found} for {expected}");
        }
    }

    #[test]
    fn of_nothing_every_quantile_is_zero() {
        assert_eq!(Latencies::default().quantile(0.99), Duration::ZERO);
    }

    #[test]
    fn buckets_grow_with_values() {
        let values = (0..200).chain([1_000, 10_000, 1_000_000, u64::MAX / 2, u64::MAX]);

        assert!(values.map(bucket).collect::<Vec<_>>().is_sorted());
    }
}
