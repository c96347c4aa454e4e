//! The shutdown as everyone sees it: whether it has begun, and what still has to be finished before the process may end.
//! Knows nothing of the order in which things end; that is for the composition root to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A handle on the shutdown of this process. Clones are the same shutdown.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held {
    count: AtomicUsize,
    freed: Notify,
}

/// Something that the shutdown waits for, until it is dropped.
#[derive(Debug)]
pub struct Hold(Arc<Held>);

impl Drain {
    /// Begins the shutdown. It cannot be taken back.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Returns once it has begun.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Asks the shutdown to wait until the returned value is dropped.
    pub fn hold(&self) -> Hold {
        self.held.count.fetch_add(1, Ordering::Relaxed);
        Hold(Arc::clone(&self.held))
    }

    /// Returns once nothing is held.
    pub async fn released(&self) {
        loop {
            let freed = self.held.freed.notified();
            if self.held.count.load(Ordering::Acquire) == 0 {
                return;
            }
            freed.await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_waits_for_the_last_hold() {
        let drain = Drain::default();
        let (first, second) = (drain.hold(), drain.hold());
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.released().await }
        });

        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);

        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .expect("released")
            .expect("no panic");
    }
}
