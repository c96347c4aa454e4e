//! `GET /health`, `/health/live` and `/health/ready`: how each dependency is doing, and whether the process can do what it is for.
//! Knows nothing of what the dependencies are used for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, get, web};
use pipecast_fabric::Queue;
use pipecast_fabric::queue::spool::SpooledQueue;
use pipecast_fabric::redis::Redis;
use pipecast_http::{Caller, Subject};
use pipecast_model::Lane;
use pipecast_store::{Reader, Replica, Standing};
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::drain::Drain;

pub mod probe;

/// How long one look at the dependencies is good, so that a storm of probes costs one look.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A dependency that has not answered by then is down.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a process is for; each has needs of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Takes deliveries: needs the queue, or room in the spool that stands in for it.
    Receive,
    /// Shows states: needs the database or Redis.
    Show,
    /// Writes what deliveries tell: needs the database and the queue.
    Work,
    /// Keeps the database in order: needs the database.
    Keep,
}

/// What is known of the schema of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// The database has not answered yet.
    Unknown,
    /// It is not this build's; somebody has to migrate.
    Missing,
    /// It is this build's.
    There,
}

/// Something to look at.
pub enum Dependency {
    /// The database, at its primary.
    Store(Reader),
    /// The replica that lists are read from.
    Replica(Replica),
    /// The queue.
    Queue(Arc<dyn Queue>),
    /// What stands in for it while it is away.
    Spool(Arc<SpooledQueue>),
    /// Bus and cache, where other processes share them.
    Redis(Redis),
}

/// Looks at the dependencies, at most once a second.
pub struct Health {
    dependencies: Vec<Dependency>,
    duties: Vec<Duty>,
    schema: watch::Receiver<Schema>,
    started: Instant,
    /// A tokio lock, held over the look on purpose: whoever asks meanwhile waits for the same answer.
    last: Mutex<Option<(Instant, Arc<Seen>)>>,
}

/// The dependencies by name.
type Seen = BTreeMap<&'static str, Look>;

/// `ok`, `behind` (a replica that lags and is left alone), `full` (a spool at 80 % of what it may hold), `missing` (a schema that nobody
/// has brought yet), `unknown` or `down` (also a spool that could not write within the last ten seconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DependencyState)]
enum State {
    Ok,
    Behind,
    Full,
    Missing,
    Unknown,
    Down,
}

/// How a dependency is doing.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Dependency)]
pub struct Look {
    /// What it is in.
    state: State,
    /// How long it took to answer.
    latency_ms: f64,
    /// Messages that wait, where it is a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!({"urgent": 0, "bulk": 12}))]
    depth: Option<BTreeMap<&'static str, u64>>,
}

/// How the service is doing.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Report {
    /// `ok`, `degraded` (something is down and the process does its work without it), `down` (it cannot do its work) or `draining`
    /// (it is shutting down).
    #[schema(example = "ok")]
    status: &'static str,
    /// `pipecast`.
    service: &'static str,
    /// The build.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Since the start.
    uptime_seconds: u64,
    /// Each dependency by name; left out for callers who may not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!({"store": {"state": "ok", "latency_ms": 0.8}}))]
    dependencies: Option<BTreeMap<&'static str, Look>>,
}

/// That the process runs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Liveness {
    /// Always `ok`: it answered.
    #[schema(example = "ok")]
    status: &'static str,
}

impl Duty {
    fn is_met(self, seen: &Seen) -> bool {
        let is_ok = |name| seen.get(name).is_some_and(|look| look.state == State::Ok);
        let is_missing = seen.get("schema").is_some_and(|look| look.state == State::Missing);
        match self {
            Duty::Receive => is_ok("queue") || is_ok("spool"),
            Duty::Show => (is_ok("store") || is_ok("redis")) && !is_missing,
            Duty::Work => is_ok("store") && is_ok("schema") && is_ok("queue"),
            Duty::Keep => is_ok("store") && is_ok("schema"),
        }
    }
}

impl Dependency {
    fn name(&self) -> &'static str {
        match self {
            Dependency::Store(_) => "store",
            Dependency::Replica(_) => "replica",
            Dependency::Queue(_) => "queue",
            Dependency::Spool(_) => "spool",
            Dependency::Redis(_) => "redis",
        }
    }

    async fn look(&self) -> Look {
        let asked = Instant::now();
        let mut depth = None;
        let state = match self {
            Dependency::Store(reader) => ok_or_down(tokio::time::timeout(PATIENCE, reader.ping()).await),
            Dependency::Redis(redis) => ok_or_down(tokio::time::timeout(PATIENCE, redis.check()).await),
            Dependency::Queue(queue) => {
                let answer = tokio::time::timeout(PATIENCE, depths(|lane| queue.depth(lane))).await;
                let state = ok_or_down(answer.as_ref().map(Result::as_ref));
                depth = answer.ok().and_then(Result::ok);
                state
            }
            Dependency::Spool(spool) => {
                // Counted in this process; that it cannot write is told by itself.
                depth = depths(|lane| spool.spooled(lane)).await.ok();
                match (spool.is_failing(), spool.is_nearly_full()) {
                    (true, _) => State::Down,
                    (false, true) => State::Full,
                    (false, false) => State::Ok,
                }
            }
            Dependency::Replica(replica) => match replica.standing() {
                Standing::Serving => State::Ok,
                Standing::Behind => State::Behind,
                Standing::Down => State::Down,
            },
        };
        Look::new(state, asked, depth)
    }
}

