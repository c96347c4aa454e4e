//! `/admin/v1/deliveries`: the ledger.
//! Knows nothing of how a delivery is understood.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, web};
use bytes::Bytes;
use pipecast_http::access::Right;
use pipecast_http::conditional::show_as_it_is;
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::right;
use pipecast_http::{Code, Cursor, Fields, Limit, May, Page, Problem, Query, sparse};
use pipecast_model::{DeliveryId, Host, Outcome, ProjectId, Timestamp};
use pipecast_store::{DeliveryQuery, Direction, Listed, Reader, Sight};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Primary;
use super::order::ByReceivedAt;

mod replays;
mod shown;

pub(super) use shown::masked;
use shown::{Delivery, DeliveryInFull, SilentSource};

/// Topics that are shown of what a delivery changed, and replays of it.
const SHOWN: i64 = 200;

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(list_deliveries)
        .service(list_silent_sources)
        .configure(replays::routes)
        .service(find_delivery)
        .service(find_delivery_body);
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeliveryFilter {
    /// Only of this host.
    host: Option<Host>,
    /// Only of the source with this key.
    source: Option<String>,
    /// Only of this event, in the host's word.
    #[param(example = "workflow_run")]
    event: Option<String>,
    /// Only about this project.
    project_id: Option<ProjectId>,
    /// Only with this outcome.
    #[param(inline)]
    outcome: Option<Outcome>,
    /// Only replays of this one.
    replay_of: Option<DeliveryId>,
    /// Not received before.
    #[param(value_type = Option<String>, format = "date-time")]
    since: Option<Timestamp>,
    /// Received before.
    #[param(value_type = Option<String>, format = "date-time")]
    until: Option<Timestamp>,
    /// `-received_at`: the last received first; `received_at`: the first.
    #[serde(default, with = "ByReceivedAt")]
    #[param(inline, value_type = ByReceivedAt)]
    sort: Direction,
    /// The members that are wanted, with commas between.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "id,outcome")]
    fields: Fields,
    /// How many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<(Timestamp, DeliveryId)>>,
}

/// How long a silence.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SilenceFilter {
    /// Hours without a delivery, 1 to 8760.
    #[serde(default = "a_day")]
    #[param(minimum = 1, maximum = 8760, default = 24)]
    hours: i64,
}

/// Sources that have fallen silent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SilentSources {
    /// The longest silent first, 200 at most.
    items: Vec<SilentSource>,
}

fn a_day() -> i64 {
    24
}

/// Deliveries of the ledger.
#[utoipa::path(
    tag = "deliveries",
    params(DeliveryFilter),
    responses((status = 200, body = Page<Delivery>), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/deliveries")]
async fn list_deliveries(
    may: May<right::DeliveriesRead>,
    filter: Query<DeliveryFilter>,
    reader: web::Data<Primary>,
) -> Result<Page<serde_json::Value>, Problem> {
    let Query(filter) = filter;
    let limit = filter.limit;
    let query = DeliveryQuery {
        sight: may.sight(),
        host: filter.host,
        source: filter.source,
        event: filter.event,
        project: filter.project_id,
        outcome: filter.outcome,
        replay_of: filter.replay_of,
        since: filter.since,
        until: filter.until,
        direction: filter.sort,
        after: filter.cursor.map(|Cursor(key)| key),
        limit: limit.rows(),
    };
    let rows = reader.list_deliveries(&query).await?;
    let page = Page::new(rows, limit, |row| (row.received_at, row.id), Delivery::from);
    sparse(page, &filter.fields)
}

/// One delivery with its headers, what it changed, and its replays.
#[utoipa::path(
    tag = "deliveries",
    params(("delivery_id" = String, Path, format = "uuid")),
    responses((status = 200, body = DeliveryInFull), (status = 304), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody))
)]
#[get("/deliveries/{delivery_id}")]
async fn find_delivery(
    request: HttpRequest,
    may: May<right::DeliveriesRead>,
    id: web::Path<DeliveryId>,
    _: Query<Nothing>,
    reader: web::Data<Primary>,
) -> Result<HttpResponse, Problem> {
    let listed = visible(&may, *id, &reader).await?;
    let record = reader.find_delivery(*id).await?.ok_or_else(|| Problem::no_such("delivery", *id))?;
    let changes = reader.list_changes_of(*id, SHOWN).await?;
    let replays = DeliveryQuery {
        replay_of: Some(*id),
        limit: SHOWN,
        ..DeliveryQuery::default()
    };
    let replays = reader.list_deliveries(&replays).await?;
    Ok(show_as_it_is(&request, &DeliveryInFull::new(listed, record.delivery.headers, changes, replays)))
}

/// The body of a delivery, byte for byte as its host sent it, to be kept and not to be shown as a page.
#[utoipa::path(
    tag = "deliveries",
    params(("delivery_id" = String, Path, format = "uuid")),
    responses(
        (status = 200, body = String, content_type = "application/octet-stream", example = json!("{\"action\":\"completed\"}")),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "There is no such delivery, or its body has been taken away"),
    )
)]
#[get("/deliveries/{delivery_id}/body")]
async fn find_delivery_body(
    may: May<right::DeliveriesRead>,
    id: web::Path<DeliveryId>,
    _: Query<Nothing>,
    reader: web::Data<Primary>,
) -> Result<HttpResponse, Problem> {
    visible(&may, *id, &reader).await?;
    let record = reader.find_delivery(*id).await?;
    let body = record.map(|record| record.delivery.body).filter(|body| !body.is_empty());
    let body = body.ok_or_else(|| Problem::new(Code::NotFound).detail("the body of this delivery is not kept, or not any more"))?;
    Ok(attached(&id.to_string(), body))
}

/// Sources from which nothing that was believed has come for so many hours.
#[utoipa::path(
    tag = "deliveries",
    params(SilenceFilter),
    responses((status = 200, body = SilentSources), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody))
)]
#[get("/deliveries/silent-sources")]
async fn list_silent_sources(
    may: May<right::DeliveriesRead>,
    filter: Query<SilenceFilter>,
    reader: web::Data<Primary>,
) -> Result<web::Json<SilentSources>, Problem> {
    if may.sight() != Sight::All {
        return Err(Problem::new(Code::Forbidden).detail("sources belong to no project; this takes the permission everywhere"));
    }
    let hours = filter.hours;
    if !(1..=8760).contains(&hours) {
        return Err(Problem::new(Code::InvalidQuery).detail("hours is a number from 1 to 8760"));
    }
    let since = Timestamp(Timestamp::now().0 - hours * 3_600_000_000);
    let silent = reader.list_silent_sources(since, SHOWN).await?;
    Ok(web::Json(SilentSources {
        items: silent.into_iter().map(SilentSource::from).collect(),
    }))
}

/// The bytes that a host sent, to be kept under this name: nothing says that it is no page of somebody else's.
pub(super) fn attached(name: &str, body: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.json\"")))
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        .body(body)
}

/// A delivery that the caller has this right to: one that they do not see does not exist.
async fn visible<P: Right>(may: &May<P>, id: DeliveryId, reader: &Reader) -> Result<Listed, Problem> {
    let unseen = || Problem::no_such("delivery", id);
    let listed = reader.find_listed_delivery(id).await?.ok_or_else(unseen)?;
    match listed.project_id {
        _ if may.sight() == Sight::All => Ok(listed),
        Some(project) => match may.in_project(project) {
            Ok(()) => Ok(listed),
            Err(problem) if problem.code() == Code::NotFound => Err(unseen()),
            Err(problem) => Err(problem),
        },
        None => Err(unseen()),
    }
}
