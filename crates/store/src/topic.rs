//! Topics: which delivery gave which sequence, and what has not been announced yet.
//! Knows nothing of the rows behind a topic.

use std::collections::HashMap;

use pipecast_model::{DeliveryId, PipelineId, Timestamp, Topic};
use sqlx::QueryBuilder;

use crate::engine::{On, Pool, on};
use crate::error::Attempt;
use crate::writer::Tx;
use crate::{Error, Reader, Result};

/// Rows in one statement; both engines take several times as many values.
const ROWS: usize = 500;

impl Reader {
    /// Topics that changed and have not been announced, the oldest first, at most `limit`.
    pub async fn list_dirty(&self, limit: i64) -> Result<Vec<Topic>> {
        const SQL: &str = "SELECT topic FROM dirty_topics ORDER BY marked_at, topic LIMIT $1";
        let topics: Vec<String> = on!(&self.on, |db| sqlx::query_scalar(SQL).bind(limit).fetch_all(db).await).attempted("list what is not announced")?;
        let parse = |text: String| {
            text.parse().map_err(|_| Error::Corrupt {
                what: format!("topic {text:?}"),
            })
        };
        topics.into_iter().map(parse).collect()
    }
}

/// The last changes of pipelines, as far back as changes are kept: sequence and instant. Most that are asked for have none.
pub(crate) async fn last_changes(on: &Pool, pipelines: &[PipelineId]) -> Result<Vec<(PipelineId, i64, Timestamp)>> {
    if pipelines.is_empty() {
        return Ok(Vec::new());
    }
    let by_name: HashMap<String, PipelineId> = pipelines.iter().map(|id| (Topic::Pipeline(*id).to_string(), *id)).collect();
    let rows: Vec<(String, i64, Timestamp)> = on!(on, |db| {
        let mut sql = QueryBuilder::new("SELECT topic, max(seq), max(at) FROM topic_changes WHERE topic IN (");
        let mut names = sql.separated(", ");
        for name in by_name.keys() {
            names.push_bind(name);
        }
        sql.push(") GROUP BY topic");
        sql.build_query_as().fetch_all(db).await
    })
    .attempted("read the last changes of topics")?;
    Ok(rows.into_iter().filter_map(|(name, seq, at)| Some((*by_name.get(&name)?, seq, at))).collect())
}

impl Tx {
    /// Notes that these topics reached these sequences, and by which delivery. Returns the topics.
    pub(crate) fn record_topics(&mut self, delivery: Option<DeliveryId>, mut changed: Vec<(Topic, i64)>) -> Vec<Topic> {
        changed.sort_unstable();
        self.unwritten.topics.extend(changed.iter().map(|(topic, seq)| (*topic, *seq, delivery)));
        changed.into_iter().map(|(topic, _)| topic).collect()
    }

    /// Writes which topics changed, and marks them for announcing: the last rows of a transaction, and sorted, so that two writers
    /// take them in one order.
    pub(crate) async fn write_topics(&mut self) -> Result<()> {
        let mut changed = std::mem::take(&mut self.unwritten.topics);
        changed.sort_unstable();
        let now = Timestamp::now();
        for rows in changed.chunks(ROWS) {
            on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new("INSERT INTO topic_changes (topic, seq, delivery_id, at) ");
                sql.push_values(rows, |mut row, (topic, seq, delivery)| {
                    row.push_bind(topic.to_string()).push_bind(seq).push_bind(delivery).push_bind(now);
                });
                sql.build().execute(&mut **db).await.map(drop)
            })
            .attempted("record which topics changed")?;
        }
        // One row a topic: the last of its sequences.
        let newest: Vec<_> = changed.chunk_by(|one, next| one.0 == next.0).filter_map(<[_]>::last).collect();
        for rows in newest.chunks(ROWS) {
            on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new("INSERT INTO dirty_topics (topic, seq, marked_at) ");
                sql.push_values(rows, |mut row, (topic, seq, _)| {
                    row.push_bind(topic.to_string()).push_bind(seq).push_bind(now);
                });
                sql.push(" ON CONFLICT (topic) DO UPDATE SET seq = excluded.seq");
                sql.build().execute(&mut **db).await.map(drop)
            })
            .attempted("mark topics for announcing")?;
        }
        Ok(())
    }

    /// Takes topics out of the dirty ones, where no later sequence than the announced one is there.
    ///
    /// It never waits: a topic that another writer holds is about to get a later sequence, so it stays.
    pub async fn clear_dirty(&mut self, announced: &[(Topic, i64)]) -> Result<()> {
        // Only PostgreSQL has other writers, and words for leaving their rows alone.
        let passing_by_locks = match &self.on {
            On::Sqlite(_) => ")",
            On::Postgres(_) => " FOR UPDATE SKIP LOCKED)",
        };
        for rows in announced.chunks(ROWS) {
            on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new("DELETE FROM dirty_topics WHERE topic IN (SELECT topic FROM dirty_topics WHERE ");
                let mut any = sql.separated(" OR ");
                for (topic, seq) in rows {
                    any.push("(topic = ").push_bind_unseparated(topic.to_string());
                    any.push_unseparated(" AND seq <= ").push_bind_unseparated(seq).push_unseparated(")");
                }
                sql.push(passing_by_locks).build().execute(&mut **db).await.map(drop)
            })
            .attempted("note what was announced")?;
        }
        Ok(())
    }
}
