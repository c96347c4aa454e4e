//! `/admin/v1/tokens`: tokens of programs.
//! Knows nothing of how one is verified.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use pipecast_auth::Minted;
use pipecast_http::conditional::{changed, show};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{
    Code, Confirmed, Cursor, Faults, Field, Fields, IdempotencyKey, IfMatch, Input, Limit, May, Page, Patch, Problem, Query, Visit, right::TokensManage, sparse,
};
use pipecast_model::name::trimmed;
use pipecast_model::{Permission, ProjectId, Timestamp, TokenId, UserId};
use pipecast_store::sealed::Keys;
use pipecast_store::{ApiToken, Direction, TokenQuery};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::once::{answered, named};
use super::order::ById;
use crate::accounts::{Accounts, Wanted};

mod batch;
mod transfer;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Longest name, in characters.
const LONGEST_NAME: usize = 100;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        // Before what has an id in its path.
        .configure(transfer::routes)
        .configure(batch::routes)
        .service(list_tokens)
        .service(create_token)
        .service(find_token)
        .service(change_token)
        .service(revoke_token)
        .service(rotate_token);
}

/// A token; what is secret in it was shown once.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Token)]
struct Shape {
    id: TokenId,
    /// Its first characters after `pcst_`, by which it is known.
    #[schema(example = "Zk3vQ0aB")]
    prefix: String,
    user_id: UserId,
    user_name: String,
    /// What it is for.
    #[schema(example = "deploy")]
    name: String,
    /// What it may, as far as its user may.
    scopes: Vec<Permission>,
    /// Only in this project; null: wherever its user may.
    project_id: Option<ProjectId>,
    created_at: Timestamp,
    expires_at: Timestamp,
    /// To the minute.
    last_used_at: Option<Timestamp>,
    last_used_ip: Option<String>,
    /// The token that it takes the place of.
    rotated_from: Option<TokenId>,
}

impl From<ApiToken> for Shape {
    fn from(token: ApiToken) -> Self {
        Shape {
            id: token.id,
            prefix: token.prefix,
            user_id: token.user_id,
            user_name: token.user_name,
            name: token.name,
            scopes: Permission::parse_list(&token.scopes),
            project_id: token.project_id,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            last_used_ip: token.last_used_ip,
            rotated_from: token.rotated_from,
        }
    }
}

/// A token with its secret, which is shown this once.
#[derive(Serialize, utoipa::ToSchema)]
struct Issued {
    /// For `Authorization: Bearer`.
    #[schema(example = "pcst_Zk3vQ0aB_…")]
    token: String,
    #[serde(flatten)]
    about: Shape,
}

/// Which tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `all`: everybody's, for those who manage users; otherwise one's own.
    #[param(inline)]
    of: Option<Whose>,
    /// Only whose name contains this, in any case.
    q: Option<String>,
    /// Only those that are limited to this project.
    #[param(value_type = Option<i64>)]
    project_id: Option<ProjectId>,
    /// `-id`: the newest first; `id`: the oldest.
    #[serde(default, with = "ById")]
    #[param(inline, value_type = ById)]
    sort: Direction,
    /// The members that are wanted, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "id,name")]
    fields: Fields,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<TokenId>>,
}

#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Whose {
    All,
}

/// A token to be.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    #[serde(deserialize_with = "trimmed")]
    #[schema(example = "deploy", max_length = 100)]
    name: String,
    /// At least one, and none that you do not have.
    scopes: Vec<Permission>,
    /// Only in this project.
    project_id: Option<ProjectId>,
    /// 1 to 365; 90 where nothing is said.
    #[schema(minimum = 1, maximum = 365)]
    expires_in_days: Option<u32>,
}

/// What is to be different.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenChange {
    #[serde(default, deserialize_with = "trimmed")]
    #[schema(value_type = Option<String>)]
    name: Field<String>,
}

impl TokenChange {
    /// Does it to a token, where it can be.
    fn apply(self, token: &mut ApiToken) -> Result<(), Problem> {
        let mut faults = Faults::default();
        self.name.apply_to(&mut token.name, "/name", &mut faults);
        faults.text("/name", &token.name, LONGEST_NAME).end()
    }
}

/// How long the one before is good besides.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// 0 to 168; 24 where nothing is said.
    #[schema(minimum = 0, maximum = 168)]
    overlap_hours: Option<u32>,
}

