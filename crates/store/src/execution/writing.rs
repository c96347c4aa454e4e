//! Writing executions: rows are read under the project's lock, kept while a batch changes them, and written once.
//! Knows nothing of how they are shown.

use std::collections::BTreeSet;

use pipecast_model::{ExecutionId, PipelineId, ProjectId, Status, Timestamp};
use sqlx::QueryBuilder;

use super::{ExecutionColumns, ExecutionRow, ROWS};
use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::known::AttemptKey;
use crate::stamps::{News, StampColumns};
use crate::writer::Tx;

/// An execution as it is to be written.
pub(crate) struct ExecutionWrite<'a> {
    pub(crate) project: ProjectId,
    pub(crate) pipeline: PipelineId,
    pub(crate) external_id: &'a str,
    pub(crate) attempt: i64,
    pub(crate) columns: ExecutionColumns,
    pub(crate) stamps: StampColumns,
    pub(crate) before: Option<&'a ExecutionRow>,
    /// `Values` where the row, or one of its jobs, changed in a way that can be seen.
    pub(crate) news: News,
}

impl Tx {
    /// The row of an attempt, if there is one. Its project is locked.
    pub(crate) async fn stored_execution(&mut self, project: ProjectId, external_id: &str, attempt: i64) -> Result<Option<ExecutionRow>> {
        let key = (project, external_id.to_owned(), attempt);
        if let Some(row) = self.known.executions.get(&key) {
            return Ok(Some(row.clone()));
        }
        if self.known.absent_executions.contains(&key) {
            return Ok(None);
        }
        const SQL: &str = select_executions!("WHERE project_id = $1 AND external_id = $2 AND attempt = $3");
        let row: Option<ExecutionRow> = on!(&mut self.on, |db| sqlx::query_as(SQL)
            .bind(project)
            .bind(external_id)
            .bind(attempt)
            .fetch_optional(&mut **db)
            .await)
        .attempted("read an execution")?;
        if let Some(row) = &row {
            self.known.executions.insert(key, row.clone());
        }
        Ok(row)
    }

