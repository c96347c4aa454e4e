//! What the database says in the end, read through a connection that cannot write.
//! Knows nothing of how it came to be.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Context;
use pipecast::simulate::run::ExecutionKey;
use pipecast_model::Host;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// A row of the ledger, as far as it matters here.
pub(super) struct Row {
    /// `applied`, `ignored`…
    pub(super) outcome: String,
    /// How often the same key came again.
    pub(super) repeats: i64,
}

/// An open database.
pub(super) struct Ledger(SqliteConnection);

impl Ledger {
    /// Opens the database of the service whose data is in `data`.
    pub(super) async fn open(data: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(data.join("pipecast.db"))
            .read_only(true)
            .disable_statement_logging();
        Ok(Ledger(options.connect().await.context("cannot open the database")?))
    }

    /// Every delivery by host and key.
    pub(super) async fn deliveries(&mut self) -> anyhow::Result<HashMap<(Host, String), Row>> {
        let rows: Vec<(String, String, String, i64)> =
            sqlx::query_as("SELECT host, delivery_key, outcome, repeats FROM deliveries WHERE delivery_key IS NOT NULL")
                .fetch_all(&mut self.0)
                .await?;
        rows.into_iter()
            .map(|(host, key, outcome, repeats)| Ok(((host.parse()?, key), Row { outcome, repeats })))
            .collect()
    }

    /// How many deliveries stand in it.
    pub(super) async fn count(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT COUNT(*) FROM deliveries").await
    }

    /// Topics that have changed and were not announced yet.
    pub(super) async fn dirty(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT COUNT(*) FROM dirty_topics").await
    }

    /// Deliveries that gave one topic more than one sequence.
    pub(super) async fn applied_twice(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT COUNT(*) FROM (SELECT 1 FROM topic_changes WHERE delivery_id IS NOT NULL GROUP BY topic, delivery_id HAVING COUNT(*) > 1)")
            .await
    }

    /// Topics whose changes are not numbered from 1 without a hole.
    pub(super) async fn holes(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT COUNT(*) FROM (SELECT 1 FROM topic_changes GROUP BY topic HAVING MIN(seq) <> 1 OR MAX(seq) <> COUNT(*))")
            .await
    }

    /// The status of every execution.
    pub(super) async fn executions(&mut self) -> anyhow::Result<BTreeMap<ExecutionKey, String>> {
        let rows: Vec<(String, String, String, i64, String)> = sqlx::query_as(
            "SELECT s.host, p.external_id, e.external_id, e.attempt, e.status FROM executions e JOIN projects p ON p.id = e.project_id JOIN sources s ON s.id = p.source_id",
        )
        .fetch_all(&mut self.0)
        .await?;
        rows.into_iter()
            .map(|(host, project, run, attempt, status)| {
                let host = host.parse()?;
                Ok((ExecutionKey { host, project, run, attempt }, status))
            })
            .collect()
    }

    /// Sequence and status of every pipeline and execution, by topic.
    pub(super) async fn states(&mut self) -> anyhow::Result<HashMap<String, (i64, String)>> {
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT 'pipeline:' || id, seq, status FROM pipelines UNION ALL SELECT 'execution:' || id, seq, status FROM executions")
                .fetch_all(&mut self.0)
                .await?;
        Ok(rows.into_iter().map(|(topic, seq, status)| (topic, (seq, status))).collect())
    }

    /// Closes it.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        Ok(self.0.close().await?)
    }

    async fn number(&mut self, query: &'static str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(&mut self.0).await?)
    }
}
