//! `/api/ws-tickets`: tickets that open one socket each, for pages that can show neither a header nor a cookie there.
//! Knows nothing of sockets.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, post, web};
use pipecast_http::problem::Body as ProblemBody;
use pipecast_http::query::Nothing;
use pipecast_http::{Meter, Problem, Query, SignedIn};
use serde::Serialize;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::accounts::{Accounts, TICKET_LIFETIME};

/// The routes of this file.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(create_ticket);
}

/// Opens one socket.
#[derive(Serialize, utoipa::ToSchema)]
struct Ticket {
    /// As `?ticket=`, or as the subprotocol `ticket.TICKET` beside `pipecast.v1`.
    ticket: String,
    /// Seconds that it is good.
    #[schema(example = 30)]
    expires_in: u64,
}

/// A ticket that opens one socket within half a minute, from a page of the same origin as this request.
#[utoipa::path(
    tag = "live",
    responses(
        (status = 201, body = Ticket),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "For a program, which shows its token itself"),
        (status = 429, body = ProblemBody, description = "An account gets one a second, and ten at once"),
    )
)]
#[post("")]
async fn create_ticket(request: HttpRequest, caller: SignedIn, _: Query<Nothing>, accounts: web::Data<Accounts>) -> Result<HttpResponse, Problem> {
    let session = caller.session()?;
    Meter::of(&request).take_ticket(caller.bearing().user)?;
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).map(str::to_owned);
    let ticket = accounts.ticket(caller.bearing().user, session, origin).await?;
    Ok(HttpResponse::Created().json(Ticket {
        ticket: ticket.expose().to_owned(),
        expires_in: TICKET_LIFETIME.as_secs(),
    }))
}
