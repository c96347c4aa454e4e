//! What somebody else comes in with: another password for them, the factor that they have lost, and their sessions.
//! Knows nothing of what they may.

use actix_web::{HttpResponse, delete, put, web};
use pipecast_auth::Shown;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Confirmed, Input, May, Problem, Query, Visit, right::UsersManage};
use pipecast_model::UserId;
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::accounts::Accounts;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(set_password).service(drop_factor).service(end_user_sessions);
}

/// Another password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    #[schema(format = "password")]
    password: String,
}

/// Gives somebody else a password, and ends their sessions and tokens.
#[utoipa::path(
    tag = "users",
    params(("user_id" = i64, Path)),
    request_body = NewPassword,
    responses((status = 204), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody))
)]
#[put("/users/{user_id}/password")]
async fn set_password(
    may: Confirmed<May<UsersManage>>,
    visit: Visit,
    id: web::Path<UserId>,
    body: Input<NewPassword>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    may.session()?;
    let Input(NewPassword { password }) = body;
    accounts.set_password(*id, &Shown::new(password), may.by(&visit)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes the second factor of somebody else away, who has lost it, and ends their sessions.
#[utoipa::path(
    tag = "users",
    params(("user_id" = i64, Path)),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "There is no such account, or it has none"),
    )
)]
#[delete("/users/{user_id}/second-factor")]
async fn drop_factor(
    may: Confirmed<May<UsersManage>>,
    visit: Visit,
    id: web::Path<UserId>,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    may.session()?;
    accounts.drop_factor(*id, may.by(&visit)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends all sessions of somebody.
#[utoipa::path(
    tag = "users",
    params(("user_id" = i64, Path)),
    responses((status = 204), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[delete("/users/{user_id}/sessions")]
async fn end_user_sessions(
    may: May<UsersManage>,
    visit: Visit,
    id: web::Path<UserId>,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    accounts.reader().find_user(*id).await?.ok_or_else(|| Problem::no_such("user", *id))?;
    accounts.end_sessions(*id, may.by(&visit)).await?;
    Ok(HttpResponse::NoContent().finish())
}
