//! `/admin/v1/sources/batch`: many changes in one request, each by itself.
//! Knows nothing of what a change is beside its words.

use actix_web::{HttpResponse, post, web};
use pipecast_http::conditional::etag;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::{Code, Fault, Input, May, Problem, Visit, right::SourcesManage};
use pipecast_model::{Source, SourceId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use super::SourceChange;
use crate::sources::Sources;

/// Most changes of one request.
const MOST: usize = 100;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(change_sources);
}

/// Changes, done one after another.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Batch {
    /// At most 100.
    #[schema(max_items = 100)]
    operations: Vec<Operation>,
}

/// One change.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Operation {
    op: Op,
    id: SourceId,
    /// The `ETag` that was read; not for `restore`.
    #[schema(example = "\"v7\"")]
    if_match: Option<String>,
    /// For `update`: what is to be different.
    body: Option<SourceChange>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    Update,
    Delete,
    Restore,
}

/// What became of each, in the same order.
#[derive(Serialize, utoipa::ToSchema)]
struct Results {
    results: Vec<Outcome>,
}

/// What became of one.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = BatchOutcome)]
struct Outcome {
    id: SourceId,
    /// As if it had been asked for by itself.
    #[schema(example = 200)]
    status: u16,
    /// Of the source as it is now.
    etag: Option<String>,
    /// The kind of problem, where there is one.
    #[schema(example = "stale")]
    code: Option<&'static str>,
    /// What to change.
    detail: Option<String>,
}

/// Changes, deletes and restores sources, each by itself: one that fails leaves the others as they were done.
#[utoipa::path(
    tag = "sources",
    request_body = Batch,
    responses((status = 207, body = Results), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody))
)]
#[post("/sources/batch")]
async fn change_sources(may: May<SourcesManage>, visit: Visit, body: Input<Batch>, sources: web::Data<Sources>) -> Result<HttpResponse, Problem> {
    let Input(Batch { operations }) = body;
    if operations.len() > MOST {
        return Err(Problem::new(Code::Invalid).faults(vec![Fault::new("/operations", "too_many", format!("it has at most {MOST}"))]));
    }
    let mut results = Vec::with_capacity(operations.len());
    for operation in operations {
        let (id, op) = (operation.id, operation.op);
        let done = sources.change(id, may.by(&visit), |source| apply(operation, source)).await;
        results.push(outcome(id, op, done));
    }
    Ok(HttpResponse::MultiStatus().json(Results { results }))
}

fn apply(operation: Operation, source: &mut Source) -> Result<(), Problem> {
    if operation.op == Op::Restore {
        return super::restore(source);
    }
    if source.deleted_at.is_some() {
        return Err(Problem::no_such("source", source.id));
    }
    let own = etag(source.version);
    match &operation.if_match {
        None => return Err(Problem::new(Code::PreconditionRequired).detail("send the ETag that you have read in `if_match`")),
        Some(tag) if *tag != own => return Err(Problem::new(Code::Stale).detail(format!("it is {own} now; read it again, and change that"))),
        Some(_) => {}
    }
    match (operation.op, operation.body) {
        (Op::Update, Some(change)) => change.apply(source),
        (Op::Update, None) => Err(Problem::new(Code::Invalid).detail("`body` says what is to be different")),
        _ => {
            source.deleted_at = Some(Timestamp::now());
            Ok(())
        }
    }
}

fn outcome(id: SourceId, op: Op, done: Result<Source, Problem>) -> Outcome {
    match done {
        Ok(source) => Outcome {
            id,
            status: if op == Op::Delete { 204 } else { 200 },
            etag: Some(etag(source.version)),
            code: None,
            detail: None,
        },
        Err(problem) => Outcome {
            id,
            status: problem.code().status().as_u16(),
            etag: None,
            code: Some(problem.code().word()),
            detail: Some(problem.to_string()),
        },
    }
}
