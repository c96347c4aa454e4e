//! The queue in a SQLite file of its own: sends share syncs, claims live in memory, and only failures are written.
//! Knows nothing of what a message means, nor of the database that its consumers write.
//!
//! `send` puts the message on the `board`, where `receive` finds it at once, and into a channel to the one `writer` task, which
//! commits whatever has come together and only then lets the senders go. An ack is a delete that rides on a later commit.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipecast_model::Lane;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{PASS_AFTER, RETURN_AFTER, back_off};
use crate::{Claim, ClaimId, Dead, DeadId, Durability, Error, Queue, Result, Verdict};

mod board;
mod file;
mod lock;
mod reader;
mod stock;
mod writer;

use board::Board;
use file::{Change, Fate, QueueFile};
use reader::QueueReader;
use writer::{Exhumation, Insert, Job, Writer};

pub use lock::{Hold, hold};
pub use stock::{Stock, Stored};

/// Bodies that wait for their first commit, all together. Who comes beyond that waits until the writer has caught up.
const UNCOMMITTED_BYTES: usize = 64 << 20;
/// Jobs on their way to the writer. Who comes beyond that waits until it has caught up.
const JOBS: usize = 1024;
/// One `receive` hands out at most this many bytes, or one message.
const HAND_OUT_BYTES: usize = 8 << 20;

/// How to open the queue.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file; created where it is missing. A lock file lies beside it.
    pub path: PathBuf,
    /// Most messages that wait or are claimed.
    pub max_messages: u64,
    /// Most bytes of messages that wait or are claimed.
    pub max_bytes: u64,
    /// The largest message in bytes.
    pub max_message_bytes: usize,
    /// A message that has failed so often is buried. At least 1.
    pub max_failures: u32,
    /// The back-off after the first failure is random up to twice this; it doubles with each further one.
    pub retry_base: Duration,
    /// The longest back-off.
    pub retry_cap: Duration,
    /// Added to every commit. For measuring only: a disk with slower syncs than the one at hand.
    pub sync_delay: Duration,
}

