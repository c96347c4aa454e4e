//! What the scenes are made of: deliveries at a rate, sockets that come back, requests, and goals that are kept or missed.
//! Knows nothing of what happens in a scene.

pub mod crowd;
pub mod goals;
pub mod http;
pub mod ledger;
pub mod load;
pub mod polls;

use std::path::PathBuf;
use std::time::Duration;

use crate::topology::Plan;

/// What every scene can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Stage {
    /// The binary of the service [default: `pipecast` beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where to keep data and logs; without it, they are thrown away in the end.
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Stage {
    /// Two edges and two workers without gates: nothing of ours stands in the way of what is measured.
    pub fn plan(&self) -> Plan {
        Plan {
            binary: self.binary.clone(),
            folder: self.data.clone(),
            gates: false,
            ..Plan::default()
        }
    }
}

/// The duration that this share of all is not longer than; zero where there are none.
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let at = (times.len() as f64 * share) as usize;
    times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// As in `12.3 ms`.
pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