impl Look {
    fn new(state: State, asked: Instant, depth: Option<BTreeMap<&'static str, u64>>) -> Look {
        Look {
            state,
            latency_ms: (asked.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            depth,
        }
    }
}

async fn depths<F>(of: impl Fn(Lane) -> F) -> pipecast_fabric::Result<BTreeMap<&'static str, u64>>
where
    F: Future<Output = pipecast_fabric::Result<u64>>,
{
    let mut depths = BTreeMap::new();
    for lane in Lane::ALL {
        depths.insert(lane.word(), of(lane).await?);
    }
    Ok(depths)
}

fn ok_or_down<T, E, F>(answer: Result<Result<T, E>, F>) -> State {
    if matches!(answer, Ok(Ok(_))) { State::Ok } else { State::Down }
}

impl Health {
    /// Watches over what a process with these duties depends on.
    pub fn new(dependencies: Vec<Dependency>, duties: Vec<Duty>, schema: watch::Receiver<Schema>) -> Health {
        Health {
            dependencies,
            duties,
            schema,
            started: Instant::now(),
            last: Mutex::new(None),
        }
    }

    async fn look(&self) -> Arc<Seen> {
        let mut last = self.last.lock().await;
        if let Some((at, seen)) = last.as_ref()
            && at.elapsed() < GOOD_FOR
        {
            return Arc::clone(seen);
        }
        let looks = self
            .dependencies
            .iter()
            .map(|dependency| async { (dependency.name(), dependency.look().await) });
        let mut seen: Seen = futures_util::future::join_all(looks).await.into_iter().collect();
        let schema = match *self.schema.borrow() {
            Schema::Unknown => State::Unknown,
            Schema::Missing => State::Missing,
            Schema::There => State::Ok,
        };
        seen.insert("schema", Look::new(schema, Instant::now(), None));
        let seen = Arc::new(seen);
        *last = Some((Instant::now(), Arc::clone(&seen)));
        seen
    }

    async fn report(&self, drain: &Drain) -> (bool, Report) {
        let seen = self.look().await;
        let does_its_work = self.duties.iter().all(|duty| duty.is_met(&seen));
        let is_whole = seen.values().all(|look| look.state == State::Ok);
        let status = match (drain.has_begun(), does_its_work, is_whole) {
            (true, ..) => "draining",
            (false, true, true) => "ok",
            (false, true, false) => "degraded",
            (false, false, _) => "down",
        };
        let report = Report {
            status,
            service: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            dependencies: Some(Seen::clone(&seen)),
        };
        (does_its_work && !drain.has_begun(), report)
    }
}

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(show_health).service(show_liveness).service(show_readiness);
}

/// How the service and each of its dependencies are doing.
///
/// 200 as long as the process answers at all; `status` says how it is. Whether traffic should go here is what `/health/ready` says.
#[utoipa::path(tag = "service", responses((status = 200, body = Report)))]
#[get("/health")]
async fn show_health(caller: Result<Caller, pipecast_http::Problem>, health: web::Data<Health>, drain: web::Data<Drain>) -> HttpResponse {
    let (_, mut report) = health.report(&drain).await;
    let may_see = match caller {
        Ok(caller) => caller.may_read(Subject::System).await.is_ok(),
        Err(_) => false,
    };
    if !may_see {
        report.dependencies = None;
    }
    answer(StatusCode::OK, &report)
}

/// Whether the process runs. Asks no dependency.
#[utoipa::path(tag = "service", responses((status = 200, body = Liveness, description = "It runs")))]
#[get("/health/live")]
async fn show_liveness() -> HttpResponse {
    answer(StatusCode::OK, &Liveness { status: "ok" })
}

/// Whether the process does its work: 503 while shutting down, or while it lacks something that it cannot do without.
#[utoipa::path(tag = "service", responses((status = 200, body = Report), (status = 503, body = Report)))]
#[get("/health/ready")]
async fn show_readiness(health: web::Data<Health>, drain: web::Data<Drain>) -> HttpResponse {
    let (ready, mut report) = health.report(&drain).await;
    report.dependencies = None;
    answer(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &report)
}

fn answer(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(duty: Duty, ok: &[&'static str], others: &[(&'static str, State)]) -> bool {
        let ok = ok.iter().map(|name| (*name, State::Ok));
        let seen = ok
            .chain(others.iter().copied())
            .map(|(name, state)| (name, Look::new(state, Instant::now(), None)));
        duty.is_met(&seen.collect())
    }

    #[test]
    fn each_duty_has_its_own_needs() {
        assert!(met(Duty::Receive, &["queue"], &[("store", State::Down), ("redis", State::Down)]));
        assert!(met(Duty::Receive, &["spool"], &[("queue", State::Down)]));
        assert!(!met(Duty::Receive, &["store", "redis"], &[("queue", State::Down), ("spool", State::Full)]));

        assert!(met(Duty::Show, &["store", "schema"], &[("redis", State::Down)]));
        assert!(met(Duty::Show, &["redis"], &[("store", State::Down), ("schema", State::Unknown)]));
        assert!(!met(Duty::Show, &["store", "redis"], &[("schema", State::Missing)]));
        assert!(!met(Duty::Show, &["queue"], &[("store", State::Down), ("redis", State::Down)]));

        assert!(met(Duty::Work, &["store", "schema", "queue"], &[("redis", State::Down)]));
        assert!(!met(Duty::Work, &["store", "schema"], &[("queue", State::Down)]));
        assert!(!met(Duty::Work, &["store", "queue"], &[("schema", State::Missing)]));

        assert!(met(Duty::Keep, &["store", "schema"], &[("queue", State::Down)]));
        assert!(!met(Duty::Keep, &["schema"], &[("store", State::Down)]));
    }
}
