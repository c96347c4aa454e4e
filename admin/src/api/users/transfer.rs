//! `/admin/v1/users/export` and `/import`: all accounts as lines of JSON, and what such lines would change before they do.
//! Knows nothing of what an account is beside its line.

use actix_web::{HttpResponse, get, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Confirmed, Faults, Lines, May, Problem, Query, Visit, right::UsersManage};
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::me::check_name;
use super::super::transfer::{Meant, Plan, check_count, exported, place_of};
use super::check;
use crate::accounts::Accounts;
use crate::accounts::users::Line;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(export_users).service(import_users);
}

/// Every account that is not deleted, one JSON object a line. Of what they come in with only that it is there.
#[utoipa::path(
    tag = "users",
    responses(
        (status = 200, body = Line, content_type = "application/x-ndjson"),
        (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
    )
)]
#[get("/users/export")]
async fn export_users(_: May<UsersManage>, _: Query<Nothing>, accounts: web::Data<Accounts>) -> Result<HttpResponse, Problem> {
    exported("users", async move |after| accounts.export_users(after).await).await
}

/// Makes accounts like these lines, all or none; they are known again by their names. Those that no line names stay as they are; a new one cannot
/// log in until it is given a password.
#[utoipa::path(
    tag = "users",
    params(Meant),
    request_body(content = Line, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = Plan),
        (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "No admin would be left"),
        (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/users/import")]
async fn import_users(
    may: Confirmed<May<UsersManage>>,
    visit: Visit,
    meant: Query<Meant>,
    body: Lines<Line>,
    accounts: web::Data<Accounts>,
) -> Result<web::Json<Plan>, Problem> {
    let Lines(lines) = body;
    check_count(&lines)?;
    let mut faults = Faults::default();
    for (number, line) in &lines {
        let at = place_of(*number);
        check_name(&mut faults, &format!("{at}/name"), &line.name);
        check(&mut faults, &at, line.display_name.as_deref(), line.email.as_deref());
    }
    faults.end()?;
    let by = may.by(&visit);
    let importing = accounts.import_users(&lines, meant.rehearsal(), &by, |role| may.may_give(role, None));
    let steps = importing.await?;
    Ok(web::Json(Plan::new(&meant, steps)))
}
