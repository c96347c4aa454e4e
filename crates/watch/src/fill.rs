//! How a feed gets its first value: subscribed first and read afterwards, from the shared cache if it has it, else from the
//! database. Whoever asks at the same time shares one reading.

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
        match serde_json::from_slice::<Announcement>(value) {
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
        let topic = feed.topic();
        let mut after = None;
        loop {
            let page = self
                .reader
                .list_pipeline_states(after, BATCH as i64)
                .await
                .map_err(|source| Error::Store { topic, source })?;
            for announcement in &page {
                feed.offer(Arc::new(Last::new(announcement)), self.settings.monitor_pipelines);
            }
            match page.last().map(|announcement| announcement.topic) {
                Some(Topic::Pipeline(id)) if page.len() == BATCH => after = Some(id),
                _ => return Ok(()),
            }
        }
    }
}
