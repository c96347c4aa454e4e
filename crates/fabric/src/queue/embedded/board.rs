//! Which messages wait, which are claimed and which are put off: the queue's memory.
//! Knows nothing of files and tasks; every method is one short step under the lock of its owner.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use pipecast_model::{Lane, Timestamp};
use tokio::time::Instant;

use super::file::Change;
use super::{Options, Slot};
use crate::{Error, Result};

/// Bodies that wait in memory. Of the others only the size is kept; they are read from the file when their turn comes.
const RESIDENT_BYTES: usize = 64 << 20;
/// Of so many messages one is taken from the bulk lane while both have some.
const BULK_SHARE: u8 = 4;

/// Everything that is unsettled: about a hundred bytes for each message, and the newest bodies.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Nothing more is taken or handed out.
    pub(super) closed: bool,
    next_id: i64,
    entries: HashMap<i64, Entry>,
    /// Ids by lane, the oldest first. May name ids that are gone.
    ready: [VecDeque<i64>; 2],
    put_off: BTreeSet<(Instant, i64)>,
    depth: [u64; 2],
    bytes: u64,
    resident: usize,
    turn: u8,
}

#[derive(Debug)]
struct Entry {
    lane: Lane,
    failures: u32,
    size: usize,
    body: Option<Bytes>,
    stored: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    PutOff,
    Claimed,
}

impl Board {
    /// The first id that is free.
    pub(super) fn starting_at(next_id: i64) -> Self {
        Board { next_id, ..Board::default() }
    }

    /// Whether a message of `size` bytes may come in.
    pub(super) fn check_room(&self, size: usize, limits: &Options) -> Result<()> {
        if self.closed {
            return Err(Error::Closed("queue"));
        }
        let waiting = self.entries.len() as u64;
        if waiting >= limits.max_messages || self.bytes + size as u64 > limits.max_bytes {
            return Err(Error::Full {
                waiting,
                limit: limits.max_messages,
            });
        }
        Ok(())
    }

    /// The larger share of the two limits that is taken.
    pub(super) fn fullness(&self, limits: &Options) -> f64 {
        let messages = self.entries.len() as f64 / limits.max_messages.max(1) as f64;
        let bytes = self.bytes as f64 / limits.max_bytes.max(1) as f64;
        messages.max(bytes)
    }

