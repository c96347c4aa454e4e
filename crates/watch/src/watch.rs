//! All feeds of this node: filled once, kept current by the bus, healed from the database, dropped when nobody cares.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pipecast_fabric::{Bus, BusEvent, BusTap, Cache, Found};
use pipecast_model::{Announcement, Topic};
use pipecast_store::Reader;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{Bell, Error, Feed, Last, Listener, Result};

/// Topics are read from the database in batches of this size.
const BATCH: usize = 256;

/// A topic that has no state is kept only this long after it was asked for.
const EMPTY_LINGER: Duration = Duration::from_secs(1);

/// How much a node watches and for how long; see `config.default.toml`, section `[watch]`.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Topics at once; one more is refused to watchers and read past the watch by status requests.
    pub max_topics: usize,
    /// Pipelines that `monitor` holds; the ones that have been quiet the longest go first.
    pub monitor_pipelines: usize,
    /// A topic that nobody watches or asks for is kept current for this long.
    pub linger: Duration,
    /// How long a value that was read from the database stays in the cache.
    pub cache_for: Duration,
}

/// The watch of this node. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    reader: Reader,
    cache: Arc<dyn Cache>,
    tap: Box<dyn BusTap>,
    feeds: RwLock<HashMap<Topic, Arc<Feed>>>,
    /// Held while a topic is subscribed or unsubscribed, so that the two never cross.
    subscribing: Mutex<()>,
}

impl Watch {
    /// Opens this node's tap on the bus.
    ///
    /// # Errors
    /// The bus cannot be reached.
    pub async fn open(settings: Settings, reader: Reader, bus: &dyn Bus, cache: Arc<dyn Cache>) -> pipecast_fabric::Result<Self> {
        let tap = bus.tap().await?;
        Ok(Watch {
            inner: Arc::new(Inner {
                settings,
                reader,
                cache,
                tap,
                feeds: RwLock::default(),
                subscribing: Mutex::default(),
            }),
        })
    }

    /// The last value of a topic that this node is keeping current. `None` says nothing about the topic: use [`Watch::fetch`].
    pub fn last(&self, topic: Topic) -> Option<Arc<Last>> {
        let feed = self.inner.feed(topic)?;
        feed.filled.get()?;
        feed.touch();
        feed.last()
    }

    /// The last value of a topic, read if need be; `None` where the topic has no state. Keeps the topic current for a while.
    ///
    /// # Errors
    /// The bus does not take the subscription, or neither cache nor database answers.
    pub async fn fetch(&self, topic: Topic) -> Result<Option<Arc<Last>>> {
        match self.inner.filled_feed(topic).await {
            Ok(feed) => {
                feed.touch();
                Ok(feed.last())
            }
            Err(Error::TooMany { .. }) => {
                let states = self.inner.reader.list_states(&[topic]).await.map_err(|source| Error::Store { topic, source })?;
                Ok(states.first().map(|announcement| Arc::new(Last::new(announcement))))
            }
            Err(error) => Err(error),
        }
    }

    /// Watches a topic: `bell` rings at every change. When this returns, the feed holds the current state and misses nothing.
    ///
    /// # Errors
    /// `TooMany`, or the bus does not take the subscription, or neither cache nor database answers.
    pub async fn join(&self, topic: Topic, bell: &Arc<Bell>) -> Result<Listener> {
        let feed = self.inner.filled_feed(topic).await?;
        let listener = feed.listen(bell);
        // The sweep may have let the feed go between filling and listening; then the one in the map is another.
        match self.inner.feed(topic) {
            Some(current) if Arc::ptr_eq(&current, &feed) => Ok(listener),
            _ => Box::pin(self.join(topic, bell)).await,
        }
    }

