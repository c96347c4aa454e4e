//! Jobs: the row of one job, written by merge and read as the API shows it.
//! Knows nothing of the execution beyond its id.

use pipecast_model::{ExecutionId, Job, JobFacts, JobId, Step, Timestamp};
use sqlx::QueryBuilder;
use sqlx::types::Json;

use crate::engine::{Pool, on};
use crate::error::Attempt;
use crate::stamps::{News, Record, StampColumns, Stamping, Stamps, StatusColumns, merge};
use crate::writer::Tx;
use crate::{Reader, Result};

/// At most this many jobs, the first by id, travel with an execution's state.
pub(crate) const JOBS_IN_STATE: i64 = 500;

macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "SELECT id, execution_id, external_id, name, stage, status, raw_status, raw_conclusion, finished_at, allow_failure, runner, url, steps,
                queued_at, started_at, version, stamps
            FROM jobs ",
            $rest
        )
    };
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct JobRow {
    id: JobId,
    pub(crate) execution_id: ExecutionId,
    external_id: String,
    #[sqlx(flatten)]
    columns: JobColumns,
    #[sqlx(flatten)]
    stamps: StampColumns,
}

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct JobColumns {
    name: Option<String>,
    stage: Option<String>,
    #[sqlx(flatten)]
    status: StatusColumns,
    allow_failure: Option<bool>,
    runner: Option<String>,
    url: Option<String>,
    steps: Option<Json<Vec<Step>>>,
    queued_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
}

impl Record for JobColumns {
    type Facts = JobFacts;

    fn columns(facts: &JobFacts, stamps: &mut Stamping) -> Self {
        JobColumns {
            name: stamps.value("name", &facts.name),
            stage: stamps.value("stage", &facts.stage),
            status: stamps.status(&facts.status),
            allow_failure: stamps.value("allow_failure", &facts.allow_failure),
            runner: stamps.value("runner", &facts.runner),
            url: stamps.value("url", &facts.url),
            steps: stamps.value("steps", &facts.steps).map(Json),
            queued_at: stamps.value("queued_at", &facts.queued_at),
            started_at: stamps.value("started_at", &facts.started_at),
        }
    }

    fn facts(self, told: &JobFacts, stamps: &Stamps) -> JobFacts {
        JobFacts {
            execution: told.execution.clone(),
            attempt: told.attempt,
            external_id: told.external_id.clone(),
            name: stamps.told("name", self.name),
            stage: stamps.told("stage", self.stage),
            status: stamps.told_status(self.status),
            allow_failure: stamps.told("allow_failure", self.allow_failure),
            runner: stamps.told("runner", self.runner),
            url: stamps.told("url", self.url),
            steps: stamps.told("steps", self.steps.map(|steps| steps.0)),
            queued_at: stamps.told("queued_at", self.queued_at),
            started_at: stamps.told("started_at", self.started_at),
        }
    }

    fn merge(told: JobFacts, stored: JobFacts) -> JobFacts {
        told.merge(stored)
    }
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        let JobColumns { status, .. } = row.columns;
        Job {
            id: row.id,
            execution_id: row.execution_id,
            external_id: row.external_id,
            name: row.columns.name,
            stage: row.columns.stage,
            status: status.status,
            raw_status: status.raw_status,
            raw_conclusion: status.raw_conclusion,
            allow_failure: row.columns.allow_failure.unwrap_or(false),
            runner: row.columns.runner,
            url: row.columns.url,
            steps: row.columns.steps.map(|steps| steps.0).unwrap_or_default(),
            queued_at: row.columns.queued_at,
            started_at: row.columns.started_at,
            finished_at: status.finished_at,
        }
    }
}

impl Reader {
    /// Jobs of an execution by id, after `after`, at most `limit`.
    pub async fn list_jobs(&self, execution: ExecutionId, after: Option<JobId>, limit: i64) -> Result<Vec<Job>> {
        const SQL: &str = select_jobs!("WHERE execution_id = $1 AND id > $2 ORDER BY id LIMIT $3");
        let after = after.unwrap_or(JobId(i64::MIN));
        let rows: Vec<JobRow> = on!(&self.on, |db| sqlx::query_as(SQL).bind(execution).bind(after).bind(limit).fetch_all(db).await).attempted("list jobs")?;
        Ok(rows.into_iter().map(Job::from).collect())
    }

