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

impl Writer {
    pub(crate) async fn open(options: &Options) -> Result<Self> {
        let on = crate::engine::connect_writer(options).await?;
        Ok(Writer { on })
    }

    /// Begins a transaction. On SQLite it waits for the one before.
    pub async fn begin(&self) -> Result<Tx> {
        let on = match &self.on {
            On::Sqlite(pool) => pool.begin_with("BEGIN IMMEDIATE").await.map(On::Sqlite),
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
