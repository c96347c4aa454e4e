//! Changes that wait together leave together: as one run of bytes, made by the first watcher that needs it and shared by all that
//! stand at the same place. Knows nothing of who they are.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use pipecast_model::Topic;
use pipecast_watch::Feed;

use super::watching::Form;

/// A run ends before it is longer, unless its first frame is; so that no socket's buffer has to grow far for it.
const LONGEST: usize = 16 << 10;

/// The last run of one worker thread. A change wakes all watchers of its topic one after the other, so one is enough.
#[derive(Debug, Default)]
pub struct Runs(RefCell<Option<Run>>);

#[derive(Debug)]
struct Run {
    topic: Topic,
    form: Form,
    after: u64,
    until: u64,
    bytes: Bytes,
}

impl Runs {
    /// What comes after number `after` in the feed, and the number that it reaches; `None` while there is nothing.
    pub fn after(&self, feed: &Feed, form: Form, after: u64) -> Option<(u64, Bytes)> {
        if feed.newest() <= after {
            return None;
        }
        let mut last = self.0.borrow_mut();
        if let Some(run) = last.as_ref().filter(|run| (run.topic, run.form, run.after) == (feed.topic(), form, after)) {
            return Some((run.until, run.bytes.clone()));
        }
        let (mut until, first) = feed.next(after)?;
        let first = form.change(&first);
        if until == feed.newest() {
            return Some((until, first));
        }
        let mut bytes = BytesMut::from(&first[..]);
        while let Some((number, value)) = feed.next(until) {
            let frame = form.change(&value);
            if bytes.len() + frame.len() > LONGEST {
                break;
            }
            bytes.extend_from_slice(&frame);
            until = number;
        }
        let bytes = bytes.freeze();
        *last = Some(Run {
            topic: feed.topic(),
            form,
            after,
            until,
            bytes: bytes.clone(),
        });
        Some((until, bytes))
    }
}
