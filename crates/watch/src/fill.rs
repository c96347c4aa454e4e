//! How a feed gets its first value: subscribed first and read afterwards, from the shared cache if it has it, else from the
//! database. Whoever asks at the same time shares one reading.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use pipecast_fabric::{Foreign, Found};
use pipecast_model::{Announcement, Topic};
use tracing::{debug, warn};

use crate::reads::{self, Layer};
use crate::watch::Inner;
use crate::{Error, Feed, Last, Result};

/// Topics are read from the database in batches of this size.
pub(crate) const BATCH: usize = 256;

impl Inner {
    pub(crate) async fn fill(&self, feed: &Feed) -> Result<()> {
        let topic = feed.topic();
        {
            let _subscribing = self.subscribing.read().await;
            self.tap.subscribe(topic).await.map_err(|source| Error::Bus { topic, source })?;
        }
        match topic {
            Topic::Monitor => self.fill_monitor(feed).await,
            _ => self.fill_one(feed).await,
        }
    }

    async fn fill_one(&self, feed: &Feed) -> Result<()> {
        let topic = feed.topic();
        let foreign = match self.look_into_cache(topic).await {
            Some(Found::Ours(value)) => match self.understand(topic, &value) {
                Some(last) => {
                    self.lay_beneath(feed, last);
                    return Ok(());
                }
                None => None,
            },
            Some(Found::Foreign(foreign)) => Some(foreign),
            None => None,
        };
        self.fill_from_store(feed, foreign).await
    }

    /// What the shared cache has, if it answers.
    async fn look_into_cache(&self, topic: Topic) -> Option<Found> {
        match self.cache.get(topic).await {
            Ok(found) => {
                match &found {
                    Some(Found::Foreign(_)) => reads::count(Layer::Shared, "foreign"),
                    Some(Found::Ours(_)) => {}
                    None => reads::count(Layer::Shared, "miss"),
                }
                found
            }
            Err(error) => {
                reads::count(Layer::Shared, "error");
                debug!(%error, "the cache does not answer for {topic}; reading the database");
                None
            }
        }
    }

    /// A value of ours from the shared cache; `None` where it is of another epoch or in a form that this build does not know. As long as the
    /// database has never answered, nobody knows the epoch, and what the cache has is the best there is.
    fn understand(&self, topic: Topic, value: &[u8]) -> Option<Arc<Last>> {
        match Announcement::read(value) {
            Ok(announcement) if self.reader.epoch().is_none_or(|epoch| announcement.epoch == *epoch) => {
                reads::count(Layer::Shared, "hit");
                Some(Arc::new(Last::new(&announcement)))
            }
            Ok(_) => {
                reads::count(Layer::Shared, "stale");
                None
            }
            Err(error) => {
                reads::count(Layer::Shared, "stale");
                reads::count_strange("cache");
                warn!(%error, "cannot read the cached announcement of {topic}");
                None
            }
        }
    }

    async fn fill_from_store(&self, feed: &Feed, foreign: Option<Foreign>) -> Result<()> {
        let topic = feed.topic();
        let states = match self.reader.list_states(&[topic]).await {
            Ok(states) => states,
            Err(source) => {
                reads::count(Layer::Database, "error");
                return Err(Error::Store { topic, source });
            }
        };
        reads::count(Layer::Database, if states.is_empty() { "miss" } else { "hit" });
        for announcement in &states {
            self.lay_beneath(feed, Arc::new(Last::new(announcement)));
        }
        match foreign {
            Some(foreign) => self.see_foreign(feed, foreign),
            None => {
                for announcement in &states {
                    self.fill_cache(announcement).await;
                }
            }
        }
        Ok(())
    }

    async fn fill_cache(&self, announcement: &Announcement) {
        let value = Bytes::from(serde_json::to_vec(announcement).expect("an announcement is plain JSON"));
        let filled = self
            .cache
            .fill(announcement.topic, &announcement.epoch, announcement.seq, value, self.settings.cache_for)
            .await;
        if let Err(error) = filled {
            debug!(%error, "the cache does not take {}", announcement.topic);
        }
    }

    async fn fill_monitor(&self, feed: &Feed) -> Result<()> {
        let newest = self.list_newest().await?;
        let topics: Vec<Topic> = newest.into_iter().map(|(topic, _)| topic).collect();
        self.read_into_monitor(feed, &topics).await
    }

    /// The pipelines that the monitor has room for, with their sequences: those that changed last, the last one first.
    pub(crate) async fn list_newest(&self) -> Result<Vec<(Topic, i64)>> {
        let topic = Topic::Monitor;
        let most = i64::try_from(self.settings.monitor_pipelines).unwrap_or(i64::MAX);
        let newest = self.reader.list_newest_seqs(most).await.map_err(|source| Error::Store { topic, source })?;
        Ok(newest.into_iter().map(|(id, seq)| (Topic::Pipeline(id), seq)).collect())
    }

    /// Reads pipelines into the monitor, the last of `newest_first` first: what has been quiet the longest is the first to go there.
    pub(crate) async fn read_into_monitor(&self, monitor: &Feed, newest_first: &[Topic]) -> Result<()> {
        let topic = Topic::Monitor;
        for batch in newest_first.rchunks(BATCH) {
            let states = self.reader.list_states(batch).await.map_err(|source| Error::Store { topic, source })?;
            let mut states: HashMap<Topic, Announcement> = states.into_iter().map(|state| (state.topic, state)).collect();
            for state in batch.iter().rev().filter_map(|topic| states.remove(topic)) {
                monitor.offer(Arc::new(Last::new(&state)), self.settings.monitor_pipelines);
            }
        }
        Ok(())
    }
}
