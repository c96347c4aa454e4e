//! Executions: the row of one attempt, written by merge and read as the API shows it.
//! Knows nothing of which pipeline status follows from it.

use pipecast_model::{Execution, ExecutionFacts, ExecutionId, PipelineId, PipelineKey, ProjectId, Status, Timestamp};
use sqlx::QueryBuilder;

use crate::engine::{Pool, on};
use crate::error::Attempt;
use crate::pipeline::{key_text, parse_key};
use crate::stamps::{Record, StampColumns, Stamping, Stamps, StatusColumns};
use crate::{ExecutionQuery, Reader, Result};

/// Rows in one statement.
const ROWS: usize = 100;

macro_rules! select_executions {
    ($rest:literal) => {
        concat!(
            "SELECT id, project_id, pipeline_id, external_id, attempt, ordinal, pipeline_key, status, raw_status, raw_conclusion, finished_at, number, title,
                branch, commit_sha, event, actor, url, queued_at, started_at, stale, previous_status, seq, updated_at, version, stamps
            FROM executions ",
            $rest
        )
    };
}

mod writing;

pub(crate) use writing::ExecutionWrite;

/// An execution's row.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ExecutionRow {
    pub(crate) id: ExecutionId,
    project_id: ProjectId,
    pub(crate) pipeline_id: PipelineId,
    external_id: String,
    pub(crate) attempt: i64,
    #[sqlx(flatten)]
    pub(crate) columns: ExecutionColumns,
    pub(crate) stale: bool,
    pub(crate) previous_status: Option<Status>,
    pub(crate) seq: i64,
    pub(crate) updated_at: Timestamp,
    #[sqlx(flatten)]
    pub(crate) stamps: StampColumns,
}

/// What of it is told by deliveries.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct ExecutionColumns {
    pub(crate) ordinal: i64,
    pub(crate) pipeline_key: Option<String>,
    #[sqlx(flatten)]
    pub(crate) status: StatusColumns,
    pub(crate) number: Option<i64>,
    title: Option<String>,
    branch: Option<String>,
    commit_sha: Option<String>,
    event: Option<String>,
    actor: Option<String>,
    url: Option<String>,
    queued_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
}

impl Record for ExecutionColumns {
    type Facts = ExecutionFacts;

    fn columns(facts: &ExecutionFacts, stamps: &mut Stamping) -> Self {
        ExecutionColumns {
            ordinal: facts.ordinal,
            pipeline_key: stamps.value("pipeline", &facts.pipeline).as_ref().map(key_text),
            status: stamps.status(&facts.status),
            number: stamps.value("number", &facts.number),
            title: stamps.value("title", &facts.title),
            branch: stamps.value("branch", &facts.branch),
            commit_sha: stamps.value("commit_sha", &facts.commit_sha),
            event: stamps.value("event", &facts.event),
            actor: stamps.value("actor", &facts.actor),
            url: stamps.value("url", &facts.url),
            queued_at: stamps.value("queued_at", &facts.queued_at),
            started_at: stamps.value("started_at", &facts.started_at),
        }
    }

    fn facts(self, told: &ExecutionFacts, stamps: &Stamps) -> ExecutionFacts {
        ExecutionFacts {
            external_id: told.external_id.clone(),
            attempt: told.attempt,
            ordinal: self.ordinal,
            pipeline: stamps.told("pipeline", self.pipeline_key.as_deref().map(parse_key)),
            status: stamps.told_status(self.status),
            number: stamps.told("number", self.number),
            title: stamps.told("title", self.title),
            branch: stamps.told("branch", self.branch),
            commit_sha: stamps.told("commit_sha", self.commit_sha),
            event: stamps.told("event", self.event),
            actor: stamps.told("actor", self.actor),
            url: stamps.told("url", self.url),
            queued_at: stamps.told("queued_at", self.queued_at),
            started_at: stamps.told("started_at", self.started_at),
        }
    }

