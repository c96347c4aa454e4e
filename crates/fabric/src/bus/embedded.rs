//! The bus within one process: each tap has a bounded backlog of its own, and publishing never waits for anybody.
//! Knows nothing of what it carries, nor of other processes.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use pipecast_model::Topic;
use tokio::sync::Notify;

use crate::{Bus, BusEvent, BusTap, Error, Result};

/// A bus for one process. Dropping it, or `close`, ends every tap.
#[derive(Debug)]
pub struct EmbeddedBus {
    backlog: usize,
    taps: Mutex<Taps>,
}

#[derive(Debug, Default)]
struct Taps {
    closed: bool,
    ears: Vec<Weak<Ear>>,
}

impl EmbeddedBus {
    /// A bus whose taps hold at most `backlog` messages each. One that is full forgets them all and says [`BusEvent::Lost`].
    pub fn new(backlog: usize) -> Self {
        EmbeddedBus {
            backlog: backlog.max(1),
            taps: Mutex::default(),
        }
    }

    /// Ends every tap after what it already holds; `publish` and `tap` refuse from now on.
    pub fn close(&self) {
        let mut taps = lock(&self.taps);
        taps.closed = true;
        for ear in taps.ears.drain(..).filter_map(|ear| ear.upgrade()) {
            lock(&ear.heard).closed = true;
            ear.arrived.notify_one();
        }
    }
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn publish(&self, topic: Topic, message: Bytes) -> Result<()> {
        // The lock is held over the whole round, so that every tap hears two publishers of one topic in the same order.
        let mut taps = lock(&self.taps);
        if taps.closed {
            return Err(Error::Closed("bus"));
        }
        taps.ears.retain(|ear| match ear.upgrade() {
            Some(ear) => {
                ear.hear(topic, &message, self.backlog);
                true
            }
            None => false,
        });
        Ok(())
    }

    async fn tap(&self) -> Result<Box<dyn BusTap>> {
        let mut taps = lock(&self.taps);
        if taps.closed {
            return Err(Error::Closed("bus"));
        }
        let ear = Arc::new(Ear::default());
        taps.ears.push(Arc::downgrade(&ear));
        Ok(Box::new(Tap(ear)))
    }
}

#[derive(Debug, Default)]
struct Ear {
    heard: Mutex<Heard>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Heard {
    topics: HashSet<Topic>,
    /// At most `backlog` of them. When it is full all are dropped and `lost` is set: who reads the truth again needs none of them.
    waiting: VecDeque<(Topic, Bytes)>,
    lost: bool,
    closed: bool,
}

impl Ear {
    fn hear(&self, topic: Topic, message: &Bytes, backlog: usize) {
        let mut heard = lock(&self.heard);
        if !heard.topics.contains(&topic) {
            return;
        }
        if heard.waiting.len() >= backlog {
            let dropped = heard.waiting.len() as u64;
            heard.waiting.clear();
            heard.lost = true;
            metrics::counter!("pipecast_bus_lost_total").increment(dropped);
        }
        heard.waiting.push_back((topic, message.clone()));
        drop(heard);
        self.arrived.notify_one();
    }
}

struct Tap(Arc<Ear>);

#[async_trait]
impl BusTap for Tap {
    async fn subscribe(&self, topic: Topic) -> Result<()> {
        let mut heard = lock(&self.0.heard);
        if heard.closed {
            return Err(Error::Closed("bus"));
        }
        heard.topics.insert(topic);
        Ok(())
    }

    async fn unsubscribe(&self, topic: Topic) -> Result<()> {
        lock(&self.0.heard).topics.remove(&topic);
        Ok(())
    }

    async fn next(&self) -> Option<BusEvent> {
        loop {
            {
                let mut heard = lock(&self.0.heard);
                if std::mem::take(&mut heard.lost) {
                    return Some(BusEvent::Lost);
                }
                if let Some((topic, message)) = heard.waiting.pop_front() {
                    return Some(BusEvent::Message { topic, message });
                }
                if heard.closed {
                    return None;
                }
            }
            // A notice that came since the lock was let go is kept, so nothing is slept through.
            self.0.arrived.notified().await;
        }
    }
}

/// A panic while the lock was held cannot leave these short sections half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
