//! `GET /health`, `/health/live` and `/health/ready`: how each dependency is doing.
//! Knows nothing of what the dependencies are used for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, get, web};
use pipecast_fabric::Queue;
use pipecast_http::{Caller, Subject};
use pipecast_model::Lane;
use pipecast_store::Reader;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::drain::Drain;

/// How long one look at the dependencies is good, so that a storm of probes costs one look.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A dependency that has not answered by then is down.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at the dependencies, at most once a second.
pub struct Health {
    reader: Reader,
    queue: Arc<dyn Queue>,
    started: Instant,
    /// A tokio lock, held over the look on purpose: whoever asks meanwhile waits for the same answer.
    last: Mutex<Option<(Instant, Arc<Seen>)>>,
}

/// The dependencies by name.
type Seen = BTreeMap<&'static str, Dependency>;

/// How a dependency is doing.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Dependency {
    /// `ok` or `down`.
    #[schema(example = "ok")]
    state: &'static str,
    /// How long it took to answer.
    latency_ms: f64,
    /// Messages that wait, where it is a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<BTreeMap<&'static str, u64>>,
}

/// How the service is doing.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Report {
    /// `ok`, `down` (something that is needed does not answer) or `draining` (it is shutting down).
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
    dependencies: Option<BTreeMap<&'static str, Dependency>>,
}

impl Health {
    /// Watches over the database and the queue.
    pub fn new(reader: Reader, queue: Arc<dyn Queue>) -> Health {
        Health {
            reader,
            queue,
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
        let (store, queue) = tokio::join!(self.look_at_store(), self.look_at_queue());
        let seen = Arc::new(BTreeMap::from([("store", store), ("queue", queue)]));
        *last = Some((Instant::now(), Arc::clone(&seen)));
        seen
    }

    async fn look_at_store(&self) -> Dependency {
        let asked = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, self.reader.ping()).await;
        Dependency::new(asked, matches!(answer, Ok(Ok(()))), None)
    }

    async fn look_at_queue(&self) -> Dependency {
        let asked = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, async {
            let mut depth = BTreeMap::new();
            for lane in Lane::ALL {
                depth.insert(lane.word(), self.queue.depth(lane).await.ok()?);
            }
            Some(depth)
        })
        .await;
        let depth = answer.ok().flatten();
        Dependency::new(asked, depth.is_some(), depth)
    }

    async fn report(&self, drain: &Drain) -> (bool, Report) {
        let dependencies = self.look().await;
        let well = dependencies.values().all(|dependency| dependency.state == "ok");
        let status = match (drain.has_begun(), well) {
            (true, _) => "draining",
            (false, true) => "ok",
            (false, false) => "down",
        };
        let report = Report {
            status,
            service: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            dependencies: Some(Seen::clone(&dependencies)),
        };
        (status == "ok", report)
    }
}

impl Dependency {
    fn new(asked: Instant, answered: bool, depth: Option<BTreeMap<&'static str, u64>>) -> Dependency {
        Dependency {
            state: if answered { "ok" } else { "down" },
            latency_ms: (asked.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            depth,
        }
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
    if !caller.is_ok_and(|caller| caller.may_read(Subject::System).is_ok()) {
        report.dependencies = None;
    }
    answer(StatusCode::OK, &report)
}

/// Whether the process runs. Asks no dependency.
#[utoipa::path(tag = "service", responses((status = 200, description = "It runs")))]
#[get("/health/live")]
async fn show_liveness() -> HttpResponse {
    answer(StatusCode::OK, &serde_json::json!({"status": "ok"}))
}

/// Whether traffic should go here: 503 while shutting down or while something that is needed is down.
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