    /// Reads the rows of attempts together, and remembers which of them are not there.
    pub(crate) async fn know_executions(&mut self, wanted: &BTreeSet<AttemptKey>) -> Result<()> {
        let wanted: Vec<&AttemptKey> = wanted.iter().filter(|key| !self.known.executions.contains_key(key)).collect();
        for keys in wanted.chunks(ROWS) {
            let rows: Vec<ExecutionRow> = on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new(select_executions!("WHERE (project_id, external_id, attempt) IN ("));
                sql.push_values(keys, |mut row, (project, external_id, attempt)| {
                    row.push_bind(*project).push_bind(external_id).push_bind(*attempt);
                });
                sql.push(")").build_query_as().fetch_all(&mut **db).await
            })
            .attempted("read executions")?;
            self.known.absent_executions.extend(keys.iter().map(|key| (*key).clone()));
            for row in rows {
                let key = (row.project_id, row.external_id.clone(), row.attempt);
                self.known.absent_executions.remove(&key);
                self.known.executions.insert(key, row);
            }
        }
        Ok(())
    }

    /// Keeps an attempt's row until it is written; one that is new is written at once, because its id is needed. Returns its id and
    /// sequence.
    pub(crate) async fn write_execution(&mut self, write: ExecutionWrite<'_>) -> Result<(ExecutionId, i64)> {
        let now = Timestamp::now();
        let (previous_status, seq, updated_at) = match write.before {
            Some(row) if write.news == News::Values => {
                let previous = Some(row.columns.status.status).filter(|previous| *previous != write.columns.status.status);
                (previous, row.seq + 1, now)
            }
            Some(row) => (row.previous_status, row.seq, row.updated_at),
            None => (None, 1, now),
        };
        let key = (write.project, write.external_id.to_owned(), write.attempt);
        let id = match write.before {
            Some(row) => row.id,
            None => self.add_execution(&write).await?,
        };
        let row = ExecutionRow {
            id,
            project_id: write.project,
            pipeline_id: write.pipeline,
            external_id: write.external_id.to_owned(),
            attempt: write.attempt,
            columns: write.columns,
            stale: false,
            previous_status,
            seq,
            updated_at,
            stamps: write.stamps,
        };
        self.compare_newest(write.before, &row);
        self.known.executions.insert(key.clone(), row);
        self.unwritten.executions.insert(key);
        if write.before.is_some_and(|before| before.pipeline_id != write.pipeline) {
            // The pipeline that it has left must not find it any more.
            self.write_executions().await?;
        }
        Ok((id, seq))
    }

    /// The row of an attempt with its keys alone; what was told of it follows with the others.
    async fn add_execution(&mut self, write: &ExecutionWrite<'_>) -> Result<ExecutionId> {
        const SQL: &str = "
            INSERT INTO executions (project_id, pipeline_id, external_id, attempt, ordinal, number, status, stale, seq, updated_at, heard_at, stamps)
            VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE, 1, $8, $8, '{}')
            RETURNING id";
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(write.project)
            .bind(write.pipeline)
            .bind(write.external_id)
            .bind(write.attempt)
            .bind(write.columns.ordinal)
            .bind(write.columns.number)
            .bind(write.columns.status.status.word())
            .bind(Timestamp::now())
            .fetch_one(&mut **db)
            .await)
        .attempted("record an execution")
    }

    /// Writes the rows of executions that wait for it. Something was just heard of each.
    pub(crate) async fn write_executions(&mut self) -> Result<()> {
        const ADD: &str = "
            INSERT INTO executions (id, project_id, pipeline_id, external_id, attempt, ordinal, pipeline_key, status, raw_status, raw_conclusion,
                finished_at, number, title, branch, commit_sha, event, actor, url, queued_at, started_at, stale, previous_status, seq, updated_at,
                heard_at, version, stamps) ";
        const REPLACE: &str = "
            ON CONFLICT (id) DO UPDATE
            SET (pipeline_id, ordinal, pipeline_key, status, raw_status, raw_conclusion, finished_at, number, title, branch, commit_sha, event,
                actor, url, queued_at, started_at, stale, previous_status, seq, updated_at, heard_at, version, stamps)
                = (excluded.pipeline_id, excluded.ordinal, excluded.pipeline_key, excluded.status, excluded.raw_status, excluded.raw_conclusion,
                    excluded.finished_at, excluded.number, excluded.title, excluded.branch, excluded.commit_sha, excluded.event, excluded.actor,
                    excluded.url, excluded.queued_at, excluded.started_at, excluded.stale, excluded.previous_status, excluded.seq,
                    excluded.updated_at, excluded.heard_at, excluded.version, excluded.stamps)";
        let waiting = std::mem::take(&mut self.unwritten.executions);
        let rows: Vec<&ExecutionRow> = waiting.iter().filter_map(|key| self.known.executions.get(key)).collect();
        let now = Timestamp::now();
        for rows in rows.chunks(ROWS) {
            on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new(ADD);
                sql.push_values(rows, |mut values, row| {
                    let columns = &row.columns;
                    values
                        .push_bind(row.id)
                        .push_bind(row.project_id)
                        .push_bind(row.pipeline_id)
                        .push_bind(&row.external_id)
                        .push_bind(row.attempt)
                        .push_bind(columns.ordinal)
                        .push_bind(&columns.pipeline_key)
                        .push_bind(columns.status.status.word())
                        .push_bind(&columns.status.raw_status)
                        .push_bind(&columns.status.raw_conclusion)
                        .push_bind(columns.status.finished_at)
                        .push_bind(columns.number)
                        .push_bind(&columns.title)
                        .push_bind(&columns.branch)
                        .push_bind(&columns.commit_sha)
                        .push_bind(&columns.event)
                        .push_bind(&columns.actor)
                        .push_bind(&columns.url)
                        .push_bind(columns.queued_at)
                        .push_bind(columns.started_at)
                        .push_bind(row.stale)
                        .push_bind(row.previous_status.map(Status::word))
                        .push_bind(row.seq)
                        .push_bind(row.updated_at)
                        .push_bind(now)
                        .push_bind(&row.stamps.version)
                        .push_bind(&row.stamps.stamps);
                });
                sql.push(REPLACE).build().execute(&mut **db).await.map(drop)
            })
            .attempted("record executions")?;
        }
        Ok(())
    }

    /// Which executions lie in a pipeline.
    pub(crate) async fn executions_of(&mut self, pipeline: PipelineId) -> Result<Vec<ExecutionId>> {
        const SQL: &str = "SELECT id FROM executions WHERE pipeline_id = $1 ORDER BY id";
        on!(&mut self.on, |db| sqlx::query_scalar(SQL).bind(pipeline).fetch_all(&mut **db).await).attempted("list the executions of a pipeline")
    }

    /// Puts an execution into another pipeline without counting it as a change, for one that this delivery has counted already.
    pub(crate) async fn move_execution(&mut self, id: ExecutionId, to: PipelineId) -> Result<()> {
        const SQL: &str = "UPDATE executions SET pipeline_id = $2 WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL).bind(id).bind(to).execute(&mut **db).await.map(drop)).attempted("move an execution")
    }

    /// Counts a change of an execution whose status stays, and returns its new sequence.
    pub(crate) async fn count_execution(&mut self, id: ExecutionId) -> Result<i64> {
        const SQL: &str = "UPDATE executions SET seq = seq + 1, previous_status = NULL, updated_at = $2 WHERE id = $1 RETURNING seq";
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(id)
            .bind(Timestamp::now())
            .fetch_one(&mut **db)
            .await)
        .attempted("record an execution")
    }
}
