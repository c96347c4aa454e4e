//! `/admin/v1/notification-targets`: whom to tell when a pipeline ends in a certain way, and where. A model only: nothing is sent yet.
//! Knows nothing of pipelines.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use pipecast_http::conditional::{changed, created, show, stale};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::right::{SettingsManage, SettingsRead};
use pipecast_http::{Code, Confirmed, Cursor, Fault, Fields, IfMatch, Input, Limit, May, Page, Patch, Problem, Query, Site, Visit, sparse};
use pipecast_model::ProjectId;
use pipecast_store::{Direction, TargetQuery};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::order::{ById, up};
use crate::targets::{Error, Targets};

mod recipients;
mod shape;

use shape::{NewTarget, Shape, TargetChange, TargetKind};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(list_notification_targets)
        .service(create_notification_target)
        .service(find_notification_target)
        .service(change_notification_target)
        .service(delete_notification_target);
}

/// Which targets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TargetFilter {
    /// Only of this project.
    #[param(value_type = Option<i64>)]
    project_id: Option<ProjectId>,
    /// Only that are told in this way.
    #[param(inline)]
    kind: Option<TargetKind>,
    /// Only those that are told, or only those that are not.
    enabled: Option<bool>,
    /// `id`: the oldest first; `-id`: the newest.
    #[serde(default = "up", with = "ById")]
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
    cursor: Option<Cursor<i64>>,
}

/// Targets.
#[utoipa::path(
    tag = "notification targets",
    params(TargetFilter),
    responses((status = 200, body = Page<Shape>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/notification-targets")]
async fn list_notification_targets(_: May<SettingsRead>, filter: Query<TargetFilter>, targets: web::Data<Targets>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let query = TargetQuery {
        project: filter.project_id,
        kind: filter.kind.map(|kind| kind.word().to_owned()),
        enabled: filter.enabled,
        direction: filter.sort,
        after: filter.cursor.map(|Cursor(id)| id),
        limit: filter.limit.rows(),
    };
    let found = targets.list(&query).await?;
    let shape = |target| Shape::from(targets.shown(target));
    sparse(Page::new(found, filter.limit, |target| target.id, shape), &filter.fields)
}

/// Makes a target.
#[utoipa::path(
    tag = "notification targets",
    request_body = NewTarget,
    responses((status = 201, body = Shape), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody, description = "There is no key to seal the address with"))
)]
#[post("/notification-targets")]
async fn create_notification_target(
    may: Confirmed<May<SettingsManage>>,
    body: Input<NewTarget>,
    visit: Visit,
    site: web::Data<Site>,
    targets: web::Data<Targets>,
) -> Result<HttpResponse, Problem> {
    let Input(wanted) = body;
    let (fields, reach) = wanted.checked(&site)?;
    let target = targets.make(&fields, reach, may.by(&visit)).await?;
    let location = format!("/admin/v1/notification-targets/{}", target.id);
    Ok(created(target.version, &location, &Shape::from(targets.shown(target))))
}

/// One target.
#[utoipa::path(
    tag = "notification targets",
    params(("target_id" = i64, Path)),
    responses((status = 200, body = Shape), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/notification-targets/{target_id}")]
async fn find_notification_target(
    request: HttpRequest,
    _: May<SettingsRead>,
    id: web::Path<i64>,
    _: Query<Nothing>,
    targets: web::Data<Targets>,
) -> Result<HttpResponse, Problem> {
    let target = targets.find(*id).await?;
    Ok(show(&request, target.version, &Shape::from(targets.shown(target))))
}

/// Changes a target.
#[utoipa::path(
    tag = "notification targets",
    params(("target_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    request_body(content = TargetChange, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody),
        (status = 422, body = ProblemBody),
        (status = 428, body = ProblemBody),
        (status = 503, body = ProblemBody, description = "There is no key to seal the address with"),
    )
)]
#[patch("/notification-targets/{target_id}")]
async fn change_notification_target(
    may: Confirmed<May<SettingsManage>>,
    id: web::Path<i64>,
    version: IfMatch,
    body: Patch<TargetChange>,
    visit: Visit,
    site: web::Data<Site>,
    targets: web::Data<Targets>,
) -> Result<HttpResponse, Problem> {
    let Patch(change) = body;
    let before = targets.find(*id).await?;
    version.check(before.version)?;
    let (fields, reach) = change.of(before.fields.clone(), &site)?;
    let target = targets.change(&before, fields, reach, may.by(&visit)).await?;
    Ok(changed(target.version, &Shape::from(targets.shown(target))))
}

/// Takes a target away.
#[utoipa::path(
    tag = "notification targets",
    params(("target_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[delete("/notification-targets/{target_id}")]
async fn delete_notification_target(
    may: May<SettingsManage>,
    id: web::Path<i64>,
    version: IfMatch,
    _: Query<Nothing>,
    visit: Visit,
    targets: web::Data<Targets>,
) -> Result<HttpResponse, Problem> {
    let before = targets.find(*id).await?;
    version.check(before.version)?;
    targets.remove(&before, may.by(&visit)).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NoProject => Problem::new(Code::Invalid).faults(vec![Fault::new("/project_id", "unknown", "there is no such project")]),
            Error::Stale(version) => stale(version),
            Error::Gone(id) => Problem::no_such("notification target", id),
            Error::Keys(_) => Problem::ours(Code::Unavailable, &error),
            Error::Store(error) => error.into(),
        }
    }
}