    /// One job.
    pub async fn find_job(&self, id: JobId) -> Result<Option<Job>> {
        const SQL: &str = select_jobs!("WHERE id = $1");
        let row: Option<JobRow> = on!(&self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await).attempted("find a job")?;
        Ok(row.map(Job::from))
    }
}

/// The first jobs of each of these executions, by execution and id.
pub(crate) async fn jobs_of(pool: &Pool, executions: &[ExecutionId]) -> Result<Vec<JobRow>> {
    if executions.is_empty() {
        return Ok(Vec::new());
    }
    on!(pool, |db| {
        let mut sql = QueryBuilder::new(select_jobs!(
            "WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY execution_id ORDER BY id) AS place FROM jobs WHERE execution_id IN ("
        ));
        let mut list = sql.separated(", ");
        for id in executions {
            list.push_bind(id);
        }
        sql.push(")) AS placed WHERE place <= ")
            .push_bind(JOBS_IN_STATE)
            .push(") ORDER BY execution_id, id");
        sql.build_query_as().fetch_all(db).await
    })
    .attempted("read jobs")
}

impl Tx {
    /// Merges what is told of jobs of one execution, and says whether any of it can be seen.
    pub(crate) async fn record_jobs(&mut self, execution: ExecutionId, told: &[&JobFacts]) -> Result<News> {
        let stored = match told {
            [] => return Ok(News::Nothing),
            [only] => self.stored_jobs(execution, Some(&only.external_id)).await?,
            _ => self.stored_jobs(execution, None).await?,
        };
        let mut news = News::Nothing;
        for job in told {
            let before = stored.iter().find(|row| row.external_id == job.external_id);
            let merged = merge(before.map(|row| (&row.columns, &row.stamps)), job)?;
            if merged.news > News::Nothing {
                self.write_job(execution, &job.external_id, &merged.columns, &merged.stamps, before.is_some())
                    .await?;
            }
            news = news.max(merged.news);
        }
        Ok(news)
    }

    async fn stored_jobs(&mut self, execution: ExecutionId, only: Option<&str>) -> Result<Vec<JobRow>> {
        const ALL: &str = select_jobs!("WHERE execution_id = $1");
        const ONE: &str = select_jobs!("WHERE execution_id = $1 AND external_id = $2");
        match only {
            Some(external_id) => on!(&mut self.on, |db| sqlx::query_as(ONE)
                .bind(execution)
                .bind(external_id)
                .fetch_all(&mut **db)
                .await),
            None => on!(&mut self.on, |db| sqlx::query_as(ALL).bind(execution).fetch_all(&mut **db).await),
        }
        .attempted("read the jobs of an execution")
    }

    /// Both statements take the same values in the same places.
    async fn write_job(&mut self, execution: ExecutionId, external_id: &str, columns: &JobColumns, stamps: &StampColumns, exists: bool) -> Result<()> {
        const INSERT: &str = "
            INSERT INTO jobs (execution_id, external_id, name, stage, status, raw_status, raw_conclusion, finished_at, allow_failure, runner, url,
                steps, queued_at, started_at, version, stamps)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
        const UPDATE: &str = "
            UPDATE jobs
            SET (name, stage, status, raw_status, raw_conclusion, finished_at, allow_failure, runner, url, steps, queued_at, started_at, version, stamps)
                = ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
            WHERE execution_id = $1 AND external_id = $2";
        on!(&mut self.on, |db| sqlx::query(if exists { UPDATE } else { INSERT })
            .bind(execution)
            .bind(external_id)
            .bind(&columns.name)
            .bind(&columns.stage)
            .bind(columns.status.status.word())
            .bind(&columns.status.raw_status)
            .bind(&columns.status.raw_conclusion)
            .bind(columns.status.finished_at)
            .bind(columns.allow_failure)
            .bind(&columns.runner)
            .bind(&columns.url)
            .bind(&columns.steps)
            .bind(columns.queued_at)
            .bind(columns.started_at)
            .bind(&stamps.version)
            .bind(&stamps.stamps)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("record a job")
    }
}
