//! `/admin/v1/me/confirmation`: proving once more who one is, for what touches keys, roles and secrets.
//! Knows nothing of how a password is checked, nor of what wants the proof.

use std::time::Duration;

use actix_web::{HttpResponse, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::{Problem, ProofAge, Short, SignedIn, Visit};
use pipecast_model::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use super::person;
use crate::accounts::{Accounts, Retyped};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(confirm_session);
}

/// What one logs in with, but the name.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Proof {
    #[schema(format = "password")]
    password: String,
    /// A code of the authenticator app or a recovery code, where the account has a second factor.
    code: Option<String>,
}

/// A session whose bearer has just proved who they are.
#[derive(Serialize, utoipa::ToSchema)]
struct Proved {
    /// For `Authorization: Bearer`, in the place of the one before, which says what it said.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds that the access token is good.
    #[schema(example = 600)]
    expires_in: u64,
    /// Until when nothing more is asked.
    confirmed_until: Timestamp,
}

/// Proves once more who one is, for the operations with `x-confirmation`.
///
/// They want it where the login is longer ago than `auth.confirmed_for`. The session keeps when it was, so the access tokens that it gets from then on say it
/// too (`auth_time`); those from before do not.
#[utoipa::path(
    tag = "sessions",
    request_body = Proof,
    responses(
        (status = 200, body = Proved),
        (status = 401, body = ProblemBody, description = "`login_refused`, or `second_factor` where a code is needed"),
        (status = 403, body = ProblemBody, description = "A program has nothing to prove it by, and is not asked"),
        (status = 422, body = ProblemBody),
        (status = 429, body = ProblemBody, description = "Too many have failed; `Retry-After` says how long to wait"),
    )
)]
#[post("/me/confirmation")]
async fn confirm_session(
    caller: SignedIn,
    visit: Visit,
    body: Short<Proof>,
    accounts: web::Data<Accounts>,
    age: web::Data<ProofAge>,
) -> Result<HttpResponse, Problem> {
    let Short(Proof { password, code }) = body;
    let typed = Retyped {
        password: &password,
        code: code.as_deref(),
    };
    let proved = accounts.confirm(person(&caller, &visit)?, typed, caller.by(&visit)).await?;
    Ok(HttpResponse::Ok().json(Proved {
        access_token: proved.access.expose().to_owned(),
        token_type: "Bearer",
        expires_in: accounts.settings().access.as_secs(),
        confirmed_until: until(proved.at, age.0),
    }))
}

fn until(at: Timestamp, age: Duration) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)))
}
