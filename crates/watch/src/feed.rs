//! The values of one watched topic, in the order of their arrival here, compacted to the newest.
//!
//! A watcher is a number: the last value that it has taken. It asks for the next one when it has room, so a watcher that never
//! reads costs nothing and delays nobody, and one that lags finds the newest state instead of a backlog.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pipecast_fabric::Foreign;
use pipecast_model::Topic;
use tokio::sync::OnceCell;

use crate::{Bell, Last};

/// Values that have been replaced stay for this many more replacements, so that a watcher which keeps up sees every step of a
/// quick change, while one that lags jumps to the newest.
const KEPT_REPLACED: usize = 16;

/// The values of one topic. [`Topic::Monitor`] holds one for each pipeline, every other topic holds its own.
#[derive(Debug)]
pub struct Feed {
    topic: Topic,
    /// The number of the newest value; read without the lock by watchers that want to know whether to look.
    newest: AtomicU64,
    values: Mutex<Values>,
    /// Set once the topic is subscribed and its first value has been read. From then on the feed is complete.
    pub(crate) filled: OnceCell<()>,
    /// What another program had written in the cache when that was last looked at.
    pub(crate) foreign: Mutex<Option<Foreign>>,
    listeners: Mutex<Listeners>,
}

#[derive(Debug, Default)]
struct Values {
    /// Number of the newest value, counted from 1.
    count: u64,
    by_number: BTreeMap<u64, Arc<Last>>,
    /// For each key its newest value's number.
    current: HashMap<Topic, u64>,
    /// Numbers of values that have been replaced and are still here, the oldest first.
    replaced: VecDeque<u64>,
}

#[derive(Debug)]
struct Listeners {
    bells: Vec<(Arc<Bell>, usize)>,
    /// Since when nobody has been listening or asking.
    idle_since: Instant,
}

impl Feed {
    pub(crate) fn new(topic: Topic) -> Self {
        Feed {
            topic,
            newest: AtomicU64::new(0),
            values: Mutex::default(),
            filled: OnceCell::new(),
            foreign: Mutex::default(),
            listeners: Mutex::new(Listeners {
                bells: Vec::new(),
                idle_since: Instant::now(),
            }),
        }
    }

    /// What it is about.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// The number of the newest value; 0 while there is none.
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// The topic's value; for the monitor, the one that changed last.
    pub fn last(&self) -> Option<Arc<Last>> {
        self.values().by_number.last_key_value().map(|(_, last)| Arc::clone(last))
    }

    /// The first value after number `after`, with its number.
    pub fn next(&self, after: u64) -> Option<(u64, Arc<Last>)> {
        if self.newest() <= after {
            return None;
        }
        self.values()
            .by_number
            .range(after + 1..)
            .next()
            .map(|(number, last)| (*number, Arc::clone(last)))
    }

    /// Up to `most` current values with numbers in `(after, until]`, in order. With `after` moving and `until` fixed this is a
    /// snapshot in pages: what changes meanwhile gets a greater number and follows it. The monitor's leaves out what is gone.
    pub fn page(&self, after: u64, until: u64, most: usize) -> Vec<(u64, Arc<Last>)> {
        let values = self.values();
        let is_current = |number: &u64, last: &Last| values.current.get(&last.topic) == Some(number) && !(last.is_gone && self.topic == Topic::Monitor);
        values
            .by_number
            .range(after.saturating_add(1)..=until.max(after.saturating_add(1)))
            .filter(|(number, last)| **number <= until && is_current(number, last))
            .take(most)
            .map(|(number, last)| (*number, Arc::clone(last)))
            .collect()
    }

    /// Takes a value unless it is not newer than what is here, and rings. At most `keys` keys are kept; the one that has been
    /// quiet the longest goes first.
    pub(crate) fn offer(&self, last: Arc<Last>, keys: usize) -> bool {
        let mut values = self.values();
        let before = values.current.get(&last.topic).copied();
        if let Some(older) = before.and_then(|number| values.by_number.get(&number))
            && !last.replaces(older)
        {
            return false;
        }
        let number = values.put(last, keys);
        self.newest.store(number, Ordering::Release);
        drop(values);
        self.ring();
        true
    }

    /// Puts what `make` makes of the topic's value in its place, whatever its sequence, and rings; nothing where it makes none.
    /// Not for the monitor.
    pub(crate) fn change(&self, make: impl FnOnce(Option<&Arc<Last>>) -> Option<Last>) -> bool {
        let mut values = self.values();
        let current = values.by_number.last_key_value().map(|(_, last)| last);
        let Some(made) = make(current) else { return false };
        let number = values.put(Arc::new(made), 1);
        self.newest.store(number, Ordering::Release);
        drop(values);
        self.ring();
        true
    }

    /// Rings `bell` at every change from now on, until the listener is dropped.
    pub fn listen(self: &Arc<Self>, bell: &Arc<Bell>) -> Listener {
        let mut listeners = self.listeners();
        match listeners.bells.iter_mut().find(|(known, _)| Arc::ptr_eq(known, bell)) {
            Some((_, count)) => *count += 1,
            None => listeners.bells.push((Arc::clone(bell), 1)),
        }
        Listener {
            feed: Arc::clone(self),
            bell: Arc::clone(bell),
        }
    }

