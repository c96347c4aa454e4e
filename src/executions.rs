//! `GET /api/v1/executions/…` and `/api/v1/jobs/…`: one execution, its jobs, one job.
//! Knows nothing of how they came about.

use actix_web::{get, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Caller, Cursor, Limit, Page, Problem, Query, Subject};
use pipecast_model::{Execution, ExecutionId, Job, JobId};
use pipecast_store::Reader;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(find_execution).service(list_jobs).service(find_job);
}

/// Which jobs of an execution.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JobFilter {
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<JobId>>,
}

/// One attempt of one run.
#[utoipa::path(tag = "executions", params(("execution_id" = i64, Path)), responses((status = 200, body = Execution), (status = 404, body = ProblemBody)))]
#[get("/executions/{execution_id}")]
async fn find_execution(caller: Caller, id: web::Path<ExecutionId>, _: Query<Nothing>, reader: web::Data<Reader>) -> Result<web::Json<Execution>, Problem> {
    caller.may_read(Subject::Execution(*id)).await?;
    let execution = reader.find_execution(*id).await?;
    execution.map(web::Json).ok_or_else(|| Problem::no_such("execution", *id))
}

/// Jobs of an execution, in the order in which they became known.
#[utoipa::path(
    tag = "executions",
    params(("execution_id" = i64, Path), JobFilter),
    responses((status = 200, body = Page<Job>), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/executions/{execution_id}/jobs")]
async fn list_jobs(caller: Caller, id: web::Path<ExecutionId>, filter: Query<JobFilter>, reader: web::Data<Reader>) -> Result<Page<Job>, Problem> {
    caller.may_read(Subject::Execution(*id)).await?;
    let Query(JobFilter { limit, cursor }) = filter;
    let rows = reader.list_jobs(*id, cursor.map(|Cursor(key)| key), limit.rows()).await?;
    if rows.is_empty() && reader.find_execution(*id).await?.is_none() {
        return Err(Problem::no_such("execution", *id));
    }
    Ok(Page::new(rows, limit, |job| job.id, |job| job))
}

/// One job with its steps.
#[utoipa::path(tag = "executions", params(("job_id" = i64, Path)), responses((status = 200, body = Job), (status = 404, body = ProblemBody)))]
#[get("/jobs/{job_id}")]
async fn find_job(caller: Caller, id: web::Path<JobId>, _: Query<Nothing>, reader: web::Data<Reader>) -> Result<web::Json<Job>, Problem> {
    caller.may_read(Subject::Job(*id)).await?;
    let job = reader.find_job(*id).await?;
    job.map(web::Json).ok_or_else(|| Problem::no_such("job", *id))
}
