//! `/admin/v1/setup`: the way of the first admin, which is gone once there is one.
//! Knows nothing of how the token is printed.

use actix_web::{HttpResponse, get, post, web};
use pipecast_auth::Shown;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Code, Faults, Problem, Query, Short, Visit};
use pipecast_model::UserId;
use pipecast_store::audit::Actor;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use super::me::check_name;
use crate::accounts::{Accounts, Founder};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(find_setup).service(set_up);
}

/// Who is the first admin now.
#[derive(Serialize, utoipa::ToSchema)]
struct FirstAdmin {
    user_id: UserId,
}

/// The first admin.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Setup {
    /// What the log of the first start says.
    #[schema(example = "pcsu_…")]
    token: String,
    /// What they will log in with.
    #[schema(example = "ada")]
    name: String,
    /// At least 15 characters.
    #[schema(format = "password")]
    password: String,
}

/// Whether the first admin is still to be made.
#[utoipa::path(
    tag = "sessions",
    responses((status = 204, description = "It is"), (status = 404, body = ProblemBody, description = "There has been an admin"))
)]
#[get("/setup")]
async fn find_setup(_: Query<Nothing>, accounts: web::Data<Accounts>) -> Result<HttpResponse, Problem> {
    match accounts.reader().is_set_up().await? {
        true => Err(Problem::new(Code::NotFound)),
        false => Ok(HttpResponse::NoContent().finish()),
    }
}

/// Makes the first admin, with the token that the log of the first start says.
#[utoipa::path(
    tag = "sessions",
    request_body = Setup,
    responses(
        (status = 201, body = FirstAdmin, description = "They can log in"),
        (status = 404, body = ProblemBody, description = "There has been an admin, or the token is wrong or older than an hour"),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/setup")]
async fn set_up(visit: Visit, setup: Short<Setup>, accounts: web::Data<Accounts>) -> Result<HttpResponse, Problem> {
    let Short(Setup { token, name, password }) = setup;
    check_name(&mut Faults::default(), "/name", &name).end()?;
    let founder = Founder {
        name,
        password: Shown::new(password),
    };
    let id = accounts.set_up(&token, &founder, visit.by(Actor::Anonymous)).await?;
    Ok(HttpResponse::Created().json(FirstAdmin { user_id: id }))
}
