//! The one task that writes the queue file: it commits together what has come together.
//! Knows nothing of who sends or of what is handed out.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use pipecast_model::Lane;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::file::{Change, Fate, QueueFile, unavailable};
use super::reader::lane;
use crate::{Error, Result};

/// A group is committed when it has so many messages…
const GROUP_MESSAGES: usize = 256;
/// …or so many bytes.
const GROUP_BYTES: usize = 8 << 20;
/// While sends are brisk a group waits for this many…
const ENOUGH: usize = 64;
/// …but no longer than this. At 2,000 sends a second it makes groups of twelve and more even where a sync costs nothing,
/// and it delays nobody but the sender: the message itself has been handed out before.
const LINGER: Duration = Duration::from_millis(6);
/// A pause in brisk sends ends the waiting: those who send wait for their answers, so nothing more will come.
const PAUSE: Duration = Duration::from_millis(2);
/// Sends in a millisecond from which on they are brisk.
const BRISK: f64 = 1.0;
/// The longest that an ack or a failure waits for a commit to ride on.
const CHANGES_WAIT: Duration = Duration::from_millis(50);
/// So many of them do not wait.
const CHANGES_ENOUGH: usize = 1024;
/// How long they wait after a commit that failed.
const CHANGES_RETRY: Duration = Duration::from_secs(1);

/// What the writer is asked.
#[derive(Debug)]
pub(super) enum Job {
    /// Store a message and answer.
    Insert(Insert),
    /// Write what became of claims, some time soon.
    Change(Vec<Change>),
    /// Take messages from among the dead and answer.
    Exhume(Exhumation),
    /// Write what has been asked, then end.
    Close,
}

/// Buried messages that are to be tried again or forgotten.
#[derive(Debug)]
pub(super) struct Exhumation {
    pub(super) ids: Vec<i64>,
    pub(super) fate: Fate,
    /// How many there were.
    pub(super) reply: oneshot::Sender<Result<u64>>,
}

/// A message to store.
#[derive(Debug)]
pub(super) struct Insert {
    pub(super) id: i64,
    pub(super) lane: Lane,
    pub(super) body: Bytes,
    pub(super) reply: oneshot::Sender<Result<()>>,
    /// Its share of the uncommitted bytes, given back when it is dropped.
    pub(super) room: OwnedSemaphorePermit,
}

/// The commit of a whole group failed, for one cause.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a group of {size} messages could not be committed")]
struct GroupFailed {
    size: usize,
    #[source]
    source: Arc<sqlx::Error>,
}

/// The task and what it has in hand.
pub(super) struct Writer {
    file: QueueFile,
    inbox: mpsc::Receiver<Job>,
    shared: Arc<Shared>,
    sync_delay: Duration,
    inserts: Vec<Insert>,
    insert_bytes: usize,
    /// Bounded by the messages in the queue: each of them changes once between two hand-outs.
    changes: Vec<Change>,
    write_changes_at: Option<Instant>,
    /// Bounded by the channel: they are done after each commit.
    exhumations: Vec<Exhumation>,
    /// The last commit failed.
    failed: bool,
    closing: bool,
    rate: Rate,
}

impl Writer {
    pub(super) fn new(file: QueueFile, inbox: mpsc::Receiver<Job>, shared: Arc<Shared>, sync_delay: Duration) -> Self {
        Writer {
            file,
            inbox,
            shared,
            sync_delay,
            inserts: Vec::new(),
            insert_bytes: 0,
            changes: Vec::new(),
            write_changes_at: None,
            exhumations: Vec::new(),
            failed: false,
            closing: false,
            rate: Rate::new(),
        }
    }

    /// Ends when it is asked to, or when nobody is left who could ask.
    pub(super) async fn run(mut self) {
        while !self.closing {
            self.gather().await;
            self.write().await;
            self.exhume().await;
        }
        while let Ok(job) = self.inbox.try_recv() {
            self.take(job);
            if self.is_full() {
                self.write().await;
            }
        }
        self.write().await;
        self.exhume().await;
        self.file.close().await;
    }

