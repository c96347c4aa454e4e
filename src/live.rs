//! States to whoever watches: WebSockets under `/ws`, server-sent events under `/sse`. Knows nothing of where states come from.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use pipecast_auth::Gatekeeper;
use pipecast_fabric::Cache;
use pipecast_http::{Caller, Code, Problem, Rate, TrustedProxies};
use pipecast_model::{ExecutionId, PipelineId, Topic};
use pipecast_watch::Watch;
use tokio_util::sync::CancellationToken;

use self::admission::{Door, Pass, Refused};
use self::connection::Connection;
use self::events::Events;
use self::handshake::open_socket;
use self::hub::Hub;
use self::origin::check_origin;
use self::rights::Rights;
use self::watching::{Form, Watching};
use self::wishes::{ManyWishes, StreamWishes, wishes_of};
use crate::config;

pub mod admission;
pub mod connection;
mod entry;
pub mod events;
pub mod frame;
pub mod guard;
mod handshake;
pub mod hub;
pub mod inbound;
pub mod mux;
mod origin;
pub mod pace;
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
            commands: Rate::new(live.settings.commands_per_second, live.settings.command_burst),
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
    /// How fast each socket may send commands.
    commands: Rate,
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
