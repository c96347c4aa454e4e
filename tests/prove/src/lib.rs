//! Pipecast as it is deployed, in real processes that can be broken, and the long proofs on it.
//! For tests and for `prove`; the service knows nothing of this.
#![expect(clippy::print_stdout, reason = "proofs print their figures")]

pub mod accounts;
pub mod across;
pub mod broker_down;
pub mod caches;
pub mod cluster;
pub mod crash;
pub mod findings;
pub mod gate;
pub mod leaks;
pub mod ledger;
pub mod perf;
pub mod ports;
pub mod process;
pub mod redis_empty;
pub mod rolling;
pub mod scene;
pub mod server;
pub mod topology;
pub mod torture;
pub mod watch;
pub mod watcher;

#[path = "../../../benches/rig.rs"]
mod rig;

use std::path::PathBuf;

/// The folder of the whole project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
