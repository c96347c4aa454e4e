//! `/admin/v1/me`: who the caller is, and what they may.
//! Knows nothing of other users.

use actix_web::{HttpResponse, delete, get, post, put, web};
use pipecast_auth::{Shown, totp};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Faults, Known, Problem, Query, Short, SignedIn, Visit};
use pipecast_model::{Permission, ProjectId, Role, SessionId, TokenId, UserId};
use pipecast_store::Credential;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::accounts::{Accounts, Person};

mod confirmation;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(find_me)
        .configure(confirmation::routes)
        .service(change_password)
        .service(offer_factor)
        .service(confirm_factor)
        .service(remove_factor);
}

/// Who the caller is, and what they may with what they came in with.
#[derive(Serialize, utoipa::ToSchema)]
struct Me {
    user_id: UserId,
    /// What they log in with.
    #[schema(example = "ada")]
    name: String,
    /// What they are everywhere.
    role: Option<Role>,
    /// What they may somewhere.
    permissions: Vec<Permission>,
    /// What they may in single projects, besides what they may everywhere.
    projects: Vec<InProject>,
    /// The session; null for a program.
    session_id: Option<SessionId>,
    /// The token of a program; null for a session.
    token_id: Option<TokenId>,
    /// Whether a second factor is asked for; null for a program.
    has_second_factor: Option<bool>,
    /// Recovery codes that are left of it; null for a program, and without a second factor.
    #[schema(example = 9)]
    recovery_codes_left: Option<i64>,
}

/// What somebody may in one project.
#[derive(Serialize, utoipa::ToSchema)]
struct InProject {
    project_id: ProjectId,
    permissions: Vec<Permission>,
}

/// Who the caller is, and what they may.
#[utoipa::path(tag = "sessions", responses((status = 200, body = Me), (status = 401, body = ProblemBody)))]
#[get("/me")]
async fn find_me(caller: SignedIn, _: Query<Nothing>, accounts: web::Data<Accounts>) -> Result<web::Json<Me>, Problem> {
    let bearing = caller.bearing();
    let (session_id, token_id) = match caller.credential() {
        Credential::Session(id) => (Some(id), None),
        Credential::Token(id) => (None, Some(id)),
    };
    let factor = match session_id {
        Some(_) => Some(accounts.find_factor(bearing.user).await?),
        None => None,
    };
    let projects = bearing.grants.projects().map(|(project_id, permissions)| InProject { project_id, permissions });
    Ok(web::Json(Me {
        user_id: bearing.user,
        name: bearing.name.clone(),
        role: bearing.grants.role(),
        permissions: bearing.grants.permissions(),
        projects: projects.collect(),
        session_id,
        token_id,
        has_second_factor: factor.map(|factor| factor.is_some()),
        recovery_codes_left: factor.flatten(),
    }))
}

/// Another password for oneself.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The one before.
    #[schema(format = "password")]
    current: String,
    /// At least 15 characters, or 8 with a second factor.
    #[schema(format = "password")]
    password: String,
}

/// One's password, for what a stolen session is not to be enough for.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    #[schema(format = "password")]
    password: String,
}

/// A secret for an authenticator app.
#[derive(Serialize, utoipa::ToSchema)]
struct Offered {
    /// To be typed.
    secret: String,
    /// To be shown as a picture.
    uri: String,
}

/// A first code of the app.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct FirstCode {
    #[schema(example = "492039")]
    code: String,
}

/// Codes for the day on which the app is lost; each is good once.
#[derive(Serialize, utoipa::ToSchema)]
struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// Changes one's password. All other sessions end.
#[utoipa::path(
    tag = "sessions",
    request_body = PasswordChange,
    responses((status = 204), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody))
)]
#[put("/me/password")]
async fn change_password(caller: SignedIn, visit: Visit, body: Short<PasswordChange>, accounts: web::Data<Accounts>) -> Result<HttpResponse, Problem> {
    let person = person(&caller, &visit)?;
    let Short(PasswordChange { current, password }) = body;
    accounts.change_password(person, &current, &Shown::new(password), caller.by(&visit)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A secret for an authenticator app, on offer for ten minutes. It is asked for from its first code on.
#[utoipa::path(
    tag = "sessions",
    request_body = Confirmation,
    responses(
        (status = 200, body = Offered),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "There is a second factor already"),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/me/second-factor")]
async fn offer_factor(caller: SignedIn, visit: Visit, body: Short<Confirmation>, accounts: web::Data<Accounts>) -> Result<web::Json<Offered>, Problem> {
    let person = person(&caller, &visit)?;
    let Short(Confirmation { password }) = body;
    let verified = accounts.confirm_password(person, &password, &caller.by(&visit)).await?;
    let secret = accounts.offer_factor(person, &verified).await?;
    Ok(web::Json(Offered {
        secret: totp::base32(&secret),
        uri: totp::uri(&secret, &caller.bearing().name),
    }))
}

/// Turns the second factor on, with a first code of the app. The recovery codes are in the answer and nowhere else.
#[utoipa::path(
    tag = "sessions",
    request_body = FirstCode,
    responses(
        (status = 200, body = RecoveryCodes),
        (status = 401, body = ProblemBody, description = "Also where the code is wrong"),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "None was offered within the last ten minutes, or another one since"),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/me/second-factor/confirm")]
async fn confirm_factor(caller: SignedIn, visit: Visit, body: Short<FirstCode>, accounts: web::Data<Accounts>) -> Result<web::Json<RecoveryCodes>, Problem> {
    let person = person(&caller, &visit)?;
    let Short(FirstCode { code }) = body;
    let codes = accounts.confirm_factor(person, code.trim(), caller.by(&visit)).await?;
    Ok(web::Json(RecoveryCodes {
        recovery_codes: codes.iter().map(|code| code.expose().to_owned()).collect(),
    }))
}

/// Turns the second factor off, and takes the recovery codes away.
#[utoipa::path(
    tag = "sessions",
    request_body = Confirmation,
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "There is none"),
        (status = 409, body = ProblemBody, description = "The password has fewer than 15 characters, which is too short without it; change it first"),
        (status = 422, body = ProblemBody),
    )
)]
#[delete("/me/second-factor")]
async fn remove_factor(caller: SignedIn, visit: Visit, body: Short<Confirmation>, accounts: web::Data<Accounts>) -> Result<HttpResponse, Problem> {
    let person = person(&caller, &visit)?;
    let Short(Confirmation { password }) = body;
    let verified = accounts.confirm_password(person, &password, &caller.by(&visit)).await?;
    accounts.remove_factor(person, &verified, &password, caller.by(&visit)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The caller, who has logged in.
fn person<'a>(caller: &'a Known, visit: &Visit) -> Result<Person<'a>, Problem> {
    let bearing = caller.bearing();
    Ok(Person {
        user: bearing.user,
        name: &bearing.name,
        session: caller.session()?,
        network: visit.network,
    })
}

/// What a name of an account has to be.
pub(super) fn check_name<'a>(faults: &'a mut Faults, path: &str, name: &str) -> &'a mut Faults {
    faults.text(path, name, 64)
}
