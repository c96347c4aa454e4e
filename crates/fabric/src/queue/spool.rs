//! A queue elsewhere with a bounded spool here: while the other one is away, messages are safe in a file and go there later.
//! Knows nothing of brokers: both are queues, and the spool is the embedded one.
//!
//! `send` asks the primary queue. Where that fails, or has not answered within `patience`, the message is spooled too, and the first
//! that has it answers; so it may come twice. After a few such sends in a row the primary is left alone, and everything is spooled
//! at once, until a spooled message has reached it.
//!
//! One task moves what is spooled to the primary, in order as far as the primary takes it, and deletes it here only when it is
//! stored there. Claims, verdicts and burials are the primary's.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{Either, join_all, select};
use pipecast_model::{Lane, with_causes};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::embedded::EmbeddedQueue;
use super::{Claim, ClaimId, Dead, DeadId, Durability, Queue, Verdict};
use crate::{Error, Result};

/// So many sends in a row that the primary did not take in time open the breaker.
const STRIKES: u32 = 3;
/// How often a primary that takes nothing is asked again.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Messages on their way from the spool to the primary at once.
const DRAIN_AT_ONCE: usize = 64;
/// From here on a spool counts as nearly full.
const NEARLY_FULL: f64 = 0.8;
/// How long a spool counts as failing after it could not write. Not for ever: who leads senders elsewhere would never see it well again.
const FAILING_FOR: Duration = Duration::from_secs(10);

/// What the names of buried messages begin with that lie in the spool.
const OF_SPOOL: &str = "spool-";

/// The two queues as one.
pub struct SpooledQueue {
    pair: Arc<Pair>,
    closing: CancellationToken,
    drain: Mutex<Option<JoinHandle<()>>>,
}

struct Pair {
    primary: Arc<dyn Queue>,
    spool: EmbeddedQueue,
    patience: Duration,
    /// Sends in a row that the primary did not take.
    strikes: AtomicU32,
    /// When the spool last could not write, unless it has written since.
    failed: Mutex<Option<Instant>>,
}

impl SpooledQueue {
    /// Puts `spool` before `primary` and begins to move over what the spool holds. `patience` is how long a send waits for the
    /// primary alone. The spool is opened with `max_failures` 1: what can never leave it is buried there at once.
    pub fn new(primary: Arc<dyn Queue>, spool: EmbeddedQueue, patience: Duration) -> Self {
        let pair = Arc::new(Pair {
            primary,
            spool,
            patience,
            strikes: AtomicU32::new(0),
            failed: Mutex::default(),
        });
        let closing = CancellationToken::new();
        metrics::gauge!("pipecast_spool_open").set(0.0);
        let drain = tokio::spawn(Arc::clone(&pair).drain(closing.clone()));
        SpooledQueue {
            pair,
            closing,
            drain: Mutex::new(Some(drain)),
        }
    }

    /// Whether the spool is at 80 % of what it may hold: time to lead senders elsewhere while the primary is away, before they
    /// are refused.
    pub fn is_nearly_full(&self) -> bool {
        self.pair.spool.fullness() >= NEARLY_FULL
    }

    /// Whether the spool could not write when it was last asked to, a moment ago: the disk is full or broken.
    pub fn is_failing(&self) -> bool {
        self.pair.failed().is_some_and(|failed| failed.elapsed() < FAILING_FOR)
    }

    /// How many messages of a lane wait in the spool.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn spooled(&self, lane: Lane) -> Result<u64> {
        self.pair.spool.depth(lane).await
    }
}

impl Pair {
    fn is_open(&self) -> bool {
        self.strikes.load(Ordering::Relaxed) >= STRIKES
    }

    fn taken(&self) {
        // Nearly always there is nothing to forget.
        if self.strikes.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.strikes.swap(0, Ordering::Relaxed) >= STRIKES {
            tracing::info!("the queue takes messages again; what is spooled follows");
            metrics::gauge!("pipecast_spool_open").set(0.0);
        }
    }

    fn strike(&self, why: &str) {
        if self.strikes.fetch_add(1, Ordering::Relaxed) + 1 == STRIKES {
            tracing::warn!("the queue takes nothing, spooling here until it does: {why}");
            metrics::gauge!("pipecast_spool_open").set(1.0);
        }
    }

