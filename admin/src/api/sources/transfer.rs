//! `/admin/v1/sources/export` and `/import`: all of them as lines of JSON, and what such lines would change before they do. And many changes at once.
//! Knows nothing of what a source is beside its line.

use actix_web::{HttpResponse, get, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Code, Fault, Faults, Lines, May, Problem, Query, Visit, right::SourcesManage};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{LONGEST_NAME, check_hours};
use crate::sources::Sources;
use crate::sources::exchange::{Line, Rehearsal, Step};

/// Longest end of a path.
const LONGEST_KEY: usize = 64;
/// Most sources of one import.
const MOST: usize = 5_000;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(export_sources).service(import_sources);
}

/// Whether it is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Meant {
    /// `true`: only what would be done is answered.
    #[serde(default)]
    dry_run: bool,
}

/// What an import does.
#[derive(Serialize, utoipa::ToSchema)]
struct Plan {
    /// Whether nothing of it was done.
    dry_run: bool,
    /// Sources that are made.
    create: usize,
    /// Sources that are changed.
    update: usize,
    /// Each line.
    steps: Vec<Step>,
}

/// Every source that was made here, one JSON object a line. Of secrets only that they are there.
#[utoipa::path(
    tag = "sources",
    responses(
        (status = 200, body = Line, content_type = "application/x-ndjson"),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
    )
)]
#[get("/sources/export")]
async fn export_sources(_: May<SourcesManage>, _: Query<Nothing>, sources: web::Data<Sources>) -> Result<HttpResponse, Problem> {
    let lines = sources.export().await?;
    let mut text = String::new();
    for line in &lines {
        text.push_str(&serde_json::to_string(line).expect("a line is plain JSON"));
        text.push('\n');
    }
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").body(text))
}

/// Makes sources like these lines, all or none. Those that no line names stay as they are; a new one has no secret until it is given one.
#[utoipa::path(
    tag = "sources",
    params(Meant),
    request_body(content = Line, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = Plan),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "One of them stands in the configuration"),
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
    if lines.len() > MOST {
        return Err(Problem::new(Code::Invalid).faults(vec![Fault::new("", "too_many", format!("it has at most {MOST} lines"))]));
    }
    let mut faults = Faults::default();
    for (at, line) in lines.iter().enumerate() {
        faults.text(&format!("/{at}/name"), &line.name, LONGEST_NAME);
        let is_key = !line.key.is_empty() && line.key.len() <= LONGEST_KEY && line.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        faults.note(!is_key, &format!("/{at}/key"), "unfit", "it has 1 to 64 letters, digits and hyphens");
        check_hours(&mut faults, line.silent_after_hours);
    }
    faults.end()?;
    let rehearsal = if meant.dry_run { Rehearsal::Dry } else { Rehearsal::Real };
    let steps = sources.import(&lines, rehearsal, Some(may.bearing().user), &may.by(&visit)).await?;
    let count = |action| steps.iter().filter(|step| step.action == action).count();
    use crate::sources::exchange::Action;
    Ok(web::Json(Plan {
        dry_run: meant.dry_run,
        create: count(Action::Create),
        update: count(Action::Update),
        steps,
    }))
}
