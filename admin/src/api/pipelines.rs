//! `/admin/v1/pipelines`: another name for a pipeline than its host's, who sees it, and that it is archived. No delivery changes any of it.
//! Knows nothing of executions.

use actix_web::{HttpRequest, HttpResponse, get, patch, web};
use pipecast_http::conditional::{changed, show};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::right::{PipelinesRead, PipelinesWrite};
use pipecast_http::{Cursor, Faults, Field, Fields, IfMatch, Known, Limit, May, Page, Patch, Problem, Query, Visit, sparse};
use pipecast_model::name::trimmed;
use pipecast_model::{Host, Permission, PipelineId, PipelineVisibility, ProjectId, Status, Timestamp, Visibility};
use pipecast_store::{KeptPipeline, KeptPipelineQuery, PipelineChange};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::projects::Order;
use crate::keeping::{Keeping, archived_at};

/// Longest name, in characters.
const LONGEST_NAME: usize = 200;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(list_kept_pipelines).service(find_kept_pipeline).service(change_pipeline);
}

/// A pipeline and what operators say of it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = KeptPipeline)]
struct Shape {
    id: PipelineId,
    project_id: ProjectId,
    #[schema(example = "acme/rocket")]
    project_name: String,
    host: Host,
    /// The name that it is shown by: yours, or else the host's.
    #[schema(example = "Nightly")]
    name: String,
    /// Your name for it.
    given_name: Option<String>,
    /// Its name at the host.
    #[schema(example = "CI")]
    told_name: String,
    /// The status of its newest execution.
    status: Status,
    /// `project`: whoever sees its project; `private`: only members of the project who may read its pipelines, and whoever may read everywhere.
    visibility: PipelineVisibility,
    /// What that comes to together with the project's.
    effective_visibility: Visibility,
    /// Whether it is archived: then it is in no list, unless it is asked for.
    archived: bool,
    archived_at: Option<Timestamp>,
    /// When anything of it changed last.
    updated_at: Timestamp,
}

impl From<KeptPipeline> for Shape {
    fn from(pipeline: KeptPipeline) -> Self {
        Shape {
            id: pipeline.id,
            project_id: pipeline.project,
            project_name: pipeline.project_name,
            host: pipeline.host,
            name: pipeline.name,
            given_name: pipeline.given_name,
            told_name: pipeline.told_name,
            status: pipeline.status,
            visibility: pipeline.visibility,
            effective_visibility: pipeline.visibility.in_project(pipeline.project_visibility),
            archived: pipeline.archived_at.is_some(),
            archived_at: pipeline.archived_at,
            updated_at: pipeline.updated_at,
        }
    }
}

/// Which pipelines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only whose name contains this, in any case.
    q: Option<String>,
    /// Only of this project.
    #[param(value_type = Option<i64>)]
    project_id: Option<ProjectId>,
    /// Only those with this visibility of their own.
    visibility: Option<PipelineVisibility>,
    /// Only archived ones, or only others.
    archived: Option<bool>,
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
    cursor: Option<Cursor<(String, i64)>>,
}

/// What is to be different.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PipelineChange)]
struct Change {
    /// Your name for it; null takes it away, and the host's name is shown again.
    #[serde(default, deserialize_with = "trimmed")]
    #[schema(value_type = Option<String>)]
    given_name: Field<String>,
    /// Takes effect everywhere within five seconds, on open sockets too.
    #[serde(default)]
    #[schema(value_type = Option<PipelineVisibility>)]
    visibility: Field<PipelineVisibility>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    archived: Field<bool>,
}

impl Change {
    /// What it makes of a pipeline, where it can be.
    fn of(self, pipeline: &KeptPipeline) -> Result<PipelineChange, Problem> {
        let (mut visibility, mut archived) = (pipeline.visibility, pipeline.archived_at.is_some());
        let mut given_name = pipeline.given_name.clone();
        let mut faults = Faults::default();
        self.given_name.apply(&mut given_name);
        self.visibility.apply_to(&mut visibility, "/visibility", &mut faults);
        self.archived.apply_to(&mut archived, "/archived", &mut faults);
        if let Some(name) = &given_name {
            faults.text("/given_name", name, LONGEST_NAME);
        }
        faults.end()?;
        Ok(PipelineChange {
            given_name,
            visibility,
            archived_at: archived_at(pipeline.archived_at, archived),
        })
    }
}

/// Pipelines that the caller sees, archived ones included.
#[utoipa::path(
    tag = "pipelines",
    params(Filter),
    responses((status = 200, body = Page<Shape>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/pipelines")]
async fn list_kept_pipelines(may: May<PipelinesRead>, filter: Query<Filter>, keeping: web::Data<Keeping>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let query = KeptPipelineQuery {
        sight: may.sight(),
        project: filter.project_id,
        visibility: filter.visibility,
        archived: filter.archived,
        text: filter.q,
        sort: filter.sort.into(),
        after: filter.cursor.map(|Cursor(key)| key),
        limit: filter.limit.rows(),
    };
    let pipelines = keeping.reader().list_kept_pipelines(&query).await?;
    let key = |pipeline: &KeptPipeline| (pipeline.name.to_lowercase(), pipeline.id.0);
    sparse(Page::new(pipelines, filter.limit, key, Shape::from), &filter.fields)
}

/// One pipeline.
#[utoipa::path(
    tag = "pipelines",
    params(("pipeline_id" = i64, Path)),
    responses((status = 200, body = Shape), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/pipelines/{pipeline_id}")]
async fn find_kept_pipeline(
    request: HttpRequest,
    may: May<PipelinesRead>,
    id: web::Path<PipelineId>,
    _: Query<Nothing>,
    keeping: web::Data<Keeping>,
) -> Result<HttpResponse, Problem> {
    let found = keeping.reader().find_kept_pipeline(*id, &may.sight()).await?;
    let pipeline = found.ok_or_else(|| Problem::no_such("pipeline", *id))?;
    Ok(show(&request, pipeline.edition, &Shape::from(pipeline)))
}

/// Gives a pipeline another name, changes who sees it, or archives it.
#[utoipa::path(
    tag = "pipelines",
    params(("pipeline_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
    request_body(content = Change, content_type = "application/merge-patch+json"),
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
#[patch("/pipelines/{pipeline_id}")]
async fn change_pipeline(
    may: May<PipelinesWrite>,
    visit: Visit,
    id: web::Path<PipelineId>,
    version: IfMatch,
    body: Patch<Change>,
    keeping: web::Data<Keeping>,
) -> Result<HttpResponse, Problem> {
    let Patch(wanted) = body;
    // Whoever may read it is told that they may not change it; to others it is not there.
    let seen = Known::sight(&may, Permission::PipelinesRead);
    let found = keeping.reader().find_kept_pipeline(*id, &seen).await?;
    let before = found.ok_or_else(|| Problem::no_such("pipeline", *id))?;
    may.in_project(before.project)?;
    version.check(before.edition)?;
    let change = wanted.of(&before)?;
    let pipeline = keeping.change_pipeline(&before, &change, may.by(&visit)).await?;
    Ok(changed(pipeline.edition, &Shape::from(pipeline)))
}
