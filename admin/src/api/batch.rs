//! Many changes in one request, each by itself: one that fails leaves the others as they were done.
//! Knows nothing of what a change is beside its words.

use actix_web::HttpResponse;
use pipecast_http::conditional::{etag, names, stale};
use pipecast_http::{Code, Fault, Problem};
use serde::{Deserialize, Serialize};

/// Most changes of one request.
const MOST: usize = 100;

/// Changes, done one after another.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch<I, C> {
    /// At most 100.
    #[schema(max_items = 100)]
    operations: Vec<Operation<I, C>>,
}

/// One change.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Operation<I, C> {
    op: Op,
    id: I,
    /// The `ETag` that was read, or `*` for whatever is there; not for `restore`.
    #[schema(example = "\"v7\"")]
    if_match: Option<String>,
    /// For `update`: what is to be different.
    body: Option<C>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    Update,
    Delete,
    Restore,
}

/// What an operation wants done to a thing that is as it was read.
pub(super) enum Wish<C> {
    /// It is to become so.
    Update(C),
    /// It is to be gone.
    Delete,
    /// It is to be back.
    Restore,
}

/// What became of each, in the same order.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Results<I> {
    results: Vec<Answer<I>>,
}

/// What became of one.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = BatchOutcome)]
struct Answer<I> {
    id: I,
    /// As if it had been asked for by itself.
    #[schema(example = 200)]
    status: u16,
    /// Of the thing as it is now.
    #[schema(example = "\"v8\"")]
    etag: Option<String>,
    /// The kind of problem, where there is one.
    #[schema(example = "stale")]
    code: Option<&'static str>,
    /// What to change.
    detail: Option<String>,
    /// What is wrong with single fields of `body`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl<I, C> Operation<I, C> {
    /// What it wants of a thing at this version.
    ///
    /// # Errors
    /// `not_found` for a change of a deleted one, `precondition_required`, `stale`, `invalid` where it does not say to what.
    pub(super) fn of(self, version: i64, is_deleted: bool) -> Result<Wish<C>, Problem> {
        if self.op == Op::Restore {
            return Ok(Wish::Restore);
        }
        if is_deleted {
            return Err(Problem::new(Code::NotFound).detail("it is deleted; restore it first"));
        }
        match &self.if_match {
            None => return Err(Problem::new(Code::PreconditionRequired).detail("send the ETag that you have read in `if_match`")),
            Some(tag) if tag != "*" && !names(tag, version) => return Err(stale(version)),
            Some(_) => {}
        }
        match (self.op, self.body) {
            (Op::Update, Some(change)) => Ok(Wish::Update(change)),
            (Op::Update, None) => Err(Problem::new(Code::Invalid).faults(vec![Fault::new("/body", "missing", "it says what is to be different")])),
            _ => Ok(Wish::Delete),
        }
    }
}

/// Does each operation by `change`, which returns the version that the thing has then, and answers with what became of each.
///
/// # Errors
/// `invalid` for more than 100.
pub(super) async fn each<I, C>(batch: Batch<I, C>, change: impl AsyncFn(I, Operation<I, C>) -> Result<i64, Problem>) -> Result<HttpResponse, Problem>
where
    I: Copy + Serialize,
{
    let Batch { operations } = batch;
    if operations.len() > MOST {
        return Err(Problem::new(Code::Invalid).faults(vec![Fault::new("/operations", "too_many", format!("it has at most {MOST}"))]));
    }
    let mut results = Vec::with_capacity(operations.len());
    for operation in operations {
        let (id, op) = (operation.id, operation.op);
        results.push(answer(id, op, change(id, operation).await));
    }
    Ok(HttpResponse::MultiStatus().json(Results { results }))
}

fn answer<I>(id: I, op: Op, done: Result<i64, Problem>) -> Answer<I> {
    match done {
        Ok(version) => Answer {
            id,
            status: if op == Op::Delete { 204 } else { 200 },
            etag: Some(etag(version)),
            code: None,
            detail: None,
            errors: Vec::new(),
        },
        Err(problem) => Answer {
            id,
            status: problem.code().status().as_u16(),
            etag: None,
            code: Some(problem.code().word()),
            detail: Some(problem.to_string()),
            errors: problem.errors().to_vec(),
        },
    }
}
