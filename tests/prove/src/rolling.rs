//! All edges are restarted, one after the other, behind nginx and under load: no request fails, no event is lost, and the sockets
//! come back spread over time, when they were told to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::rig;
use crate::scene::crowd::Crowd;
use crate::scene::goals::Goals;
use crate::scene::ledger::Ledger;
use crate::scene::load::Load;
use crate::scene::polls::poll;
use crate::scene::{Stage, ms, quantile};
use crate::topology::Topology;

/// No second sees a larger share of the sockets of one edge come back.
const LARGEST_SHARE: f64 = 0.25;
const CALM: Duration = Duration::from_secs(4);
/// Status requests a second.
const POLLS: f64 = 100.0;

/// Restart all edges in turn under sockets and load.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Sockets, through nginx.
    #[arg(long, default_value_t = 2_000)]
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
    let proxy = topology.proxy.address();
    let load = Load {
        targets: vec![proxy],
        secret: topology.secrets.github.clone(),
        pipelines: args.pipelines,
        rate: args.rate,
        book: Default::default(),
    };
    println!(
        "a rolling restart of 2 edges through nginx under {} sockets, {:.0} deliveries and {POLLS:.0} status requests a second, {} pipelines",
        args.sockets, args.rate, args.pipelines
    );
    let stop = CancellationToken::new();
    load.run(0, args.pipelines, &stop).await;
    ledger.has_all(0, args.pipelines, Duration::from_secs(60)).await?;
    let pipelines: Arc<[i64]> = ledger.pipelines(args.pipelines).await?.into();
    let crowd = Arc::new(Crowd::gather(&[proxy], &pipelines, args.sockets, &load.book).await?);
    let delivering = tokio::spawn({
        let (load, stop) = (load.clone(), stop.clone());
        async move { load.run(load.pipelines, usize::MAX, &stop).await }
    });
    let polling = tokio::spawn({
        let (pipelines, stop) = (Arc::clone(&pipelines), stop.clone());
        async move { poll(proxy, &pipelines, POLLS, None, &stop).await }
    });

    let mut goals = Goals::default();
    tokio::time::sleep(CALM).await;
    for edge in &topology.edges {
        let (begun, before) = (Instant::now(), crowd.sum());
        edge.terminate().await?;
        let ended = begun.elapsed();
        edge.start()?;
        edge.ready().await?;
        println!(
            "        {} ended in {:.1} s and was ready after {:.1} s",
            edge.name(),
            ended.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        // Whoever was told to come back last does so well after the process has gone.
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut after = crowd.sum();
        while is_away(&before, &after) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
            after = crowd.sum();
        }
        tokio::time::sleep(CALM).await;
        let after = crowd.sum();
        let mut seconds = Vec::new();
        for back in after.returns.iter().filter(|back| **back >= begun) {
            let second = (*back - begun).as_secs() as usize;
            seconds.resize(seconds.len().max(second + 1), 0_usize);
            seconds[second] += 1;
        }
        let (returned, most) = (seconds.iter().sum::<usize>(), seconds.iter().max().copied().unwrap_or_default());
        println!("        {}: came back in each second: {seconds:?}", edge.name());
        goals.check(
            returned > 0 && most as f64 <= (returned as f64 * LARGEST_SHARE).max(5.0),
            format!(
                "{}: {returned} sockets came back, {most} in the busiest second ({:.0} %); goal: at most {:.0} %",
                edge.name(),
                100.0 * most as f64 / returned.max(1) as f64,
                100.0 * LARGEST_SHARE
            ),
        );
    }
    stop.cancel();
    let count = delivering.await?;
    ledger.has_all(0, count, Duration::from_secs(60)).await?;
    let truth = ledger.sequences().await?;
    let caught_up = crowd.caught_up(&truth, Duration::from_secs(10)).await;

    let seen = crowd.sum();
    goals.check(
        seen.broken == 0 && seen.refused == 0,
        format!(
            "{} sockets were told when to come back; {} broke without a word, {} handshakes were refused",
            seen.sent_away, seen.broken, seen.refused
        ),
    );
    let missed = crowd.missed();
    goals.check(
        missed == 0 && seen.fallen == 0,
        format!(
            "changes that a socket missed and another had: {missed}; that were older than one before: {}; that came only together with a later one: {}",
            seen.fallen,
            seen.jumped.len()
        ),
    );
    goals.check(
        caught_up.is_some(),
        format!("sockets that do not show the truth in the end: {}", crowd.behind(&truth)),
    );
    let answers = load.book.answers();
    let failed = answers.iter().filter(|answered| answered.status != Some(202)).count();
    let mut times: Vec<_> = answers.iter().map(|answered| answered.latency).collect();
    goals.check(
        failed == 0,
        format!(
            "{count} deliveries, {failed} failed; p99 {}, longest {}",
            ms(quantile(&mut times, 0.99)),
            ms(quantile(&mut times, 1.0))
        ),
    );
    let mut polls = polling.await?;
    goals.check(
        polls.failed == 0,
        format!(
            "{} status requests, {} failed; p99 {}",
            polls.latencies.len() + polls.failed,
            polls.failed,
            ms(quantile(&mut polls.latencies, 0.99))
        ),
    );
    ledger.examine(&load).await?.check(&mut goals);
    topology.stop().await?;
    goals.verdict()
}

/// Whether some that left since have not come back.
fn is_away(before: &crate::scene::crowd::Seen, now: &crate::scene::crowd::Seen) -> bool {
    now.connects - before.connects < now.sent_away + now.broken - before.sent_away - before.broken
}
