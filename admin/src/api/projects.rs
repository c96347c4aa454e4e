//! `/admin/v1/projects`: who sees a project, and that it is archived. What it is called and where it lives is its host's to tell.
//! Knows nothing of its members.

use actix_web::{HttpRequest, HttpResponse, get, patch, web};
use pipecast_http::conditional::{changed, show, stale};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::right::{PipelinesRead, ProjectsManage};
use pipecast_http::{Code, Cursor, Faults, Field, Fields, IfMatch, Limit, May, Page, Patch, Problem, Query, Visit, sparse};
use pipecast_model::{Host, ProjectId, SourceId, Timestamp, Visibility};
use pipecast_store::{ByNameOrId, KeptProject, KeptProjectQuery, ProjectChange};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::keeping::{Error, Keeping, archived_at};

mod batch;
mod transfer;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        // Before what has an id in its path.
        .configure(transfer::routes)
        .configure(batch::routes)
        .service(list_projects)
        .service(find_project)
        .service(change_project);
}

/// A repository or project at a host.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = KeptProject)]
struct Shape {
    id: ProjectId,
    /// The source that tells of it.
    source_id: SourceId,
    host: Host,
    /// Its id at the host.
    #[schema(example = "501")]
    external_id: String,
    /// Its full name at the host.
    #[schema(example = "acme/rocket")]
    name: String,
    /// Its page at the host.
    url: Option<String>,
    default_branch: Option<String>,
    /// `private`: its members alone see it; `internal`: whoever is signed in.
    visibility: Visibility,
    /// Whether it is archived: then its pipelines are in no list, unless they are asked for.
    archived: bool,
    archived_at: Option<Timestamp>,
    /// How many pipelines it has.
    pipelines: i64,
}

impl From<KeptProject> for Shape {
    fn from(project: KeptProject) -> Self {
        Shape {
            id: project.id,
            source_id: project.source_id,
            host: project.host,
            external_id: project.external_id,
            name: project.name,
            url: project.url,
            default_branch: project.default_branch,
            visibility: project.visibility,
            archived: project.archived_at.is_some(),
            archived_at: project.archived_at,
            pipelines: project.pipelines,
        }
    }
}

/// The order of a list by name or id.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
pub(super) enum Order {
    #[default]
    #[serde(rename = "id")]
    Id,
    #[serde(rename = "-id")]
    Newest,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDown,
}

impl From<Order> for ByNameOrId {
    fn from(order: Order) -> Self {
        match order {
            Order::Id => ByNameOrId::Id,
            Order::Newest => ByNameOrId::Newest,
            Order::Name => ByNameOrId::Name,
            Order::NameDown => ByNameOrId::NameDown,
        }
    }
}

/// Which projects.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only whose name contains this, in any case.
    q: Option<String>,
    /// Only of this host.
    host: Option<Host>,
    /// Only of this source.
    #[param(value_type = Option<i64>)]
    source_id: Option<SourceId>,
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
#[schema(as = ProjectChange)]
struct Change {
    #[serde(default)]
    #[schema(value_type = Option<Visibility>)]
    visibility: Field<Visibility>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    archived: Field<bool>,
}

impl Change {
    /// What it makes of a project, where it can be.
    fn of(self, project: &KeptProject) -> Result<ProjectChange, Problem> {
        let (mut visibility, mut archived) = (project.visibility, project.archived_at.is_some());
        let mut faults = Faults::default();
        self.visibility.apply_to(&mut visibility, "/visibility", &mut faults);
        self.archived.apply_to(&mut archived, "/archived", &mut faults);
        faults.end()?;
        Ok(ProjectChange {
            visibility,
            archived_at: archived_at(project.archived_at, archived),
        })
    }
}

/// Projects that the caller sees.
#[utoipa::path(
    tag = "projects",
    params(Filter),
    responses((status = 200, body = Page<Shape>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/projects")]
async fn list_projects(may: May<PipelinesRead>, filter: Query<Filter>, keeping: web::Data<Keeping>) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let query = KeptProjectQuery {
        sight: may.sight(),
        host: filter.host,
        source: filter.source_id,
        archived: filter.archived,
        text: filter.q,
        sort: filter.sort.into(),
        after: filter.cursor.map(|Cursor(key)| key),
        limit: filter.limit.rows(),
    };
    let projects = keeping.reader().list_kept_projects(&query).await?;
    let key = |project: &KeptProject| (project.name.to_lowercase(), project.id.0);
    sparse(Page::new(projects, filter.limit, key, Shape::from), &filter.fields)
}

/// One project.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = i64, Path)),
    responses((status = 200, body = Shape), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/projects/{project_id}")]
async fn find_project(
    request: HttpRequest,
    may: May<PipelinesRead>,
    id: web::Path<ProjectId>,
    _: Query<Nothing>,
    keeping: web::Data<Keeping>,
) -> Result<HttpResponse, Problem> {
    let found = keeping.reader().find_kept_project(*id, &may.sight()).await?;
    let project = found.ok_or_else(|| Problem::no_such("project", *id))?;
    Ok(show(&request, project.edition, &Shape::from(project)))
}

/// Changes who sees a project, or archives it.
#[utoipa::path(
    tag = "projects",
    params(("project_id" = i64, Path), ("If-Match" = String, Header, description = "The `ETag` that was read")),
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
#[patch("/projects/{project_id}")]
async fn change_project(
    may: May<ProjectsManage>,
    visit: Visit,
    id: web::Path<ProjectId>,
    version: IfMatch,
    body: Patch<Change>,
    keeping: web::Data<Keeping>,
) -> Result<HttpResponse, Problem> {
    let Patch(wanted) = body;
    let found = keeping.reader().find_kept_project(*id, &may.sight()).await?;
    let before = found.ok_or_else(|| Problem::no_such("project", *id))?;
    version.check(before.edition)?;
    let change = wanted.of(&before)?;
    let project = keeping.change_project(&before, &change, may.by(&visit)).await?;
    Ok(changed(project.edition, &Shape::from(project)))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Stale(edition) => stale(edition),
            Error::Overtaken => Problem::new(Code::Stale).detail("somebody has changed one of them meanwhile; plan it again"),
            Error::Gone => Problem::new(Code::NotFound),
            Error::Store(error) => error.into(),
        }
    }
}
