//! How long after a write somebody is still shown the value before it: our own writes in the database, and other programs' in Redis.
//! Knows nothing of how they come through.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, ensure};
use pipecast::simulate::line::Line;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::OLDEST;
use crate::topology::Topology;

/// How often everybody is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Pipelines whose status is asked for all the time.
const MOST_ASKED: usize = 8;
/// Pipelines of other programs, whose ids we never give.
const FOREIGN: i64 = 8_000_000;

/// What was measured in one way of asking.
#[derive(Clone, Debug)]
pub(super) struct Staleness {
    /// As in `status at edge-1 after a commit`.
    what: String,
    delays: Vec<Duration>,
}

impl Staleness {
    /// Whether there was enough to see and nothing was old for longer than it may be.
    pub(super) fn is_short(&self) -> bool {
        self.delays.len() >= 10 && self.delays.iter().all(|delay| *delay <= OLDEST)
    }
}

impl fmt::Display for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<f64> = self.delays.iter().map(|delay| delay.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            sorted
                .get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1)))
                .copied()
        };
        write!(
            f,
            "{:<52} p50 {:>6.1} ms, p99 {:>6.1} ms, longest {:>6.1} ms (of {})",
            self.what,
            at(0.5).unwrap_or_default(),
            at(0.99).unwrap_or_default(),
            at(1.0).unwrap_or_default(),
            sorted.len()
        )
    }
}

/// When each sequence of each pipeline was first seen.
type Sightings = Mutex<BTreeMap<(i64, i64), Sighting>>;

#[derive(Clone, Copy)]
struct Sighting {
    at: Instant,
    /// Somebody had looked a moment before and seen an older one; else nobody knows for how long it was to be seen.
    was_awaited: bool,
}

/// Measures all of it while the load lasts.
///
/// # Errors
/// Where a server or an edge does not answer.
pub(super) async fn measure(topology: &Topology, time: Duration) -> anyhow::Result<Vec<Staleness>> {
    let over = CancellationToken::new();
    let end = async {
        sleep(time).await;
        over.cancel();
    };
    let (ours, foreign, ()) = tokio::join!(ours(topology, &over), foreign(topology, &over), end);
    Ok([ours?, foreign?].concat())
}

/// Commits against what edges answer, with a list and with the status of each pipeline that it names.
async fn ours(topology: &Topology, over: &CancellationToken) -> anyhow::Result<Vec<Staleness>> {
    let written = Sightings::default();
    let edges: Vec<_> = topology.edges.iter().map(|edge| (edge, Sightings::default(), Sightings::default())).collect();
    let looks = edges.iter().map(|(edge, listed, asked)| async {
        tokio::try_join!(
            look_at_list(edge.address(), listed, over),
            look_at_statuses(edge.address(), &written, asked, over)
        )
    });
    tokio::try_join!(look_at_database(topology, &written, over), futures_util::future::try_join_all(looks))?;
    let written = written.into_inner().expect("nobody panics");
    let mut all = Vec::new();
    for (edge, listed, asked) in edges {
        for (how, seen) in [("status", asked), ("list", listed)] {
            let seen = seen.into_inner().expect("nobody panics");
            all.push(Staleness {
                what: format!("{how} at {}, after a commit", edge.name()),
                delays: delays(&written, &seen),
            });
        }
    }
    Ok(all)
}

/// From each write until it, or a newer one of the same pipeline, was seen where somebody looked all the time.
fn delays(written: &BTreeMap<(i64, i64), Sighting>, seen: &BTreeMap<(i64, i64), Sighting>) -> Vec<Duration> {
    let written = written.iter().filter(|(_, written)| written.was_awaited);
    let shown = |pipeline: i64, seq: i64| seen.range((pipeline, seq)..=(pipeline, i64::MAX)).next().map(|(_, shown)| *shown);
    written
        .filter_map(|((pipeline, seq), written)| Some((shown(*pipeline, *seq)?, written)))
        .filter(|(shown, _)| shown.was_awaited)
        .map(|(shown, written)| shown.at.saturating_duration_since(written.at))
        .collect()
}

