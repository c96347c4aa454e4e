//! Every endpoint of the services before this one, asked through nginx as it is deployed, with what their documents promise beside it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::rig;
use crate::scene::crowd::Crowd;
use crate::scene::goals::Goals;
use crate::scene::http::{Connection, get};
use crate::scene::ledger::Ledger;
use crate::scene::load::Load;
use crate::scene::{Stage, ms, quantile};
use crate::topology::Topology;

const PIPELINES: usize = 50;
/// Connections that ask each endpoint, each at its own pace.
const CONNECTIONS: usize = 8;

/// An endpoint of the documents and how long it may take by them.
struct Endpoint {
    /// As in the OpenAPI document.
    path: &'static str,
    /// What to ask for; `{}` is a pipeline.
    asked: &'static str,
    /// The promise, for the p95; none where the documents make none.
    promise: Option<Duration>,
}

const fn endpoint(path: &'static str, asked: &'static str, promise_ms: u64) -> Endpoint {
    let promise = if promise_ms == 0 { None } else { Some(Duration::from_millis(promise_ms)) };
    Endpoint { path, asked, promise }
}

/// Their reads. "API" is their target for everything that has none of its own.
const READS: [Endpoint; 18] = [
    endpoint("/", "/", 1),
    endpoint("/health", "/health", 10),
    endpoint("/metrics", "/metrics", 5),
    endpoint("/docs", "/docs", 0),
    endpoint("/redoc", "/redoc", 0),
    endpoint("/api/v1/pipelines/{pipeline_id}/status/realtime", "/api/v1/pipelines/{}/status/realtime", 10),
    endpoint("/api/v1/pipelines", "/api/v1/pipelines", API),
    endpoint("/api/v1/pipelines/{pipeline_id}", "/api/v1/pipelines/{}", API),
    endpoint("/api/v1/pipelines/{pipeline_id}/executions", "/api/v1/pipelines/{}/executions", API),
    endpoint("/api/v1/executions/{execution_id}", "/api/v1/executions/{}", API),
    endpoint("/api/v1/executions/{execution_id}/jobs", "/api/v1/executions/{}/jobs", API),
    endpoint("/api/v1/system/metrics/realtime", "/api/v1/system/metrics/realtime", 10),
    endpoint("/api/v1/settings/api-endpoints", "/api/v1/settings/api-endpoints/", API),
    endpoint("/api/v1/logs/search", "/api/v1/logs/search?query=a", API),
    endpoint("/api/v1/analytics/dashboard", "/api/v1/analytics/dashboard", API),
    endpoint("/api/logs/{device_id}", "/api/logs/device", 50),
    endpoint("/api/stats", "/api/stats", 10),
    endpoint("/api/v1/artifacts/{artifact_id}/download", "/api/v1/artifacts/1/download", API),
];
/// Their writes that are not deliveries, which nobody could measure before they are there.
const WRITES: [&str; 4] = ["/api/log", "/api/logs/batch", "/callbacks/{tool_name}", "/api/v1/files/upload"];
const API: u64 = 100;
/// Their sockets looked for a change once a second.
const FRAME: Duration = Duration::from_secs(1);

/// Ask every endpoint of the earlier services through nginx and print p50, p95 and p99 beside their figures.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Requests to each endpoint.
    #[arg(long, default_value_t = 2_000)]
    requests: usize,
    /// Requests a second.
    #[arg(long, default_value_t = 400.0)]
    rate: f64,
    /// Deliveries a second meanwhile.
    #[arg(long, default_value_t = 50.0)]
    deliveries: f64,
    #[command(flatten)]
    stage: Stage,
}

/// # Errors
/// Where it cannot be run, or a promise of the documents is not kept.
pub async fn run(args: Args) -> anyhow::Result<()> {
    rig::describe_machine();
    let topology = Topology::start(args.stage.plan()).await?;
    let mut ledger = Ledger::open(&topology).await?;
    let proxy = topology.proxy.address();
    let load = Load {
        targets: vec![proxy],
        secret: topology.secrets.github.clone(),
        pipelines: PIPELINES,
        rate: args.deliveries,
        book: Default::default(),
    };
    let stop = CancellationToken::new();
    let first = load.run(0, PIPELINES, &stop).await;
    let pipelines: Arc<[i64]> = ledger.until_pipelines(PIPELINES, Duration::from_secs(60)).await?.into();
    let crowd = Crowd::gather(&[proxy], &pipelines, PIPELINES, &load.book).await?;
    println!(
        "{} requests to each endpoint at {:.0} a second over {CONNECTIONS} connections through nginx and two edges, beside {:.0} deliveries a second and {PIPELINES} sockets",
        args.requests, args.rate, args.deliveries
    );
    println!("        {:<52} {:>9} {:>9} {:>9}   their figure", "", "p50", "p95", "p99");
    let begun = Instant::now();
    let delivering = tokio::spawn({
        let (load, stop) = (load.clone(), stop.clone());
        async move { load.run(first, usize::MAX, &stop).await }
    });
    let mut goals = Goals::default();
    let known = paths(proxy).await?;
    for endpoint in &READS {
        if !is_there(&known, endpoint.path) {
            println!("        {:<52} not served yet", endpoint.path);
            continue;
        }
        let (mut times, failed) = ask(proxy, endpoint.asked, &pipelines, &args).await?;
        check(&mut goals, &format!("GET {}", endpoint.path), &mut times, failed, endpoint.promise);
    }
    for path in WRITES.iter().filter(|path| !is_there(&known, path)) {
        println!("        {path:<52} not served yet");
    }
    for path in WRITES.iter().filter(|path| is_there(&known, path)) {
        goals.check(false, format!("{path} is served and nobody measures it here yet"));
    }
    // A socket and a stream until their first state, each a connection of its own.
    for (name, request) in [("WS /ws/pipeline/{pipeline_id}", UPGRADE), ("GET /sse/pipeline/{pipeline_id}", STREAM)] {
        let (mut times, mut failed) = (Vec::new(), 0);
        for turn in 0..(args.requests / 10).max(20) {
            match first_state(proxy, pipelines[turn % pipelines.len()], request).await {
                Ok(time) => times.push(time),
                Err(_) => failed += 1,
            }
        }
        check(
            &mut goals,
            &format!("{name}, first state"),
            &mut times,
            failed,
            Some(Duration::from_millis(API)),
        );
    }
    stop.cancel();
    delivering.await?;
    let answers: Vec<_> = load.book.answers().into_iter().filter(|answered| answered.due > begun).collect();
    let failed = answers.iter().filter(|answered| answered.status != Some(202)).count();
    let mut times: Vec<_> = answers.iter().map(|answered| answered.latency).collect();
    check(&mut goals, "POST /webhooks/github", &mut times, failed, Some(Duration::from_millis(API)));
    let mut times = crowd.delays(begun, Instant::now());
    let missing = usize::from(times.is_empty());
    check(
        &mut goals,
        "WS /ws/pipeline/{pipeline_id}, from POST to frame",
        &mut times,
        missing,
        Some(FRAME),
    );
    topology.stop().await?;
    goals.verdict()
}

