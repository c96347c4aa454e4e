//! All feeds of this node: filled once, kept current by the bus, healed from the database, dropped when nobody cares.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use pipecast_fabric::{Bus, BusEvent, BusTap, Cache};
use pipecast_model::Topic;
use pipecast_store::Reader;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::heal::Health;
use crate::reads::{self, Layer, Reads};
use crate::telling::Heard;
use crate::{Bell, Error, Feed, Last, Listener, Result};

/// How often topics that nobody wants are looked for, and the database where the bus cannot be heard.
const TICK: Duration = Duration::from_secs(1);

/// A topic that has no state is kept only this long after it was asked for, once there are many.
const EMPTY_LINGER: Duration = Duration::from_secs(1);

/// So long somebody waits for a feed that he can do without.
const AT_ONCE: Duration = Duration::from_millis(100);

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
    /// How often the cache is asked for what other programs wrote at the keys of watched pipelines.
    pub foreign_every: Duration,
    /// How long another program's word lies over a value of ours.
    pub foreign_for: Duration,
}

/// The watch of this node. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) reader: Reader,
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) tap: Box<dyn BusTap>,
    feeds: RwLock<HashMap<Topic, Arc<Feed>>>,
    /// Held by many while they subscribe and by one while it unsubscribes, so that the two never cross.
    pub(crate) subscribing: tokio::sync::RwLock<()>,
    pub(crate) reads: Reads,
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
                subscribing: tokio::sync::RwLock::default(),
                reads: Reads::default(),
            }),
        })
    }

    /// The last value of a topic that this node is keeping current. `None` says nothing about the topic: use [`Watch::fetch`].
    pub fn last(&self, topic: Topic) -> Option<Arc<Last>> {
        let feed = self.inner.feed(topic)?;
        feed.filled.get()?;
        feed.touch();
        let last = feed.last()?;
        self.inner.reads.count_hit();
        Some(last)
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

    /// The feed of a topic, for whoever only wants to know whether something has changed since he looked: then its newest number is
    /// another. Keeps the topic current for a while. `None` where it is not kept current here and cannot be at once.
    pub async fn follow(&self, topic: Topic) -> Option<Arc<Feed>> {
        let known = self.inner.feed(topic).filter(|feed| feed.filled.get().is_some());
        let feed = match known {
            Some(feed) => feed,
            None => tokio::time::timeout(AT_ONCE, self.inner.filled_feed(topic)).await.ok()?.ok()?,
        };
        feed.touch();
        Some(feed)
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

    /// The same for a watcher that comes back with the cursor of the last state that it saw. Where that is newer than what is known here,
    /// as when this node cannot hear the bus and the one that the watcher comes from could, the database is asked first: nobody is shown a
    /// state older than one that they have seen.
    ///
    /// # Errors
    /// Those of [`Watch::join`], and `Store` where the newer state cannot be read.
    pub async fn join_from(&self, topic: Topic, bell: &Arc<Bell>, since: Option<&str>) -> Result<Listener> {
        let listener = self.join(topic, bell).await?;
        if since.is_some_and(|since| self.inner.is_ahead(since, listener.feed())) {
            self.inner.reread(std::slice::from_ref(listener.feed())).await?;
        }
        Ok(listener)
    }

    /// How many topics this node keeps current.
    pub fn topics(&self) -> usize {
        self.inner.count_feeds()
    }

    /// Carries the bus into the feeds until `stop` or the end of the bus, heals what the bus lost, looks for what other programs
    /// wrote, and lets go of topics that nobody wants.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = self.inner.carry() => {}
            () = self.inner.follow_foreign() => {}
            () = stop.cancelled() => {}
        }
    }
}

impl Inner {
    /// Until the bus closes.
    async fn carry(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut health = Health::default();
        loop {
            tokio::select! {
                event = self.tap.next() => match event {
                    Some(BusEvent::Message { topic, message }) => self.take(topic, &message, &mut health),
                    Some(BusEvent::Lost) => {
                        health.hear_again();
                        self.heal(&mut health).await;
                    }
                    Some(BusEvent::Away) => health.go_deaf(),
                    None => return,
                },
                _ = tick.tick() => {
                    self.heal(&mut health).await;
                    self.sweep().await;
                }
            }
        }
    }

    pub(crate) fn feed(&self, topic: Topic) -> Option<Arc<Feed>> {
        self.feeds.read().unwrap_or_else(PoisonError::into_inner).get(&topic).map(Arc::clone)
    }

    pub(crate) fn list_feeds(&self) -> Vec<Arc<Feed>> {
        self.feeds.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// Whether a cursor is of this epoch and newer than the feed. One that is made up costs a reading of the database.
    fn is_ahead(&self, since: &str, feed: &Feed) -> bool {
        let Some((epoch, seq)) = since.rsplit_once('-').and_then(|(epoch, seq)| Some((epoch, seq.parse::<i64>().ok()?))) else {
            return false;
        };
        let known = feed.last().map_or(0, |last| last.seq);
        known < seq && self.reader.epoch().is_some_and(|current| current.0 == epoch)
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
        if feed.filled.get().is_some() {
            self.reads.count_hit();
        } else {
            reads::count(Layer::Node, "miss");
            feed.filled.get_or_try_init(|| self.fill(&feed)).await?;
        }
        Ok(feed)
    }

    /// A message of the bus. A pipeline's change comes on its own topic and on the monitor's; the first to arrive fills both, so
    /// that the watchers of both share one rendering.
    fn take(&self, topic: Topic, message: &[u8], health: &mut Health) {
        let last = match Heard::read(message) {
            Heard::Ours(announcement) => Arc::new(Last::new(&announcement)),
            Heard::Strange(error) => {
                reads::count_strange("bus");
                if health.doubt(topic) {
                    warn!(%error, "cannot read an announcement of {topic}; reading its state from the database");
                }
                return;
            }
            Heard::Foreign(telling) => return self.hear_foreign(topic, telling),
            Heard::Noise => return,
        };
        for topic in [last.topic, Topic::Monitor] {
            let is_part = topic == last.topic || matches!(last.topic, Topic::Pipeline(_));
            if let Some(feed) = self.feed(topic).filter(|_| is_part) {
                feed.offer(Arc::clone(&last), self.keys(topic));
            }
        }
    }

    /// Unsubscribes topics that nobody has listened to or asked for since the linger.
    async fn sweep(&self) {
        // A topic without a state is cheap to look for again, and whoever asks for any number of them must not fill the watch.
        let is_crowded = self.count_feeds() > self.settings.max_topics / 2;
        let is_idle = |feed: &Feed| {
            let linger = if feed.newest() == 0 && is_crowded {
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
            let _subscribing = self.subscribing.write().await;
            let gone = {
                let mut feeds = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
                let still_idle = feeds.get(&topic).is_some_and(|feed| is_idle(feed));
                still_idle && feeds.remove(&topic).is_some()
            };
            if gone && let Err(error) = self.tap.unsubscribe(topic).await {
                warn!(%error, "cannot unsubscribe {topic}");
            }
        }
        metrics::gauge!("pipecast_topics").set(self.count_feeds() as f64);
    }

    fn count_feeds(&self) -> usize {
        self.feeds.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