    async fn send(&self, lane: Lane, message: Bytes) -> Result<Durability> {
        if self.is_open() {
            return match self.spool(lane, message.clone()).await {
                Err(refused @ (Error::Full { .. } | Error::Unavailable { .. })) => {
                    // The last resort, and a message more than if it were not tried.
                    let sent = timeout(self.patience, self.primary.send(lane, message)).await;
                    let stored = sent.ok().and_then(Result::ok).ok_or(refused)?;
                    self.taken();
                    Ok(stored)
                }
                spooled => spooled,
            };
        }
        let mut sending = pin!(self.primary.send(lane, message.clone()));
        match timeout(self.patience, sending.as_mut()).await {
            Ok(Ok(stored)) => {
                self.taken();
                Ok(stored)
            }
            Ok(Err(error @ (Error::TooLarge { .. } | Error::Closed(_)))) => Err(error),
            Ok(Err(error)) => {
                self.strike(&with_causes(&error));
                self.spool(lane, message).await
            }
            Err(_) => {
                self.strike("no confirm in time");
                let spooling = pin!(self.spool(lane, message));
                match select(sending, spooling).await {
                    Either::Left((Ok(stored), _)) => Ok(stored),
                    Either::Left((Err(_), spooling)) => spooling.await,
                    Either::Right((Ok(stored), _)) => Ok(stored),
                    // What the spool says is what there is to do something about.
                    Either::Right((Err(refused), sending)) => sending.await.map_err(|_| refused),
                }
            }
        }
    }

    async fn spool(&self, lane: Lane, message: Bytes) -> Result<Durability> {
        let spooled = self.spool.send(lane, message).await;
        *self.failed() = matches!(spooled, Err(Error::Unavailable { .. })).then(Instant::now);
        spooled?;
        metrics::counter!("pipecast_spool_spooled_total").increment(1);
        self.show();
        Ok(Durability::Spool)
    }

    /// A short lock, never held over an await.
    fn failed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self) {
        metrics::gauge!("pipecast_spool_fullness").set(self.spool.fullness());
    }

    /// Moves what is spooled until `closing`. What it holds then stays in the file.
    async fn drain(self: Arc<Self>, closing: CancellationToken) {
        loop {
            let claims = match closing.run_until_cancelled(self.spool.receive(DRAIN_AT_ONCE)).await {
                Some(Ok(claims)) => claims,
                Some(Err(Error::Closed(_))) | None => return,
                Some(Err(error)) => {
                    tracing::error!("cannot read the spool: {}", with_causes(&error));
                    closing.run_until_cancelled(sleep(PROBE_EVERY)).await;
                    continue;
                }
            };
            if closing.run_until_cancelled(self.move_over(claims)).await.is_none() {
                return;
            }
            self.show();
        }
    }

    /// Claims are kept in hand until the primary has them: given back, they would go behind younger ones.
    async fn move_over(&self, mut claims: Vec<Claim>) {
        while !claims.is_empty() {
            // The oldest goes ahead: it is the probe.
            let rest = claims.split_off(1);
            claims = self.move_together(claims).await;
            if claims.is_empty() {
                claims = self.move_together(rest).await;
            } else {
                claims.extend(rest);
            }
            if !claims.is_empty() {
                sleep(PROBE_EVERY).await;
            }
        }
    }

    /// Returns those that the primary did not take.
    async fn move_together(&self, claims: Vec<Claim>) -> Vec<Claim> {
        // Begun in their order, and the primary keeps it.
        let sent = join_all(claims.iter().map(|claim| self.primary.send(claim.lane, claim.message.clone()))).await;
        let mut verdicts = Vec::with_capacity(claims.len());
        let mut left = Vec::new();
        for (claim, sent) in claims.into_iter().zip(sent) {
            match sent {
                Ok(_) => verdicts.push((claim.id, Verdict::Ack)),
                Err(error @ Error::TooLarge { .. }) => {
                    tracing::error!("a spooled message can never be moved, it is buried in the spool: {error}");
                    verdicts.push((claim.id, Verdict::Fail(error.to_string())));
                }
                Err(error) => {
                    tracing::debug!("cannot move a spooled message yet: {}", with_causes(&error));
                    left.push(claim);
                }
            }
        }
        let moved = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Ack).count();
        if moved > 0 {
            self.taken();
            metrics::counter!("pipecast_spool_drained_total").increment(moved as u64);
        }
        if let Err(error) = self.spool.settle(verdicts).await {
            tracing::warn!(
                "cannot delete what has been moved from the spool, it will be moved again: {}",
                with_causes(&error)
            );
        }
        left
    }
}

