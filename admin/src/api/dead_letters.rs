//! `/admin/v1/dead-letters`: what the queue has given up; tried again, or dropped.
//! Knows nothing of why it was given up.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use pipecast_fabric::{Dead, DeadId, Queue};
use pipecast_http::conditional::show_as_it_is;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::right;
use pipecast_http::{Code, Cursor, Fault, Fields, Input, Limit, May, Page, Problem, Query, Visit, sparse};
use pipecast_store::{Sight, Writer};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::deliveries::{attached, masked};
use crate::dead_letters::{self, DeadLetter, Error, Fate, MOST, Sent, settle};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(list_dead_letters)
        .service(find_dead_letter)
        .service(find_dead_letter_body)
        .service(retry_dead_letters)
        .service(drop_dead_letters)
        .service(retry_dead_letter)
        .service(drop_dead_letter);
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeadLetterFilter {
    /// The members that are wanted, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "id,reason")]
    fields: Fields,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
}

/// A dead letter with what came along.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DeadLetterInFull {
    #[serde(flatten)]
    letter: DeadLetter,
    /// Those of its headers that are kept.
    #[schema(example = json!({"x-github-event": "workflow_run"}))]
    headers: BTreeMap<String, String>,
    /// Bytes of its body; null where there is none to be read.
    #[schema(example = 8312)]
    body_bytes: Option<usize>,
}

impl From<Dead> for DeadLetterInFull {
    fn from(dead: Dead) -> Self {
        let Sent { headers, body } = Sent::of(&dead);
        DeadLetterInFull {
            letter: dead.into(),
            headers: headers.into_iter().map(masked).collect(),
            body_bytes: Some(body.len()).filter(|length| *length > 0),
        }
    }
}

/// Several of them.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Chosen {
    /// Their ids, 1 to 200.
    #[schema(min_items = 1, max_items = 200)]
    ids: Vec<String>,
}

/// How many it was done to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Settled {
    /// Those that were still there.
    settled: u64,
}

/// What the queue has given up, the longest buried first.
#[utoipa::path(
    tag = "dead letters",
    params(DeadLetterFilter),
    responses((status = 200, body = Page<DeadLetter>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 503, body = ProblemBody))
)]
#[get("/dead-letters")]
async fn list_dead_letters(
    may: May<right::DeliveriesRead>,
    filter: Query<DeadLetterFilter>,
    queue: web::Data<dyn Queue>,
) -> Result<Page<serde_json::Value>, Problem> {
    everywhere(&may.sight())?;
    let Query(DeadLetterFilter { fields, limit, cursor }) = filter;
    let after = cursor.map(|Cursor(id)| DeadId(id));
    let most = usize::try_from(limit.rows()).unwrap_or(MOST);
    let dead = queue.list_dead(after.as_ref(), most).await?;
    sparse(Page::new(dead, limit, |dead| dead.id.0.clone(), DeadLetter::from), &fields)
}

/// One of them with its headers.
#[utoipa::path(
    tag = "dead letters",
    params(("dead_letter_id" = String, Path)),
    responses((status = 200, body = DeadLetterInFull), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody))
)]
#[get("/dead-letters/{dead_letter_id}")]
async fn find_dead_letter(
    request: HttpRequest,
    may: May<right::DeliveriesRead>,
    id: web::Path<String>,
    _: Query<Nothing>,
    queue: web::Data<dyn Queue>,
) -> Result<HttpResponse, Problem> {
    everywhere(&may.sight())?;
    let id = DeadId(id.into_inner());
    let dead = queue.find_dead(&id).await?.ok_or_else(|| gone(&id))?;
    Ok(show_as_it_is(&request, &DeadLetterInFull::from(dead)))
}

/// The body of the delivery in one, byte for byte as its host sent it, to be kept and not to be shown as a page.
#[utoipa::path(
    tag = "dead letters",
    params(("dead_letter_id" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "application/octet-stream", example = json!("{\"action\":\"completed\"}")),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "There is no such dead letter, or no delivery in it that can be read"),
        (status = 503, body = ProblemBody),
    )
)]
#[get("/dead-letters/{dead_letter_id}/body")]
async fn find_dead_letter_body(
    may: May<right::DeliveriesRead>,
    id: web::Path<String>,
    _: Query<Nothing>,
    queue: web::Data<dyn Queue>,
) -> Result<HttpResponse, Problem> {
    everywhere(&may.sight())?;
    let id = DeadId(id.into_inner());
    let dead = queue.find_dead(&id).await?.ok_or_else(|| gone(&id))?;
    let body = Sent::of(&dead).body;
    if body.is_empty() {
        return Err(Problem::new(Code::NotFound).detail("there is no delivery in this dead letter, or none that this build can read"));
    }
    Ok(attached("dead-letter", body))
}

