//! How long something that was accepted was not to be seen yet.
//! Knows nothing of why.

use std::collections::HashMap;
use std::fmt;

use pipecast_model::Timestamp;

use crate::accounts::Accounts;
use crate::ledger::Ledger;
use crate::watcher::Watcher;

/// Times from the first 202 of a delivery on, in seconds; what came before the answer counts as none.
#[derive(Debug)]
pub struct Visibility {
    /// Until it stood in the ledger.
    recorded: Vec<f64>,
    /// Until a watcher of the whole, at the edge that was first, saw what it changed.
    first: Vec<f64>,
    /// Until watchers at every edge had seen it, those at edges that were down or cut off included.
    everywhere: Vec<f64>,
}

impl Visibility {
    /// By the ledger, and by recorders at each edge.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn measure(ledger: &mut Ledger, accounts: &Accounts, recorders: &[Watcher]) -> anyhow::Result<Self> {
        let accepted = |host, key: &str| accounts.by_key.get(&(host, key.to_owned())).and_then(|account| account.accepted_at);
        let recorded = ledger
            .deliveries()
            .await?
            .iter()
            .filter_map(|((host, key), row)| Some(since(accepted(*host, key)?, row.recorded_at)))
            .collect();
        let seen: Vec<HashMap<i64, Vec<(i64, Timestamp)>>> = recorders.iter().map(sightings).collect();
        let (mut first, mut everywhere) = (Vec::new(), Vec::new());
        for change in ledger.changes().await? {
            let pipeline = change.topic.strip_prefix("pipeline:").and_then(|id| id.parse::<i64>().ok());
            let (Some(pipeline), Some(accepted)) = (pipeline, accepted(change.host, &change.key)) else {
                continue;
            };
            // A state is seen when it or a newer one is.
            let at = seen.iter().map(|seen| {
                let sightings = seen.get(&pipeline)?;
                let place = sightings.partition_point(|(seq, _)| *seq < change.seq);
                sightings.get(place).map(|(_, at)| since(accepted, *at))
            });
            let at: Vec<f64> = at.flatten().collect();
            first.extend(at.iter().copied().reduce(f64::min));
            if at.len() == recorders.len() {
                everywhere.extend(at.iter().copied().reduce(f64::max));
            }
        }
        Ok(Visibility { recorded, first, everywhere })
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |times: &[f64]| {
            let mut sorted = times.to_vec();
            sorted.sort_by(f64::total_cmp);
            let at = |share: f64| {
                sorted
                    .get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1)))
                    .copied()
                    .unwrap_or_default()
            };
            format!("p50 {:.3} s, p99 {:.1} s, longest {:.1} s (of {})", at(0.5), at(0.99), at(1.0), sorted.len())
        };
        write!(
            f,
            "from the 202 until it stood in the ledger: {}\nfrom the 202 until a watcher at one edge saw the change: {}\nuntil watchers at every edge had seen it: {}",
            line(&self.recorded),
            line(&self.first),
            line(&self.everywhere)
        )
    }
}

fn since(accepted: Timestamp, at: Timestamp) -> f64 {
    (at.0 - accepted.0).max(0) as f64 / 1e6
}

fn sightings(recorder: &Watcher) -> HashMap<i64, Vec<(i64, Timestamp)>> {
    let mut by_pipeline: HashMap<i64, Vec<_>> = HashMap::new();
    for sighting in &recorder.seen().sightings {
        by_pipeline.entry(sighting.pipeline).or_default().push((sighting.seq, sighting.at));
    }
    by_pipeline
}
