//! `/admin/v1/projects/export` and `/import`: what operators say of projects as lines of JSON, and what such lines would change before they do.
//! Knows nothing of what a project is beside its line.

use actix_web::{HttpResponse, get, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Lines, May, Problem, Query, Visit, right::ProjectsManage};
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::transfer::{Meant, Plan, check_count, exported};
use crate::keeping::Keeping;
use crate::keeping::exchange::Line;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(export_projects).service(import_projects);
}

/// Every project, one JSON object a line: who sees it and whether it is archived.
#[utoipa::path(
    tag = "projects",
    responses(
        (status = 200, body = Line, content_type = "application/x-ndjson"),
        (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
    )
)]
#[get("/projects/export")]
async fn export_projects(_: May<ProjectsManage>, _: Query<Nothing>, keeping: web::Data<Keeping>) -> Result<HttpResponse, Problem> {
    exported("projects", async move |after| keeping.export_projects(after).await).await
}

/// Changes projects to what these lines say, all or none. Those that no line names stay as they are; one of which nothing has been delivered here yet is
/// passed over.
#[utoipa::path(
    tag = "projects",
    params(Meant),
    request_body(content = Line, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = Plan),
        (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 412, body = ProblemBody, description = "Somebody has changed one of them meanwhile"),
        (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/projects/import")]
async fn import_projects(
    may: May<ProjectsManage>,
    visit: Visit,
    meant: Query<Meant>,
    body: Lines<Line>,
    keeping: web::Data<Keeping>,
) -> Result<web::Json<Plan>, Problem> {
    let Lines(lines) = body;
    check_count(&lines)?;
    let steps = keeping.import_projects(&lines, meant.rehearsal(), &may.by(&visit)).await?;
    Ok(web::Json(Plan::new(&meant, steps)))
}
