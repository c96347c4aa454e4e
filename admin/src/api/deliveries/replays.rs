//! `/admin/v1/deliveries/…/replay`: deliveries out of the ledger that go through the queue once more.
//! Knows nothing of what a replay changes.

use actix_web::{HttpResponse, post, web};
use pipecast_fabric::Queue;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Code, Fault, Input, May, Problem, Query, Visit, right};
use pipecast_model::{DeliveryId, Host, Outcome, ProjectId, Timestamp};
use pipecast_store::{DeliveryQuery, Reader, Writer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_actix_web::service_config::ServiceConfig;

use super::visible;
use crate::api::Primary;
use crate::replay::{self, Error, MOST, Plan, Replayer};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(replay_deliveries).service(replay_delivery);
}

/// Which deliveries to replay: at least one of these.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
struct Selection {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Host>,
    /// The key of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The host's word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<ProjectId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    /// Not received before.
    #[schema(value_type = Option<String>, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// Received before.
    #[schema(value_type = Option<String>, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

/// What to replay, counted first.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplayMany {
    filter: Selection,
    /// Leave it out to have them counted only. Then repeat the request with `replayable` of the answer.
    #[schema(minimum = 1, maximum = 1000)]
    expected: Option<i64>,
}

/// What would be replayed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Counted {
    /// Deliveries that the filter finds, counted up to 100,000.
    found: i64,
    /// Those of them that can be replayed, counted up to one more than `most`; the others were refused, or their body has been taken away.
    replayable: i64,
    /// Most that can be replayed at once.
    most: i64,
}

/// What was sent to the queue once more.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Replayed {
    /// How many.
    replayed: u64,
}

/// A replay on its way.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Replay {
    /// Under which it will stand in the ledger.
    replay_id: DeliveryId,
}

/// Sends a delivery through the queue once more. It takes effect whatever has been here before; what is older than what is known
/// changes nothing.
#[utoipa::path(
    tag = "deliveries",
    params(("delivery_id" = String, Path, format = "uuid")),
    responses(
        (status = 202, body = Replay),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It was refused, or its body has been taken away"),
        (status = 503, body = ProblemBody),
    )
)]
#[post("/deliveries/{delivery_id}/replay")]
async fn replay_delivery(
    may: May<right::DeliveriesReplay>,
    id: web::Path<DeliveryId>,
    _: Query<Nothing>,
    visit: Visit,
    reader: web::Data<Primary>,
    writer: web::Data<Writer>,
    queue: web::Data<dyn Queue>,
) -> Result<HttpResponse, Problem> {
    visible(&may, *id, &reader).await?;
    let replay_id = replayer(&reader, &writer, &queue).one(*id, may.by(&visit)).await?;
    Ok(HttpResponse::Accepted().json(Replay { replay_id }))
}

/// Counts what a filter would replay, or replays it: with `expected` as it was counted, and not if that has changed.
#[utoipa::path(
    tag = "deliveries",
    request_body = ReplayMany,
    responses(
        (status = 200, body = Counted, description = "Counted, without `expected`"),
        (status = 202, body = Replayed, description = "Replayed"),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "The count is another one now"),
        (status = 422, body = ProblemBody),
        (status = 503, body = ProblemBody),
    )
)]
#[post("/deliveries/replay")]
async fn replay_deliveries(
    may: May<right::DeliveriesReplay>,
    body: Input<ReplayMany>,
    visit: Visit,
    reader: web::Data<Primary>,
    writer: web::Data<Writer>,
    queue: web::Data<dyn Queue>,
) -> Result<HttpResponse, Problem> {
    let Input(ReplayMany { filter, expected }) = body;
    let told = json!(filter);
    if told == json!({}) {
        let fault = Fault::new("/filter", "empty", "name at least one of its fields; everything is never replayed at once");
        return Err(Problem::new(Code::Invalid).faults(vec![fault]));
    }
    if expected.is_some_and(|expected| !(1..=MOST).contains(&expected)) {
        let fault = Fault::new(
            "/expected",
            "count",
            format!("it is a number from 1 to {MOST}; leave it out to have them counted"),
        );
        return Err(Problem::new(Code::Invalid).faults(vec![fault]));
    }
    let query = DeliveryQuery {
        sight: may.sight(),
        host: filter.host,
        source: filter.source,
        event: filter.event,
        project: filter.project_id,
        outcome: filter.outcome,
        since: filter.since,
        until: filter.until,
        ..DeliveryQuery::default()
    };
    let replayer = replayer(&reader, &writer, &queue);
    match expected {
        None => {
            let Plan { found, replayable } = replayer.plan(&query).await?;
            Ok(HttpResponse::Ok().json(Counted { found, replayable, most: MOST }))
        }
        Some(expected) => {
            let replayed = replayer.many(&query, expected, told, may.by(&visit)).await?;
            Ok(HttpResponse::Accepted().json(Replayed { replayed }))
        }
    }
}

fn replayer<'a>(reader: &'a Reader, writer: &'a Writer, queue: &'a web::Data<dyn Queue>) -> Replayer<'a> {
    Replayer {
        reader,
        writer,
        queue: queue.get_ref(),
    }
}

impl From<replay::Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unknown(id) => Problem::no_such("delivery", id),
            Error::NoBody => Problem::new(Code::Conflict).detail("it was refused, or its body has been taken away, so there is nothing to replay"),
            Error::Changed(count) => Problem::new(Code::Conflict).detail(format!("{count} deliveries would be replayed now; count again")),
            Error::TooMany => {
                let fault = Fault::new("/filter", "too_many", error.to_string());
                Problem::new(Code::Invalid).faults(vec![fault])
            }
            Error::Store(error) => error.into(),
            Error::Queue { source, .. } => source.into(),
        }
    }
}
