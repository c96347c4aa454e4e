//! Jobs: the row of one job, written by merge and read as the API shows it.
//! Knows nothing of the execution beyond its id.

use std::collections::BTreeSet;

use pipecast_model::{ExecutionId, Job, JobFacts, JobId, Step, Timestamp};
use sqlx::QueryBuilder;
use sqlx::types::Json;

use crate::engine::{Pool, on};
use crate::error::Attempt;
use crate::known::JobKey;
use crate::stamps::{News, Record, StampColumns, Stamping, Stamps, StatusColumns, merge};
use crate::writer::Tx;
use crate::{Reader, Result};

/// Rows in one statement.
const ROWS: usize = 100;

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
        match told {
            [] => return Ok(News::Nothing),
            [only] => self.know_job(execution, &only.external_id).await?,
            _ => self.know_jobs(execution).await?,
        }
        let mut news = News::Nothing;
        for job in told {
            let key = (execution, job.external_id.clone());
            let before = self.known.jobs.get(&key);
            let merged = merge(before.map(|row| (&row.columns, &row.stamps)), job)?;
            if merged.news > News::Nothing {
                let row = JobRow {
                    id: before.map_or(JobId(0), |row| row.id),
                    execution_id: execution,
                    external_id: job.external_id.clone(),
                    columns: merged.columns,
                    stamps: merged.stamps,
                };
                self.known.jobs.insert(key.clone(), row);
                self.unwritten.jobs.insert(key);
            }
            news = news.max(merged.news);
        }
        Ok(news)
    }

    /// Reads a job unless it is known.
    async fn know_job(&mut self, execution: ExecutionId, external_id: &str) -> Result<()> {
        const SQL: &str = select_jobs!("WHERE execution_id = $1 AND external_id = $2");
        let key = (execution, external_id.to_owned());
        if self.known.jobs.contains_key(&key) || self.known.all_jobs.contains(&execution) || self.known.absent_jobs.contains(&key) {
            return Ok(());
        }
        let row: Option<JobRow> = on!(&mut self.on, |db| sqlx::query_as(SQL)
            .bind(execution)
            .bind(external_id)
            .fetch_optional(&mut **db)
            .await)
        .attempted("read a job")?;
        if let Some(row) = row {
            self.known.jobs.insert(key, row);
        }
        Ok(())
    }

    /// Reads jobs together, and remembers which of them are not there.
    pub(crate) async fn know_single_jobs(&mut self, wanted: &BTreeSet<JobKey>) -> Result<()> {
        let wanted: Vec<&JobKey> = wanted.iter().filter(|key| !self.known.jobs.contains_key(key)).collect();
        for keys in wanted.chunks(ROWS) {
            let rows: Vec<JobRow> = on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new(select_jobs!("WHERE (execution_id, external_id) IN ("));
                sql.push_values(keys, |mut row, (execution, external_id)| {
                    row.push_bind(*execution).push_bind(external_id);
                });
                sql.push(")").build_query_as().fetch_all(&mut **db).await
            })
            .attempted("read jobs")?;
            self.known.absent_jobs.extend(keys.iter().map(|key| (*key).clone()));
            for row in rows {
                let key = (row.execution_id, row.external_id.clone());
                self.known.absent_jobs.remove(&key);
                self.known.jobs.insert(key, row);
            }
        }
        Ok(())
    }

    /// Reads every job of an execution, except those that are known.
    async fn know_jobs(&mut self, execution: ExecutionId) -> Result<()> {
        const SQL: &str = select_jobs!("WHERE execution_id = $1");
        if !self.known.all_jobs.insert(execution) {
            return Ok(());
        }
        let rows: Vec<JobRow> =
            on!(&mut self.on, |db| sqlx::query_as(SQL).bind(execution).fetch_all(&mut **db).await).attempted("read the jobs of an execution")?;
        for row in rows {
            self.known.jobs.entry((execution, row.external_id.clone())).or_insert(row);
        }
        Ok(())
    }

    /// Writes the rows of jobs that wait for it.
    pub(crate) async fn write_jobs(&mut self) -> Result<()> {
        const ADD: &str = "
            INSERT INTO jobs (execution_id, external_id, name, stage, status, raw_status, raw_conclusion, finished_at, allow_failure, runner, url,
                steps, queued_at, started_at, version, stamps) ";
        const REPLACE: &str = "
            ON CONFLICT (execution_id, external_id) DO UPDATE
            SET (name, stage, status, raw_status, raw_conclusion, finished_at, allow_failure, runner, url, steps, queued_at, started_at, version, stamps)
                = (excluded.name, excluded.stage, excluded.status, excluded.raw_status, excluded.raw_conclusion, excluded.finished_at,
                    excluded.allow_failure, excluded.runner, excluded.url, excluded.steps, excluded.queued_at, excluded.started_at,
                    excluded.version, excluded.stamps)";
        let waiting = std::mem::take(&mut self.unwritten.jobs);
        let rows: Vec<&JobRow> = waiting.iter().filter_map(|key| self.known.jobs.get(key)).collect();
        for rows in rows.chunks(ROWS) {
            on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new(ADD);
                sql.push_values(rows, |mut values, row| {
                    let JobColumns { status, .. } = &row.columns;
                    values
                        .push_bind(row.execution_id)
                        .push_bind(&row.external_id)
                        .push_bind(&row.columns.name)
                        .push_bind(&row.columns.stage)
                        .push_bind(status.status.word())
                        .push_bind(&status.raw_status)
                        .push_bind(&status.raw_conclusion)
                        .push_bind(status.finished_at)
                        .push_bind(row.columns.allow_failure)
                        .push_bind(&row.columns.runner)
                        .push_bind(&row.columns.url)
                        .push_bind(&row.columns.steps)
                        .push_bind(row.columns.queued_at)
                        .push_bind(row.columns.started_at)
                        .push_bind(&row.stamps.version)
                        .push_bind(&row.stamps.stamps);
                });
                sql.push(REPLACE).build().execute(&mut **db).await.map(drop)
            })
            .attempted("record jobs")?;
        }
        Ok(())
    }
}