/// Tokens that were not ended.
#[utoipa::path(
    tag = "tokens",
    params(Filter),
    responses((status = 200, body = Page<Shape>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/tokens")]
async fn list_tokens(may: May<TokensManage>, filter: Query<Filter>, accounts: web::Data<Accounts>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let query = TokenQuery {
        user: of_whom(&may, filter.of)?,
        project: filter.project_id,
        within: may.bearing().grants.bound(),
        text: filter.q,
        direction: filter.sort,
        after: filter.cursor.map(|Cursor(id)| id),
        limit: filter.limit.rows(),
    };
    let tokens = accounts.reader().list_tokens(&query).await?;
    sparse(Page::new(tokens, filter.limit, |token| token.id, Shape::from), &filter.fields)
}

/// Makes a token. Its secret is in the answer and nowhere else.
#[utoipa::path(
    tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same key, it is answered again and not done twice; for a day")),
    request_body = NewToken,
    responses(
        (status = 201, body = Issued), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "The first request with this key is still under way"),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/tokens")]
async fn create_token(
    may: Confirmed<May<TokensManage>>,
    visit: Visit,
    key: IdempotencyKey,
    body: Input<NewToken>,
    accounts: web::Data<Accounts>,
    keys: web::Data<Keys>,
) -> Result<HttpResponse, Problem> {
    may.session()?;
    let Input(wanted) = body;
    let once = named(&may, &visit, key, &wanted, &keys)?;
    let days = wanted.expires_in_days.unwrap_or(90);
    let mut faults = Faults::default();
    faults.text("/name", &wanted.name, LONGEST_NAME);
    faults.note(wanted.scopes.is_empty(), "/scopes", "empty", "name at least one permission");
    faults.note(!(1..=365).contains(&days), "/expires_in_days", "out_of_range", "1 to 365");
    faults.end()?;
    let wanted = Wanted {
        name: wanted.name,
        scopes: wanted.scopes,
        project: wanted.project_id,
        lifetime: DAY * days,
    };
    let bearing = may.bearing();
    let making = accounts.create_token(bearing.user, &bearing.grants, wanted, may.by(&visit), once.as_ref(), issued);
    Ok(answered(&making.await?))
}

/// One token.
#[utoipa::path(
    tag = "tokens",
    params(("token_id" = String, Path, format = "uuid")),
    responses((status = 200, body = Shape), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/tokens/{token_id}")]
async fn find_token(
    request: HttpRequest,
    may: May<TokensManage>,
    id: web::Path<TokenId>,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let token = accounts.reader().find_token(*id).await?.ok_or_else(|| Problem::no_such("token", *id))?;
    seen(&may, &token)?;
    Ok(show(&request, token.version, &Shape::from(token)))
}

/// Gives a token another name.
#[utoipa::path(
    tag = "tokens",
    params(("token_id" = String, Path, format = "uuid"), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    request_body(content = TokenChange, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody),
        (status = 422, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[patch("/tokens/{token_id}")]
async fn change_token(
    may: May<TokensManage>,
    visit: Visit,
    id: web::Path<TokenId>,
    version: IfMatch,
    body: Patch<TokenChange>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let Patch(change) = body;
    let changing = accounts.change_token(*id, may.by(&visit), |token| {
        seen(&may, token)?;
        version.check(token.version)?;
        change.apply(token)
    });
    let token = changing.await?;
    Ok(changed(token.version, &Shape::from(token)))
}

/// Ends a token, everywhere within seconds. It does not come back.
#[utoipa::path(
    tag = "tokens",
    params(("token_id" = String, Path, format = "uuid"), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[delete("/tokens/{token_id}")]
async fn revoke_token(
    may: May<TokensManage>,
    visit: Visit,
    id: web::Path<TokenId>,
    version: IfMatch,
    _: Query<Nothing>,
    accounts: web::Data<Accounts>,
) -> Result<HttpResponse, Problem> {
    let revoking = accounts.change_token(*id, may.by(&visit), |token| {
        seen(&may, token)?;
        version.check(token.version)?;
        token.revoked_at = Some(Timestamp::now());
        Ok::<_, Problem>(())
    });
    revoking.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Makes a token that takes the place of this one, for as long as this one was made for. This one is good for some hours besides.
#[utoipa::path(
    tag = "tokens",
    params(
        ("token_id" = String, Path, format = "uuid"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same key, it is answered again and not done twice; for a day"),
    ),
    request_body = Rotation,
    responses(
        (status = 201, body = Issued), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It was replaced, by one that is good; or the first request with this key is still under way"),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/tokens/{token_id}/rotate")]
async fn rotate_token(
    may: Confirmed<May<TokensManage>>,
    visit: Visit,
    id: web::Path<TokenId>,
    key: IdempotencyKey,
    body: Input<Rotation>,
    accounts: web::Data<Accounts>,
    keys: web::Data<Keys>,
) -> Result<HttpResponse, Problem> {
    may.session()?;
    let Input(rotation) = body;
    let once = named(&may, &visit, key, &rotation, &keys)?;
    let hours = rotation.overlap_hours.unwrap_or(24);
    Faults::default().note(hours > 168, "/overlap_hours", "out_of_range", "0 to 168").end()?;
    let overlap = Duration::from_secs(u64::from(hours) * 3600);
    let own = |token: &ApiToken| {
        seen(&may, token)?;
        // The secret is shown to whoever asks, so only the user themselves may.
        match token.user_id == may.bearing().user && token.expires_at > Timestamp::now() {
            true => Ok(()),
            false => Err(Problem::new(Code::Forbidden).detail("only its own user may replace a token, while it is good")),
        }
    };
    let rotating = accounts.rotate_token(*id, overlap, may.by(&visit), once.as_ref(), own, issued);
    Ok(answered(&rotating.await?))
}

/// One's own, or everybody's for those who manage users.
fn of_whom(may: &May<TokensManage>, wanted: Option<Whose>) -> Result<Option<UserId>, Problem> {
    match wanted {
        None => Ok(Some(may.bearing().user)),
        Some(Whose::All) if manages_all(may) => Ok(None),
        Some(Whose::All) => Err(Problem::new(Code::Forbidden).detail(format!("this needs the permission {}", Permission::UsersManage))),
    }
}

fn manages_all(may: &May<TokensManage>) -> bool {
    may.bearing().grants.may(Permission::UsersManage)
}

/// One's own tokens, and everybody's for those who manage users; none that was ended, and for a token of one project none that is not of it too.
fn seen(may: &May<TokensManage>, token: &ApiToken) -> Result<(), Problem> {
    let is_within = may.bearing().grants.bound().is_none_or(|project| token.project_id == Some(project));
    let is_seen = token.revoked_at.is_none() && is_within && (token.user_id == may.bearing().user || manages_all(may));
    if is_seen { Ok(()) } else { Err(Problem::no_such("token", token.id)) }
}

/// The token with its secret.
fn issued(token: ApiToken, minted: &Minted) -> serde_json::Value {
    let issued = Issued {
        token: minted.shown.expose().to_owned(),
        about: token.into(),
    };
    serde_json::to_value(issued).expect("a token is plain JSON")
}
