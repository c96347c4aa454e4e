//! Logs on standard error, and the recorder behind `/metrics`.
//! Knows nothing of what is logged or counted.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{Format, Log};
use crate::server::panics::PANICS;

/// Bounds in seconds for whatever is timed: from a cache hit to a host that has given up.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Bounds for whatever is counted by the batch.
const SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// How often what was recorded is summed up. Until then every single value is held.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts logging.
///
/// # Errors
/// Where the filter cannot be read, or logging has been started before.
pub fn start_logging(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).with_context(|| format!("cannot read log.filter {:?}", log.filter))?;
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Three types, as different as their forms.
    macro_rules! start {
        ($lines:expr) => {{
            let lines = $lines.with_filter_reloading();
            let handle = lines.reload_handle();
            let keep = |()| drop(REFILTER.set(Box::new(move |filter| handle.reload(filter).is_ok())));
            lines.try_init().map(keep)
        }};
    }
    let started = match log.format {
        Format::Pretty => start!(lines.with_ansi(terminal)),
        Format::Auto if terminal => start!(lines),
        Format::Json | Format::Auto => start!(lines.json().flatten_event(true)),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// Changes the filter of the log that `start_logging` has started.
type Refilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// There is one log in a process.
static REFILTER: OnceLock<Refilter> = OnceLock::new();

/// From now on another filter holds, where one was before. One that cannot be read changes nothing.
pub fn filter_logs(filter: &str) {
    let changed = match (EnvFilter::try_new(filter), REFILTER.get()) {
        (Ok(filter), Some(refilter)) => refilter(filter),
        (Ok(_), None) => true,
        (Err(_), _) => false,
    };
    if !changed {
        tracing::warn!("cannot filter the log by {filter:?}");
    }
}

/// Starts counting. The recorder is the process's own, so a second call returns the first one's handle.
pub fn start_metrics() -> PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
                .expect("there are buckets")
                .set_buckets_for_metric(Matcher::Suffix("_batch".to_owned()), &SIZES)
                .expect("there are buckets")
                .install_recorder()
                .expect("this is the only place that installs one");
            metrics::counter!(PANICS).increment(0);
            recorder
        })
        .clone()
}

/// Sums up what was recorded, for ever; without it histograms would grow until somebody asks for them.
pub async fn keep_metrics(recorder: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        recorder.run_upkeep();
    }
}
