//! `/admin/v1/projects/batch`: many changes in one request, each by itself.
//! Knows nothing of what a change is beside its words.

use actix_web::{HttpResponse, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::{Code, Input, May, Problem, Visit, right::ProjectsManage};
use pipecast_model::ProjectId;
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::batch::{Batch, Operation, Results, Wish, each};
use super::Change;
use crate::keeping::Keeping;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(change_projects);
}

/// Changes projects, each by itself: one that fails leaves the others as they were done. What deliveries tell of is archived and not deleted, so
/// every operation is an `update`.
#[utoipa::path(
    tag = "projects",
    request_body = Batch<ProjectId, Change>,
    responses((status = 207, body = Results<ProjectId>), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody))
)]
#[post("/projects/batch")]
async fn change_projects(
    may: May<ProjectsManage>,
    visit: Visit,
    body: Input<Batch<ProjectId, Change>>,
    keeping: web::Data<Keeping>,
) -> Result<HttpResponse, Problem> {
    let change = async |id, operation: Operation<ProjectId, Change>| {
        let found = keeping.reader().find_kept_project(id, &may.sight()).await?;
        let before = found.ok_or_else(|| Problem::no_such("project", id))?;
        let Wish::Update(wanted) = operation.of(before.edition, false)? else {
            return Err(Problem::new(Code::Invalid).detail("a project is not deleted; update it with `archived`"));
        };
        let changed = keeping.change_project(&before, &wanted.of(&before)?, may.by(&visit)).await?;
        Ok(changed.edition)
    };
    each(body.0, change).await
}