/// Tries one again, as if it were new.
#[utoipa::path(
    tag = "dead letters",
    params(("dead_letter_id" = String, Path)),
    responses((status = 202, body = Settled), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody))
)]
#[post("/dead-letters/{dead_letter_id}/retry")]
async fn retry_dead_letter(
    may: May<right::DeliveriesReplay>,
    id: web::Path<String>,
    _: Query<Nothing>,
    visit: Visit,
    queue: web::Data<dyn Queue>,
    writer: web::Data<Writer>,
) -> Result<HttpResponse, Problem> {
    everywhere(&may.sight())?;
    let id = DeadId(id.into_inner());
    match settle(queue.get_ref(), &writer, std::slice::from_ref(&id), Fate::Retry, may.by(&visit)).await? {
        0 => Err(gone(&id)),
        settled => Ok(HttpResponse::Accepted().json(Settled { settled })),
    }
}

/// Drops one for ever: what it tells is lost, unless its host sends it again.
#[utoipa::path(
    tag = "dead letters",
    params(("dead_letter_id" = String, Path)),
    responses((status = 204), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody))
)]
#[delete("/dead-letters/{dead_letter_id}")]
async fn drop_dead_letter(
    may: May<right::DeliveriesReplay>,
    id: web::Path<String>,
    _: Query<Nothing>,
    visit: Visit,
    queue: web::Data<dyn Queue>,
    writer: web::Data<Writer>,
) -> Result<HttpResponse, Problem> {
    everywhere(&may.sight())?;
    let id = DeadId(id.into_inner());
    match settle(queue.get_ref(), &writer, std::slice::from_ref(&id), Fate::Drop, may.by(&visit)).await? {
        0 => Err(gone(&id)),
        _ => Ok(HttpResponse::NoContent().finish()),
    }
}

/// Tries several again, as if they were new; those that are no longer there are passed over.
#[utoipa::path(
    tag = "dead letters",
    request_body = Chosen,
    responses((status = 202, body = Settled), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody))
)]
#[post("/dead-letters/retry")]
async fn retry_dead_letters(
    may: May<right::DeliveriesReplay>,
    chosen: Input<Chosen>,
    visit: Visit,
    queue: web::Data<dyn Queue>,
    writer: web::Data<Writer>,
) -> Result<HttpResponse, Problem> {
    everywhere(&may.sight())?;
    let settled = settle(queue.get_ref(), &writer, &ids(chosen)?, Fate::Retry, may.by(&visit)).await?;
    Ok(HttpResponse::Accepted().json(Settled { settled }))
}

/// Drops several for ever; those that are no longer there are passed over.
#[utoipa::path(
    tag = "dead letters",
    request_body = Chosen,
    responses((status = 200, body = Settled), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 422, body = ProblemBody), (status = 503, body = ProblemBody))
)]
#[post("/dead-letters/drop")]
async fn drop_dead_letters(
    may: May<right::DeliveriesReplay>,
    chosen: Input<Chosen>,
    visit: Visit,
    queue: web::Data<dyn Queue>,
    writer: web::Data<Writer>,
) -> Result<HttpResponse, Problem> {
    everywhere(&may.sight())?;
    let settled = settle(queue.get_ref(), &writer, &ids(chosen)?, Fate::Drop, may.by(&visit)).await?;
    Ok(HttpResponse::Ok().json(Settled { settled }))
}

/// What lies among the dead was never understood, so nobody knows its project: it is for those who may see everything.
fn everywhere(sight: &Sight) -> Result<(), Problem> {
    match sight {
        Sight::All => Ok(()),
        Sight::Projects { .. } => Err(Problem::new(Code::Forbidden).detail("dead letters belong to no project; this takes the permission everywhere")),
    }
}

fn ids(Input(Chosen { ids }): Input<Chosen>) -> Result<Vec<DeadId>, Problem> {
    if ids.is_empty() || ids.len() > MOST {
        let fault = Fault::new("/ids", "count", format!("name 1 to {MOST} of them"));
        return Err(Problem::new(Code::Invalid).faults(vec![fault]));
    }
    Ok(ids.into_iter().map(DeadId).collect())
}

fn gone(id: &DeadId) -> Problem {
    Problem::no_such("dead letter", id.0.chars().take(80).collect::<String>())
}

impl From<dead_letters::Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Queue(error) => error.into(),
        }
    }
}
