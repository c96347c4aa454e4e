//! What one tap has heard and nobody has taken yet: bounded, and honest about what was lost. Knows nothing of where it came from.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pipecast_model::Topic;
use tokio::sync::Notify;

use crate::{BusEvent, Error, Result};

/// The backlog of one tap.
#[derive(Debug)]
pub(super) struct Ear {
    most: usize,
    heard: Mutex<Heard>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Heard {
    topics: HashSet<Topic>,
    /// At most `most` of them. When it is full all are dropped and `lost` is set: who reads the truth again needs none of them.
    waiting: VecDeque<(Topic, Bytes)>,
    lost: bool,
    /// Nothing can be heard.
    away: bool,
    /// Whoever takes has been told that nothing can be heard.
    told_away: bool,
    closed: bool,
}

impl Ear {
    /// An ear with room for `most` messages.
    pub(super) fn new(most: usize) -> Self {
        Ear {
            most: most.max(1),
            heard: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// Takes `topic` in; says whether it is new.
    pub(super) fn attend(&self, topic: Topic) -> Result<bool> {
        let mut heard = self.lock();
        if heard.closed {
            return Err(Error::Closed("bus"));
        }
        Ok(heard.topics.insert(topic))
    }

    /// Lets `topic` go; says whether it was there.
    pub(super) fn ignore(&self, topic: Topic) -> bool {
        self.lock().topics.remove(&topic)
    }

    /// Every topic that is to be heard.
    pub(super) fn topics(&self) -> Vec<Topic> {
        self.lock().topics.iter().copied().collect()
    }

    /// A message, which is dropped unless its topic is to be heard.
    pub(super) fn hear(&self, topic: Topic, message: &Bytes) {
        let mut heard = self.lock();
        if !heard.topics.contains(&topic) {
            return;
        }
        if heard.waiting.len() >= self.most {
            let dropped = heard.waiting.len() as u64;
            heard.waiting.clear();
            heard.lost = true;
            metrics::counter!("pipecast_bus_lost_total").increment(dropped);
        }
        heard.waiting.push_back((topic, message.clone()));
        drop(heard);
        self.arrived.notify_one();
    }

    /// Nothing can be heard from now on.
    pub(super) fn go_deaf(&self) {
        self.lock().away = true;
        self.arrived.notify_one();
    }

    /// Everything can be heard again, and something may have been missed.
    pub(super) fn recover(&self) {
        let mut heard = self.lock();
        heard.away = false;
        heard.lost = true;
        drop(heard);
        self.arrived.notify_one();
    }

    /// Ends it after what it already holds.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// The next event; `None` once it is closed and empty.
    pub(super) async fn next(&self) -> Option<BusEvent> {
        loop {
            {
                let mut heard = self.lock();
                if std::mem::take(&mut heard.lost) {
                    heard.told_away = false;
                    return Some(BusEvent::Lost);
                }
                if let Some((topic, message)) = heard.waiting.pop_front() {
                    return Some(BusEvent::Message { topic, message });
                }
                if heard.away && !std::mem::replace(&mut heard.told_away, true) {
                    return Some(BusEvent::Away);
                }
                if heard.closed {
                    return None;
                }
            }
            // A notice that came since the lock was let go is kept, so nothing is slept through.
            self.arrived.notified().await;
        }
    }

    /// A panic while the lock was held cannot leave these short sections half done.
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
