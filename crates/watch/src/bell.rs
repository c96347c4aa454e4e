//! How a feed calls a thread that has watchers on it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use pipecast_model::Topic;
use tokio::sync::Notify;

/// One per thread that runs watchers. Feeds ring it with their topic; the thread wakes its own watchers. So a change costs one
/// wake-up between threads, however many watchers there are.
#[derive(Debug, Default)]
pub struct Bell {
    /// Topics that rang since the last `answer`. Bounded by the topics that the thread listens to.
    rung: Mutex<HashSet<Topic>>,
    notify: Notify,
}

impl Bell {
    /// Says that `topic` has a new value.
    pub fn ring(&self, topic: Topic) {
        let first = {
            let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
            rung.insert(topic) && rung.len() == 1
        };
        if first {
            self.notify.notify_one();
        }
    }

    /// Waits until something rings, then moves every topic that rang into `topics`. Only one task may wait here.
    pub async fn answer(&self, topics: &mut Vec<Topic>) {
        loop {
            {
                let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
                topics.extend(rung.drain());
            }
            if !topics.is_empty() {
                return;
            }
            self.notify.notified().await;
        }
    }
}
