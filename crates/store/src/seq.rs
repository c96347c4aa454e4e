//! Sequences alone: what has changed, without what it became. For whoever cannot hear the bus and has to look.

use pipecast_model::{ExecutionId, PipelineId, Topic};
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::Attempt;
use crate::{Reader, Result};

/// Ids in one statement.
const IDS: usize = 500;

impl Reader {
    /// The sequences of topics as their rows are now; a topic without a row is left out. Monitor is never asked for.
    pub async fn list_seqs(&self, topics: &[Topic]) -> Result<Vec<(Topic, i64)>> {
        let (mut pipelines, mut executions) = (Vec::new(), Vec::new());
        for topic in topics {
            match topic {
                Topic::Pipeline(PipelineId(id)) => pipelines.push(*id),
                Topic::Execution(ExecutionId(id)) => executions.push(*id),
                Topic::Monitor => {}
            }
        }
        let mut seqs = Vec::with_capacity(topics.len());
        for (id, seq) in self.seqs_in("SELECT id, seq FROM pipelines WHERE id IN (", &pipelines).await? {
            seqs.push((Topic::Pipeline(PipelineId(id)), seq));
        }
        for (id, seq) in self.seqs_in("SELECT id, seq FROM executions WHERE id IN (", &executions).await? {
            seqs.push((Topic::Execution(ExecutionId(id)), seq));
        }
        Ok(seqs)
    }

    /// Pipelines and their sequences, the last changed first, at most `limit`.
    pub async fn list_newest_seqs(&self, limit: i64) -> Result<Vec<(PipelineId, i64)>> {
        const SQL: &str = "SELECT id, seq FROM pipelines ORDER BY updated_at DESC, id DESC LIMIT $1";
        on!(&self.on, |db| sqlx::query_as(SQL).bind(limit).fetch_all(db).await).attempted("read the sequences of pipelines")
    }

    async fn seqs_in(&self, select: &'static str, ids: &[i64]) -> Result<Vec<(i64, i64)>> {
        let mut seqs = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS) {
            let rows: Vec<(i64, i64)> = on!(&self.on, |db| {
                let mut sql = QueryBuilder::new(select);
                let mut list = sql.separated(", ");
                for id in ids {
                    list.push_bind(*id);
                }
                sql.push(")").build_query_as().fetch_all(db).await
            })
            .attempted("read the sequences of topics")?;
            seqs.extend(rows);
        }
        Ok(seqs)
    }
}
