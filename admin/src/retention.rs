//! Takes away what is older than it may be, and marks executions that have been silent for too long.
//! Knows nothing of tables; it goes in small transactions, so that the consumer never waits long behind it.
//!
//! It announces nothing: what it marks is left dirty, and a worker finds it within seconds.

use std::sync::Arc;
use std::time::Duration;

use pipecast_model::{Timestamp, with_causes};
use pipecast_store::{Pruned, Purged, Result, Retention, Task, Tx, Writer};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::once;

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
        let Settings { keep, stale_after, deleted } = *settings.borrow();
        for chore in [
            Chore::Deliveries(keep),
            Chore::Answers,
            Chore::Accounts,
            Chore::Deleted(deleted),
            Chore::Silent(stale_after),
            Chore::Names,
        ] {
            if let Err(error) = in_rounds(chore, &writer, &ending).await {
                warn!("cannot {}, trying again in {EVERY:?}: {}", chore.told(), with_causes(&error));
            }
        }
    }
}

/// Something to tidy.
#[derive(Clone, Copy, Debug)]
enum Chore {
    /// Deliveries, their bodies, and what they changed.
    Deliveries(Retention),
    /// What was answered under a key, which is answered again for a day.
    Answers,
    /// Sessions that are over, tokens that nobody can use any more, and what has failed long ago.
    Accounts,
    /// Sources, users and tokens that were deleted so long ago that nobody restores them.
    Deleted(Duration),
    /// Executions that have been silent for so long.
    Silent(Duration),
    /// Names that an older build has written, which lists search in a form that it did not keep.
    Names,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    pruned: Pruned,
    purged: Purged,
    /// Rows of which nobody needs to hear.
    others: u64,
}

impl Chore {
    /// What could not be done.
    fn told(self) -> &'static str {
        match self {
            Chore::Deliveries(_) => "prune deliveries",
            Chore::Answers => "forget answers that are kept for a day",
            Chore::Accounts => "prune sessions",
            Chore::Deleted(_) => "purge what was deleted",
            Chore::Silent(_) => "mark stale executions",
            Chore::Names => "fold names",
        }
    }

    /// Does what fits into one transaction.
    async fn tidy(self, tx: &mut Tx) -> Result<Done> {
        let now = Timestamp::now();
        let mut done = Done::default();
        match self {
            Chore::Deliveries(keep) => done.pruned = tx.prune(&keep, now, AT_ONCE).await?,
            Chore::Answers => done.others = tx.forget_answers(now.minus(once::KEPT), AT_ONCE).await?,
            Chore::Accounts => done.others = tx.prune_accounts(now, AT_ONCE).await?,
            Chore::Deleted(after) => done.purged = tx.purge(now.minus(after), AT_ONCE).await?,
            Chore::Names => done.others = tx.fold_names(AT_ONCE).await?,
            Chore::Silent(after) => done.others = tx.mark_stale(now.minus(after), AT_ONCE).await?.len() as u64,
        }
        Ok(done)
    }
}

impl Done {
    fn add(&mut self, more: Done) {
        self.pruned.bodies += more.pruned.bodies;
        self.pruned.deliveries += more.pruned.deliveries;
        self.pruned.changes += more.pruned.changes;
        self.purged.sources += more.purged.sources;
        self.purged.users += more.purged.users;
        self.purged.tokens += more.purged.tokens;
        self.others += more.others;
    }

    fn tell(self) {
        let Pruned { bodies, deliveries, changes } = self.pruned;
        if self.pruned != Pruned::default() {
            info!(
                bodies,
                deliveries, changes, "pruned {bodies} bodies, {deliveries} deliveries and {changes} changes of topics"
            );
        }
        let Purged { sources, users, tokens } = self.purged;
        if self.purged != Purged::default() {
            info!(sources, users, tokens, "purged {sources} sources, {users} users and {tokens} tokens");
        }
    }
}

/// Tidies in one transaction after the other until there is nothing more to do, and tells what was done. It ends before that where another process
/// is at it, after [`ROUNDS`], and with the service.
async fn in_rounds(chore: Chore, writer: &Writer, ending: &CancellationToken) -> Result<()> {
    let mut sum = Done::default();
    let ended = rounds(chore, writer, ending, &mut sum).await;
    sum.tell();
    ended
}

async fn rounds(chore: Chore, writer: &Writer, ending: &CancellationToken, sum: &mut Done) -> Result<()> {
    for _ in 0..ROUNDS {
        if ending.is_cancelled() {
            break;
        }
        let Some(mut tx) = begin_alone(writer).await? else { break };
        let done = chore.tidy(&mut tx).await?;
        if done == Done::default() {
            // Dropped: nothing was written, so no sync is due.
            break;
        }
        tx.commit().await?;
        sum.add(done);
    }
    Ok(())
}

/// A transaction that has retention to itself; `None` where another process is at it.
async fn begin_alone(writer: &Writer) -> Result<Option<Tx>> {
    let mut tx = writer.begin().await?;
    Ok(tx.has_alone(Task::Retention).await?.then_some(tx))
}

#[cfg(test)]
mod tests {
    use pipecast_store::Options;
    use sqlx::{Connection, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn everything_that_is_old_goes_in_one_look_however_much_it_is() {
        const MANY: &str = "
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1200)
            INSERT INTO idempotent_answers (caller, key_hash, request_hash, created_at, sealed)
            SELECT 'user:1', n, '', 1, '' FROM numbers";
        let folder = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", folder.path().join("pipecast.db").display());
        let options = Options {
            url: url.clone(),
            read_url: None,
            read_connections: 2,
            acquire_timeout: Duration::from_secs(5),
            first_id: 1,
        };
        pipecast_store::migrate(&options).await.expect("a schema");
        let (_, writer) = pipecast_store::open(&options).await.expect("a database");
        let mut own = SqliteConnection::connect(&url).await.expect("a connection");
        sqlx::query(MANY).execute(&mut own).await.expect("rows");

        in_rounds(Chore::Answers, &writer, &CancellationToken::new()).await.expect("forgotten");

        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotent_answers")
            .fetch_one(&mut own)
            .await
            .expect("a count");
        assert_eq!(left, 0, "more than {AT_ONCE} in one look");
    }
}
