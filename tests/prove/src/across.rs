//! From a POST at one edge to the frame at a socket of another, and what a delivered frame costs the edges as edges and sockets grow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig;
use crate::scene::crowd::{Crowd, take_frame};
use crate::scene::goals::Goals;
use crate::scene::ledger::Ledger;
use crate::scene::load::Load;
use crate::scene::{Stage, ms, quantile};
use crate::topology::{Plan, Topology};

const P50: Duration = Duration::from_millis(10);
const P99: Duration = Duration::from_millis(40);
/// What comes before the clock runs: caches, connections and statements are made on first use.
const WARM: Duration = Duration::from_secs(3);
const PIPELINES: usize = 100;

/// POST at one edge, frame at the other; and the cost of fan-out by edges and sockets.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Deliveries a second while the delay is measured.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Seconds of it.
    #[arg(long, default_value_t = 20)]
    seconds: usize,
    /// Edges of the table.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    edges: Vec<usize>,
    /// Sockets of the table, all on one pipeline.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000])]
    sockets: Vec<usize>,
    #[command(flatten)]
    stage: Stage,
}

/// # Errors
/// Where it cannot be run, or a goal was missed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    rig::describe_machine();
    let mut goals = Goals::default();
    delay(&args, &mut goals).await?;
    println!("processor time of all edges per delivered frame, what the same deliveries cost without a watcher taken off; one pipeline, all sockets on it");
    for edges in &args.edges {
        let plan = Plan {
            edges: *edges,
            ..args.stage.plan()
        };
        let topology = Topology::start(plan.set("PIPECAST_LIVE__MAX_SOCKETS", "20000")).await?;
        for sockets in &args.sockets {
            fan_out(&topology, *sockets, &mut goals).await?;
        }
        topology.stop().await?;
    }
    goals.verdict()
}

async fn delay(args: &Args, goals: &mut Goals) -> anyhow::Result<()> {
    let topology = Topology::start(args.stage.plan()).await?;
    let mut ledger = Ledger::open(&topology).await?;
    let [here, there] = [0, 1].map(|edge| topology.edges[edge].address());
    let load = load(&topology, here, PIPELINES, args.rate);
    let stop = CancellationToken::new();
    let mut next = load.run(0, PIPELINES, &stop).await;
    ensure!(ledger.has_all(0, next, Duration::from_secs(60)).await?, "the first deliveries are not applied");
    let crowd = Crowd::gather(&[there], &ledger.pipelines(PIPELINES).await?, PIPELINES, &load.book).await?;
    next = load.run(next, (args.rate * WARM.as_secs_f64()) as usize, &stop).await;
    let (begun, first) = (Instant::now(), next);
    next = load.run(next, (args.rate * args.seconds as f64) as usize, &stop).await;
    ledger.has_all(0, next, Duration::from_secs(30)).await?;
    crowd.caught_up(&ledger.sequences().await?, Duration::from_secs(10)).await;

    let mut times = crowd.delays(begun, Instant::now());
    let (p50, p95, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.95), quantile(&mut times, 0.99));
    println!(
        "POST at edge-1, frame at a socket of edge-2, {:.0} deliveries a second for {} s, {PIPELINES} pipelines",
        args.rate, args.seconds
    );
    goals.check(p50 <= P50, format!("p50 {}; goal: {}", ms(p50), ms(P50)));
    goals.check(
        p99 <= P99,
        format!(
            "p95 {}, p99 {}, longest {}; goal: p99 {}",
            ms(p95),
            ms(p99),
            ms(quantile(&mut times, 1.0)),
            ms(P99)
        ),
    );
    goals.check(
        times.len() * 100 >= (next - first) * 99,
        format!(
            "{} of {} deliveries came as a frame of their own; others came together with a later one",
            times.len(),
            next - first
        ),
    );
    ledger.examine(&load).await?.check(goals);
    topology.stop().await
}

/// One cell of the table.
async fn fan_out(topology: &Topology, sockets: usize, goals: &mut Goals) -> anyhow::Result<()> {
    let mut ledger = Ledger::open(topology).await?;
    let edges: Vec<SocketAddr> = topology.edges.iter().map(|edge| edge.address()).collect();
    // Fewer changes for more sockets: about as many frames, and no more a second than one machine can read beside the edges.
    let changes = (60_000 / sockets).clamp(20, 200);
    let rate = (20_000.0 / sockets as f64).min(40.0);
    let mut load = load(topology, edges[0], 1, rate);
    let stop = CancellationToken::new();
    // Numbers go on where the cells before stopped, and rounds begin with a fresh run.
    let mut next = ledger.count(0, usize::MAX >> 32).await?.next_multiple_of(3);
    load.rate = rate;
    next = load.run(next, 6, &stop).await;
    let pipeline = ledger.until_pipelines(1, Duration::from_secs(30)).await?[0];
    let alone = cost(topology, &load, &mut next, changes, &stop).await?;

    let frames = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..sockets {
        let stream = open(edges[number % edges.len()], pipeline).await?;
        tasks.spawn(count_frames(stream, Arc::clone(&frames)));
    }
    let (wanted, deadline) = (sockets as u64, Instant::now() + Duration::from_secs(60));
    while frames.load(Ordering::Relaxed) < wanted {
        ensure!(
            Instant::now() < deadline,
            "{} of {wanted} sockets have their snapshot",
            frames.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = frames.load(Ordering::Relaxed);
    let watched = cost(topology, &load, &mut next, changes, &stop).await?;
    let delivered = frames.load(Ordering::Relaxed) - before;
    let each = watched.saturating_sub(alone).as_secs_f64() * 1e6 / delivered.max(1) as f64;
    println!(
        "        {} edges, {sockets:>6} sockets: {each:.2} us per frame, {delivered} frames of {changes} changes; the changes themselves {:.0} us each",
        edges.len(),
        alone.as_secs_f64() * 1e6 / changes as f64
    );
    // Changes that meet on their way come as one frame.
    goals.check(
        delivered * 2 >= (changes * sockets) as u64 && tasks.len() == sockets && tasks.try_join_next().is_none(),
        format!(
            "{} edges, {sockets} sockets: at least half of the changes came as frames of their own, and no socket was closed",
            edges.len()
        ),
    );
    Ok(())
}

/// Processor time of all edges for so many changes, until all of it has reached whoever watches.
async fn cost(topology: &Topology, load: &Load, next: &mut usize, changes: usize, stop: &CancellationToken) -> anyhow::Result<Duration> {
    let used = || -> u64 { topology.edges.iter().filter_map(|edge| edge.id()).map(rig::cpu_ns).sum() };
    // What was done before settles first.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = used();
    *next = load.run(*next, changes, stop).await;
    // Long enough for the slowest of the frames, and the same with and without watchers.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(Duration::from_nanos(used() - before))
}

fn load(topology: &Topology, target: SocketAddr, pipelines: usize, rate: f64) -> Load {
    Load {
        targets: vec![target],
        secret: topology.secrets.github.clone(),
        pipelines,
        rate,
        book: Default::default(),
    }
}

async fn open(edge: SocketAddr, pipeline: i64) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(edge).await?;
    let request = format!(
        "GET /ws/pipeline/{pipeline} HTTP/1.1\r\nhost: {edge}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}

/// As little work as can be: what the reader takes is not left for the edges. Ends with the socket.
async fn count_frames(mut stream: TcpStream, frames: Arc<AtomicU64>) {
    let mut received = Vec::new();
    while matches!(stream.read_buf(&mut received).await, Ok(1..)) {
        while let Some((first, _)) = take_frame(&mut received) {
            if first == 0x81 {
                frames.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
