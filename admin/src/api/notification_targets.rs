//! `/admin/v1/notification-targets`: whom to tell when a pipeline ends in a certain way. A model only: nothing is sent yet, and where a
//! target can be reached is not kept yet.
//! Knows nothing of pipelines.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use pipecast_http::conditional::{changed, created, show, stale};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::right::{SettingsManage, SettingsRead};
use pipecast_http::{Code, Cursor, Fault, Faults, Field, Fields, IfMatch, Input, Limit, May, Page, Patch, Problem, Query, Visit, sparse};
use pipecast_model::{ProjectId, Status, Timestamp};
use pipecast_store::audit::Entry;
use pipecast_store::{NotificationTarget, Reader, TargetFields, TargetQuery, Writer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Primary;
use super::deleted::ById;

/// Characters of a name.
const LONGEST_NAME: usize = 100;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(list_notification_targets)
        .service(create_notification_target)
        .service(find_notification_target)
        .service(change_notification_target)
        .service(delete_notification_target);
}

/// By which way a target is told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum TargetKind {
    /// A POST of JSON to a URL.
    Webhook,
    /// A channel of Slack.
    Slack,
    /// A mailbox.
    Email,
}

impl TargetKind {
    fn word(self) -> &'static str {
        match self {
            TargetKind::Webhook => "webhook",
            TargetKind::Slack => "slack",
            TargetKind::Email => "email",
        }
    }
}

/// Whom to tell of what.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NotificationTarget)]
struct Shape {
    id: i64,
    name: String,
    /// `webhook`, `slack`, `email`.
    #[schema(example = "slack")]
    kind: String,
    /// Of which project; null: of all.
    project_id: Option<ProjectId>,
    /// Of which statuses.
    #[schema(example = json!(["failure", "error"]))]
    statuses: Vec<String>,
    /// Whether it is told at all.
    enabled: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<NotificationTarget> for Shape {
    fn from(target: NotificationTarget) -> Self {
        let NotificationTarget {
            id,
            fields,
            created_at,
            updated_at,
            ..
        } = target;
        Shape {
            id,
            name: fields.name,
            kind: fields.kind,
            project_id: fields.project_id,
            statuses: fields.statuses.split_whitespace().map(str::to_owned).collect(),
            enabled: fields.enabled,
            created_at,
            updated_at,
        }
    }
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
    #[serde(default)]
    #[param(inline)]
    sort: ById,
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

/// A target to be.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTarget {
    #[schema(max_length = 100)]
    name: String,
    #[schema(inline)]
    kind: TargetKind,
    project_id: Option<ProjectId>,
    /// At least one.
    statuses: BTreeSet<Status>,
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// What is to be different.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TargetChange {
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    project_id: Field<ProjectId>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Status>>)]
    statuses: Field<BTreeSet<Status>>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    enabled: Field<bool>,
}

