//! `/admin/v1/sources/export` and `/import`: all of them as lines of JSON, and what such lines would change before they do.
//! Knows nothing of what a source is beside its line.

use actix_web::{HttpResponse, get, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Faults, Lines, May, Problem, Query, Visit, right::SourcesManage};
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::transfer::{Meant, Plan, check_count, exported, place_of};
use super::{LONGEST_NAME, check_hours};
use crate::sources::Sources;
use crate::sources::exchange::Line;

/// Longest end of a path.
const LONGEST_KEY: usize = 64;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(export_sources).service(import_sources);
}

/// Every source that was made here, one JSON object a line. Of secrets only that they are there.
#[utoipa::path(
    tag = "sources",
    responses(
        (status = 200, body = Line, content_type = "application/x-ndjson"),
        (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
    )
)]
#[get("/sources/export")]
async fn export_sources(_: May<SourcesManage>, _: Query<Nothing>, sources: web::Data<Sources>) -> Result<HttpResponse, Problem> {
    exported("sources", async move |after| sources.export(after).await).await
}

/// Makes sources like these lines, all or none. Those that no line names stay as they are; a new one has no secret until it is given one.
#[utoipa::path(
    tag = "sources",
    params(Meant),
    request_body(content = Line, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = Plan),
        (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "One of them stands in the configuration"),
        (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/sources/import")]
async fn import_sources(
    may: May<SourcesManage>,
    visit: Visit,
    meant: Query<Meant>,
    body: Lines<Line>,
    sources: web::Data<Sources>,
) -> Result<web::Json<Plan>, Problem> {
    let Lines(lines) = body;
    check_count(&lines)?;
    let mut faults = Faults::default();
    for (number, line) in &lines {
        let at = place_of(*number);
        faults.text(&format!("{at}/name"), &line.name, LONGEST_NAME);
        let is_key = !line.key.is_empty() && line.key.len() <= LONGEST_KEY && line.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        faults.note(!is_key, &format!("{at}/key"), "unfit", "it has 1 to 64 letters, digits and hyphens");
        check_hours(&mut faults, &format!("{at}/silent_after_hours"), line.silent_after_hours);
    }
    faults.end()?;
    let steps = sources.import(&lines, meant.rehearsal(), Some(may.bearing().user), &may.by(&visit)).await?;
    Ok(web::Json(Plan::new(&meant, steps)))
}
