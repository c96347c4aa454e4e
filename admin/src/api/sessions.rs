//! `/admin/v1/sessions`: logging in, going on, and out; and one's open sessions.
//! Knows nothing of how a password is checked.
//!
//! A page gets the token that carries its session on as a cookie that no script can read; a program gets it in the body.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Code, Cursor, Fields, Limit, Page, Problem, Query, Short, SignedIn, Site, Visit, sparse};
use pipecast_model::{SessionId, Timestamp, UserId};
use pipecast_store::audit::Actor;
use pipecast_store::{Direction, Ended, Session, SessionQuery};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::order::ByCreatedAt;
use crate::accounts::{Accounts, Opened, Typed};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(log_in)
        .service(refresh_session)
        .service(list_sessions)
        .service(log_out)
        .service(end_session);
}

/// Name and password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LogIn {
    #[schema(example = "ada")]
    name: String,
    #[schema(format = "password")]
    password: String,
    /// A code of the authenticator app or a recovery code, where the account has a second factor.
    code: Option<String>,
}

/// What carries a session on, for programs.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    /// Leave it out where the cookie carries it.
    refresh_token: Option<String>,
}

/// A session as its owner gets it.
#[derive(Serialize, utoipa::ToSchema)]
struct Granted {
    /// For `Authorization: Bearer`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds that the access token is good.
    #[schema(example = 600)]
    expires_in: u64,
    /// Gets the next access token, once; null for a page, which has it as a cookie.
    refresh_token: Option<String>,
    session_id: SessionId,
    user_id: UserId,
}

/// An open session.
#[derive(Serialize, utoipa::ToSchema)]
struct OpenSession {
    id: SessionId,
    /// Whether it is the caller's own.
    current: bool,
    created_at: Timestamp,
    /// When it was carried on last.
    last_seen_at: Timestamp,
    /// When it ends in any case.
    expires_at: Timestamp,
    ip: Option<String>,
    user_agent: Option<String>,
}

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only the caller's own, or only the others.
    current: Option<bool>,
    /// `-created_at`: the newest first; `created_at`: the oldest.
    #[serde(default, with = "ByCreatedAt")]
    #[param(inline, value_type = ByCreatedAt)]
    sort: Direction,
    /// The members that are wanted, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "id,last_seen_at")]
    fields: Fields,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(Timestamp, SessionId)>>,
}

/// Opens a session.
#[utoipa::path(
    tag = "sessions",
    request_body = LogIn,
    responses(
        (status = 201, body = Granted),
        (status = 401, body = ProblemBody, description = "`login_refused`, or `second_factor` where a code is needed"),
        (status = 403, body = ProblemBody, description = "From a page of another site; or the password is right and has fewer than 15 characters, and no second factor is asked for besides any more"),
        (status = 422, body = ProblemBody),
        (status = 429, body = ProblemBody, description = "Too many have failed; `Retry-After` says how long to wait"),
    )
)]
#[post("/sessions")]
async fn log_in(request: HttpRequest, body: Short<LogIn>, visit: Visit, accounts: web::Data<Accounts>, site: web::Data<Site>) -> Result<HttpResponse, Problem> {
    let is_page = from_page(&request, &site)?;
    let Short(LogIn { name, password, code }) = body;
    let typed = Typed {
        name: &name,
        password: &password,
        code: code.as_deref(),
    };
    let opened = accounts.log_in(typed, visit.network, &visit.by(Actor::Anonymous)).await?;
    Ok(granted(HttpResponse::Created(), opened, is_page, &accounts, &site))
}

