//! What the caches are worth, and what they cost: while hosts deliver, clients poll and sockets come and go, how many asks each layer
//! answers; and how long a value may be old at one node after it was written at another.
//!
//! `prove caches`; ends with 1 where fewer than four of five asks are answered before the database, or something was old for longer than
//! a second.

mod clients;
mod staleness;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use pipecast::simulate::line::Line;
use tokio_util::sync::CancellationToken;

use self::staleness::{Staleness, measure};
use crate::process::Process;
use crate::topology::{Plan, Topology};
use crate::torture::Story;

/// The share of asks that are to be answered before the database.
const WANTED: f64 = 0.8;
/// The longest that a value may be old.
const OLDEST: Duration = Duration::from_secs(1);

/// Count what each cache answers under load, and measure how old its values get.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How long hosts deliver, once to count and once to measure.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Deliveries a second.
    #[arg(long, default_value_t = 40.0)]
    rate: f64,
    /// Clients that ask once a second, four times of five for a status, else for a list.
    #[arg(long, default_value_t = 300)]
    pollers: usize,
    /// Sockets; a tenth of them comes and goes.
    #[arg(long, default_value_t = 300)]
    sockets: usize,
    /// Decides the life that is told.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The binary of the service [default: `pipecast` beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Runs it, and ends the process with 1 where it fails.
///
/// # Errors
/// Where it cannot be run.
pub async fn run(args: Args) -> anyhow::Result<()> {
    crate::rig::describe_machine();
    let plan = Plan {
        binary: args.binary.clone(),
        gates: false,
        ..Plan::default()
    };
    let topology = Topology::start(plan.set("PIPECAST_SERVER__DRAIN_GRACE", "0s")).await?;
    let time = Duration::from_secs(args.seconds);
    println!(
        "caches: {} s of {} deliveries a second, {} pollers and {} sockets on two edges",
        args.seconds, args.rate, args.pollers, args.sockets
    );
    let over = CancellationToken::new();
    let mut crowd = clients::gather(&topology, args.pollers, args.sockets, &over);
    let story = Story::tell(&topology, args.seed, args.rate, time).await?;
    let layers = Layers::count(&topology).await?;
    println!("{}", story.report);
    println!("{layers}");
    // Whoever measures asks all the time, and would be counted among the others.
    let (story, staleness) = tokio::join!(Story::tell(&topology, args.seed + 1, args.rate, time), measure(&topology, time));
    let (story, staleness) = (story?, staleness?);
    over.cancel();
    crowd.shutdown().await;
    println!("{}", story.report);
    println!("how old a value was at an edge after it was written elsewhere, give or take the 5 ms between two looks:");
    for measured in &staleness {
        println!("  {measured}");
    }
    topology.stop().await?;
    let is_good = layers.are_worth_it() && staleness.iter().all(Staleness::is_short);
    println!("{}", if is_good { "good" } else { "WRONG" });
    if !is_good {
        std::process::exit(1);
    }
    Ok(())
}

/// How often each layer of each cache was asked at all edges, and what came of it.
#[derive(Debug, Default)]
pub struct Layers(BTreeMap<(String, String), BTreeMap<String, u64>>);

impl Layers {
    /// From the metrics of the edges.
    ///
    /// # Errors
    /// Where one of them does not answer.
    pub async fn count(topology: &Topology) -> anyhow::Result<Self> {
        let mut layers = Layers::default();
        for edge in &topology.edges {
            layers.add(&metrics(edge).await?);
        }
        Ok(layers)
    }

    fn add(&mut self, text: &str) {
        for line in text.lines().filter_map(|line| line.strip_prefix("pipecast_cache_requests_total{")) {
            let Some((labels, count)) = line.split_once("} ") else { continue };
            let label = |name: &str| {
                let value = labels.split(',').find_map(|label| label.strip_prefix(&format!("{name}=")));
                value.unwrap_or_default().trim_matches('"').to_owned()
            };
            let results = self.0.entry((label("cache"), label("layer"))).or_default();
            *results.entry(label("result")).or_default() += count.parse::<u64>().unwrap_or_default();
        }
    }

    fn sum(&self, cache: &str, layer: &str, result: Option<&str>) -> u64 {
        let results = self.0.get(&(cache.to_owned(), layer.to_owned()));
        let counts = results.into_iter().flatten().filter(|(name, _)| result.is_none_or(|result| *name == result));
        counts.map(|(_, count)| count).sum()
    }

    /// The share of asks that were answered before the database.
    fn before_the_database(&self, cache: &str) -> f64 {
        1.0 - self.sum(cache, "database", None) as f64 / self.sum(cache, "node", None).max(1) as f64
    }

    fn caches(&self) -> Vec<&str> {
        let mut caches: Vec<_> = self.0.keys().map(|(cache, _)| cache.as_str()).collect();
        caches.dedup();
        caches
    }

    fn are_worth_it(&self) -> bool {
        let caches = self.caches();
        // What nobody asked for shows nothing.
        caches.len() >= 2
            && caches
                .iter()
                .all(|cache| self.sum(cache, "node", None) > 100 && self.before_the_database(cache) > WANTED)
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<10} {:<9} {:>9} {:>9} {:>8}  else", "cache", "layer", "asked", "hit", "rate")?;
        for cache in self.caches() {
            for layer in ["node", "shared", "database"] {
                let (asked, hit) = (self.sum(cache, layer, None), self.sum(cache, layer, Some("hit")));
                if asked == 0 {
                    continue;
                }
                let rest = self.0[&(cache.to_owned(), layer.to_owned())].iter().filter(|(name, _)| *name != "hit");
                let rest: Vec<_> = rest.map(|(name, count)| format!("{name} {count}")).collect();
                let rate = 100.0 * hit as f64 / asked as f64;
                writeln!(f, "{cache:<10} {layer:<9} {asked:>9} {hit:>9} {rate:>7.2}%  {}", rest.join(", "))?;
            }
            writeln!(f, "{cache:<10} answered before the database: {:.2} %", 100.0 * self.before_the_database(cache))?;
        }
        Ok(())
    }
}

async fn metrics(edge: &Process) -> anyhow::Result<String> {
    let mut line = Line::new(edge.address(), Duration::from_secs(10));
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", edge.address());
    let answer = line
        .send(request.as_bytes())
        .await
        .with_context(|| format!("{} does not say its metrics", edge.name()))?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}
