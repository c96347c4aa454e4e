//! Redis is killed under many sockets and comes back empty, and once more with old data: sockets stay, nobody is shown anything that
//! is older than what was shown before, and every topic is right again soon.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::rig;
use crate::scene::crowd::Crowd;
use crate::scene::goals::Goals;
use crate::scene::http::{Connection, get};
use crate::scene::ledger::Ledger;
use crate::scene::load::Load;
use crate::scene::polls::poll;
use crate::scene::{Stage, ms, quantile};
use crate::topology::Topology;

/// Every topic is right so long after Redis is back.
const HEALED_WITHIN: Duration = Duration::from_secs(5);
/// How long Redis is away, and how long everything goes on before and after.
const AWAY: Duration = Duration::from_secs(5);
const CALM: Duration = Duration::from_secs(8);
/// Status requests a second at each edge.
const POLLS: f64 = 100.0;

/// Kill Redis under many sockets, twice: it comes back empty, and with old data.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Sockets, half of them at each edge.
    #[arg(long, default_value_t = 1_000)]
    sockets: usize,
    /// Deliveries a second.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Pipelines that they are about.
    #[arg(long, default_value_t = 200)]
    pipelines: usize,
    #[command(flatten)]
    stage: Stage,
}

/// # Errors
/// Where it cannot be run, or a goal was missed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    rig::describe_machine();
    let topology = Topology::start(args.stage.plan()).await?;
    let mut ledger = Ledger::open(&topology).await?;
    let edges: Vec<_> = topology.edges.iter().map(|edge| edge.address()).collect();
    let load = Load {
        targets: edges.clone(),
        secret: topology.secrets.github.clone(),
        pipelines: args.pipelines,
        rate: args.rate,
        book: Default::default(),
    };
    println!(
        "Redis killed for {AWAY:.0?}, twice, under {} sockets at two edges, {:.0} deliveries and {:.0} status requests a second, {} pipelines",
        args.sockets,
        args.rate,
        POLLS * edges.len() as f64,
        args.pipelines
    );
    let stop = CancellationToken::new();
    load.run(0, args.pipelines, &stop).await;
    ledger.has_all(0, args.pipelines, Duration::from_secs(60)).await?;
    let pipelines: Arc<[i64]> = ledger.pipelines(args.pipelines).await?.into();
    let crowd = Arc::new(Crowd::gather(&edges, &pipelines, args.sockets, &load.book).await?);
    let delivering = tokio::spawn({
        let (load, stop) = (load.clone(), stop.clone());
        async move { load.run(load.pipelines, usize::MAX, &stop).await }
    });
    let polling: Vec<_> = edges
        .iter()
        .map(|edge| {
            let (edge, pipelines, crowd, stop) = (*edge, Arc::clone(&pipelines), Arc::clone(&crowd), stop.clone());
            tokio::spawn(async move { poll(edge, &pipelines, POLLS, Some(&crowd), &stop).await })
        })
        .collect();

    let mut goals = Goals::default();
    tokio::time::sleep(CALM).await;
    let old = topology.redis.keep_copy()?;
    tokio::time::sleep(CALM).await;
    for how in ["empty", "with data 13 s older"] {
        topology.redis.process.kill().await?;
        tokio::time::sleep(AWAY).await;
        match how {
            "empty" => topology.redis.start_empty()?,
            _ => topology.redis.start_with(&old)?,
        }
        topology.redis.process.ready().await?;
        let back = Instant::now();
        let truth = ledger.sequences().await?;
        let healed = crowd.caught_up(&truth, Duration::from_secs(30)).await;
        let polled = answers_healed(&edges, truth, back).await;
        for (who, healed) in [("socket", healed), ("status answer of both edges", polled)] {
            goals.check(
                healed.is_some_and(|healed| healed <= HEALED_WITHIN),
                format!(
                    "{how}: every {who} showed what was true at the return after {}; goal: {}",
                    healed.map_or("never".to_owned(), ms),
                    ms(HEALED_WITHIN)
                ),
            );
        }
        tokio::time::sleep(CALM).await;
        let mut during = crowd.delays(back - AWAY, back);
        let mut first = crowd.delays(back, back + HEALED_WITHIN);
        let mut after = crowd.delays(back + HEALED_WITHIN, Instant::now());
        for (when, times) in [("while it was away", &mut during), ("in the first 5 s", &mut first), ("after that", &mut after)] {
            println!(
                "        {how}: from POST to socket {when}: p50 {}, longest {}",
                ms(quantile(times, 0.5)),
                ms(quantile(times, 1.0))
            );
        }
        goals.check(
            quantile(&mut after, 1.0) < HEALED_WITHIN && !after.is_empty(),
            format!("{how}: from 5 s after the return on, changes arrive by the bus: {} of them", after.len()),
        );
    }
    stop.cancel();
    let count = delivering.await?;
    ledger.has_all(0, count, Duration::from_secs(60)).await?;
    let lagging = crowd.caught_up(&ledger.sequences().await?, Duration::from_secs(10)).await;

    let seen = crowd.sum();
    let changes = crowd.shared.frames.load(std::sync::atomic::Ordering::Relaxed);
    goals.check(
        seen.connects == args.sockets as u64 && seen.sent_away + seen.broken == 0,
        format!("{} sockets stayed open, {} were closed", args.sockets, seen.sent_away + seen.broken),
    );
    goals.check(
        seen.fallen == 0,
        format!("{changes} changes at sockets, {} of them older than one before", seen.fallen),
    );
    println!("        changes that a socket saw only together with a later one: {}", seen.jumped.len());
    let (mut answers, mut stale, mut failed, mut times) = (0, 0, 0, Vec::new());
    for polls in polling {
        let polls = polls.await?;
        answers += polls.latencies.len();
        stale += polls.stale;
        failed += polls.failed;
        times.extend(polls.latencies);
    }
    goals.check(
        stale == 0,
        format!("{answers} status answers, {stale} older than what the same edge had shown before"),
    );
    goals.check(
        failed == 0,
        format!("status requests that failed: {failed}; p99 {}", ms(quantile(&mut times, 0.99))),
    );
    let refused = load.book.answers().iter().filter(|answered| answered.status != Some(202)).count();
    goals.check(refused == 0, format!("{count} deliveries, {refused} not answered 202"));
    goals.check(
        lagging.is_some(),
        format!("sockets that do not show the truth in the end: {}", crowd.behind(&ledger.sequences().await?)),
    );
    ledger.examine(&load).await?.check(&mut goals);
    topology.stop().await?;
    goals.verdict()
}

/// How long after `back` it took until no status answer was behind `truth` any more; none where some still are after half a minute.
async fn answers_healed(edges: &[SocketAddr], truth: HashMap<i64, i64>, back: Instant) -> Option<Duration> {
    let mut behind: Vec<_> = edges
        .iter()
        .flat_map(|edge| truth.iter().map(|(pipeline, seq)| (*edge, *pipeline, *seq)))
        .collect();
    let mut connections: HashMap<_, _> = edges.iter().map(|edge| (*edge, Connection::new(*edge, Duration::from_secs(5)))).collect();
    while back.elapsed() < Duration::from_secs(30) {
        let mut still = Vec::new();
        for (edge, pipeline, seq) in behind {
            let request = get(edge, &format!("/api/v1/pipelines/{pipeline}/status/realtime"));
            let answer = connections.get_mut(&edge)?.send(&request).await.ok();
            let shown = answer.and_then(|answer| serde_json::from_slice::<serde_json::Value>(&answer.body).ok()?["seq"].as_i64());
            if shown.is_none_or(|shown| shown < seq) {
                still.push((edge, pipeline, seq));
            }
        }
        if still.is_empty() {
            return Some(back.elapsed());
        }
        behind = still;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}
