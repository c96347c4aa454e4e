//! `GET /api/v1/pipelines…`: pipelines, and the executions of one.
//! Knows nothing of how they came about.

use actix_web::{HttpRequest, get, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::{Caller, Cursor, Limit, Page, Problem, Query, Rendered, Subject, Words};
use pipecast_model::{Execution, ExecutionId, Host, Pipeline, PipelineId, Status, Timestamp};
use pipecast_store::{ExecutionQuery, PipelineQuery, Reader, Sight, Sort};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

mod kept;

pub use kept::Kept;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list_pipelines).service(find_pipeline).service(list_executions);
}

/// Which pipelines, and in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PipelineFilter {
    /// Only of this host.
    host: Option<Host>,
    /// Only with one of these statuses, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "running,queued")]
    status: Words<Status>,
    /// Only whose name or project contains this, in any case.
    q: Option<String>,
    /// `newest`: last changed first. `id`: the oldest first.
    #[serde(default)]
    #[param(inline)]
    sort: Order,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(Timestamp, PipelineId)>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Newest,
    Id,
}

/// Which executions of a pipeline.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExecutionFilter {
    /// Only with one of these statuses, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "failure,timed_out")]
    status: Words<Status>,
    /// Only of this branch or tag.
    branch: Option<String>,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(i64, i64, i64, ExecutionId)>>,
}

/// Pipelines of all hosts.
#[utoipa::path(tag = "pipelines", params(PipelineFilter), responses((status = 200, body = Page<Pipeline>), (status = 400, body = ProblemBody)))]
#[get("/pipelines")]
async fn list_pipelines(
    request: HttpRequest,
    caller: Caller,
    filter: Query<PipelineFilter>,
    reader: web::Data<Reader>,
    kept: web::Data<Kept>,
) -> Result<Rendered, Problem> {
    caller.may_read(Subject::Pipelines).await?;
    let Query(filter) = filter;
    let limit = filter.limit;
    let sight = caller.sight();
    let mut kept_as = String::new();
    if let Sight::Projects { of, internal } = &sight {
        // Whoever sees the same gets the same page.
        kept_as = format!("{of:?} {internal} ");
    }
    kept_as.push_str(request.query_string());
    let query = PipelineQuery {
        sight,
        host: filter.host,
        statuses: filter.status.0,
        text: filter.q,
        sort: match filter.sort {
            Order::Newest => Sort::Newest,
            Order::Id => Sort::Id,
        },
        after: filter.cursor.map(|Cursor(key)| key),
        limit: limit.rows(),
    };
    let read = async {
        let rows = reader.list_pipelines(&query).await?;
        let page = Page::new(rows, limit, |(changed, pipeline)| (*changed, pipeline.id), |(_, pipeline)| pipeline);
        Ok(page.render(&request))
    };
    kept.page(&kept_as, read).await
}

/// One pipeline with its newest execution.
#[utoipa::path(tag = "pipelines", params(("pipeline_id" = i64, Path)), responses((status = 200, body = Pipeline), (status = 404, body = ProblemBody)))]
#[get("/pipelines/{pipeline_id}")]
async fn find_pipeline(
    caller: Caller,
    id: web::Path<PipelineId>,
    _: Query<pipecast_http::query::Nothing>,
    reader: web::Data<Reader>,
) -> Result<web::Json<Pipeline>, Problem> {
    caller.may_read(Subject::Pipeline(*id)).await?;
    let pipeline = reader.find_pipeline(*id).await?;
    pipeline.map(web::Json).ok_or_else(|| Problem::no_such("pipeline", *id))
}

/// Executions of a pipeline, the highest number and attempt first.
#[utoipa::path(
    tag = "pipelines",
    params(("pipeline_id" = i64, Path), ExecutionFilter),
    responses((status = 200, body = Page<Execution>), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/pipelines/{pipeline_id}/executions")]
async fn list_executions(
    caller: Caller,
    id: web::Path<PipelineId>,
    filter: Query<ExecutionFilter>,
    reader: web::Data<Reader>,
) -> Result<Page<Execution>, Problem> {
    caller.may_read(Subject::Pipeline(*id)).await?;
    let Query(filter) = filter;
    let limit = filter.limit;
    let query = ExecutionQuery {
        pipeline: Some(*id),
        statuses: filter.status.0,
        branch: filter.branch,
        after: filter.cursor.map(|Cursor(key)| key),
        limit: limit.rows(),
    };
    let rows = reader.list_executions(&query).await?;
    if rows.is_empty() && reader.find_pipeline(*id).await?.is_none() {
        return Err(Problem::no_such("pipeline", *id));
    }
    let key = |(ordinal, execution): &(i64, Execution)| (execution.number.unwrap_or(0), *ordinal, execution.attempt, execution.id);
    Ok(Page::new(rows, limit, key, |(_, execution)| execution))
}
