//! Other programs' words over ours: heard on the bus, or found in the cache, which is looked at more than once a second because some write
//! there and tell nobody. Such a word lies over our value until our next sequence, for an hour at most, and leaves it as it is.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use pipecast_fabric::Foreign;
use pipecast_model::{Timestamp, Topic};
use tokio::time::MissedTickBehavior;
use tracing::debug;

use crate::last::Told;
use crate::telling::Telling;
use crate::watch::Inner;
use crate::{Feed, Last};

impl Inner {
    /// Looks for other programs' words for ever, where there can be any.
    pub(crate) async fn follow_foreign(&self) {
        let mut tick = tokio::time::interval(self.settings.foreign_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.cache.is_shared() {
                self.look_for_foreign().await;
            }
        }
    }

    /// A word that came over the bus. Only a pipeline's channel has a name that other programs know.
    pub(crate) fn hear_foreign(&self, topic: Topic, telling: Telling) {
        if let Some(feed) = self.feed(topic).filter(|_| matches!(topic, Topic::Pipeline(_))) {
            metrics::counter!("pipecast_foreign_total", "via" => "event").increment(1);
            self.lay_over(&feed, telling, Told::Event);
        }
    }

    /// What stands in the cache at a feed's topic. Says nothing new where it stood there before.
    pub(crate) fn see_foreign(&self, feed: &Feed, foreign: Foreign) {
        let Some(telling) = Telling::read(&foreign.text) else { return };
        {
            let mut seen = feed.foreign.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.as_ref() == Some(&foreign) {
                return;
            }
            *seen = Some(foreign.clone());
        }
        let ours = feed.last().and_then(|last| last.ours());
        // Written before our newest value, which has not reached the cache: it is over already.
        let is_over = ours
            .zip(foreign.after)
            .is_some_and(|(ours, (epoch, seq))| ours.epoch == epoch && seq < ours.seq);
        if !is_over {
            metrics::counter!("pipecast_foreign_total", "via" => "value").increment(1);
            self.lay_over(feed, telling, Told::Value);
        }
    }

    /// A value of ours that was read while a word may have arrived over the bus: the word stays on top.
    pub(crate) fn lay_beneath(&self, feed: &Feed, ours: Arc<Last>) {
        let covered = feed.change(|current| {
            let overlay = current?.overlay.as_ref().filter(|overlay| overlay.beneath.is_none())?;
            Some(Last::overlay(
                feed.topic(),
                overlay.telling.clone(),
                overlay.told,
                Some(Arc::clone(&ours)),
                Timestamp::now(),
            ))
        });
        if !covered {
            feed.offer(ours, 1);
        }
    }

    fn lay_over(&self, feed: &Feed, telling: Telling, told: Told) {
        let now = Timestamp::now();
        feed.change(|current| {
            let standing = current.and_then(|last| last.overlay.as_ref());
            if standing.is_some_and(|overlay| telling.is_part_of(&overlay.telling)) {
                return None;
            }
            let last = Last::overlay(feed.topic(), telling, told, current.and_then(|last| last.ours()), now);
            (!self.is_outlived(&last, now)).then_some(last)
        });
    }

    /// Whether a word has lain over ours for long enough. A value that stands in the cache and covers nothing of ours is all that
    /// is known of the pipeline, however old it is.
    fn is_outlived(&self, last: &Last, now: Timestamp) -> bool {
        last.overlay.as_ref().is_some_and(|overlay| {
            let covers_nothing = overlay.told == Told::Value && overlay.beneath.is_none();
            !covers_nothing && overlay.since <= now.minus(self.settings.foreign_for)
        })
    }

    /// One look at every pipeline that is watched here.
    async fn look_for_foreign(&self) {
        let feeds: HashMap<Topic, (Arc<Feed>, Option<Arc<Last>>)> = self
            .list_feeds()
            .into_iter()
            .filter(|feed| matches!(feed.topic(), Topic::Pipeline(_)) && feed.filled.get().is_some())
            .map(|feed| (feed.topic(), (Arc::clone(&feed), feed.last())))
            .collect();
        let topics: Vec<Topic> = feeds.keys().copied().collect();
        let mut found: HashMap<Topic, Foreign> = match self.cache.list_foreign(&topics).await {
            Ok(found) => found.into_iter().collect(),
            Err(error) => {
                debug!(%error, "cannot look for what other programs wrote");
                return self.uncover_outlived(feeds.into_values().map(|(feed, _)| feed)).await;
            }
        };
        let mut uncovered = Vec::new();
        for (topic, (feed, before)) in feeds {
            let is_same = match (&before, feed.last()) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, &now),
                (None, None) => true,
                _ => false,
            };
            match found.remove(&topic) {
                // What changed meanwhile is looked at again in a second, when it is clear what came after what.
                _ if !is_same => {}
                Some(foreign) => self.see_foreign(&feed, foreign),
                None => {
                    let stood = feed.foreign.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
                    let overlay = before.as_ref().and_then(|last| last.overlay.as_ref());
                    if stood || overlay.is_some_and(|overlay| overlay.told == Told::Value) {
                        uncovered.push(Arc::clone(&feed));
                    }
                }
            }
        }
        let gone = |last: &Last| last.overlay.as_ref().is_some_and(|overlay| overlay.told == Told::Value);
        self.uncover(&uncovered, gone).await;
        self.uncover_outlived(self.list_feeds().into_iter()).await;
    }

    async fn uncover_outlived(&self, feeds: impl Iterator<Item = Arc<Feed>>) {
        let now = Timestamp::now();
        let is_outlived = |last: &Last| self.is_outlived(last, now);
        let outlived: Vec<_> = feeds.filter(|feed| feed.last().is_some_and(|last| is_outlived(&last))).collect();
        self.uncover(&outlived, is_outlived).await;
    }

    /// Shows ours again where `is_over` holds. The database is asked first: where our next value is on its way, that is shown and
    /// not the one before. While it does not answer, everything stays as it is.
    async fn uncover(&self, feeds: &[Arc<Feed>], is_over: impl Fn(&Last) -> bool) {
        if feeds.is_empty() {
            return;
        }
        if let Err(error) = self.reread(feeds).await {
            debug!(%error, "cannot read what lies beneath other programs' words");
            return;
        }
        for feed in feeds {
            feed.change(|current| {
                let current = current.filter(|last| is_over(last))?;
                match current.ours() {
                    Some(ours) => Some(ours.restored()),
                    None => Some(Last::nothing(feed.topic(), Timestamp::now())),
                }
            });
        }
    }
}