/// One line: kept where nothing failed and the p95 is within the promise.
fn check(goals: &mut Goals, name: &str, times: &mut [Duration], failed: usize, promise: Option<Duration>) {
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| quantile(times, share));
    let promised = promise.map_or("none".to_owned(), |promise| format!("< {}", ms(promise)));
    let failures = if failed > 0 { format!(", {failed} FAILED") } else { String::new() };
    goals.check(
        failed == 0 && promise.is_none_or(|promise| p95 < promise),
        format!("{name:<52} {:>9} {:>9} {:>9}   {promised}{failures}", ms(p50), ms(p95), ms(p99)),
    );
}

/// Every path that the service says it has.
async fn paths(proxy: SocketAddr) -> anyhow::Result<BTreeSet<String>> {
    let answer = Connection::new(proxy, Duration::from_secs(10)).send(&get(proxy, "/api/openapi.json")).await?;
    let document: Value = serde_json::from_slice(&answer.body).context("the OpenAPI document is not JSON")?;
    let paths = document["paths"].as_object().context("it has no paths")?;
    // Pages and the list of endpoints are not in it.
    let pages = ["/docs", "/redoc"].map(str::to_owned);
    Ok(paths.keys().cloned().chain(pages).collect())
}

fn is_there(known: &BTreeSet<String>, path: &str) -> bool {
    // Names of parameters are our own business.
    let shape = |path: &str| {
        path.trim_end_matches('/')
            .split('/')
            .map(|part| if part.starts_with('{') { "{}" } else { part }.to_owned())
            .collect::<Vec<_>>()
    };
    known.iter().any(|other| shape(other) == shape(path))
}

/// Asks at the rate, from several connections, and measures from when each request was due, or could go.
async fn ask(proxy: SocketAddr, path: &'static str, pipelines: &Arc<[i64]>, args: &Args) -> anyhow::Result<(Vec<Duration>, usize)> {
    let begun = tokio::time::Instant::now() + Duration::from_millis(50);
    let (rate, requests) = (args.rate, args.requests);
    let askers = (0..CONNECTIONS).map(|number| {
        let pipelines = Arc::clone(pipelines);
        tokio::spawn(async move {
            let (mut times, mut failed) = (Vec::new(), 0);
            let mut connection = Connection::new(proxy, Duration::from_secs(10));
            for turn in (number..requests).step_by(CONNECTIONS) {
                let due = begun + Duration::from_secs_f64(turn as f64 / rate);
                // A timer is up to a millisecond late, which is not the answer's; a connection that is still busy is.
                let is_late = due < tokio::time::Instant::now();
                tokio::time::sleep_until(due).await;
                let from = if is_late { due } else { tokio::time::Instant::now() };
                let asked = path.replace("{}", &pipelines[turn % pipelines.len()].to_string());
                match connection.send(&get(proxy, &asked)).await {
                    Ok(answer) if answer.status == 200 => times.push(from.elapsed()),
                    _ => failed += 1,
                }
            }
            (times, failed)
        })
    });
    let (mut times, mut failed) = (Vec::new(), 0);
    for asker in askers.collect::<Vec<_>>() {
        let (more, failures) = asker.await?;
        times.extend(more);
        failed += failures;
    }
    Ok((times, failed))
}

const UPGRADE: &str = "GET /ws/pipeline/{} HTTP/1.1\r\nhost: pipecast\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";
const STREAM: &str = "GET /sse/pipeline/{} HTTP/1.1\r\nhost: pipecast\r\naccept: text/event-stream\r\n\r\n";

/// From before the connection is opened until the first state has come.
async fn first_state(proxy: SocketAddr, pipeline: i64, request: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request.replace("{}", &pipeline.to_string()).as_bytes()).await?;
    let mut received = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&received).contains(r#""type":"snapshot""#) {
            ensure!(stream.read_buf(&mut received).await? > 0, "it ended without a state");
        }
        Ok(begun.elapsed())
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await?
}