    fn merge(told: ExecutionFacts, stored: ExecutionFacts) -> ExecutionFacts {
        told.merge(stored)
    }
}

impl ExecutionColumns {
    /// The pipeline that it was told to belong to.
    pub(crate) fn pipeline(&self) -> Option<PipelineKey> {
        self.pipeline_key.as_deref().map(parse_key)
    }
}

impl From<ExecutionRow> for Execution {
    fn from(row: ExecutionRow) -> Self {
        let ExecutionColumns {
            status: told,
            ordinal: _,
            pipeline_key: _,
            ..
        } = &row.columns;
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| Some(to?.millis_since(from?).max(0));
        Execution {
            id: row.id,
            pipeline_id: row.pipeline_id,
            external_id: row.external_id,
            attempt: row.attempt,
            status: told.status,
            state: told.status.state().to_owned(),
            outcome: told.status.outcome().map(str::to_owned),
            duration_ms: between(row.columns.started_at, told.finished_at),
            queue_ms: between(row.columns.queued_at, row.columns.started_at),
            number: row.columns.number,
            title: row.columns.title,
            raw_status: row.columns.status.raw_status,
            raw_conclusion: row.columns.status.raw_conclusion,
            branch: row.columns.branch,
            commit_sha: row.columns.commit_sha,
            event: row.columns.event,
            actor: row.columns.actor,
            url: row.columns.url,
            queued_at: row.columns.queued_at,
            started_at: row.columns.started_at,
            finished_at: row.columns.status.finished_at,
            stale: row.stale,
            seq: row.seq,
            updated_at: row.updated_at,
        }
    }
}

impl Reader {
    /// One execution.
    pub async fn find_execution(&self, id: ExecutionId) -> Result<Option<Execution>> {
        const SQL: &str = select_executions!("WHERE id = $1");
        let row: Option<ExecutionRow> = on!(&self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await).attempted("find an execution")?;
        Ok(row.map(Execution::from))
    }

    /// A page of executions, each with its ordinal (part of the key of `ExecutionQuery::after`).
    pub async fn list_executions(&self, query: &ExecutionQuery) -> Result<Vec<(i64, Execution)>> {
        let rows: Vec<ExecutionRow> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(select_executions!("WHERE TRUE"));
            if let Some(pipeline) = query.pipeline {
                sql.push(" AND pipeline_id = ").push_bind(pipeline);
            }
            if let Some(branch) = &query.branch {
                sql.push(" AND branch = ").push_bind(branch);
            }
            if !query.statuses.is_empty() {
                let mut list = sql.push(" AND status IN (").separated(", ");
                for status in &query.statuses {
                    list.push_bind(status.word());
                }
                sql.push(")");
            }
            if let Some((number, ordinal, attempt, id)) = query.after {
                let mut key = sql.push(" AND (coalesce(number, 0), ordinal, attempt, id) < (").separated(", ");
                key.push_bind(number).push_bind(ordinal).push_bind(attempt).push_bind(id);
                sql.push(")");
            }
            sql.push(" ORDER BY coalesce(number, 0) DESC, ordinal DESC, attempt DESC, id DESC LIMIT ")
                .push_bind(query.limit);
            sql.build_query_as().fetch_all(db).await
        })
        .attempted("list executions")?;
        Ok(rows.into_iter().map(|row| (row.columns.ordinal, row.into())).collect())
    }
}

/// The rows of these executions, in no order; ids without a row are left out.
pub(crate) async fn executions_by_id(pool: &Pool, ids: &[ExecutionId]) -> Result<Vec<ExecutionRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    on!(pool, |db| {
        let mut sql = QueryBuilder::new(select_executions!("WHERE id IN ("));
        let mut list = sql.separated(", ");
        for id in ids {
            list.push_bind(id);
        }
        sql.push(")").build_query_as().fetch_all(db).await
    })
    .attempted("read executions")
}