#[async_trait]
impl Queue for SpooledQueue {
    async fn send(&self, lane: Lane, message: Bytes) -> Result<Durability> {
        self.pair.send(lane, message).await
    }

    async fn receive(&self, most: usize) -> Result<Vec<Claim>> {
        self.pair.primary.receive(most).await
    }

    async fn settle(&self, verdicts: Vec<(ClaimId, Verdict)>) -> Result<()> {
        self.pair.primary.settle(verdicts).await
    }

    /// What waits at the primary and in the spool.
    async fn depth(&self, lane: Lane) -> Result<u64> {
        Ok(self.pair.spool.depth(lane).await? + self.pair.primary.depth(lane).await?)
    }

    /// The primary's, then those that could never leave the spool.
    async fn list_dead(&self, after: Option<&DeadId>, most: usize) -> Result<Vec<Dead>> {
        let spooled = after.and_then(in_spool);
        let mut dead = match &spooled {
            Some(_) => Vec::new(),
            None => self.pair.primary.list_dead(after, most).await?,
        };
        if dead.len() < most {
            let of_spool = self.pair.spool.list_dead(spooled.as_ref(), most - dead.len()).await?;
            dead.extend(of_spool.into_iter().map(of_the_spool));
        }
        Ok(dead)
    }

    async fn which_are_dead(&self, ids: &[DeadId]) -> Result<Vec<DeadId>> {
        let (spooled, others) = apart(ids);
        let mut there = Vec::new();
        if !others.is_empty() {
            there = self.pair.primary.which_are_dead(&others).await?;
        }
        if !spooled.is_empty() {
            let of_spool = self.pair.spool.which_are_dead(&spooled).await?;
            there.extend(of_spool.iter().map(name_in_spool));
        }
        Ok(there)
    }

    async fn find_dead(&self, id: &DeadId) -> Result<Option<Dead>> {
        match in_spool(id) {
            Some(id) => Ok(self.pair.spool.find_dead(&id).await?.map(of_the_spool)),
            None => self.pair.primary.find_dead(id).await,
        }
    }

    /// Those of the spool go on from there: they are moved to the primary.
    async fn retry_dead(&self, ids: &[DeadId]) -> Result<u64> {
        let (spooled, others) = apart(ids);
        let mut count = 0;
        if !others.is_empty() {
            count += self.pair.primary.retry_dead(&others).await?;
        }
        if !spooled.is_empty() {
            count += self.pair.spool.retry_dead(&spooled).await?;
        }
        Ok(count)
    }

    async fn drop_dead(&self, ids: &[DeadId]) -> Result<u64> {
        let (spooled, others) = apart(ids);
        let mut count = 0;
        if !others.is_empty() {
            count += self.pair.primary.drop_dead(&others).await?;
        }
        if !spooled.is_empty() {
            count += self.pair.spool.drop_dead(&spooled).await?;
        }
        Ok(count)
    }

    async fn close(&self) {
        self.closing.cancel();
        let drain = self.drain.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(drain) = drain
            && let Err(error) = drain.await
        {
            tracing::error!(%error, "the drain of the spool ended badly");
        }
        self.pair.spool.close().await;
        self.pair.primary.close().await;
    }
}

/// Its name in the spool, where that is where it lies.
fn in_spool(id: &DeadId) -> Option<DeadId> {
    id.0.strip_prefix(OF_SPOOL).map(|id| DeadId(id.to_owned()))
}

fn of_the_spool(dead: Dead) -> Dead {
    Dead {
        id: name_in_spool(&dead.id),
        ..dead
    }
}

fn name_in_spool(id: &DeadId) -> DeadId {
    DeadId(format!("{OF_SPOOL}{}", id.0))
}

/// Those of the spool, and those of the primary.
fn apart(ids: &[DeadId]) -> (Vec<DeadId>, Vec<DeadId>) {
    let spooled = ids.iter().filter_map(in_spool).collect();
    let others = ids.iter().filter(|id| in_spool(id).is_none()).cloned().collect();
    (spooled, others)
}

impl Drop for SpooledQueue {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}
