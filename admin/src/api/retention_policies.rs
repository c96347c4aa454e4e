//! `/admin/v1/retention-policies`: projects whose deliveries are kept for another time than everywhere, which is what the settings
//! `retention.bodies` and `retention.deliveries` say.
//! Knows nothing of how anything is taken away.

use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use pipecast_http::conditional::{changed, created, show, stale};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::right::{SettingsManage, SettingsRead};
use pipecast_http::{Code, Cursor, Fault, Faults, Field, Fields, IfMatch, Input, Limit, May, Page, Patch, Problem, Query, Visit, sparse};
use pipecast_model::quantity::parse_duration;
use pipecast_model::{ProjectId, Timestamp};
use pipecast_store::{Direction, PolicyQuery, Retention, RetentionPolicy};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::order::{ByProjectId, up};
use crate::policies::{Ages, Error, Policies, told_age};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(list_retention_policies)
        .service(create_retention_policy)
        .service(find_retention_policy)
        .service(change_retention_policy)
        .service(delete_retention_policy);
}

/// How long what is kept of a project.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = RetentionPolicy)]
struct Shape {
    project_id: ProjectId,
    /// Bodies of its deliveries; null: as everywhere.
    #[schema(example = "90d")]
    bodies: Option<String>,
    /// Its part of the ledger; null: as everywhere.
    #[schema(example = "365d")]
    deliveries: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<RetentionPolicy> for Shape {
    fn from(policy: RetentionPolicy) -> Self {
        Shape {
            project_id: policy.project_id,
            bodies: policy.bodies.map(told_age),
            deliveries: policy.deliveries.map(told_age),
            created_at: policy.created_at,
            updated_at: policy.updated_at,
        }
    }
}

/// Which policies.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PolicyFilter {
    /// Only of this project.
    #[param(value_type = Option<i64>)]
    project_id: Option<ProjectId>,
    /// `project_id` or `-project_id`.
    #[serde(default = "up", with = "ByProjectId")]
    #[param(inline, value_type = ByProjectId)]
    sort: Direction,
    /// The members that are wanted, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "project_id,bodies")]
    fields: Fields,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<ProjectId>>,
}

/// A policy to be.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPolicy {
    project_id: ProjectId,
    /// From `0s` to `3650d`.
    #[schema(example = "90d")]
    bodies: Option<String>,
    /// From `1d` to `3650d`.
    #[schema(example = "365d")]
    deliveries: Option<String>,
}

/// What is to be different.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PolicyChange {
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    bodies: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    deliveries: Field<String>,
}

/// Policies by project.
#[utoipa::path(
    tag = "retention policies",
    params(PolicyFilter),
    responses((status = 200, body = Page<Shape>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/retention-policies")]
async fn list_retention_policies(_: May<SettingsRead>, filter: Query<PolicyFilter>, policies: web::Data<Policies>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let query = PolicyQuery {
        project: filter.project_id,
        direction: filter.sort,
        after: filter.cursor.map(|Cursor(id)| id),
        limit: filter.limit.rows(),
    };
    let found = policies.reader().list_retention_policies(&query).await?;
    sparse(Page::new(found, filter.limit, |policy| policy.project_id, Shape::from), &filter.fields)
}

/// Gives a project a policy of its own.
#[utoipa::path(
    tag = "retention policies",
    request_body = NewPolicy,
    responses(
        (status = 201, body = Shape),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "The project has one, or there are as many as are heeded"),
        (status = 422, body = ProblemBody),
    )
)]
#[post("/retention-policies")]
async fn create_retention_policy(
    may: May<SettingsManage>,
    body: Input<NewPolicy>,
    visit: Visit,
    policies: web::Data<Policies>,
) -> Result<HttpResponse, Problem> {
    let Input(NewPolicy {
        project_id,
        bodies,
        deliveries,
    }) = body;
    let ages = ages(bodies.as_deref(), deliveries.as_deref())?;
    let policy = policies.make(project_id, ages, may.by(&visit)).await?;
    let location = format!("/admin/v1/retention-policies/{project_id}");
    Ok(created(policy.version, &location, &Shape::from(policy)))
}