/// The queue of one process. Nobody else can open its file at the same time.
#[derive(Debug)]
pub struct EmbeddedQueue {
    limits: Options,
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    uncommitted: Arc<Semaphore>,
    reader: QueueReader,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the callers and the writer task have in common.
#[derive(Debug)]
struct Shared {
    board: Mutex<Board>,
    /// Rung for every message that becomes ready; a receiver that leaves some behind rings again.
    ready: Notify,
    commits: AtomicU64,
}

impl Shared {
    /// Never held over an await. The board's methods leave it whole at every point where they could panic.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EmbeddedQueue {
    /// Opens the file and lists what is unsettled in it, without the bodies.
    ///
    /// # Errors
    /// `Unavailable` where the file cannot be opened or another process holds it; the cause names that process.
    pub async fn open(options: Options) -> Result<Self> {
        let (file, reader) = QueueFile::open(&options.path).await?;
        let board = reader.load(options.retry_cap).await?;
        board.show_depth();
        let shared = Arc::new(Shared {
            board: Mutex::new(board),
            ready: Notify::new(),
            commits: AtomicU64::new(0),
        });
        let (jobs, inbox) = mpsc::channel(JOBS);
        let writer = Writer::new(file, inbox, Arc::clone(&shared), options.sync_delay);
        let writer = tokio::spawn(writer.run());
        Ok(EmbeddedQueue {
            limits: options,
            shared,
            jobs,
            uncommitted: Arc::new(Semaphore::new(kibibytes(UNCOMMITTED_BYTES) as usize)),
            reader,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// How many transactions have been committed since the queue was opened.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// How much of what it may hold it holds: 0 is nothing, 1 is all.
    pub fn fullness(&self) -> f64 {
        self.shared.board().fullness(&self.limits)
    }

    async fn exhume(&self, ids: &[DeadId], fate: Fate) -> Result<u64> {
        let (reply, answer) = oneshot::channel();
        let ids = ids.iter().filter_map(row).collect();
        let exhumation = Exhumation { ids, fate, reply };
        self.jobs.send(Job::Exhume(exhumation)).await.map_err(|_| Error::Closed("queue"))?;
        answer.await.unwrap_or(Err(Error::Closed("queue")))
    }

    /// Fetches what the board holds no body of.
    async fn fill(&self, picked: &mut Picked<'_>) -> Result<()> {
        let missing: Vec<i64> = picked.claims.iter().filter(|slot| slot.message.is_none()).map(|slot| slot.id).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut bodies = self.reader.bodies(&missing).await?;
        for slot in &mut picked.claims {
            if slot.message.is_none() {
                slot.message = bodies.remove(&slot.id);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn send(&self, lane: Lane, message: Bytes) -> Result<Durability> {
        let size = message.len();
        if size > self.limits.max_message_bytes {
            return Err(Error::TooLarge {
                size,
                limit: self.limits.max_message_bytes,
            });
        }
        self.shared.board().check_room(size, &self.limits)?;
        let room = Arc::clone(&self.uncommitted)
            .acquire_many_owned(kibibytes(size.min(UNCOMMITTED_BYTES)))
            .await
            .map_err(|_| Error::Closed("queue"))?;
        let place = self.jobs.reserve().await.map_err(|_| Error::Closed("queue"))?;
        let (reply, answer) = oneshot::channel();
        {
            // Board and channel are filled under one lock, so that no verdict can reach the writer before its message.
            let mut board = self.shared.board();
            board.check_room(size, &self.limits)?;
            let id = board.add(lane, message.clone());
            place.send(Job::Insert(Insert {
                id,
                lane,
                body: message,
                reply,
                room,
            }));
        }
        self.shared.ready.notify_one();
        answer.await.unwrap_or(Err(Error::Closed("queue")))?;
        Ok(Durability::Embedded)
    }

    async fn receive(&self, most: usize) -> Result<Vec<Claim>> {
        loop {
            let bell = self.shared.ready.notified();
            let (mut picked, next) = {
                let mut board = self.shared.board();
                if board.closed {
                    return Err(Error::Closed("queue"));
                }
                board.wake(Instant::now());
                let claims = board.pick(most.max(1), HAND_OUT_BYTES);
                (Picked { shared: &self.shared, claims }, board.next_wake())
            };
            if !picked.claims.is_empty() {
                self.shared.ready.notify_one();
                self.fill(&mut picked).await?;
                let claims = picked.hand_out();
                if !claims.is_empty() {
                    return Ok(claims);
                }
                continue;
            }
            match next {
                Some(next) => tokio::time::timeout_at(next, bell).await.unwrap_or_default(),
                None => bell.await,
            }
        }
    }

    async fn settle(&self, verdicts: Vec<(ClaimId, Verdict)>) -> Result<()> {
        let place = self.jobs.reserve().await.map_err(|_| Error::Closed("queue"))?;
        {
            let mut board = self.shared.board();
            let changes: Vec<Change> = verdicts
                .into_iter()
                .filter_map(|(ClaimId(id), verdict)| match verdict {
                    Verdict::Ack => Some(board.ack(id)),
                    Verdict::Return => board.give_back(id, RETURN_AFTER),
                    Verdict::Pass => board.give_back(id, PASS_AFTER.min(self.limits.retry_cap)),
                    Verdict::Fail(reason) => {
                        let failures = board.failures(id).saturating_add(1);
                        let back_off = back_off(failures, self.limits.retry_base, self.limits.retry_cap);
                        board.fail(id, reason, back_off, self.limits.max_failures.max(1))
                    }
                })
                .collect();
            if !changes.is_empty() {
                place.send(Job::Change(changes));
            }
        }
        // A receiver may be asleep until later than what has just been put off.
        self.shared.ready.notify_one();
        Ok(())
    }

    async fn depth(&self, lane: Lane) -> Result<u64> {
        Ok(self.shared.board().depth(lane))
    }

    async fn list_dead(&self, after: Option<&DeadId>, most: usize) -> Result<Vec<Dead>> {
        match after {
            None => self.reader.list_dead((i64::MIN, 0), most).await,
            Some(after) => match place(after) {
                Some(after) => self.reader.list_dead(after, most).await,
                None => Ok(Vec::new()),
            },
        }
    }

    async fn which_are_dead(&self, ids: &[DeadId]) -> Result<Vec<DeadId>> {
        let rows: Vec<i64> = ids.iter().filter_map(row).collect();
        let there = self.reader.which_are_dead(&rows).await?;
        // Their rows are what they are found by, so another name for one of them is one of them too.
        Ok(ids.iter().filter(|id| row(id).is_some_and(|row| there.contains(&row))).cloned().collect())
    }

    async fn find_dead(&self, id: &DeadId) -> Result<Option<Dead>> {
        match row(id) {
            Some(id) => self.reader.find_dead(id).await,
            None => Ok(None),
        }
    }

    async fn retry_dead(&self, ids: &[DeadId]) -> Result<u64> {
        self.shared.board().check_room(0, &self.limits)?;
        self.exhume(ids, Fate::Retried).await
    }

    async fn drop_dead(&self, ids: &[DeadId]) -> Result<u64> {
        self.exhume(ids, Fate::Dropped).await
    }

    async fn close(&self) {
        self.shared.board().closed = true;
        self.shared.ready.notify_waiters();
        // The readers go first: the last connection to close tidies the file, and a reader cannot.
        self.reader.close().await;
        // The writer may have gone already, by an earlier close or by a panic that its handle tells below.
        let _gone = self.jobs.send(Job::Close).await;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the queue's writer ended badly");
        }
    }
}

/// Claims that are about to be handed out. Those that are not, because the caller went away, go back to the front.
struct Picked<'a> {
    shared: &'a Shared,
    claims: Vec<Slot>,
}

/// One of them.
struct Slot {
    id: i64,
    lane: Lane,
    failures: u32,
    message: Option<Bytes>,
}

impl Picked<'_> {
    fn hand_out(mut self) -> Vec<Claim> {
        let mut claims = Vec::with_capacity(self.claims.len());
        for slot in std::mem::take(&mut self.claims) {
            match slot.message {
                Some(message) => claims.push(Claim {
                    id: ClaimId(slot.id),
                    lane: slot.lane,
                    failures: slot.failures,
                    message,
                }),
                None => {
                    tracing::error!(message.id = slot.id, "message {} is no longer in the queue file", slot.id);
                    self.shared.board().forget(slot.id);
                }
            }
        }
        claims
    }
}

impl Drop for Picked<'_> {
    fn drop(&mut self) {
        if !self.claims.is_empty() {
            let mut board = self.shared.board();
            for slot in self.claims.drain(..).rev() {
                board.put_back(slot.id);
            }
            drop(board);
            self.shared.ready.notify_one();
        }
    }
}

/// When and in which row a message was buried, which is what its name says.
fn place(id: &DeadId) -> Option<(i64, i64)> {
    let (at, row) = id.0.split_once('-')?;
    Some((i64::from_str_radix(at, 16).ok()?, i64::from_str_radix(row, 16).ok()?))
}

/// Its row.
fn row(id: &DeadId) -> Option<i64> {
    place(id).map(|(_, row)| row)
}

/// In whole KiB, at least one: what the semaphore of uncommitted bytes counts in.
fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}