    /// Waits for something to write, and then for company where that is worth it.
    async fn gather(&mut self) {
        while self.inserts.is_empty() && self.exhumations.is_empty() && (self.changes.len() < CHANGES_ENOUGH || self.waits_after_failure()) && !self.closing {
            let job = match self.write_changes_at {
                Some(at) => match timeout_at(at, self.inbox.recv()).await {
                    Ok(job) => job,
                    Err(_) => return,
                },
                None => self.inbox.recv().await,
            };
            self.take(job.unwrap_or(Job::Close));
        }
        let end = Instant::now() + LINGER;
        let mut pause = Instant::now() + PAUSE;
        while !self.is_full() && !self.closing {
            if let Ok(job) = self.inbox.try_recv() {
                self.take(job);
                pause = Instant::now() + PAUSE;
                continue;
            }
            if self.inserts.is_empty() || self.inserts.len() >= ENOUGH || !self.rate.is_brisk() {
                break;
            }
            match timeout_at(end.min(pause), self.inbox.recv()).await {
                Ok(job) => self.take(job.unwrap_or(Job::Close)),
                Err(_) => break,
            }
            pause = Instant::now() + PAUSE;
        }
        self.rate.note(self.inserts.len());
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Insert(insert) => {
                self.insert_bytes += insert.body.len();
                self.inserts.push(insert);
            }
            Job::Change(changes) => {
                self.changes.extend(changes);
                self.write_changes_at.get_or_insert_with(|| Instant::now() + CHANGES_WAIT);
            }
            Job::Exhume(exhumation) => self.exhumations.push(exhumation),
            Job::Close => {
                self.closing = true;
                self.inbox.close();
            }
        }
    }

    /// After a failed commit its changes are tried again when it is time, however many they are: not at once, over and over.
    fn waits_after_failure(&self) -> bool {
        self.failed && self.write_changes_at.is_some_and(|at| at > Instant::now())
    }

    fn is_full(&self) -> bool {
        self.inserts.len() >= GROUP_MESSAGES || self.insert_bytes >= GROUP_BYTES
    }

    /// Commits what is in hand and answers. A group that fails is refused as a whole; its changes are kept for the next.
    async fn write(&mut self) {
        let mut inserts = std::mem::take(&mut self.inserts);
        self.insert_bytes = 0;
        self.leave_out_what_is_done(&mut inserts);
        if inserts.is_empty() && self.changes.is_empty() {
            return;
        }
        let size = inserts.len();
        let committed = self.file.commit(&inserts, &self.changes).await;
        if !self.sync_delay.is_zero() {
            tokio::time::sleep(self.sync_delay).await;
        }
        self.failed = committed.is_err();
        match committed {
            Ok(()) => {
                let buried = self.changes.iter().filter(|change| matches!(change, Change::Bury { .. })).count();
                self.changes.clear();
                self.write_changes_at = None;
                self.note_commit(size, buried);
                {
                    let mut board = self.shared.board();
                    board.stored(inserts.iter().map(|insert| insert.id));
                    board.show_depth();
                }
                for insert in inserts {
                    answer(insert, Ok(()));
                }
            }
            Err(source) => {
                let failed = GroupFailed {
                    size,
                    source: Arc::new(source),
                };
                metrics::counter!("pipecast_queue_failed_commits_total").increment(1);
                tracing::error!(error = %failed.source, group.messages = size, "cannot write the queue file: {}", failed.source);
                self.write_changes_at = (!self.changes.is_empty()).then(|| Instant::now() + CHANGES_RETRY);
                {
                    let mut board = self.shared.board();
                    inserts.iter().for_each(|insert| board.forget(insert.id));
                }
                for insert in inserts {
                    let source = Box::new(failed.clone());
                    answer(
                        insert,
                        Err(Error::Unavailable {
                            attempted: "append to the queue file",
                            source,
                        }),
                    );
                }
            }
        }
    }

    /// Takes messages from among the dead, each asking in a transaction of its own; those that are tried again can be picked once that is
    /// committed, under the ids that they had.
    async fn exhume(&mut self) {
        for Exhumation { ids, fate, reply } in std::mem::take(&mut self.exhumations) {
            let exhumed = self
                .file
                .exhume(&ids, fate)
                .await
                .map_err(unavailable("take buried messages from the queue file"));
            let count = exhumed.and_then(|rows| {
                if fate == Fate::Retried {
                    let mut board = self.shared.board();
                    for (id, word, bytes) in &rows {
                        board.restore(*id, lane(*id, word)?, 0, usize::try_from(*bytes).unwrap_or_default(), None);
                    }
                    board.show_depth();
                }
                Ok(rows.len() as u64)
            });
            self.shared.ready.notify_one();
            // Whoever asked and has gone away needs no answer.
            drop(reply.send(count));
        }
    }

    /// A message whose claim is acked before it was ever written has had its effect, durably: its sender may go, and no row is needed.
    fn leave_out_what_is_done(&mut self, inserts: &mut Vec<Insert>) {
        if inserts.is_empty() || self.changes.is_empty() {
            return;
        }
        let acked: HashSet<i64> = self.changes.iter().filter_map(Change::deleted).collect();
        let mut done = HashSet::new();
        for insert in inserts.extract_if(.., |insert| acked.contains(&insert.id)) {
            done.insert(insert.id);
            answer(insert, Ok(()));
        }
        self.changes.retain(|change| change.deleted().is_none_or(|id| !done.contains(&id)));
        if self.changes.is_empty() {
            self.write_changes_at = None;
        }
    }

    fn note_commit(&self, size: usize, buried: usize) {
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("pipecast_queue_commits_total").increment(1);
        metrics::counter!("pipecast_queue_buried_total").increment(buried as u64);
        if size > 0 {
            metrics::histogram!("pipecast_queue_group_messages").record(size as f64);
        }
    }
}

/// A sender that has gone away needs no answer.
fn answer(insert: Insert, result: Result<()>) {
    drop(insert.room);
    drop(insert.reply.send(result));
}

/// How many sends come in a millisecond, smoothed over a few groups.
struct Rate {
    per_millisecond: f64,
    noted: Instant,
}

impl Rate {
    fn new() -> Self {
        Rate {
            per_millisecond: 0.0,
            noted: Instant::now(),
        }
    }

    fn note(&mut self, sends: usize) {
        let now = Instant::now();
        let elapsed = (now - self.noted).as_secs_f64() * 1000.0;
        self.noted = now;
        // Half of the past is forgotten with each group, so that a lone burst does not slow down those who come after it.
        self.per_millisecond = self.per_millisecond / 2.0 + sends as f64 / elapsed.max(0.1) / 2.0;
    }

    fn is_brisk(&self) -> bool {
        self.per_millisecond >= BRISK
    }
}