/// The policy of a project.
#[utoipa::path(
    tag = "retention policies",
    params(("project_id" = i64, Path)),
    responses((status = 200, body = Shape), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/retention-policies/{project_id}")]
async fn find_retention_policy(
    request: HttpRequest,
    _: May<SettingsRead>,
    id: web::Path<ProjectId>,
    _: Query<Nothing>,
    policies: web::Data<Policies>,
) -> Result<HttpResponse, Problem> {
    let policy = policies.find(*id).await?;
    Ok(show(&request, policy.version, &Shape::from(policy)))
}

/// Changes a policy.
#[utoipa::path(
    tag = "retention policies",
    params(("project_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    request_body(content = PolicyChange, content_type = "application/merge-patch+json"),
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
#[patch("/retention-policies/{project_id}")]
async fn change_retention_policy(
    may: May<SettingsManage>,
    id: web::Path<ProjectId>,
    version: IfMatch,
    body: Patch<PolicyChange>,
    visit: Visit,
    policies: web::Data<Policies>,
) -> Result<HttpResponse, Problem> {
    let Patch(PolicyChange { bodies, deliveries }) = body;
    let before = policies.find(*id).await?;
    version.check(before.version)?;
    let set = ages(bodies.value().map(String::as_str), deliveries.value().map(String::as_str))?;
    let wanted = Ages {
        bodies: patched(&bodies, set.bodies, before.bodies),
        deliveries: patched(&deliveries, set.deliveries, before.deliveries),
    };
    let policy = policies.change(&before, wanted, may.by(&visit)).await?;
    Ok(changed(policy.version, &Shape::from(policy)))
}

/// Takes a policy away: from then on what is older than everywhere goes.
#[utoipa::path(
    tag = "retention policies",
    params(("project_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody),
    )
)]
#[delete("/retention-policies/{project_id}")]
async fn delete_retention_policy(
    may: May<SettingsManage>,
    id: web::Path<ProjectId>,
    version: IfMatch,
    _: Query<Nothing>,
    visit: Visit,
    policies: web::Data<Policies>,
) -> Result<HttpResponse, Problem> {
    let before = policies.find(*id).await?;
    version.check(before.version)?;
    policies.remove(&before, may.by(&visit)).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Taken => Problem::new(Code::Conflict).detail("the project has a policy; change that"),
            Error::NoProject => Problem::new(Code::Invalid).faults(vec![Fault::new("/project_id", "unknown", "there is no such project")]),
            Error::Full => Problem::new(Code::Conflict).detail(format!("{error}; take one away first")),
            Error::Stale(version) => stale(version),
            Error::Gone(project) => Problem::no_such("retention policy of project", project),
            Error::Store(error) => error.into(),
        }
    }
}

/// Both ages in microseconds.
fn ages(bodies: Option<&str>, deliveries: Option<&str>) -> Result<Ages, Problem> {
    let mut faults = Faults::default();
    let mut read = |path: &str, text: Option<&str>, least: &str| {
        let bounds = parse_duration(least)..=parse_duration(Retention::MOST);
        let age = parse_duration(text?).filter(|age| bounds.contains(&Some(*age)));
        let would_fit = format!("write a duration from {least} to {}, as \"90d\"", Retention::MOST);
        faults.note(age.is_none(), path, "unfit", would_fit);
        age.and_then(|age| i64::try_from(age.as_micros()).ok())
    };
    let ages = Ages {
        bodies: read("/bodies", bodies, "0s"),
        deliveries: read("/deliveries", deliveries, Retention::LEAST_DELIVERIES),
    };
    faults.end().map(|()| ages)
}

fn patched(field: &Field<String>, set: Option<i64>, before: Option<i64>) -> Option<i64> {
    match field {
        Field::Kept => before,
        Field::Cleared => None,
        Field::Set(_) => set,
    }
}
