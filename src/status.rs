//! `GET /api/v1/pipelines/{id}/status/realtime`: the newest status of a pipeline, from the memory of this node.
//! Knows nothing of the database; the watch goes there for what it does not hold.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, get, web};
use bytes::Bytes;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Caller, Code, Problem, Query};
use pipecast_model::{ExecutionId, PipelineId, Status, Timestamp, Topic};
use pipecast_watch::{Last, Rendering, Watch};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa_actix_web::service_config::ServiceConfig;

/// When a client may ask again after neither cache nor database answered, about.
const RETRY: Duration = Duration::from_secs(5);

/// The newest status of a pipeline. All but the id is null where nothing is known of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PipelineStatus {
    /// As asked for.
    #[schema(example = 7)]
    pipeline_id: PipelineId,
    /// How it is doing: one of our words, or whatever another program wrote at this pipeline's key in Redis.
    #[schema(example = "running")]
    status: Option<String>,
    /// The phase that the status stands for, where it is known.
    #[schema(example = "running")]
    state: Option<String>,
    /// The verdict, once there is one and it is known.
    outcome: Option<String>,
    /// When that became known.
    last_updated: Option<Timestamp>,
    /// The execution that it stems from; null where another program wrote the status and did not name one.
    execution_id: Option<ExecutionId>,
    /// Counts the changes of this pipeline; null where another program wrote the status.
    seq: Option<i64>,
    /// The cursor `<epoch>-<seq>`, as sockets take it in `?since=`; null where `seq` is.
    #[schema(example = "kqzxbtwm-1842")]
    id: Option<String>,
    /// What else another program wrote.
    #[serde(flatten)]
    #[schema(ignore)]
    more: Map<String, Value>,
}

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(find_status);
}

/// The newest status of a pipeline.
///
/// Answered from memory. Send the `ETag` back in `If-None-Match` and it is 304 until something changes.
#[utoipa::path(
    tag = "pipelines",
    params(("pipeline_id" = i64, Path), ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the answer before")),
    responses(
        (status = 200, body = PipelineStatus, description = "Also for a pipeline that does not exist, with `status` null"),
        (status = 304, description = "Nothing has changed"),
        (status = 503, body = ProblemBody),
    )
)]
#[get("/api/v1/pipelines/{pipeline_id}/status/realtime")]
async fn find_status(
    caller: Caller,
    id: web::Path<PipelineId>,
    _: Query<Nothing>,
    request: HttpRequest,
    watch: web::Data<Watch>,
) -> Result<HttpResponse, Problem> {
    let topic = Topic::Pipeline(*id);
    match caller.may_read(topic).await {
        // What one may not see is like what is not there, and that has an answer here.
        Err(problem) if problem.code() == Code::NotFound => return Ok(unknown(*id)),
        allowed => allowed?,
    }
    let last = match watch.last(topic) {
        Some(last) => Some(last),
        None => watch
            .fetch(topic)
            .await
            .map_err(|error| Problem::ours(Code::Unavailable, &error).retry_after(RETRY))?,
    };
    Ok(last
        .filter(|last| !last.is_gone)
        .map_or_else(|| unknown(*id), |last| answer(*id, &last, &request)))
}

fn answer(id: PipelineId, last: &Arc<Last>, request: &HttpRequest) -> HttpResponse {
    let tag = last.rendering(Rendering::StatusTag, |last| tag(id, last));
    let is_known = is_known(request.headers().get(header::IF_NONE_MATCH), tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-cache")));
    if let Ok(tag) = HeaderValue::from_maybe_shared(tag.clone()) {
        response.insert_header((header::ETAG, tag));
    }
    if is_known {
        return response.finish();
    }
    response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
    response.body(last.rendering(Rendering::StatusBody, |last| render(id, last)).clone())
}

/// Nothing is known of it, which is an answer like any other: a page may ask before the first delivery has come.
fn unknown(id: PipelineId) -> HttpResponse {
    let nothing = PipelineStatus {
        pipeline_id: id,
        status: None,
        state: None,
        outcome: None,
        last_updated: None,
        execution_id: None,
        seq: None,
        id: None,
        more: Map::new(),
    };
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-cache")).json(nothing)
}

fn render(id: PipelineId, last: &Last) -> Bytes {
    #[derive(Deserialize)]
    struct Entry {
        data: Pipeline,
    }
    #[derive(Deserialize)]
    struct Pipeline {
        last_execution: Option<Execution>,
    }
    #[derive(Deserialize)]
    struct Execution {
        id: ExecutionId,
    }

    let status = match last.foreign() {
        Some(told) => foreign(id, last, told.clone()),
        None => {
            let entry = serde_json::from_str::<Entry>(&last.entry()).ok();
            PipelineStatus {
                pipeline_id: id,
                status: Some(last.word().to_owned()),
                state: Some(last.status.state().to_owned()),
                outcome: last.status.outcome().map(str::to_owned),
                last_updated: Some(last.timestamp),
                execution_id: entry.and_then(|entry| entry.data.last_execution).map(|execution| execution.id),
                seq: Some(last.seq),
                id: last.id.clone(),
                more: Map::new(),
            }
        }
    };
    serde_json::to_vec(&status).expect("a status has only strings and numbers in it").into()
}

/// What another program wrote, with what we know of its word.
fn foreign(id: PipelineId, last: &Last, mut told: Map<String, Value>) -> PipelineStatus {
    let text = |value: Value| value.as_str().map(str::to_owned);
    let (their_state, their_outcome) = (told.remove("state").and_then(text), told.remove("outcome").and_then(text));
    let execution = told.remove("execution_id").and_then(|id| id.as_i64()).map(ExecutionId);
    ["pipeline_id", "last_updated"].iter().for_each(|ours| drop(told.remove(*ours)));
    let is_known = last.status != Status::Unknown;
    PipelineStatus {
        pipeline_id: id,
        status: Some(last.word().to_owned()),
        state: if is_known { Some(last.status.state().to_owned()) } else { their_state },
        outcome: if is_known { last.status.outcome().map(str::to_owned) } else { their_outcome },
        last_updated: Some(last.timestamp),
        execution_id: execution,
        seq: None,
        id: None,
        more: told,
    }
}

/// The cursor of our state; another program's has none, so there it is made of the answer itself.
fn tag(id: PipelineId, last: &Last) -> Bytes {
    match &last.id {
        Some(cursor) => format!("\"{cursor}\"").into(),
        None => {
            let mut hasher = DefaultHasher::new();
            last.rendering(Rendering::StatusBody, |last| render(id, last)).hash(&mut hasher);
            format!("\"foreign-{:016x}\"", hasher.finish()).into()
        }
    }
}

/// Whether the client holds `tag` already: it is in the list, or the list is `*`.
fn is_known(header: Option<&HeaderValue>, tag: &[u8]) -> bool {
    let Some(list) = header else { return false };
    let strip = |entry: &[u8]| entry.trim_ascii().strip_prefix(b"W/").map_or(entry.trim_ascii() == tag, |strong| strong == tag);
    list == "*" || list.as_bytes().split(|byte| *byte == b',').any(strip)
}
