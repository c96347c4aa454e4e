//! The bus within one process: each tap has a bounded backlog of its own, and publishing never waits for anybody.
//! Knows nothing of what it carries, nor of other processes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use pipecast_model::Topic;

use super::ear::Ear;
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
            backlog,
            taps: Mutex::default(),
        }
    }

    /// Ends every tap after what it already holds; `publish` and `tap` refuse from now on.
    pub fn close(&self) {
        let mut taps = lock(&self.taps);
        taps.closed = true;
        for ear in taps.ears.drain(..).filter_map(|ear| ear.upgrade()) {
            ear.close();
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
                ear.hear(topic, &message);
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
        let ear = Arc::new(Ear::new(self.backlog));
        taps.ears.push(Arc::downgrade(&ear));
        Ok(Box::new(Tap(ear)))
    }
}

struct Tap(Arc<Ear>);

#[async_trait]
impl BusTap for Tap {
    async fn subscribe(&self, topic: Topic) -> Result<()> {
        self.0.attend(topic).map(drop)
    }

    async fn unsubscribe(&self, topic: Topic) -> Result<()> {
        self.0.ignore(topic);
        Ok(())
    }

    async fn next(&self) -> Option<BusEvent> {
        self.0.next().await
    }
}

/// A panic while the lock was held cannot leave these short sections half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
