//! What the database says in the end, of either engine, read past the service.
//! Knows nothing of how it came to be.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Context;
use pipecast::simulate::run::ExecutionKey;
use pipecast_model::{Host, Timestamp};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

/// A row of the ledger, as far as it matters here.
pub struct Row {
    /// `applied`, `ignored`…
    pub outcome: String,
    /// How often the same key came again.
    pub repeats: i64,
    /// When it was written.
    pub recorded_at: Timestamp,
}

/// A change that a delivery made to a topic.
pub struct Change {
    /// Of the delivery.
    pub host: Host,
    /// Of the delivery.
    pub key: String,
    /// As in `pipeline:7`.
    pub topic: String,
    /// Which sequence the topic got by it.
    pub seq: i64,
}

/// Sequence and status of topics.
pub type States = HashMap<String, (i64, String)>;

/// An open database.
pub enum Ledger {
    /// The file of one process.
    Sqlite(SqliteConnection),
    /// The server of many.
    Postgres(PgConnection),
}

/// The same statement on whichever engine it is.
macro_rules! on {
    ($ledger:expr, |$db:ident| $query:expr) => {
        match $ledger {
            Ledger::Sqlite($db) => $query,
            Ledger::Postgres($db) => $query,
        }
    };
}

impl Ledger {
    /// Opens the database of the service whose data is in `data`, without being able to write.
    pub async fn in_folder(data: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(data.join("pipecast.db"))
            .read_only(true)
            .disable_statement_logging();
        Ok(Ledger::Sqlite(options.connect().await.context("cannot open the database")?))
    }

    /// Every delivery by host and key.
    pub async fn deliveries(&mut self) -> anyhow::Result<HashMap<(Host, String), Row>> {
        const SQL: &str = "SELECT host, delivery_key, outcome, repeats, recorded_at FROM deliveries WHERE delivery_key IS NOT NULL";
        let rows: Vec<(String, String, String, i64, i64)> = on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(host, key, outcome, repeats, at)| {
                let recorded_at = Timestamp(at);
                Ok(((host.parse()?, key), Row { outcome, repeats, recorded_at }))
            })
            .collect()
    }

    /// How many deliveries stand in it.
    pub async fn count(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT COUNT(*) FROM deliveries").await
    }

    /// Topics that have changed and were not announced yet.
    pub async fn dirty(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT COUNT(*) FROM dirty_topics").await
    }

    /// Deliveries that gave one topic more than one sequence.
    pub async fn applied_twice(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT COUNT(*) FROM (SELECT 1 FROM topic_changes WHERE delivery_id IS NOT NULL GROUP BY topic, delivery_id HAVING COUNT(*) > 1) AS twice")
            .await
    }

    /// Topics whose changes are not numbered from 1 without a hole.
    pub async fn holes(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT COUNT(*) FROM (SELECT 1 FROM topic_changes GROUP BY topic HAVING MIN(seq) <> 1 OR MAX(seq) <> COUNT(*)) AS holes")
            .await
    }

    /// The status of every execution.
    pub async fn executions(&mut self) -> anyhow::Result<BTreeMap<ExecutionKey, String>> {
        const SQL: &str = "
            SELECT s.host, p.external_id, e.external_id, e.attempt, e.status
            FROM executions e
            JOIN projects p ON p.id = e.project_id
            JOIN sources s ON s.id = p.source_id";
        let rows: Vec<(String, String, String, i64, String)> = on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(host, project, run, attempt, status)| {
                let host = host.parse()?;
                Ok((ExecutionKey { host, project, run, attempt }, status))
            })
            .collect()
    }

    /// Sequence and status of every pipeline and execution, by topic.
    pub async fn states(&mut self) -> anyhow::Result<States> {
        const SQL: &str = "
            SELECT 'pipeline:' || id, seq, status FROM pipelines
            UNION ALL
            SELECT 'execution:' || id, seq, status FROM executions";
        let rows: Vec<(String, i64, String)> = on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await)?;
        Ok(rows.into_iter().map(|(topic, seq, status)| (topic, (seq, status))).collect())
    }

    /// What deliveries changed in pipelines.
    pub async fn changes(&mut self) -> anyhow::Result<Vec<Change>> {
        const SQL: &str = "
            SELECT d.host, d.delivery_key, t.topic, t.seq
            FROM topic_changes t
            JOIN deliveries d ON d.id = t.delivery_id
            WHERE t.topic LIKE 'pipeline:%' AND d.delivery_key IS NOT NULL";
        let rows: Vec<(String, String, String, i64)> = on!(self, |db| sqlx::query_as(SQL).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(host, key, topic, seq)| {
                let host = host.parse()?;
                Ok(Change { host, key, topic, seq })
            })
            .collect()
    }

    /// Changes it past the service, to see whether that is noticed.
    pub async fn falsify(&mut self, sql: &str) -> anyhow::Result<()> {
        let changed = on!(self, |db| sqlx::query(AssertSqlSafe(sql.to_owned()))
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        anyhow::ensure!(changed == 1, "{changed} rows were changed, not 1");
        Ok(())
    }

    async fn number(&mut self, query: &'static str) -> anyhow::Result<i64> {
        Ok(on!(self, |db| sqlx::query_scalar(query).fetch_one(db).await)?)
    }
}