    /// Since when nobody has listened or asked; `None` while somebody listens.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let listeners = self.listeners();
        listeners.bells.is_empty().then_some(listeners.idle_since)
    }

    /// Notes that somebody asked just now.
    pub(crate) fn touch(&self) {
        self.listeners().idle_since = Instant::now();
    }

    fn ring(&self) {
        for (bell, _) in &self.listeners().bells {
            bell.ring(self.topic);
        }
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values {
    fn put(&mut self, last: Arc<Last>, keys: usize) -> u64 {
        self.count += 1;
        let number = self.count;
        let before = self.current.insert(last.topic, number);
        self.by_number.insert(number, last);
        self.replaced.extend(before);
        while self.replaced.len() > KEPT_REPLACED {
            let oldest = self.replaced.pop_front().expect("it is longer than its limit");
            self.by_number.remove(&oldest);
        }
        while self.current.len() > keys {
            self.forget_quietest();
        }
        number
    }

    fn forget_quietest(&mut self) {
        let quietest = self.by_number.iter().find(|(number, last)| self.current.get(&last.topic) == Some(number));
        if let Some((number, topic)) = quietest.map(|(number, last)| (*number, last.topic)) {
            self.by_number.remove(&number);
            self.current.remove(&topic);
        }
    }
}

/// A bell on a feed. Dropping it ends the ringing.
#[derive(Debug)]
pub struct Listener {
    feed: Arc<Feed>,
    bell: Arc<Bell>,
}

impl Listener {
    /// The feed that it listens to.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.feed.listeners();
        if let Some(at) = listeners.bells.iter().position(|(bell, _)| Arc::ptr_eq(bell, &self.bell)) {
            listeners.bells[at].1 -= 1;
            if listeners.bells[at].1 == 0 {
                listeners.bells.swap_remove(at);
            }
        }
        listeners.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use pipecast_model::{Announcement, Epoch, PipelineId, Status, Timestamp};
    use serde_json::value::RawValue;

    use super::*;

    fn value(pipeline: i64, seq: i64) -> Arc<Last> {
        Arc::new(Last::new(&Announcement {
            v: 1,
            topic: Topic::Pipeline(PipelineId(pipeline)),
            status: Status::Running,
            previous_status: None,
            timestamp: Timestamp(seq),
            epoch: Epoch("abcdefgh".into()),
            seq,
            data: RawValue::from_string("{}".into()).expect("json"),
        }))
    }

    fn numbers(feed: &Feed, after: u64) -> Vec<i64> {
        let mut taken = Vec::new();
        let mut cursor = after;
        while let Some((number, last)) = feed.next(cursor) {
            cursor = number;
            taken.push(last.seq);
        }
        taken
    }

    #[test]
    fn a_watcher_that_keeps_up_sees_every_step() {
        let feed = Feed::new(Topic::Pipeline(PipelineId(1)));

        (1..=5).for_each(|seq| assert!(feed.offer(value(1, seq), 1)));

        assert_eq!(numbers(&feed, 0), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_watcher_that_lags_finds_the_newest_and_a_bounded_past() {
        let feed = Feed::new(Topic::Pipeline(PipelineId(1)));

        (1..=1000).for_each(|seq| assert!(feed.offer(value(1, seq), 1)));

        let seen = numbers(&feed, 1);
        assert_eq!(seen.len(), KEPT_REPLACED + 1);
        assert_eq!(seen.last(), Some(&1000));
    }

    #[test]
    fn what_is_not_newer_is_not_taken() {
        let feed = Feed::new(Topic::Pipeline(PipelineId(1)));

        assert!(feed.offer(value(1, 7), 1));

        assert!(!feed.offer(value(1, 7), 1));
        assert!(!feed.offer(value(1, 6), 1));
        assert_eq!(numbers(&feed, 0), [7]);
    }

    #[test]
    fn a_snapshot_in_pages_misses_nothing_that_changes_meanwhile() {
        let feed = Feed::new(Topic::Monitor);
        (1..=10).for_each(|pipeline| assert!(feed.offer(value(pipeline, 1), 100)));
        let until = feed.newest();

        let first = feed.page(0, until, 4);
        assert!(feed.offer(value(9, 2), 100));
        let second = feed.page(first.last().expect("a page").0, until, 100);
        let after = numbers(&feed, until);

        let seen: Vec<_> = first.iter().chain(&second).map(|(_, last)| last.topic).collect();
        assert_eq!(seen.len(), 9, "the changed one has moved behind the snapshot");
        assert_eq!(after, [2]);
    }

    #[test]
    fn a_full_monitor_forgets_the_quietest() {
        let feed = Feed::new(Topic::Monitor);

        (1..=5).for_each(|pipeline| assert!(feed.offer(value(pipeline, 1), 3)));

        let kept: Vec<_> = feed.page(0, u64::MAX, 100).into_iter().map(|(_, last)| last.topic).collect();
        assert_eq!(kept, [3, 4, 5].map(|id| Topic::Pipeline(PipelineId(id))));
    }
}
