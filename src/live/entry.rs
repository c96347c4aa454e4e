//! Who opens a connection: by a ticket, by a token beside the subprotocol, by a header, or by the cookie of a page of ours.
//! Knows nothing of topics.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web;
use pipecast_auth::{Audience, Refusal};
use pipecast_http::caller::shows_cookie;
use pipecast_http::{Caller, Code, Known, Meter, Problem, Site, witness};
use pipecast_store::Credential;

use super::Here;
use super::rights::Rights;
use super::showing::{end_of, prove};

/// How long it is remembered that a ticket was used; tickets are good for half a minute.
const USED_FOR: Duration = Duration::from_secs(60);

/// Somebody who may come in.
pub(super) struct Entry {
    /// Who.
    pub caller: Caller,
    /// What they may see; `None` for an anonymous one.
    pub rights: Option<Rights>,
}

/// Who opens a socket. `caller` is who the header or the cookie says.
///
/// # Errors
/// `token_refused`, `cross_site`, and those of `caller`.
pub(super) async fn of_socket(here: &Here, caller: Result<Caller, Problem>, request: &HttpRequest, ticket: Option<&str>) -> Result<Entry, Problem> {
    let (mut bearer, mut offered) = (None, None);
    for offer in offers(request) {
        bearer = bearer.or(offer.strip_prefix("bearer."));
        offered = offered.or(offer.strip_prefix("ticket."));
    }
    if let Some(ticket) = offered.or(ticket) {
        return by_ticket(here, request, ticket).await;
    }
    if let Some(token) = bearer {
        return by_token(here, request, token).await;
    }
    let site = request.app_data::<web::Data<Site>>();
    // A browser sends the cookie whichever page asks; which one it is says the origin.
    if shows_cookie(request) && !site.is_some_and(|site| site.is_own_origin(request)) && !is_allowed(here, request) {
        return Err(Problem::new(Code::CrossSite).detail("with a cookie, only pages of this service may open sockets"));
    }
    of_request(here, caller?, request)
}

/// Who opens a stream: a browser sends no origin with the request of a page of the same one, and the cookie goes to no other.
pub(super) fn of_request(here: &Here, caller: Caller, request: &HttpRequest) -> Result<Entry, Problem> {
    let rights = match &caller {
        Caller::Anonymous => None,
        Caller::Known(known) => {
            let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let token = header.and_then(|value| value.split_once(' ')).map(|(_, token)| token.trim());
            let ends = token.and_then(|token| end_of(&here.settings.gatekeeper, token));
            Some(Rights::of(known, ends))
        }
    };
    Ok(Entry { caller, rights })
}

async fn by_token(here: &Here, request: &HttpRequest, token: &str) -> Result<Entry, Problem> {
    let gatekeeper = &here.settings.gatekeeper;
    let meter = Meter::of(request);
    let entrant = prove(gatekeeper, &meter, token).await?;
    witness::note_use(request, &entrant.badge);
    meter.take_from_bearer(&entrant.badge, &entrant.bearing)?;
    let known = Known::new(gatekeeper.clone(), entrant);
    Ok(Entry {
        rights: Some(Rights::of(&known, end_of(gatekeeper, token))),
        caller: Caller::Known(known),
    })
}

/// A ticket is good once, for the page that asked for it. That it was used is remembered in the cache of all nodes, which may forget: an
/// eviction, a flush or a restart of Redis makes a used ticket good again for the rest of its half minute, for the same origin. Whoever
/// can write there can do that and can spoil a ticket, and cannot make one.
async fn by_ticket(here: &Here, request: &HttpRequest, ticket: &str) -> Result<Entry, Problem> {
    let gatekeeper = &here.settings.gatekeeper;
    let claims = gatekeeper.verify(ticket, Audience::Ticket).await.inspect_err(|refusal| {
        if matches!(refusal, Refusal::Invalid) {
            drop(Meter::of(request).take_impostor());
        }
    })?;
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let (Some(session), true) = (claims.session(), claims.origin.as_deref() == origin) else {
        return Err(Refusal::Invalid.into());
    };
    let is_first = here.live.cache.claim(&format!("ticket:{}", claims.jti), USED_FOR).await;
    let unavailable = |_| {
        Problem::new(Code::Unavailable)
            .detail("tickets cannot be used now")
            .retry_after(Duration::from_secs(2))
    };
    if !is_first.map_err(unavailable)? {
        return Err(Refusal::Invalid.into());
    }
    let known = Known::new(gatekeeper.clone(), gatekeeper.admit_as(Credential::Session(session)).await?);
    Ok(Entry {
        rights: Some(Rights::of(&known, None)),
        caller: Caller::Known(known),
    })
}

/// The subprotocols that a client offers.
pub(super) fn offers(request: &HttpRequest) -> impl Iterator<Item = &str> {
    let offers = request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok());
    offers.flat_map(|value| value.split(',')).map(str::trim)
}

fn is_allowed(here: &Here, request: &HttpRequest) -> bool {
    let mut origins = request.headers().get_all(header::ORIGIN);
    match (origins.next(), origins.next()) {
        (Some(origin), None) => here.settings.allowed_origins.iter().any(|known| origin == known.as_str()),
        _ => false,
    }
}