    /// A new message that the file does not hold yet. It can be picked at once.
    pub(super) fn add(&mut self, lane: Lane, body: Bytes) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.resident += body.len();
        self.insert(
            id,
            Entry {
                lane,
                failures: 0,
                size: body.len(),
                body: Some(body),
                stored: false,
                place: Place::Ready,
            },
        );
        self.ready[lane as usize].push_back(id);
        id
    }

    /// A message that the file held at the start, put off until `wake` where it failed before.
    pub(super) fn restore(&mut self, id: i64, lane: Lane, failures: u32, size: usize, wake: Option<Instant>) {
        let place = match wake {
            Some(wake) => {
                self.put_off.insert((wake, id));
                Place::PutOff
            }
            None => {
                self.ready[lane as usize].push_back(id);
                Place::Ready
            }
        };
        self.insert(
            id,
            Entry {
                lane,
                failures,
                size,
                body: None,
                stored: true,
                place,
            },
        );
    }

    /// Makes ready what was put off until `now`, behind what waits already.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(&(wake, id)) = self.put_off.first() {
            if wake > now {
                break;
            }
            self.put_off.pop_first();
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.place = Place::Ready;
                self.ready[entry.lane as usize].push_back(id);
            }
        }
    }

    /// When the next of those that were put off is due.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.put_off.first().map(|(wake, _)| *wake)
    }

    /// Claims up to `most` messages of up to `bytes` bytes, or one.
    pub(super) fn pick(&mut self, most: usize, bytes: usize) -> Vec<Slot> {
        let mut picked = Vec::new();
        let mut sum = 0;
        while picked.len() < most {
            let Some(id) = self.front() else { break };
            let entry = self.entries.get_mut(&id).expect("front skips those that are gone");
            if !picked.is_empty() && sum + entry.size > bytes {
                break;
            }
            sum += entry.size;
            entry.place = Place::Claimed;
            let message = entry.body.clone();
            picked.push(Slot {
                id,
                lane: entry.lane,
                failures: entry.failures,
                message,
            });
            self.ready[entry.lane as usize].pop_front();
            if entry.stored {
                self.resident -= entry.body.take().map_or(0, |body| body.len());
            }
            self.turn = (self.turn + 1) % BULK_SHARE;
        }
        picked
    }

    /// The next in turn; it stays where it is.
    fn front(&mut self) -> Option<i64> {
        for lane in &mut self.ready {
            while lane
                .front()
                .is_some_and(|id| self.entries.get(id).is_none_or(|entry| entry.place != Place::Ready))
            {
                lane.pop_front();
            }
        }
        let [urgent, bulk] = [Lane::Urgent, Lane::Bulk].map(|lane| self.ready[lane as usize].front().copied());
        match self.turn == BULK_SHARE - 1 {
            true => bulk.or(urgent),
            false => urgent.or(bulk),
        }
    }

    /// Undoes a claim that nobody got.
    pub(super) fn put_back(&mut self, id: i64) {
        if let Some(entry) = self.claimed(id) {
            entry.place = Place::Ready;
            let lane = entry.lane as usize;
            self.ready[lane].push_front(id);
        }
    }

    /// It is done. The delete is written even for an id that is not known here, because a failed commit may have stored it.
    pub(super) fn ack(&mut self, id: i64) -> Change {
        self.forget(id);
        Change::Delete(id)
    }

    /// It rests a while, uncounted. Nothing is written: a restart hands it out at once.
    pub(super) fn give_back(&mut self, id: i64, rest: Duration) -> Option<Change> {
        self.claimed(id)?.place = Place::PutOff;
        self.put_off.insert((Instant::now() + rest, id));
        None
    }

    /// How often a message has failed.
    pub(super) fn failures(&self, id: i64) -> u32 {
        self.entries.get(&id).map_or(0, |entry| entry.failures)
    }

    /// It failed once more: put off, or buried at `max_failures`.
    pub(super) fn fail(&mut self, id: i64, reason: String, back_off: Duration, max_failures: u32) -> Option<Change> {
        let entry = self.claimed(id)?;
        entry.failures = entry.failures.saturating_add(1);
        let failures = entry.failures;
        if failures >= max_failures {
            self.forget(id);
            return Some(Change::Bury {
                id,
                failures,
                reason,
                at: Timestamp::now(),
            });
        }
        entry.place = Place::PutOff;
        self.put_off.insert((Instant::now() + back_off, id));
        let not_before = Timestamp::now().0.saturating_add(i64::try_from(back_off.as_micros()).unwrap_or(i64::MAX));
        Some(Change::Fail {
            id,
            failures,
            reason,
            not_before: Timestamp(not_before),
        })
    }

    /// The file holds these now, so their bodies may leave the memory.
    pub(super) fn stored(&mut self, ids: impl Iterator<Item = i64>) {
        for id in ids {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.stored = true;
            if entry.place != Place::Ready || self.resident > RESIDENT_BYTES {
                self.resident -= entry.body.take().map_or(0, |body| body.len());
            }
        }
    }

    /// It is gone, wherever it was.
    pub(super) fn forget(&mut self, id: i64) {
        if let Some(entry) = self.entries.remove(&id) {
            self.depth[entry.lane as usize] -= 1;
            self.bytes -= entry.size as u64;
            self.resident -= entry.body.map_or(0, |body| body.len());
        }
    }

    /// How many wait or are claimed.
    pub(super) fn depth(&self, lane: Lane) -> u64 {
        self.depth[lane as usize]
    }

    /// Tells the depths to the metrics.
    pub(super) fn show_depth(&self) {
        for lane in Lane::ALL {
            metrics::gauge!("pipecast_queue_depth", "lane" => lane.word()).set(self.depth(lane) as f64);
        }
    }

    fn insert(&mut self, id: i64, entry: Entry) {
        self.depth[entry.lane as usize] += 1;
        self.bytes += entry.size as u64;
        self.entries.insert(id, entry);
    }

    fn claimed(&mut self, id: i64) -> Option<&mut Entry> {
        self.entries.get_mut(&id).filter(|entry| entry.place == Place::Claimed)
    }
}
