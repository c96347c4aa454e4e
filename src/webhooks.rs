//! `POST /webhooks/…`: deliveries of Git hosts, verified on their raw bytes and put on the queue.
//! Knows nothing of what deliveries mean.

pub mod signature;

mod body;
mod book;
mod github;
mod gitlab;
mod headers;
mod reading;
mod receive;
mod trust;

use actix_web::{HttpRequest, HttpResponse, guard, post, web};
use pipecast_fabric::Queue;
use pipecast_http::{Code, Problem};
use pipecast_model::{DeliveryId, Host};
use serde::Serialize;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::config::DEFAULT_SOURCE;
use crate::drain::Drain;

pub use reading::Reading;
pub use receive::{Received, Receiver};

/// The answer to a delivery that is safe.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Receipt {
    /// Always `received`; what became of it shows in the ledger.
    #[schema(example = "received")]
    status: &'static str,
    /// Our id of the delivery.
    delivery_id: DeliveryId,
    /// Where it is safe: `broker`, `spool` (a file of the node that answered, until the broker takes it) or `embedded`.
    #[schema(example = "broker")]
    durability: &'static str,
}

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(receive_delivery).service(receive_delivery_of_source);
}

/// The default source of each host by its whole path, for the router to compare and not to match: most deliveries come here. To be
/// configured before everything that has a parameter in its path.
pub fn plain_routes(config: &mut web::ServiceConfig) {
    for host in Host::ALL {
        let receive = move |request: HttpRequest, payload, receiver: web::Data<Receiver>, queue: web::Data<dyn Queue>, drain: web::Data<Drain>| async move {
            let _hold = drain.hold();
            receiver.receive(host, DEFAULT_SOURCE, &request, payload, queue.get_ref()).await.map(accepted)
        };
        config.service(web::resource(format!("/webhooks/{host}")).guard(guard::Post()).to(receive));
    }
}

/// Receives a delivery of the host's default source.
///
/// Answered once it is durable. A repeated delivery, a ping and an event that is not understood are 202 as well.
#[utoipa::path(
    tag = "webhooks",
    params(("host" = Host, Path, description = "`github` or `gitlab`")),
    request_body(
        content = Object,
        content_type = "application/json",
        description = "As the host sends it, signed",
        example = json!({"zen": "Keep it logically awesome.", "hook_id": 1}),
    ),
    responses(
        (status = 202, body = Receipt),
        (status = 404, description = "No such host", body = pipecast_http::problem::Body),
        (status = 401, description = "No or a wrong signature, or another kind of host", body = pipecast_http::problem::Body),
        (status = 408, description = "The body did not arrive in time", body = pipecast_http::problem::Body),
        (status = 413, description = "Larger than `webhooks.max_body`", body = pipecast_http::problem::Body),
        (status = 415, description = "Compressed", body = pipecast_http::problem::Body),
        (status = 503, description = "Not durable; send it again after Retry-After", body = pipecast_http::problem::Body),
    )
)]
#[post("/webhooks/{host}")]
async fn receive_delivery(
    request: HttpRequest,
    host: web::Path<String>,
    payload: web::Payload,
    receiver: web::Data<Receiver>,
    queue: web::Data<dyn Queue>,
    drain: web::Data<Drain>,
) -> Result<HttpResponse, Problem> {
    let _hold = drain.hold();
    let host = parse_host(&host)?;
    let received = receiver.receive(host, DEFAULT_SOURCE, &request, payload, queue.get_ref()).await?;
    Ok(accepted(received))
}

/// Receives a delivery of a source that has a key, and a secret, of its own.
#[utoipa::path(
    tag = "webhooks",
    params(("host" = Host, Path, description = "`github` or `gitlab`"), ("source_key" = String, Path, description = "The end of the source's path, made with it or named in the configuration")),
    request_body(
        content = Object,
        content_type = "application/json",
        description = "As the host sends it, signed",
        example = json!({"zen": "Keep it logically awesome.", "hook_id": 1}),
    ),
    responses(
        (status = 202, body = Receipt),
        (status = 404, description = "No such host", body = pipecast_http::problem::Body),
        (status = 401, description = "No or a wrong signature, or no such source", body = pipecast_http::problem::Body),
        (status = 408, description = "The body did not arrive in time", body = pipecast_http::problem::Body),
        (status = 413, description = "Larger than `webhooks.max_body`", body = pipecast_http::problem::Body),
        (status = 415, description = "Compressed", body = pipecast_http::problem::Body),
        (status = 503, description = "Not durable; send it again after Retry-After", body = pipecast_http::problem::Body),
    )
)]
#[post("/webhooks/{host}/{source_key}")]
async fn receive_delivery_of_source(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    receiver: web::Data<Receiver>,
    queue: web::Data<dyn Queue>,
    drain: web::Data<Drain>,
) -> Result<HttpResponse, Problem> {
    let _hold = drain.hold();
    let (host, source) = path.into_inner();
    let host = parse_host(&host)?;
    let received = receiver.receive(host, &source, &request, payload, queue.get_ref()).await?;
    Ok(accepted(received))
}

fn parse_host(word: &str) -> Result<Host, Problem> {
    word.parse()
        .map_err(|error: pipecast_model::delivery::UnknownHost| Problem::new(Code::NotFound).detail(error.to_string()))
}

fn accepted(received: Received) -> HttpResponse {
    HttpResponse::Accepted().json(Receipt {
        status: "received",
        delivery_id: received.id,
        durability: received.durability.word(),
    })
}
