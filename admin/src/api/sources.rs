//! `/admin/v1/sources`: connections to hosts, where hosts deliver to, and the secrets that they sign with, each shown once.
//! Knows nothing of how a secret is kept.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use pipecast_http::conditional::{changed, show};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{
    Code, Confirmed, Cursor, Fault, Faults, Field, Fields, IdempotencyKey, IfMatch, Input, Limit, May, Page, Patch, Problem, Query, Visit,
    right::SourcesManage, sparse,
};
use pipecast_model::name::trimmed;
use pipecast_model::{Host, SecretKind, Source, SourceId, Timestamp};
use pipecast_store::sealed::Keys;
use pipecast_store::source::SourceQuery;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::deleted::{WithDeleted, restore};
use super::once::{answered, named};
use super::projects::Order;
use crate::sources::{Error, Made, Sources, Wanted};

mod batch;
mod secrets;
mod shape;
mod transfer;

use secrets::wanted_secret;
use shape::{MadeShape, Shape, made_shape, shape};

/// Longest name, in characters.
const LONGEST_NAME: usize = 200;
/// Most hours of silence that are waited for: a year.
const MOST_HOURS: i64 = 8_760;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        // Before what has an id in its path.
        .configure(transfer::routes)
        .configure(batch::routes)
        .service(list_sources)
        .service(create_source)
        .service(find_source)
        .service(change_source)
        .service(delete_source)
        .service(restore_source)
        .configure(secrets::routes);
}

/// Which sources.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only whose name contains this, in any case, or whose key it is.
    q: Option<String>,
    /// Only of this host.
    host: Option<Host>,
    /// Only those made here, or only those of the configuration.
    managed: Option<bool>,
    /// Only those that are enabled, or only those that are not.
    enabled: Option<bool>,
    /// `true`: only those from which nothing has come for longer than it may.
    #[serde(default)]
    silent: bool,
    /// `only`: the deleted ones instead of the others; `include`: they too.
    #[param(inline)]
    deleted: Option<WithDeleted>,
    /// `id`, `-id`, `name` or `-name`.
    #[serde(default)]
    #[param(inline)]
    sort: Order,
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
    cursor: Option<Cursor<(String, SourceId)>>,
}

/// A source to be.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSource {
    host: Host,
    #[serde(deserialize_with = "trimmed")]
    #[schema(example = "acme on GitHub", max_length = 200)]
    name: String,
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
    #[schema(minimum = 1, maximum = 8760)]
    silent_after_hours: Option<i64>,
    /// A secret of your own, 24 to 256 characters; without it a fresh one is made.
    #[schema(format = "password")]
    secret: Option<String>,
    /// The kind of a fresh one: for GitLab `token`, or `signing_token` from GitLab 19 on.
    #[schema(value_type = Option<String>, example = "hmac")]
    secret_kind: Option<SecretKind>,
}

/// What is to be different.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SourceChange {
    #[serde(default, deserialize_with = "trimmed")]
    #[schema(value_type = Option<String>)]
    name: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    enabled: Field<bool>,
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 8760)]
    silent_after_hours: Field<i64>,
}

impl SourceChange {
    /// Does it to a source, where it can be.
    fn apply(self, source: &mut Source) -> Result<(), Problem> {
        let mut faults = Faults::default();
        let mut name = source.name.clone().unwrap_or_default();
        self.name.apply_to(&mut name, "/name", &mut faults);
        self.enabled.apply_to(&mut source.enabled, "/enabled", &mut faults);
        self.silent_after_hours.apply(&mut source.silent_after);
        faults.text("/name", &name, LONGEST_NAME);
        source.name = Some(name);
        check_hours(&mut faults, "/silent_after_hours", source.silent_after).end()
    }
}

fn yes() -> bool {
    true
}

/// Connections to hosts.
#[utoipa::path(
    tag = "sources",
    params(Filter),
    responses((status = 200, body = Page<Shape>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/sources")]
async fn list_sources(_: May<SourcesManage>, filter: Query<Filter>, sources: web::Data<Sources>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let query = SourceQuery {
        host: filter.host,
        managed: filter.managed,
        enabled: filter.enabled,
        silent_at: filter.silent.then(Timestamp::now),
        text: filter.q,
        deleted: WithDeleted::of(filter.deleted),
        sort: filter.sort.into(),
        after: filter.cursor.map(|Cursor(key)| key),
        limit: filter.limit.rows(),
    };
    let found = sources.reader().list_sources(&query).await?;
    let key = |source: &Source| (source.name.as_deref().unwrap_or_default().to_lowercase(), source.id);
    sparse(Page::new(found, filter.limit, key, |source| shape(&sources, source)), &filter.fields)
}

/// Makes a source, and shows its secret this once.
#[utoipa::path(
    tag = "sources",
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same key, it is answered again and not done twice; for a day")),
    request_body = NewSource,
    responses(
        (status = 201, body = MadeShape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "The first request with this key is still under way"),
        (status = 422, body = ProblemBody),
        (status = 503, body = ProblemBody, description = "There is no key to seal the secret with"),
    )
)]
#[post("/sources")]
async fn create_source(
    may: Confirmed<May<SourcesManage>>,
    visit: Visit,
    key: IdempotencyKey,
    body: Input<NewSource>,
    sources: web::Data<Sources>,
    keys: web::Data<Keys>,
) -> Result<HttpResponse, Problem> {
    let Input(body) = body;
    let mut faults = Faults::default();
    faults.text("/name", &body.name, LONGEST_NAME);
    check_hours(&mut faults, "/silent_after_hours", body.silent_after_hours).end()?;
    let once = named(&may, &visit, key, &body, &keys)?;
    let wanted = Wanted {
        host: body.host,
        name: body.name,
        enabled: body.enabled,
        silent_after: body.silent_after_hours,
        created_by: Some(may.bearing().user),
    };
    let secret = wanted_secret(body.secret, body.secret_kind);
    let shape = |made: &Made| serde_json::to_value(made_shape(&sources, made)).expect("a source is plain JSON");
    let answer = sources.make(wanted, secret, may.by(&visit), once.as_ref(), shape).await?;
    Ok(answered(&answer))
}

