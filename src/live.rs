//! States to whoever watches: WebSockets under `/ws`, server-sent events under `/sse`. Knows nothing of where states come from.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BodyStream, BoxBody};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use futures_util::FutureExt;
use pipecast_auth::Gatekeeper;
use pipecast_fabric::Cache;
use pipecast_http::{Caller, Code, Onlooker, Problem, TrustedProxies, witness};
use pipecast_model::{ExecutionId, PipelineId, Topic};
use pipecast_watch::Watch;
use tokio_util::sync::CancellationToken;

use self::admission::{Door, Pass, Refused};
use self::connection::Connection;
use self::events::Events;
use self::hub::Hub;
use self::inbound::Inbound;
use self::mux::Mux;
use self::origin::check_origin;
use self::rights::Rights;
use self::socket::Socket;
use self::watching::{Form, Watching};
use self::wishes::{ManyWishes, MuxWishes, Profile, SocketWishes, StreamWishes, wishes_of};
use crate::config;

pub mod admission;
pub mod connection;
mod entry;
pub mod events;
pub mod frame;
pub mod guard;
pub mod hub;
pub mod inbound;
pub mod mux;
mod origin;
pub mod protocol;
pub mod rights;
pub mod runs;
pub mod showing;
pub mod socket;
pub mod watching;
mod wishes;

/// All sockets and streams of this node.
pub struct Live {
    settings: config::Live,
    watch: Watch,
    gatekeeper: Arc<Gatekeeper>,
    cache: Arc<dyn Cache>,
    door: Arc<Door>,
    draining: CancellationToken,
}

impl Live {
    /// Nothing is open yet. In `cache` it is remembered which tickets were used.
    pub fn new(settings: config::Live, watch: Watch, gatekeeper: Arc<Gatekeeper>, cache: Arc<dyn Cache>) -> Arc<Self> {
        Arc::new(Live {
            gatekeeper,
            cache,
            door: Door::new(&settings),
            settings,
            watch,
            draining: CancellationToken::new(),
        })
    }

    /// From now on the door's limits are these. The other settings hold from the start on.
    pub fn tune(&self, settings: &config::Live) {
        self.door.tune(settings);
    }

    /// How many sockets and streams are open.
    pub fn connections(&self) -> usize {
        self.door.inside_now()
    }

    /// Asks everyone to leave and to come back later, spread over `live.drain_window`; nobody is let in any more. Returns once
    /// everyone has left, or a second after the window.
    pub async fn drain(&self) {
        self.draining.cancel();
        let deadline = self.settings.drain_window + Duration::from_secs(1);
        if tokio::time::timeout(deadline, self.door.empty()).await.is_err() {
            tracing::warn!(connections = self.connections(), "some connections did not leave within the drain window");
        }
    }

    fn admit(&self, request: &HttpRequest, rights: Option<&Rights>) -> Result<Pass, Refused> {
        let admitted = if self.draining.is_cancelled() {
            Err(Refused::Draining)
        } else {
            let enter = || self.door.enter(TrustedProxies::client_of(request), rights.map(Rights::user));
            check_origin(request, &self.settings.allowed_origins).and_then(|()| enter())
        };
        admitted.inspect_err(|refused| metrics::counter!("pipecast_connections_refused_total", "reason" => refused.word()).increment(1))
    }

    async fn join(&self, hub: &Hub, topic: Topic, since: Option<&str>) -> Result<pipecast_watch::Listener, Problem> {
        self.watch.join_from(topic, hub.bell(), since).await.map_err(|error| {
            tracing::warn!(%error, "cannot watch {topic}");
            Problem::new(Code::Unavailable)
                .detail(format!("cannot read {topic} now"))
                .retry_after(Duration::from_secs(2))
        })
    }
}

