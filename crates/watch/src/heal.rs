//! Reading the truth again from the database: once after the bus has lost messages, and every second while it cannot be heard.
//! Sequences are compared first, so what has not changed costs a few bytes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pipecast_model::Topic;
use tracing::{info, warn};

use crate::fill::BATCH;
use crate::watch::Inner;
use crate::{Error, Feed, Last, Result};

/// What is to be read again.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// The bus cannot be heard.
    is_deaf: bool,
    /// Every topic is in doubt: messages were lost, and no reading has been whole since.
    has_lost: bool,
    /// Topics of which something came that could not be read. Bounded by what is subscribed.
    doubted: HashSet<Topic>,
    /// The last reading failed.
    is_failing: bool,
}

impl Health {
    pub(crate) fn go_deaf(&mut self) {
        warn!("the bus cannot be heard; looking at the database every second");
        self.is_deaf = true;
    }

    pub(crate) fn hear_again(&mut self) {
        warn!("the bus lost messages; reading every watched topic again");
        self.is_deaf = false;
        self.has_lost = true;
    }

    /// Says whether that is news.
    pub(crate) fn doubt(&mut self, topic: Topic) -> bool {
        self.doubted.insert(topic)
    }
}

impl Inner {
    /// Reads again what is in doubt; what could not be read stays so.
    pub(crate) async fn heal(&self, health: &mut Health) {
        let in_doubt = if health.is_deaf || health.has_lost {
            self.list_feeds()
        } else if !health.doubted.is_empty() {
            health.doubted.iter().filter_map(|topic| self.feed(*topic)).collect()
        } else {
            return;
        };
        metrics::counter!("pipecast_heals_total").increment(1);
        match self.reread(&in_doubt).await {
            Ok(()) => {
                if health.has_lost {
                    info!(topics = in_doubt.len(), "every watched topic is healed");
                }
                *health = Health {
                    is_deaf: health.is_deaf,
                    ..Health::default()
                };
            }
            Err(error) if health.is_failing => tracing::debug!(%error, "cannot heal yet; trying again in a second"),
            Err(error) => {
                warn!(%error, "cannot heal yet; trying every second");
                health.is_failing = true;
            }
        }
    }

    /// Brings feeds up to what the database says, where it says something newer.
    pub(crate) async fn reread(&self, feeds: &[Arc<Feed>]) -> Result<()> {
        for monitor in feeds.iter().filter(|feed| feed.topic() == Topic::Monitor) {
            self.reread_monitor(monitor).await?;
        }
        let single: HashMap<Topic, &Arc<Feed>> = feeds
            .iter()
            .map(|feed| (feed.topic(), feed))
            .filter(|(topic, _)| *topic != Topic::Monitor)
            .collect();
        let topics: Vec<Topic> = single.keys().copied().collect();
        for batch in topics.chunks(BATCH) {
            let unread = |source| Error::Store { topic: batch[0], source };
            let seqs: HashMap<Topic, i64> = self.reader.list_seqs(batch).await.map_err(unread)?.into_iter().collect();
            let changed: Vec<Topic> = batch
                .iter()
                .copied()
                .filter(|topic| is_changed(single[topic].last().as_deref(), seqs.get(topic).copied()))
                .collect();
            if changed.is_empty() {
                continue;
            }
            for announcement in &self.reader.list_states(&changed).await.map_err(unread)? {
                if let Some(feed) = single.get(&announcement.topic) {
                    feed.offer(Arc::new(Last::new(announcement)), 1);
                }
            }
        }
        Ok(())
    }

    /// Those of the newest pipelines that the monitor does not know, or knows as older.
    async fn reread_monitor(&self, monitor: &Feed) -> Result<()> {
        let unread = |source| Error::Store { topic: Topic::Monitor, source };
        let mut known: HashMap<Topic, i64> = monitor.page(0, u64::MAX, usize::MAX).iter().map(|(_, last)| (last.topic, last.seq)).collect();
        let newest = self.list_newest().await?;
        let mut changed: Vec<Topic> = Vec::new();
        for (topic, seq) in newest {
            if known.remove(&topic).is_none_or(|known| known < seq) {
                changed.push(topic);
            }
        }
        // What has no row any more has been merged into another pipeline, and says so once more.
        let others: Vec<Topic> = known.into_keys().collect();
        let there: HashSet<Topic> = self
            .reader
            .list_seqs(&others)
            .await
            .map_err(unread)?
            .into_iter()
            .map(|(topic, _)| topic)
            .collect();
        changed.extend(others.into_iter().filter(|topic| !there.contains(topic)));
        self.read_into_monitor(monitor, &changed).await
    }
}

/// Whether the database has something newer than what is here: it has a row of which nothing is known, a greater sequence, or no
/// row where there was one.
fn is_changed(here: Option<&Last>, seq: Option<i64>) -> bool {
    match (here, seq) {
        (Some(last), Some(seq)) => last.seq < seq,
        (Some(last), None) => !last.is_gone && !last.epoch.0.is_empty(),
        (None, row) => row.is_some(),
    }
}
