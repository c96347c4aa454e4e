//! Changes that wait together leave together: as one run of bytes, made by the first watcher that needs it and shared by all that
//! stand at the same place. Knows nothing of who they are.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pipecast_watch::Feed;

use super::watching::Form;

/// A run ends before it is longer, unless its first frame is; so that no socket's buffer has to grow far for it.
const LONGEST: usize = 16 << 10;

/// The last run of one worker thread. A change wakes all watchers of its topic one after the other, so one is enough.
#[derive(Debug, Default)]
pub struct Runs(RefCell<Option<Run>>);

#[derive(Debug)]
struct Run {
    /// Held, not only named: a topic that is taken up again has another feed, which counts from the beginning.
    feed: Arc<Feed>,
    form: Form,
    after: u64,
    until: u64,
    bytes: Bytes,
}

impl Runs {
    /// What comes after number `after` in the feed, and the number that it reaches; `None` while there is nothing.
    pub fn after(&self, feed: &Arc<Feed>, form: Form, after: u64) -> Option<(u64, Bytes)> {
        if feed.newest() <= after {
            return None;
        }
        let mut last = self.0.borrow_mut();
        if let Some(run) = last
            .as_ref()
            .filter(|run| (run.form, run.after) == (form, after) && Arc::ptr_eq(&run.feed, feed))
        {
            return Some((run.until, run.bytes.clone()));
        }
        let (mut until, first) = feed.next(after)?;
        let mut bytes = form.change(&first);
        if until < feed.newest() {
            let mut run = BytesMut::from(&bytes[..]);
            while let Some((number, value)) = feed.next(until) {
                let frame = form.change(&value);
                if run.len() + frame.len() > LONGEST {
                    break;
                }
                run.extend_from_slice(&frame);
                until = number;
            }
            bytes = run.freeze();
        }
        *last = Some(Run {
            feed: Arc::clone(feed),
            form,
            after,
            until,
            bytes: bytes.clone(),
        });
        Some((until, bytes))
    }
}

#[cfg(test)]
mod tests {
    use pipecast_fabric::Bus;
    use pipecast_fabric::bus::embedded::EmbeddedBus;
    use pipecast_fabric::cache::embedded::EmbeddedCache;
    use pipecast_model::{Announcement, Epoch, PipelineId, Status, Timestamp, Topic};
    use pipecast_watch::{Bell, Listener, Watch};
    use serde_json::value::RawValue;
    use tokio_util::sync::CancellationToken;

    use super::*;

    const TOPIC: Topic = Topic::Pipeline(PipelineId(42));

    /// A node of its own with an empty database, whose feed of the topic has these sequences.
    async fn feed(sequences: std::ops::RangeInclusive<i64>) -> Listener {
        let directory = tempfile::tempdir().expect("a directory");
        let config = crate::config::Config::defaults();
        let options = config.store.options(directory.path());
        pipecast_store::migrate(&options).await.expect("a schema");
        let (reader, _) = pipecast_store::open(&options).await.expect("a database");
        let bus = EmbeddedBus::new(100);
        let cache = Arc::new(EmbeddedCache::new(10));
        let watch = Watch::open(config.watch.settings(), reader, &bus, cache).await.expect("a watch");
        tokio::spawn({
            let watch = watch.clone();
            async move { watch.run(CancellationToken::new()).await }
        });
        let listener = watch.join(TOPIC, &Arc::new(Bell::default())).await.expect("a topic");
        let count = sequences.clone().count() as u64;
        for seq in sequences {
            let announcement = Announcement {
                v: Announcement::VERSION,
                topic: TOPIC,
                status: Status::Running,
                previous_status: None,
                timestamp: Timestamp(1),
                epoch: Epoch("kqzxbtwm".into()),
                seq,
                data: RawValue::from_string(format!("\"{}\"", "x".repeat(5_000))).expect("json"),
            };
            let text = serde_json::to_vec(&announcement).expect("json").into();
            bus.publish(TOPIC, text).await.expect("a bus");
        }
        while listener.feed().newest() < count {
            tokio::task::yield_now().await;
        }
        listener
    }

    fn sequences(bytes: &Bytes) -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        text.split("\"seq\":")
            .skip(1)
            .map(|rest| rest.split(',').next().unwrap_or_default().to_owned())
            .collect()
    }

    #[tokio::test]
    async fn what_waits_comes_in_runs_that_are_shared_and_bounded() {
        let listener = feed(1..=5).await;
        let runs = Runs::default();

        let (until, first) = runs.after(listener.feed(), Form::Socket, 0).expect("a run");
        let (_, again) = runs.after(listener.feed(), Form::Socket, 0).expect("the same run");
        let (end, rest) = runs.after(listener.feed(), Form::Socket, until).expect("another run");

        assert_eq!(
            (sequences(&first), until),
            (vec!["1".into(), "2".into(), "3".into()], 3),
            "three times 5 KB are under 16 KiB"
        );
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!((sequences(&rest), end), (vec!["4".into(), "5".into()], 5));
        assert!(runs.after(listener.feed(), Form::Socket, end).is_none());
    }

    #[tokio::test]
    async fn another_feed_of_the_same_topic_has_runs_of_its_own() {
        let (old, new) = (feed(1..=2).await, feed(8..=9).await);
        let runs = Runs::default();

        let (_, of_old) = runs.after(old.feed(), Form::Socket, 1).expect("a run");
        let (_, of_new) = runs.after(new.feed(), Form::Socket, 1).expect("a run");

        assert_eq!((sequences(&of_old), sequences(&of_new)), (vec!["2".into()], vec!["9".into()]));
    }
}