/// Adds the routes to a worker, with a hub on that worker's thread.
pub fn configure(live: Arc<Live>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |routes| {
        let hub = Hub::start(live.draining.clone(), live.settings.drain_window, live.gatekeeper.changes());
        let settings = Rc::new(Terms {
            settings: live.settings.clone(),
            gatekeeper: Arc::clone(&live.gatekeeper),
        });
        routes
            .app_data(Here { live, hub, settings })
            .route("/ws/pipeline/{id}", web::get().to(watch_pipeline))
            .route("/ws/execution/{id}", web::get().to(watch_execution))
            .route("/ws/monitor", web::get().to(watch_monitor))
            .route("/ws", web::get().to(watch_many))
            .route("/sse/pipeline/{id}", web::get().to(stream_pipeline))
            .route("/sse/execution/{id}", web::get().to(stream_execution))
            .route("/sse/monitor", web::get().to(stream_monitor))
            .route("/sse", web::get().to(stream_many));
    }
}

/// What the handlers of one worker share.
#[derive(Clone)]
struct Here {
    live: Arc<Live>,
    hub: Rc<Hub>,
    settings: Rc<Terms>,
}

/// On what terms connections are open: the settings, and who knows their callers.
pub struct Terms {
    settings: config::Live,
    gatekeeper: Arc<Gatekeeper>,
}

impl Deref for Terms {
    type Target = config::Live;

    fn deref(&self) -> &config::Live {
        &self.settings
    }
}

impl FromRequest for Here {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        std::future::ready(request.app_data::<Here>().cloned().ok_or_else(|| Problem::new(Code::Internal)))
    }
}

async fn watch_pipeline(
    here: Here,
    caller: Result<Caller, Problem>,
    request: HttpRequest,
    id: web::Path<PipelineId>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    open_socket(here, caller, request, Some(Topic::Pipeline(*id)), payload).await
}

async fn watch_execution(
    here: Here,
    caller: Result<Caller, Problem>,
    request: HttpRequest,
    id: web::Path<ExecutionId>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    open_socket(here, caller, request, Some(Topic::Execution(*id)), payload).await
}

async fn watch_monitor(here: Here, caller: Result<Caller, Problem>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    open_socket(here, caller, request, Some(Topic::Monitor), payload).await
}

async fn watch_many(here: Here, caller: Result<Caller, Problem>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    open_socket(here, caller, request, None, payload).await
}

async fn stream_pipeline(here: Here, caller: Caller, request: HttpRequest, id: web::Path<PipelineId>) -> Result<HttpResponse, Problem> {
    stream_one(here, caller, request, Topic::Pipeline(*id)).await
}

async fn stream_execution(here: Here, caller: Caller, request: HttpRequest, id: web::Path<ExecutionId>) -> Result<HttpResponse, Problem> {
    stream_one(here, caller, request, Topic::Execution(*id)).await
}

async fn stream_monitor(here: Here, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    stream_one(here, caller, request, Topic::Monitor).await
}

/// A browser says by `Last-Event-ID` what it saw last; a program may say it in the address.
async fn stream_one(here: Here, caller: Caller, request: HttpRequest, topic: Topic) -> Result<HttpResponse, Problem> {
    let StreamWishes { since } = wishes_of(&request)?;
    let seen = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    open_stream(here, caller, request, vec![topic], seen.or(since)).await
}

async fn stream_many(here: Here, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let ManyWishes { topics } = wishes_of(&request)?;
    let mut topics = topics
        .split(',')
        .filter(|topic| !topic.is_empty())
        .map(|topic| {
            topic
                .parse()
                .map_err(|error: pipecast_model::topic::UnknownTopic| Problem::new(Code::InvalidQuery).detail(error.to_string()))
        })
        .collect::<Result<Vec<Topic>, _>>()?;
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() || topics.len() > here.settings.max_topics {
        let detail = format!("name 1 to {} topics, as in /sse?topics=monitor,execution:7", here.settings.max_topics);
        return Err(Problem::new(Code::InvalidQuery).detail(detail));
    }
    open_stream(here, caller, request, topics, None).await
}