    /// How many topics this node keeps current.
    pub fn topics(&self) -> usize {
        self.inner.feeds.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Carries the bus into the feeds until `stop` or the end of the bus, heals what the bus lost, and lets go of topics that
    /// nobody wants.
    pub async fn run(&self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut lost = false;
        loop {
            tokio::select! {
                event = self.inner.tap.next() => match event {
                    Some(BusEvent::Message { topic, message }) => self.inner.take(topic, &message),
                    Some(BusEvent::Lost) => lost = !self.inner.heal().await,
                    Some(BusEvent::Away) => lost = true,
                    None => return,
                },
                _ = tick.tick() => {
                    if lost {
                        lost = !self.inner.heal().await;
                    }
                    self.inner.sweep().await;
                }
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Inner {
    fn feed(&self, topic: Topic) -> Option<Arc<Feed>> {
        self.feeds.read().unwrap_or_else(PoisonError::into_inner).get(&topic).map(Arc::clone)
    }

    fn keys(&self, topic: Topic) -> usize {
        if topic == Topic::Monitor { self.settings.monitor_pipelines } else { 1 }
    }

    /// The feed of a topic, subscribed first and read afterwards, so that no change falls between the two.
    async fn filled_feed(&self, topic: Topic) -> Result<Arc<Feed>> {
        let feed = match self.feed(topic) {
            Some(feed) => feed,
            None => {
                let mut feeds = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
                if feeds.len() >= self.settings.max_topics && !feeds.contains_key(&topic) {
                    return Err(Error::TooMany {
                        limit: self.settings.max_topics,
                    });
                }
                Arc::clone(feeds.entry(topic).or_insert_with(|| Arc::new(Feed::new(topic))))
            }
        };
        feed.filled.get_or_try_init(|| self.fill(&feed)).await?;
        Ok(feed)
    }

    async fn fill(&self, feed: &Feed) -> Result<()> {
        let topic = feed.topic();
        {
            let _subscribing = self.subscribing.lock().await;
            self.tap.subscribe(topic).await.map_err(|source| Error::Bus { topic, source })?;
        }
        match topic {
            Topic::Monitor => self.fill_monitor(feed).await,
            _ => self.fill_one(feed).await,
        }
    }

    async fn fill_one(&self, feed: &Feed) -> Result<()> {
        let topic = feed.topic();
        match self.cache.get(topic).await {
            Ok(Some(Found::Ours(bytes))) => {
                if let Some(last) = self
                    .understand(topic, &bytes)
                    .filter(|last| self.reader.epoch().is_none_or(|epoch| last.epoch == *epoch))
                {
                    metrics::counter!("pipecast_snapshot_reads_total", "source" => "cache").increment(1);
                    feed.offer(last, 1);
                    return Ok(());
                }
            }
            Ok(Some(Found::Foreign(_)) | None) => {}
            Err(error) => debug!(%error, "the cache does not answer for {topic}; reading the database"),
        }
        metrics::counter!("pipecast_snapshot_reads_total", "source" => "store").increment(1);
        let states = self.reader.list_states(&[topic]).await.map_err(|source| Error::Store { topic, source })?;
        for announcement in &states {
            feed.offer(Arc::new(Last::new(announcement)), 1);
            self.fill_cache(announcement).await;
        }
        Ok(())
    }

    async fn fill_cache(&self, announcement: &Announcement) {
        let value = Bytes::from(serde_json::to_vec(announcement).expect("an announcement is plain JSON"));
        let offered = self
            .cache
            .fill(announcement.topic, &announcement.epoch, announcement.seq, value, self.settings.cache_for)
            .await;
        if let Err(error) = offered {
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

    fn understand(&self, topic: Topic, bytes: &[u8]) -> Option<Arc<Last>> {
        match serde_json::from_slice::<Announcement>(bytes) {
            Ok(announcement) => Some(Arc::new(Last::new(&announcement))),
            Err(error) => {
                warn!(%error, "cannot read an announcement of {topic}");
                None
            }
        }
    }

    /// A message of the bus. A pipeline's change comes on its own topic and on the monitor's; the first to arrive fills both, so
    /// that the watchers of both share one rendering.
    fn take(&self, topic: Topic, message: &[u8]) {
        let Some(last) = self.understand(topic, message) else { return };
        for topic in [last.topic, Topic::Monitor] {
            let is_part = topic == last.topic || matches!(last.topic, Topic::Pipeline(_));
            if let Some(feed) = self.feed(topic).filter(|_| is_part) {
                feed.offer(Arc::clone(&last), self.keys(topic));
            }
        }
    }

    /// Reads every watched topic again, because changes may have passed unheard. Says whether it could.
    async fn heal(&self) -> bool {
        let feeds: Vec<_> = self.feeds.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect();
        warn!(topics = feeds.len(), "the bus lost messages; reading every watched topic again");
        metrics::counter!("pipecast_heals_total").increment(1);
        match self.reread(&feeds).await {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "cannot heal yet; trying again in a second");
                false
            }
        }
    }

    async fn reread(&self, feeds: &[Arc<Feed>]) -> Result<()> {
        for feed in feeds.iter().filter(|feed| feed.topic() == Topic::Monitor) {
            self.fill_monitor(feed).await?;
        }
        let single: HashMap<_, _> = feeds
            .iter()
            .map(|feed| (feed.topic(), feed))
            .filter(|(topic, _)| *topic != Topic::Monitor)
            .collect();
        let topics: Vec<_> = single.keys().copied().collect();
        for batch in topics.chunks(BATCH) {
            let states = self
                .reader
                .list_states(batch)
                .await
                .map_err(|source| Error::Store { topic: batch[0], source })?;
            for announcement in &states {
                if let Some(feed) = single.get(&announcement.topic) {
                    feed.offer(Arc::new(Last::new(announcement)), 1);
                }
            }
        }
        Ok(())
    }

    /// Unsubscribes topics that nobody has listened to or asked for since the linger.
    async fn sweep(&self) {
        let is_idle = |feed: &Feed| {
            // A topic without a state is cheap to look for again, and whoever asks for any number of them must not fill the watch.
            let linger = if feed.newest() == 0 {
                self.settings.linger.min(EMPTY_LINGER)
            } else {
                self.settings.linger
            };
            feed.idle_since().is_some_and(|since: Instant| since.elapsed() >= linger)
        };
        let idle: Vec<_> = {
            let feeds = self.feeds.read().unwrap_or_else(PoisonError::into_inner);
            feeds.values().filter(|feed| is_idle(feed)).map(|feed| feed.topic()).collect()
        };
        for topic in idle {
            let _subscribing = self.subscribing.lock().await;
            let gone = {
                let mut feeds = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
                let still_idle = feeds.get(&topic).is_some_and(|feed| is_idle(feed));
                still_idle && feeds.remove(&topic).is_some()
            };
            if gone && let Err(error) = self.tap.unsubscribe(topic).await {
                warn!(%error, "cannot unsubscribe {topic}");
            }
        }
        metrics::gauge!("pipecast_topics").set(self.feeds.read().unwrap_or_else(PoisonError::into_inner).len() as f64);
    }
}
