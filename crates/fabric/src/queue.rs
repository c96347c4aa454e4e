//! The queue between those who receive work and those who do it.
//!
//! **Guarantee.** At least once: once `send` has returned, the message survives a crash of this process and is claimed again and
//! again until it is acked or buried. A message may be handed out more than once, so what it does must be harmless twice.
//! It may be handed out *before* `send` returns; only the return of `send` promises anything to the sender.
//!
//! **Order.** By lane, the oldest first, as far as attempts allow: a message that failed comes back after its back-off, behind
//! younger ones. Lanes are served together, the urgent one with the greater share; none starves.
//!
//! **Limits.** A queue that holds its limit refuses `send` with [`crate::Error::Full`]; it never drops and never blocks for room.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipecast_model::{Lane, Timestamp};

use crate::Result;

pub mod embedded;
pub mod rabbitmq;
pub mod spool;

/// See the module for what it promises.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Stores a message durably. Returns after it is safe from a crash of the process and, where the backend can, of the machine.
    /// Many calls at once share the cost of one sync.
    ///
    /// # Errors
    /// `Full`, `TooLarge`, `Unavailable` (then the message may or may not be stored), `Closed`.
    ///
    /// Cancelling the call leaves it open whether the message is stored.
    async fn send(&self, lane: Lane, message: Bytes) -> Result<Durability>;

    /// Claims up to `most` messages, waiting until there is at least one. A claim belongs to this process until it is
    /// settled or the process ends.
    ///
    /// # Errors
    /// `Closed` once the queue shuts down, `Unavailable`.
    async fn receive(&self, most: usize) -> Result<Vec<Claim>>;

    /// Says what became of claims. Returns when the verdicts are known to the backend; an ack that a crash swallows only
    /// means that the message is handed out once more.
    ///
    /// # Errors
    /// `Unavailable`, `Closed`.
    async fn settle(&self, verdicts: Vec<(ClaimId, Verdict)>) -> Result<()>;

    /// How many messages wait or are claimed in a lane.
    async fn depth(&self, lane: Lane) -> Result<u64>;

    /// The oldest buried messages, up to `most`.
    async fn dead(&self, most: usize) -> Result<Vec<Dead>> {
        self.list_dead(None, most).await
    }

    /// Buried messages, the oldest first, up to `most`: from the oldest on, or behind this one, be it still there or not. Of each message the
    /// beginning alone, [`Dead::HEAD`] bytes at most, for many that are large would be more than fits into memory.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list_dead(&self, after: Option<&DeadId>, most: usize) -> Result<Vec<Dead>>;

    /// Those of these that are still buried.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn which_are_dead(&self, ids: &[DeadId]) -> Result<Vec<DeadId>>;

    /// One buried message in full; `None` where it is no longer there.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find_dead(&self, id: &DeadId) -> Result<Option<Dead>>;

    /// Puts buried messages back into their lanes, as if they were new; those that are no longer there are passed over. Returns how many.
    ///
    /// At every instant a message is among the dead, in its lane, or in both: a crash, or a call that is cancelled, loses none and may
    /// leave one to be handed out and still be among the dead.
    ///
    /// # Errors
    /// `Full`, `Unavailable`, `Closed`; some of them may be back in their lanes then.
    async fn retry_dead(&self, ids: &[DeadId]) -> Result<u64>;

    /// Drops buried messages for ever; those that are no longer there are passed over. Returns how many.
    ///
    /// # Errors
    /// `Unavailable`, `Closed`; some of them may be gone then.
    async fn drop_dead(&self, ids: &[DeadId]) -> Result<u64>;

    /// Stops handing out messages, writes what is pending and closes. Unsettled claims return with the next start.
    async fn close(&self);
}

/// Where a message is safe once `send` has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// In the file of this process's own queue, synced.
    Embedded,
    /// At the broker, confirmed.
    Broker,
    /// In a file of this process, synced, until the broker takes it.
    Spool,
}

impl Durability {
    /// The word in answers and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Durability::Embedded => "embedded",
            Durability::Broker => "broker",
            Durability::Spool => "spool",
        }
    }
}

/// Names a claim of this process. Means nothing after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimId(pub i64);

/// A message that has been handed out.
#[derive(Clone, Debug)]
pub struct Claim {
    /// For `settle`.
    pub id: ClaimId,
    /// Where it came from.
    pub lane: Lane,
    /// How often it failed before; 0 the first time.
    pub failures: u32,
    /// What was sent.
    pub message: Bytes,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done: forget it.
    Ack,
    /// It failed, for the reason given: try again after a back-off with jitter, or bury it when it has failed too often.
    Fail(String),
    /// Not its fault (shutdown, a database that is down): hand it out again later, uncounted.
    Return,
    /// Not for this build, as an envelope of a newer one: after a rest of up to half a minute it is for whoever receives next, uncounted.
    /// Where other processes receive too, it does not stay with this one.
    Pass,
}

/// How long a message rests that this build cannot read, or as long as the longest back-off where that is shorter.
const PASS_AFTER: Duration = Duration::from_secs(30);

/// How long what was given back waits at least, so that it does not come round and round.
const RETURN_AFTER: Duration = Duration::from_secs(1);

/// How long what has failed so often waits: up to twice as long each time, never above `cap`. Full jitter, so that many that failed
/// together do not come back together.
fn back_off(failures: u32, base: Duration, cap: Duration) -> Duration {
    let longest = base.saturating_mul(2_u32.saturating_pow(failures)).min(cap);
    longest.mul_f64(rand::random_range(0.0..=1.0))
}

/// Names a buried message as long as it is buried, for every process that looks. In the order of these texts they were buried.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeadId(pub String);

impl DeadId {
    /// What was buried then and is called so among those that were.
    fn buried_at(at: Timestamp, name: &str) -> DeadId {
        DeadId(format!("{:016x}-{name}", at.0.max(0)))
    }
}

/// A buried message.
#[derive(Clone, Debug)]
pub struct Dead {
    /// For `retry_dead` and `drop_dead`.
    pub id: DeadId,
    /// The lane that it was in.
    pub lane: Lane,
    /// What was sent, or the beginning of it.
    pub message: Bytes,
    /// Bytes of all that was sent.
    pub bytes: usize,
    /// How often it failed.
    pub failures: u32,
    /// The last reason.
    pub reason: String,
    /// When it was buried.
    pub buried_at: Timestamp,
}

impl Dead {
    /// Bytes of a message that a list has of it: in them stands what it is about.
    pub const HEAD: usize = 16 << 10;

    /// With the beginning of its message alone, and no hold on the rest.
    fn in_short(self) -> Dead {
        Dead {
            message: Bytes::copy_from_slice(&self.message[..self.message.len().min(Dead::HEAD)]),
            ..self
        }
    }
}