/// Targets.
#[utoipa::path(
    tag = "notification targets",
    params(TargetFilter),
    responses((status = 200, body = Page<Shape>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/notification-targets")]
async fn list_notification_targets(_: May<SettingsRead>, filter: Query<TargetFilter>, reader: web::Data<Primary>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let query = TargetQuery {
        project: filter.project_id,
        kind: filter.kind.map(|kind| kind.word().to_owned()),
        enabled: filter.enabled,
        descending: filter.sort == ById::Newest,
        after: filter.cursor.map(|Cursor(id)| id),
        limit: filter.limit.rows(),
    };
    let targets = reader.list_notification_targets(&query).await?;
    sparse(Page::new(targets, filter.limit, |target| target.id, Shape::from), &filter.fields)
}

/// Makes a target.
#[utoipa::path(
    tag = "notification targets",
    request_body = NewTarget,
    responses((status = 201, body = Shape), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody))
)]
#[post("/notification-targets")]
async fn create_notification_target(
    may: May<SettingsManage>,
    body: Input<NewTarget>,
    visit: Visit,
    writer: web::Data<Writer>,
) -> Result<HttpResponse, Problem> {
    let Input(wanted) = body;
    let fields = TargetFields {
        name: wanted.name,
        kind: wanted.kind.word().to_owned(),
        project_id: wanted.project_id,
        statuses: words(&wanted.statuses),
        enabled: wanted.enabled,
    };
    check(&fields)?;
    let mut tx = writer.begin().await?;
    let target = tx.create_notification_target(&fields).await?.ok_or_else(no_project)?;
    let shape = Shape::from(target.clone());
    let entry = Entry::new(may.by(&visit), "notification_target.create").on("notification_target", target.id, &shape.name);
    tx.audit(about(entry, &target).after(json!(shape)));
    tx.commit().await?;
    Ok(created(target.version, &format!("/admin/v1/notification-targets/{}", target.id), &shape))
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
    reader: web::Data<Primary>,
) -> Result<HttpResponse, Problem> {
    let target = found(&reader, *id).await?;
    Ok(show(&request, target.version, &Shape::from(target)))
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
    )
)]
#[patch("/notification-targets/{target_id}")]
async fn change_notification_target(
    may: May<SettingsManage>,
    id: web::Path<i64>,
    version: IfMatch,
    body: Patch<TargetChange>,
    visit: Visit,
    reader: web::Data<Primary>,
    writer: web::Data<Writer>,
) -> Result<HttpResponse, Problem> {
    let Patch(change) = body;
    let before = found(&reader, *id).await?;
    version.check(before.version)?;
    let mut after = before.clone();
    let mut faults = Faults::default();
    change.name.apply_to(&mut after.fields.name, "/name", &mut faults);
    change.enabled.apply_to(&mut after.fields.enabled, "/enabled", &mut faults);
    change.project_id.apply(&mut after.fields.project_id);
    faults.note(change.statuses == Field::Cleared, "/statuses", "missing", "it has to be there");
    faults.end()?;
    if let Field::Set(statuses) = &change.statuses {
        after.fields.statuses = words(statuses);
    }
    check(&after.fields)?;
    let mut tx = writer.begin().await?;
    let Some(target) = tx.update_notification_target(&after).await? else {
        drop(tx);
        let now = found(&reader, *id).await?;
        return Err(if now.version == before.version { no_project() } else { stale(now.version) });
    };
    let (before, shape) = (Shape::from(before), Shape::from(target.clone()));
    let entry = Entry::new(may.by(&visit), "notification_target.update").on("notification_target", *id, &shape.name);
    tx.audit(about(entry, &target).changed(json!(before), json!(shape)));
    tx.commit().await?;
    Ok(changed(target.version, &shape))
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
    visit: Visit,
    reader: web::Data<Primary>,
    writer: web::Data<Writer>,
) -> Result<HttpResponse, Problem> {
    let before = found(&reader, *id).await?;
    version.check(before.version)?;
    let mut tx = writer.begin().await?;
    if !tx.delete_notification_target(*id, before.version).await? {
        drop(tx);
        return Err(stale(found(&reader, *id).await?.version));
    }
    let entry = Entry::new(may.by(&visit), "notification_target.delete").on("notification_target", *id, &before.fields.name);
    tx.audit(about(entry, &before).before(json!(Shape::from(before))));
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn found(reader: &Reader, id: i64) -> Result<NotificationTarget, Problem> {
    let target = reader.find_notification_target(id).await?;
    target.ok_or_else(|| Problem::no_such("notification target", id))
}

fn about(entry: Entry, target: &NotificationTarget) -> Entry {
    match target.fields.project_id {
        Some(project) => entry.of(project),
        None => entry,
    }
}

fn words(statuses: &BTreeSet<Status>) -> String {
    statuses.iter().map(|status| status.word()).collect::<Vec<_>>().join(" ")
}

fn check(fields: &TargetFields) -> Result<(), Problem> {
    let mut faults = Faults::default();
    faults.text("/name", &fields.name, LONGEST_NAME);
    faults.note(fields.statuses.is_empty(), "/statuses", "empty", "name at least one status");
    faults.end()
}

fn no_project() -> Problem {
    Problem::new(Code::Invalid).faults(vec![Fault::new("/project_id", "unknown", "there is no such project")])
}