/// One source, deleted ones included.
#[utoipa::path(
    tag = "sources",
    params(("source_id" = i64, Path)),
    responses((status = 200, body = Shape), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/sources/{source_id}")]
async fn find_source(
    request: HttpRequest,
    _: May<SourcesManage>,
    id: web::Path<SourceId>,
    _: Query<Nothing>,
    sources: web::Data<Sources>,
) -> Result<HttpResponse, Problem> {
    let source = sources.reader().find_source(*id).await?.ok_or_else(|| Problem::no_such("source", *id))?;
    Ok(show(&request, source.version, &shape(&sources, source)))
}

/// Changes a source. Its secrets stay, whatever else becomes different.
#[utoipa::path(
    tag = "sources",
    params(("source_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    request_body(content = SourceChange, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It stands in the configuration"),
        (status = 412, body = ProblemBody),
        (status = 422, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[patch("/sources/{source_id}")]
async fn change_source(
    may: May<SourcesManage>,
    visit: Visit,
    id: web::Path<SourceId>,
    version: IfMatch,
    body: Patch<SourceChange>,
    sources: web::Data<Sources>,
) -> Result<HttpResponse, Problem> {
    let Patch(change) = body;
    let changing = sources.change(*id, may.by(&visit), |source| {
        current(source, &version)?;
        change.apply(source)
    });
    let source = changing.await?;
    Ok(changed(source.version, &shape(&sources, source)))
}

/// Deletes a source: none of its deliveries is believed any more. What they told stays, and it can be restored with its secrets.
#[utoipa::path(
    tag = "sources",
    params(("source_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It stands in the configuration"),
        (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[delete("/sources/{source_id}")]
async fn delete_source(
    may: May<SourcesManage>,
    visit: Visit,
    id: web::Path<SourceId>,
    version: IfMatch,
    _: Query<Nothing>,
    sources: web::Data<Sources>,
) -> Result<HttpResponse, Problem> {
    let deleting = sources.change(*id, may.by(&visit), |source| {
        current(source, &version)?;
        source.deleted_at = Some(Timestamp::now());
        Ok::<_, Problem>(())
    });
    deleting.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Brings a deleted source back, with the secrets that it had.
#[utoipa::path(
    tag = "sources",
    params(("source_id" = i64, Path)),
    responses(
        (status = 200, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It stands in the configuration, or is not deleted"),
    )
)]
#[post("/sources/{source_id}/restore")]
async fn restore_source(
    may: May<SourcesManage>,
    visit: Visit,
    id: web::Path<SourceId>,
    _: Query<Nothing>,
    sources: web::Data<Sources>,
) -> Result<HttpResponse, Problem> {
    let restoring = sources.change(*id, may.by(&visit), |source| restore(&mut source.deleted_at));
    let source = restoring.await?;
    Ok(changed(source.version, &shape(&sources, source)))
}

/// That it is there, and at this version.
pub(in crate::api) fn current(source: &Source, version: &IfMatch) -> Result<(), Problem> {
    if source.deleted_at.is_some() {
        return Err(Problem::no_such("source", source.id));
    }
    version.check(source.version)
}

fn check_hours<'a>(faults: &'a mut Faults, path: &str, hours: Option<i64>) -> &'a mut Faults {
    let is_wrong = hours.is_some_and(|hours| !(1..=MOST_HOURS).contains(&hours));
    faults.note(is_wrong, path, "out_of_range", "it is from 1 to 8760")
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Gone => Problem::new(Code::NotFound),
            Error::Configured => Problem::new(Code::Conflict).detail("the source stands in the configuration; change it there"),
            Error::Full => Problem::new(Code::Conflict).detail("two secrets are live already; end the older one first, or rotate with `overlap_hours` 0"),
            Error::Secret(why) => Problem::new(Code::Invalid).faults(vec![Fault::new("/secret", "unfit", why)]),
            Error::Key(error) => error.into(),
            Error::KeyTaken => Problem::new(Code::Conflict).faults(vec![Fault::new("/key", "taken", "another source has this key")]),
            Error::Keys(_) => Problem::ours(Code::Unavailable, &error),
            Error::Store(error) => error.into(),
        }
    }
}
