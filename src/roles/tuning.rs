//! Settings as they change while the process runs: looked for in the database, laid over what the process was configured with, and handed
//! to those who asked for them.
//! Knows nothing of single settings.

use std::collections::BTreeMap;
use std::time::Duration;

use pipecast_store::Reader;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::schema::Awaited;
use crate::config::Config;

/// How often the database is asked. So long does a change take to be everywhere.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Hands settings on.
pub(super) type Apply = Box<dyn Fn(&Config) + Send + Sync>;

/// What keeps the settings of a process as they are in the database.
pub(super) struct Tuner {
    /// As the process was configured.
    pub(super) base: Config,
    /// Where the others are.
    pub(super) reader: Reader,
    /// Who is told.
    pub(super) apply: Vec<Apply>,
}

impl Tuner {
    /// Looks until it is asked to end. A database that does not answer leaves everything as it is.
    pub(super) async fn run(self, mut awaited: Awaited, ending: CancellationToken) -> anyhow::Result<()> {
        if ending.run_until_cancelled(awaited.there()).await.is_none() {
            return Ok(());
        }
        let mut known = BTreeMap::new();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while ending.run_until_cancelled(ticks.tick()).await.is_some() {
            let stored = match self.reader.list_settings().await {
                Ok(stored) => stored,
                Err(error) => {
                    debug!("cannot look for settings, trying again in {LOOK_EVERY:?}: {error}");
                    continue;
                }
            };
            let over: BTreeMap<String, String> = stored.into_iter().filter_map(|row| Some((row.key, row.value?))).collect();
            if over != known {
                self.tell(&over);
                known = over;
            }
        }
        Ok(())
    }

    fn tell(&self, over: &BTreeMap<String, String>) {
        let (config, bad) = self.base.tuned(over);
        for bad in bad {
            warn!("the setting {} in the database does not fit and is left as it is configured: {bad}", bad.key);
        }
        self.apply.iter().for_each(|apply| apply(&config));
        let keys: Vec<&str> = over.keys().map(String::as_str).collect();
        info!(
            "settings from the database hold now: {}",
            if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
        );
    }
}
