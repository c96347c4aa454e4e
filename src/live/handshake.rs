//! The handshake of a socket: who may come in, on which topic, and the farewell of whoever may not.
//! Knows nothing of what is said afterwards.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BodyStream, BoxBody};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use futures_util::FutureExt;
use pipecast_http::{Caller, Code, Meter, Onlooker, Problem, witness};
use pipecast_model::Topic;

use super::admission::Refused;
use super::connection::Connection;
use super::entry::{self, Entry};
use super::inbound::Inbound;
use super::mux::Mux;
use super::socket::{self, Origin, Socket};
use super::watching::{Form, Watching};
use super::wishes::{MuxWishes, Profile, SocketWishes, wishes_of};
use super::{Here, first_look, frame, protocol};

/// Opens a socket on one topic, or one that takes commands.
///
/// A browser shows a page nothing of a refused handshake, and the page would try for ever. So who may not read, or has too many
/// sockets, is let in and told by a close code that ends the trying.
pub(super) async fn open_socket(
    here: Here,
    caller: Result<Caller, Problem>,
    request: HttpRequest,
    topic: Option<Topic>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let wishes = wishes(&request, topic)?;
    let is_v1 = entry::offers(&request).any(|offer| offer == protocol::V1) || wishes.profile == Some(Profile::V1);
    let entry = match enter(&here, caller, &request, topic, wishes.ticket.as_deref(), is_v1).await {
        Ok(entry) => entry,
        Err(problem) => return refuse(&request, problem),
    };
    let waits_for_token = entry.is_none();
    let rights = entry.and_then(|entry| entry.rights);
    let pass = match here.live.admit(&request, rights.as_ref()) {
        Err(refused @ (Refused::AddressFull | Refused::UserFull)) => {
            return turn_away(&request, protocol::code::CONNECTION_LIMIT, "connection_limit").map_err(|_| refused.into());
        }
        admitted => admitted?,
    };
    let watching = match topic {
        Some(topic) => Some(Watching::new(
            here.live.join(&here.hub, topic, wishes.since.as_deref()).await?,
            Form::Socket,
            wishes.since.as_deref().filter(|_| is_v1),
        )),
        None => None,
    };
    let response = shake_hands(&request)?;

    let most = if is_v1 {
        here.settings.inbound_frame
    } else {
        here.settings.inbound_frame_plain
    };
    let first = if waits_for_token {
        socket::AUTH_WAIT
    } else {
        first_look(rights.as_ref(), here.settings.ping)
    };
    let first = if topic.is_none() { first.min(here.settings.idle) } else { first };
    let mut connection = Connection::new(here.hub.sit(first), pass, rights);
    let greeting = watching
        .as_ref()
        .map(|watching| protocol::subscribed(None, watching.topic(), watching.is_resumed(), watching.id().as_deref()));
    if let Some(watching) = watching {
        connection.watch(watching);
    }
    let mux = topic
        .is_none()
        .then(|| Mux::new(here.live.watch.clone(), Arc::clone(here.hub.bell()), Rc::clone(&here.settings), waits_for_token));
    let origin = is_v1.then(|| Origin {
        onlooker: Onlooker::of(&request),
        meter: Meter::of(&request),
    });
    let inbound = Inbound::new(payload.into_inner(), most);
    let mut socket = Socket::new(connection, inbound, here.settings, is_v1, mux, origin);
    match (topic, greeting) {
        (None, _) if !is_v1 => socket.close(protocol::code::BAD_REQUEST, "bad_request: /ws needs the subprotocol pipecast.v1"),
        (_, Some(greeting)) if is_v1 => socket.say(&greeting),
        _ => {}
    }
    Ok(response.map_body(|_, _| BoxBody::new(socket)))
}

/// What the address asks for; a socket that takes commands says there only who it is.
fn wishes(request: &HttpRequest, topic: Option<Topic>) -> Result<SocketWishes, Problem> {
    if topic.is_some() {
        return wishes_of(request);
    }
    let MuxWishes { ticket } = wishes_of(request)?;
    Ok(SocketWishes {
        ticket,
        ..SocketWishes::default()
    })
}

/// Who comes in; `None` where nobody is known yet and a token may follow.
async fn enter(
    here: &Here,
    caller: Result<Caller, Problem>,
    request: &HttpRequest,
    topic: Option<Topic>,
    ticket: Option<&str>,
    is_v1: bool,
) -> Result<Option<Entry>, Problem> {
    let caller = match caller {
        Err(problem) if problem.code() == Code::TooMany => return Err(problem),
        caller => caller,
    };
    match entry::of_socket(here, caller, request, ticket).await {
        Ok(entry) => entry.caller.may_read(topic.unwrap_or(Topic::Monitor)).await.map(|()| Some(entry)),
        Err(problem) if problem.code() == Code::AnonymousRefused && topic.is_none() && is_v1 => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// A refusal that a page can see. What is not the caller's fault is an answer like any other, so that they come back.
fn refuse(request: &HttpRequest, problem: Problem) -> Result<HttpResponse, Problem> {
    let (code, reason) = match problem.code() {
        Code::TokenRefused | Code::Unauthenticated => (protocol::code::UNAUTHORIZED, "unauthorized"),
        Code::AnonymousRefused | Code::Forbidden | Code::NotFound => (protocol::code::FORBIDDEN, "forbidden"),
        _ => return Err(problem),
    };
    let Ok(farewell) = turn_away(request, code, reason) else {
        return Err(problem);
    };
    // What is an answer like any other is noticed on its way out.
    witness::note_denial(request, &problem);
    Ok(farewell)
}

/// Finishes the handshake and closes at once. An error where this is no handshake at all.
fn turn_away(request: &HttpRequest, code: u16, reason: &str) -> Result<HttpResponse, Problem> {
    let response = shake_hands(request)?;
    metrics::counter!("pipecast_closes_total", "code" => code.to_string()).increment(1);
    let farewell = futures_util::stream::iter([Ok::<_, Infallible>(frame::close(code, reason))]);
    Ok(response.map_body(|_, _| BoxBody::new(BodyStream::new(farewell))))
}

/// The answer to a handshake. The library's own two sides of the socket are dropped with the body that it comes with.
fn shake_hands(request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let nothing = web::Payload::from_request(request, &mut Payload::None).now_or_never().and_then(Result::ok);
    let nothing = nothing.expect("taking a payload neither waits nor fails");
    actix_ws::handle_with_protocols(request, nothing, &[protocol::V1])
        .map(|(response, _session, _messages)| response)
        .map_err(|error| Problem::new(Code::Malformed).detail(format!("this is a WebSocket: {error}")))
}
