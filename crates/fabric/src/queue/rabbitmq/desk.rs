//! What the broker has handed to this process and nobody has settled: the claims and what waits to become one.
//! Knows nothing of channels; every method is one short step under the lock of its owner.
//!
//! When the connection is lost, all of it is forgotten: the broker hands it out again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use lapin::Acker;
use pipecast_model::Lane;
use tokio::time::Instant;

use super::letter::Letter;
use crate::{Claim, ClaimId};

/// Of so many messages one is taken from the bulk lane while both have some.
const BULK_SHARE: u8 = 4;
/// Of so many hand-outs one is a message from quarantine, while there are others. Most of those in it are innocent: they were
/// prefetched when the broker went away twice.
const SUSPECT_SHARE: u8 = 2;
/// One `receive` hands out at most this many bytes, or one message.
const HAND_OUT_BYTES: usize = 8 << 20;

/// Something that was delivered, and the means to settle it.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) letter: Letter,
    pub(super) acker: Acker,
    /// Comes from quarantine, and is handed out with nothing beside it.
    pub(super) alone: bool,
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Nothing more is handed out.
    pub(super) closed: bool,
    next_id: i64,
    /// By lane, the oldest first.
    ready: [VecDeque<i64>; 2],
    quarantined: VecDeque<i64>,
    put_off: BTreeSet<(Instant, i64)>,
    taken: HashMap<i64, Taken>,
    turn: u8,
    hand_outs: u8,
}

impl Desk {
    /// A delivery that waits to be claimed.
    pub(super) fn add(&mut self, taken: Taken) {
        let id = self.next_id;
        self.next_id += 1;
        self.enqueue(id, &taken);
        self.taken.insert(id, taken);
    }

    fn enqueue(&mut self, id: i64, taken: &Taken) {
        match taken.alone {
            true => self.quarantined.push_back(id),
            false => self.ready[taken.letter.lane as usize].push_back(id),
        }
    }

    /// The connection is lost, and with it every delivery. Ids are never used again.
    pub(super) fn forget_all(&mut self) {
        self.ready.iter_mut().for_each(VecDeque::clear);
        self.quarantined.clear();
        self.put_off.clear();
        self.taken.clear();
    }

    /// Makes ready what was put off until `now`, and says when the next is due.
    pub(super) fn wake(&mut self, now: Instant) -> Option<Instant> {
        while let Some(&(due, id)) = self.put_off.first() {
            if due > now {
                return Some(due);
            }
            self.put_off.pop_first();
            if let Some(taken) = self.taken.remove(&id) {
                self.enqueue(id, &taken);
                self.taken.insert(id, taken);
            }
        }
        None
    }

    /// Claims up to `most` messages; one from quarantine comes alone.
    pub(super) fn pick(&mut self, most: usize) -> Vec<Claim> {
        let others = self.ready.iter().any(|lane| !lane.is_empty());
        // Counted in hand-outs and not in messages: these come in any number, so one of them is not sure to have its turn.
        self.hand_outs = (self.hand_outs + 1) % SUSPECT_SHARE;
        if (!others || self.hand_outs == 0)
            && let Some(id) = self.quarantined.pop_front()
        {
            return self.claim(id).into_iter().collect();
        }
        let mut claims: Vec<Claim> = Vec::new();
        let mut bytes = 0;
        while claims.len() < most {
            let Some(lane) = self.next_lane() else { break };
            let Some(&id) = self.ready[lane].front() else { break };
            let size = self.taken.get(&id).map_or(0, |taken| taken.letter.message.len());
            if !claims.is_empty() && bytes + size > HAND_OUT_BYTES {
                break;
            }
            bytes += size;
            self.ready[lane].pop_front();
            self.turn = (self.turn + 1) % BULK_SHARE;
            claims.extend(self.claim(id));
        }
        claims
    }

    fn next_lane(&self) -> Option<usize> {
        let [urgent, bulk] = [Lane::Urgent, Lane::Bulk].map(|lane| lane as usize);
        let order = if self.turn == BULK_SHARE - 1 { [bulk, urgent] } else { [urgent, bulk] };
        order.into_iter().find(|lane| !self.ready[*lane].is_empty())
    }

    fn claim(&self, id: i64) -> Option<Claim> {
        let letter = &self.taken.get(&id)?.letter;
        Some(Claim {
            id: ClaimId(id),
            lane: letter.lane,
            failures: letter.failures,
            message: letter.message.clone(),
        })
    }

    /// A claim that is settled now. `None` where the connection it came by is lost: there is nothing to settle any more.
    pub(super) fn take(&mut self, ClaimId(id): ClaimId) -> Option<Taken> {
        self.taken.remove(&id)
    }

    /// What `take` gave rests here for a while, under another id.
    pub(super) fn put_off(&mut self, taken: Taken, wait: Duration) {
        if !taken.acker.usable() {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.put_off.insert((Instant::now() + wait, id));
        self.taken.insert(id, taken);
    }

    /// How many are here of a lane, claimed or not. Those from quarantine count as bulk.
    pub(super) fn held(&self, lane: Lane) -> u64 {
        let lane_of = |taken: &Taken| if taken.alone { Lane::Bulk } else { taken.letter.lane };
        self.taken.values().filter(|taken| lane_of(taken) == lane).count() as u64
    }
}