/// Opens a socket on one topic, or one that takes commands.
///
/// A browser shows a page nothing of a refused handshake, and the page would try for ever. So who may not read, or has too many
/// sockets, is let in and told by a close code that ends the trying.
async fn open_socket(
    here: Here,
    caller: Result<Caller, Problem>,
    request: HttpRequest,
    topic: Option<Topic>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let wishes = match topic {
        Some(_) => wishes_of::<SocketWishes>(&request)?,
        None => wishes_of::<MuxWishes>(&request).map(|MuxWishes { ticket }| SocketWishes {
            ticket,
            ..SocketWishes::default()
        })?,
    };
    let caller = match caller {
        Err(problem) if problem.code() == Code::TooMany => return Err(problem),
        caller => caller,
    };
    let is_v1 = entry::offers(&request).any(|offer| offer == protocol::V1) || wishes.profile == Some(Profile::V1);
    let mut waits_for_token = false;
    let entry = match entry::of_socket(&here, caller, &request, wishes.ticket.as_deref()).await {
        Ok(entry) => match entry.caller.may_read(topic.unwrap_or(Topic::Monitor)).await {
            Ok(()) => Some(entry),
            Err(problem) => return refuse(&request, problem),
        },
        // A token may follow.
        Err(problem) if problem.code() == Code::AnonymousRefused && topic.is_none() && is_v1 => {
            waits_for_token = true;
            None
        }
        Err(problem) => return refuse(&request, problem),
    };
    let pass = match here.live.admit(&request, entry.as_ref().and_then(|entry| entry.rights.as_ref())) {
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
    let most = if is_v1 {
        here.settings.inbound_frame
    } else {
        here.settings.inbound_frame_plain
    };
    let response = shake_hands(&request)?;
    let inbound = Inbound::new(payload.into_inner(), most);

    let rights = entry.and_then(|entry| entry.rights);
    let first = match waits_for_token {
        true => socket::AUTH_WAIT,
        false => first_look(rights.as_ref(), here.settings.ping),
    };
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
    let onlooker = is_v1.then(|| Onlooker::of(&request)).flatten();
    let response = response.map_body(|_, _| {
        let mut socket = Socket::new(connection, inbound, here.settings, is_v1, mux, onlooker);
        match (topic, greeting) {
            (None, _) if !is_v1 => socket.close(protocol::code::BAD_REQUEST, "bad_request: /ws needs the subprotocol pipecast.v1"),
            (_, Some(greeting)) if is_v1 => socket.say(&greeting),
            _ => {}
        }
        BoxBody::new(socket)
    });
    Ok(response)
}

/// Opens a stream; where `since` is the very state that a topic is in, that topic begins without a snapshot.
async fn open_stream(here: Here, caller: Caller, request: HttpRequest, topics: Vec<Topic>, since: Option<String>) -> Result<HttpResponse, Problem> {
    for topic in &topics {
        caller.may_read(*topic).await?;
    }
    let entry = entry::of_request(&here, caller, &request)?;
    let pass = here.live.admit(&request, entry.rights.as_ref())?;
    let mut watched = Vec::with_capacity(topics.len());
    for topic in topics {
        let listener = here.live.join(&here.hub, topic, since.as_deref()).await?;
        watched.push(Watching::new(listener, Form::Events, since.as_deref()));
    }
    let first = first_look(entry.rights.as_ref(), events::HEARTBEAT);
    let mut connection = Connection::new(here.hub.sit(first), pass, entry.rights);
    watched.into_iter().for_each(|watching| connection.watch(watching));
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .body(Events::new(connection, &here.settings)))
}

/// The first look at the clock, which is not later than the end of the token that was shown.
fn first_look(rights: Option<&Rights>, usual: Duration) -> Duration {
    let left = rights
        .and_then(Rights::ends)
        .map(|ends| ends.0.saturating_sub(pipecast_model::Timestamp::now().0));
    left.map_or(usual, |left| {
        Duration::from_micros(u64::try_from(left).unwrap_or(0)).saturating_sub(showing::SOON).min(usual)
    })
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
    let farewell = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(frame::close(code, reason))]);
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