async fn look_at_database(topology: &Topology, written: &Sightings, over: &CancellationToken) -> anyhow::Result<()> {
    let mut connection = topology.postgres.connect().await?;
    let mut looked = BTreeSet::new();
    while !over.is_cancelled() {
        let rows: Vec<(i64, i64)> = sqlx::query_as("SELECT id, seq FROM pipelines").fetch_all(&mut connection).await?;
        note(written, &mut looked, rows);
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// `looked` are the pipelines that were looked at a moment before.
fn note(sightings: &Sightings, looked: &mut BTreeSet<i64>, rows: impl IntoIterator<Item = (i64, i64)>) {
    let at = Instant::now();
    let mut sightings = sightings.lock().expect("nobody panics");
    for (pipeline, seq) in rows {
        let was_awaited = !looked.insert(pipeline);
        sightings.entry((pipeline, seq)).or_insert(Sighting { at, was_awaited });
    }
}

async fn ask(line: &mut Line, address: SocketAddr, path: &str) -> anyhow::Result<Value> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let answer = line.send(request.as_bytes()).await.with_context(|| format!("{path} at {address}"))?;
    ensure!(answer.status == 200, "{path} at {address} is {}", answer.status);
    Ok(serde_json::from_slice(&answer.body)?)
}

/// The first of all pages, which everybody asks for.
async fn look_at_list(address: SocketAddr, listed: &Sightings, over: &CancellationToken) -> anyhow::Result<()> {
    let mut line = Line::new(address, Duration::from_secs(10));
    let mut looked = BTreeSet::new();
    while !over.is_cancelled() {
        let page = ask(&mut line, address, "/api/v1/pipelines?limit=20").await?;
        let items = page["items"].as_array().context("a page has items")?;
        note(
            listed,
            &mut looked,
            items.iter().filter_map(|item| Some((item["id"].as_i64()?, item["seq"].as_i64()?))),
        );
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The pipelines that have changed last when it begins, and every five seconds those that have by then.
async fn look_at_statuses(address: SocketAddr, written: &Sightings, asked: &Sightings, over: &CancellationToken) -> anyhow::Result<()> {
    let mut line = Line::new(address, Duration::from_secs(10));
    while !over.is_cancelled() {
        let mut newest: Vec<(Instant, i64)> = written.lock().expect("nobody panics").iter().map(|((id, _), seen)| (seen.at, *id)).collect();
        newest.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let mut pipelines: Vec<i64> = Vec::new();
        for (_, id) in newest {
            if pipelines.len() < MOST_ASKED && !pipelines.contains(&id) {
                pipelines.push(id);
            }
        }
        let (until, mut looked) = (Instant::now() + Duration::from_secs(5), BTreeSet::new());
        while Instant::now() < until && !over.is_cancelled() {
            for pipeline in &pipelines {
                let status = ask(&mut line, address, &format!("/api/v1/pipelines/{pipeline}/status/realtime")).await?;
                note(asked, &mut looked, status["seq"].as_i64().map(|seq| (*pipeline, seq)));
            }
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

/// Other programs' words, typed with SET alone, PUBLISH alone and both, against what edges answer.
async fn foreign(topology: &Topology, over: &CancellationToken) -> anyhow::Result<Vec<Staleness>> {
    let client = redis::Client::open(topology.redis.url())?;
    // A busy machine is no failure of anybody's.
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
    let mut typist = client.get_multiplexed_async_connection_with_config(&patient).await?;
    let mut lines: Vec<_> = topology.edges.iter().map(|edge| Line::new(edge.address(), Duration::from_secs(10))).collect();
    let ways = ["SET alone", "PUBLISH alone", "SET and PUBLISH"];
    let mut measured: Vec<Vec<Vec<Duration>>> = vec![vec![Vec::new(); topology.edges.len()]; ways.len()];
    for number in 0.. {
        if over.is_cancelled() {
            break;
        }
        let way = number % ways.len();
        let pipeline = FOREIGN + way as i64;
        let path = format!("/api/v1/pipelines/{pipeline}/status/realtime");
        // Somebody has asked before, or there would be nothing old to show.
        for (edge, line) in topology.edges.iter().zip(&mut lines) {
            ask(line, edge.address(), &path).await?;
        }
        // Not at the same moment of each look.
        sleep(Duration::from_millis(number as u64 * 37 % 1000)).await;
        let word = format!("step {number}");
        if way != 1 {
            let key = format!("pipeline:{pipeline}:status");
            redis::cmd("SET").arg(key).arg(&word).arg("EX").arg(3600).query_async::<()>(&mut typist).await?;
        }
        let typed = Instant::now();
        if way != 0 {
            let event = serde_json::json!({"type": "status_change", "status": word}).to_string();
            redis::cmd("PUBLISH")
                .arg(format!("pipeline:{pipeline}:events"))
                .arg(event)
                .query_async::<i64>(&mut typist)
                .await?;
        }
        let looks = topology
            .edges
            .iter()
            .zip(&mut lines)
            .map(|(edge, line)| until_shown(line, edge.address(), &path, &word, typed));
        for (edge, delay) in futures_util::future::try_join_all(looks).await?.into_iter().enumerate() {
            measured[way][edge].push(delay);
        }
    }
    let mut all = Vec::new();
    for (way, edges) in ways.iter().zip(measured) {
        for (edge, delays) in topology.edges.iter().zip(edges) {
            all.push(Staleness {
                what: format!("status at {}, after a {way} by hand", edge.name()),
                delays,
            });
        }
    }
    Ok(all)
}

async fn until_shown(line: &mut Line, address: SocketAddr, path: &str, word: &str, typed: Instant) -> anyhow::Result<Duration> {
    loop {
        let status = ask(line, address, path).await?;
        if status["status"] == word {
            return Ok(typed.elapsed());
        }
        ensure!(typed.elapsed() < Duration::from_secs(10), "{word:?} never shows at {address}: {status}");
        sleep(LOOK_EVERY).await;
    }
}
