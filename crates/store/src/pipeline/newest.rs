//! Which execution of a pipeline is the newest: by number and attempt, never by arrival.
//! Knows nothing of what a pipeline shows of it.

use pipecast_model::{ExecutionId, PipelineId, Status};

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::execution::ExecutionRow;
use crate::writer::Tx;

/// The newest execution of a pipeline, with what makes it so.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct Newest {
    number: i64,
    ordinal: i64,
    attempt: i64,
    pub(crate) id: ExecutionId,
    pub(crate) status: Status,
}

impl Newest {
    fn of(row: &ExecutionRow) -> Self {
        Newest {
            number: row.columns.number.unwrap_or(0),
            ordinal: row.columns.ordinal,
            attempt: row.attempt,
            id: row.id,
            status: row.columns.status.status,
        }
    }

    fn key(&self) -> (i64, i64, i64, ExecutionId) {
        (self.number, self.ordinal, self.attempt, self.id)
    }
}

impl Tx {
    /// The newest execution of a pipeline with its status; `None` for an empty one.
    pub(crate) async fn newest_execution(&mut self, pipeline: PipelineId) -> Result<Option<Newest>> {
        if let Some(newest) = self.known.newest.get(&pipeline) {
            return Ok(Some(*newest));
        }
        if self.known.executions.values().any(|row| row.pipeline_id == pipeline) {
            self.write_executions().await?;
        }
        const SQL: &str = "
            SELECT coalesce(number, 0) AS number, ordinal, attempt, id, status
            FROM executions
            WHERE pipeline_id = $1
            ORDER BY coalesce(number, 0) DESC, ordinal DESC, attempt DESC, id DESC
            LIMIT 1";
        let newest: Option<Newest> =
            on!(&mut self.on, |db| sqlx::query_as(SQL).bind(pipeline).fetch_optional(&mut **db).await).attempted("find the newest execution of a pipeline")?;
        if let Some(newest) = newest {
            self.known.newest.insert(pipeline, newest);
        }
        Ok(newest)
    }

    /// Takes note of an execution's row as it is from now on. Where that leaves open which one is the newest, it is asked for again.
    pub(crate) fn compare_newest(&mut self, before: Option<&ExecutionRow>, row: &ExecutionRow) {
        if let Some(left) = before.map(|before| before.pipeline_id).filter(|left| *left != row.pipeline_id) {
            self.known.newest.remove(&left);
        }
        let Some(newest) = self.known.newest.get_mut(&row.pipeline_id) else { return };
        let now = Newest::of(row);
        if now.key() >= newest.key() {
            *newest = now;
        } else if now.id == newest.id {
            self.known.newest.remove(&row.pipeline_id);
        }
    }
}