/// Gets the next access token. The token that carries the session on is used up by it and replaced.
#[utoipa::path(
    tag = "sessions",
    request_body = Refresh,
    responses(
        (status = 200, body = Granted),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody),
        (status = 429, body = ProblemBody, description = "A session gets sixty a minute; `Retry-After` says when there is another one"),
    )
)]
#[post("/sessions/refresh")]
async fn refresh_session(request: HttpRequest, body: Short<Refresh>, accounts: web::Data<Accounts>, site: web::Data<Site>) -> Result<HttpResponse, Problem> {
    let is_page = from_page(&request, &site)?;
    let Short(Refresh { refresh_token }) = body;
    let token = if is_page { site.cookie_of(&request) } else { refresh_token };
    let token = token.ok_or_else(|| Problem::new(Code::Unauthenticated))?;
    match accounts.carry_on(&token).await {
        Ok(opened) => Ok(granted(HttpResponse::Ok(), opened, is_page, &accounts, &site)),
        Err(error) => Err(error.into()),
    }
}

/// One's open sessions.
#[utoipa::path(
    tag = "sessions",
    params(Filter),
    responses((status = 200, body = Page<OpenSession>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/sessions")]
async fn list_sessions(caller: SignedIn, filter: Query<Filter>, accounts: web::Data<Accounts>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let current = caller.session()?;
    let query = SessionQuery {
        user: caller.bearing().user,
        only: filter.current.is_some_and(|own| own).then_some(current),
        except: filter.current.is_some_and(|own| !own).then_some(current),
        direction: filter.sort,
        after: filter.cursor.map(|Cursor(after)| after),
        limit: filter.limit.rows(),
    };
    let sessions = accounts.reader().list_sessions(&query).await?;
    let shape = |session: Session| OpenSession {
        id: session.id,
        current: session.id == current,
        created_at: session.created_at,
        last_seen_at: session.last_seen_at,
        expires_at: session.expires_at,
        ip: session.ip,
        user_agent: session.user_agent,
    };
    let page = Page::new(sessions, filter.limit, |session| (session.created_at, session.id), shape);
    sparse(page, &filter.fields)
}

/// Ends the caller's own session.
#[utoipa::path(tag = "sessions", responses((status = 204), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody)))]
#[delete("/sessions/current")]
async fn log_out(caller: SignedIn, visit: Visit, _: Query<Nothing>, accounts: web::Data<Accounts>, site: web::Data<Site>) -> Result<HttpResponse, Problem> {
    accounts.end(caller.session()?, Ended::Logout, caller.by(&visit)).await?;
    let cookie = site.set_cookie(None, std::time::Duration::ZERO);
    Ok(HttpResponse::NoContent().insert_header((header::SET_COOKIE, cookie)).finish())
}

/// Ends one of one's sessions.
#[utoipa::path(
    tag = "sessions",
    params(("session_id" = String, Path, format = "uuid")),
    responses((status = 204), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[delete("/sessions/{session_id}")]
async fn end_session(
    caller: SignedIn,
    visit: Visit,
    id: web::Path<SessionId>,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    caller.session()?;
    let session = accounts.reader().find_session(*id).await?;
    if session.is_none_or(|session| session.user_id != caller.bearing().user) {
        return Err(Problem::no_such("session", *id));
    }
    accounts.end(*id, Ended::Revoked, caller.by(&visit)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Whether it is a page that asks, which then has to be one of ours.
fn from_page(request: &HttpRequest, site: &Site) -> Result<bool, Problem> {
    let is_page = Site::is_from_page(request);
    if is_page {
        site.check_page(request)?;
    }
    Ok(is_page)
}

fn granted(mut response: actix_web::HttpResponseBuilder, opened: Opened, is_page: bool, accounts: &Accounts, site: &Site) -> HttpResponse {
    if is_page {
        let cookie = site.set_cookie(Some(opened.refresh.expose()), accounts.settings().refresh);
        response.insert_header((header::SET_COOKIE, cookie));
    }
    response.json(Granted {
        access_token: opened.access.expose().to_owned(),
        token_type: "Bearer",
        expires_in: accounts.settings().access.as_secs(),
        refresh_token: (!is_page).then(|| opened.refresh.expose().to_owned()),
        session_id: opened.session,
        user_id: opened.user,
    })
}
