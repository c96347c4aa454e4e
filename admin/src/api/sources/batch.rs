//! `/admin/v1/sources/batch`: many changes in one request, each by itself.
//! Knows nothing of what a change is beside its words.

use actix_web::{HttpResponse, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::{Input, May, Problem, Visit, right::SourcesManage};
use pipecast_model::{Source, SourceId, Timestamp};
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::batch::{Batch, Operation, Results, Wish, each};
use super::super::deleted::restore;
use super::SourceChange;
use crate::sources::Sources;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(change_sources);
}

/// Changes, deletes and restores sources, each by itself: one that fails leaves the others as they were done.
#[utoipa::path(
    tag = "sources",
    request_body = Batch<SourceId, SourceChange>,
    responses((status = 207, body = Results<SourceId>), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody))
)]
#[post("/sources/batch")]
async fn change_sources(
    may: May<SourcesManage>,
    visit: Visit,
    body: Input<Batch<SourceId, SourceChange>>,
    sources: web::Data<Sources>,
) -> Result<HttpResponse, Problem> {
    let change = async |id, operation| {
        let changing = sources.change(id, may.by(&visit), |source| apply(operation, source));
        changing.await.map(|source| source.version)
    };
    each(body.0, change).await
}

fn apply(operation: Operation<SourceId, SourceChange>, source: &mut Source) -> Result<(), Problem> {
    match operation.of(source.version, source.deleted_at.is_some())? {
        Wish::Update(change) => change.apply(source),
        Wish::Restore => restore(&mut source.deleted_at),
        Wish::Delete => {
            source.deleted_at = Some(Timestamp::now());
            Ok(())
        }
    }
}
