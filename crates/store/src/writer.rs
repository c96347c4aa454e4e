//! The only way to write: a transaction, and how one begins, ends and goes back to a savepoint.
//! What can be written lies beside the table that it is written to: see `recording`, `delivery`, `topic`, `stale` and `prune`.

use std::collections::HashMap;

use pipecast_model::{Host, PipelineId, PipelineKey, ProjectId, SourceId};
use sqlx::{Postgres, Sqlite, Transaction};

use crate::engine::{On, Pool, on};
use crate::error::Attempt;
use crate::pipeline::PipelineRow;
use crate::project::ProjectRow;
use crate::{Options, Result};

/// The side that can begin a transaction, and nothing else.
#[derive(Debug)]
pub struct Writer {
    on: Pool,
}

/// A transaction. Dropped without `commit`, it is undone.
#[derive(Debug)]
pub struct Tx {
    pub(crate) on: On<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>,
    pub(crate) known: Known,
}

/// What this transaction has read under its own locks and need not read again. It ends with the transaction, so it is bounded by what
/// one batch of deliveries speaks of.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) sources: HashMap<(Host, String), SourceId>,
    pub(crate) projects: HashMap<(SourceId, String), ProjectRow>,
    pub(crate) pipelines: HashMap<(ProjectId, PipelineKey), PipelineId>,
    pub(crate) pipeline_rows: HashMap<PipelineId, PipelineRow>,
}

/// Takes the write lock at once, so that no transaction fails half-way because another one writes.
const BEGIN: &str = "BEGIN IMMEDIATE";

impl Writer {
    pub(crate) async fn open(options: &Options) -> Result<Self> {
        let on = crate::engine::connect_writer(options).await?;
        Ok(Writer { on })
    }

    /// Begins a transaction. On SQLite it waits for the one before.
    ///
    /// # Errors
    /// `Unavailable` where none can be begun within the time that `Options::acquire_timeout` allows.
    pub async fn begin(&self) -> Result<Tx> {
        let on = match &self.on {
            On::Sqlite(pool) => match pool.begin_with(BEGIN).await {
                // A full disk made SQLite undo a transaction by itself, and the connection still counts it as open. It would for ever,
                // so it is replaced; there is only this one.
                Err(sqlx::Error::InvalidSavePointStatement) => {
                    pool.acquire()
                        .await
                        .attempted("give up a broken connection")?
                        .close()
                        .await
                        .attempted("give up a broken connection")?;
                    pool.begin_with(BEGIN).await
                }
                begun => begun,
            }
            .map(On::Sqlite),
            On::Postgres(pool) => pool.begin().await.map(On::Postgres),
        };
        Ok(Tx {
            on: on.attempted("begin a transaction")?,
            known: Known::default(),
        })
    }
}

impl Tx {
    /// Marks a point to come back to.
    pub async fn savepoint(&mut self) -> Result<()> {
        self.run("SAVEPOINT delivery", "mark a savepoint").await
    }

    /// Undoes everything since the savepoint, and forgets it.
    pub async fn roll_back(&mut self) -> Result<()> {
        // What was read since then may be undone too, and with it the locks that made it safe to remember.
        self.known = Known::default();
        self.run("ROLLBACK TO SAVEPOINT delivery", "go back to a savepoint").await?;
        self.release().await
    }

    /// Keeps everything since the savepoint, and forgets it.
    pub async fn release(&mut self) -> Result<()> {
        self.run("RELEASE SAVEPOINT delivery", "release a savepoint").await
    }

    async fn run(&mut self, sql: &'static str, attempted: &'static str) -> Result<()> {
        on!(&mut self.on, |db| sqlx::query(sql).execute(&mut **db).await.map(drop)).attempted(attempted)
    }

    /// Makes it all so, durably.
    pub async fn commit(self) -> Result<()> {
        on!(self.on, |db| db.commit().await).attempted("commit")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use bytes::Bytes;
    use pipecast_model::{Delivery, DeliveryId, Timestamp};

    use super::*;
    use crate::{Error, Noted};

    fn delivery(bytes: usize) -> Delivery {
        let id = DeliveryId::fresh();
        Delivery {
            id,
            host: Host::Gitlab,
            source: "default".into(),
            event: "Job Hook".into(),
            key: None,
            body_sha256: id.to_string(),
            received_at: Timestamp::now(),
            headers: Vec::new(),
            replay_of: None,
            body: Bytes::from(vec![b'x'; bytes]),
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_unavailable_and_passes_with_the_space() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            url: format!("sqlite:{}", directory.path().join("pipecast.db").display()),
            read_url: None,
            read_connections: 1,
            acquire_timeout: Duration::from_secs(5),
            first_id: 1,
        };
        crate::migrate(&options).await.unwrap();
        let writer = Writer::open(&options).await.unwrap();
        let On::Sqlite(pool) = &writer.on else {
            unreachable!("it was opened by its path")
        };
        sqlx::query("PRAGMA max_page_count = 100").execute(pool).await.unwrap();

        let mut tx = writer.begin().await.unwrap();
        let error = tx.note_delivery(&delivery(1 << 20)).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        drop(tx);
        sqlx::query("PRAGMA max_page_count = 100000").execute(pool).await.unwrap();

        let mut tx = writer.begin().await.unwrap();
        assert_eq!(tx.note_delivery(&delivery(1 << 20)).await.unwrap(), Noted::New);
        tx.commit().await.unwrap();
    }
}
