//! Takes away what is older than it may be, and marks executions that have been silent for too long.
//! Knows nothing of tables; it goes in small transactions, so that the consumer never waits long behind it.
//!
//! It announces nothing: what it marks is left dirty, and a worker finds it within seconds.

use std::sync::Arc;
use std::time::Duration;

use pipecast_model::Timestamp;
use pipecast_store::{Pruned, Purged, Result, Retention, Task, Tx, Writer};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::chain;

/// How often.
const EVERY: Duration = Duration::from_secs(60);
/// Rows of one transaction.
const AT_ONCE: i64 = 500;
/// Transactions of one round; what is left then waits for the next.
const ROUNDS: usize = 400;

/// How long what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Deliveries and their bodies.
    pub keep: Retention,
    /// Silence after which an open execution is stale.
    pub stale_after: Duration,
    /// How long what was deleted can be restored.
    pub deleted: Duration,
}

/// Tidies every minute until it is asked to end, by the settings as they are then. Of several processes that do, one works at a time and
/// the others let it.
pub async fn run(settings: watch::Receiver<Settings>, writer: Arc<Writer>, ending: CancellationToken) {
    let mut minutes = interval(EVERY);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = ending.cancelled() => return,
            _ = minutes.tick() => {}
        }
        let settings = *settings.borrow();
        if let Err(error) = prune(&settings.keep, &writer, &ending).await {
            warn!("cannot prune, trying again in {EVERY:?}: {}", chain(&error));
        }
        if let Err(error) = forget_answers(&writer).await {
            warn!("cannot forget answers that are kept for a day, trying again in {EVERY:?}: {}", chain(&error));
        }
        if let Err(error) = prune_accounts(&writer, &ending).await {
            warn!("cannot prune sessions, trying again in {EVERY:?}: {}", chain(&error));
        }
        if let Err(error) = purge(settings.deleted, &writer, &ending).await {
            warn!("cannot purge what was deleted, trying again in {EVERY:?}: {}", chain(&error));
        }
        if let Err(error) = mark_stale(settings.stale_after, &writer, &ending).await {
            warn!("cannot mark stale executions, trying again in {EVERY:?}: {}", chain(&error));
        }
    }
}

/// Sessions that are over, tokens that nobody can use any more, and what has failed long ago.
async fn prune_accounts(writer: &Writer, ending: &CancellationToken) -> Result<()> {
    for _ in 0..ROUNDS {
        if ending.is_cancelled() {
            break;
        }
        let Some(mut tx) = begin_alone(writer).await? else { break };
        if tx.prune_accounts(Timestamp::now(), AT_ONCE).await? == 0 {
            break;
        }
        tx.commit().await?;
    }
    Ok(())
}

async fn prune(keep: &Retention, writer: &Writer, ending: &CancellationToken) -> Result<()> {
    let mut sum = Pruned::default();
    for _ in 0..ROUNDS {
        if ending.is_cancelled() {
            break;
        }
        let Some(mut tx) = begin_alone(writer).await? else { break };
        let pruned = tx.prune(keep, Timestamp::now(), AT_ONCE).await?;
        if pruned == Pruned::default() {
            // Dropped: nothing was written, so no sync is due.
            break;
        }
        tx.commit().await?;
        sum.bodies += pruned.bodies;
        sum.deliveries += pruned.deliveries;
        sum.changes += pruned.changes;
    }
    if sum != Pruned::default() {
        info!(
            bodies = sum.bodies,
            deliveries = sum.deliveries,
            "pruned {} bodies and {} deliveries",
            sum.bodies,
            sum.deliveries
        );
    }
    Ok(())
}

/// Sources, users and tokens that were deleted so long ago that nobody restores them.
async fn purge(after: Duration, writer: &Writer, ending: &CancellationToken) -> Result<()> {
    for _ in 0..ROUNDS {
        if ending.is_cancelled() {
            break;
        }
        let Some(mut tx) = begin_alone(writer).await? else { break };
        let Purged { sources, users, tokens } = tx.purge(Timestamp::now().minus(after), AT_ONCE).await?;
        if sources + users + tokens == 0 {
            break;
        }
        tx.commit().await?;
        info!(sources, users, tokens, "purged {sources} sources, {users} users and {tokens} tokens");
    }
    Ok(())
}

/// What was answered under a key is answered again for a day.
async fn forget_answers(writer: &Writer) -> Result<()> {
    let Some(mut tx) = begin_alone(writer).await? else { return Ok(()) };
    match tx.forget_answers(Timestamp::now().minus(crate::once::KEPT), AT_ONCE).await? {
        // Dropped: nothing was written, so no sync is due.
        0 => Ok(()),
        _ => tx.commit().await,
    }
}

async fn mark_stale(after: Duration, writer: &Writer, ending: &CancellationToken) -> Result<()> {
    for _ in 0..ROUNDS {
        if ending.is_cancelled() {
            break;
        }
        let Some(mut tx) = begin_alone(writer).await? else { break };
        if tx.mark_stale(Timestamp::now().minus(after), AT_ONCE).await?.is_empty() {
            break;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// A transaction that has retention to itself; `None` where another process is at it.
async fn begin_alone(writer: &Writer) -> Result<Option<Tx>> {
    let mut tx = writer.begin().await?;
    Ok(tx.has_alone(Task::Retention).await?.then_some(tx))
}
