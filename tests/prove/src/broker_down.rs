//! RabbitMQ is killed and stays away while deliveries go on: every one of them is answered 202 in time, and once the broker is back
//! all of them have their effect, once and in order.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::rig;
use crate::scene::goals::Goals;
use crate::scene::ledger::Ledger;
use crate::scene::load::{Answered, Load};
use crate::scene::{Stage, ms, quantile};
use crate::topology::Topology;

/// Longest p99 of the answer while the broker is away.
const P99: Duration = Duration::from_millis(50);
/// What was spooled is applied after so many times as long as the broker was away.
const DRAINED_WITHIN: u32 = 2;
/// How long everything is well before and after.
const CALM: Duration = Duration::from_secs(5);
const PIPELINES: usize = 200;

/// Kill RabbitMQ for a while, deliver on, and count what became of every delivery.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How long RabbitMQ is away.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Deliveries a second, from before until everything is applied.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    #[command(flatten)]
    stage: Stage,
}

/// # Errors
/// Where it cannot be run, or a goal was missed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    rig::describe_machine();
    let outage = Duration::from_secs_f64(args.minutes * 60.0);
    let topology = Topology::start(args.stage.plan()).await?;
    let mut ledger = Ledger::open(&topology).await?;
    let load = Load {
        targets: vec![topology.proxy.address()],
        secret: topology.secrets.github.clone(),
        pipelines: PIPELINES,
        rate: args.rate,
        book: Default::default(),
    };
    println!(
        "RabbitMQ killed for {outage:.0?} at {:.0} deliveries a second through nginx, 2 edges, 2 workers",
        args.rate
    );
    let stop = CancellationToken::new();
    let delivering = tokio::spawn({
        let (load, stop) = (load.clone(), stop.clone());
        async move { load.run(0, usize::MAX, &stop).await }
    });

    tokio::time::sleep(CALM).await;
    let gone = Instant::now();
    topology.rabbitmq.process.kill().await?;
    tokio::time::sleep(outage.saturating_sub(gone.elapsed())).await;
    let back = Instant::now();
    topology.rabbitmq.process.start()?;
    topology.rabbitmq.process.ready().await?;
    println!("the broker took connections again after {:.1} s of starting", back.elapsed().as_secs_f64());

    // Whoever was answered in the outage was answered by a spool; the load goes on while it is emptied.
    let within = outage * DRAINED_WITHIN;
    let (mut first, mut last) = (usize::MAX, 0);
    for answered in during(&load, gone, back) {
        (first, last) = (first.min(answered.number), last.max(answered.number));
    }
    let patience = within.max(Duration::from_secs(60)).saturating_sub(back.elapsed());
    let is_drained = ledger.has_all(first, last + 1, patience).await?;
    let drained = back.elapsed();
    tokio::time::sleep(CALM).await;
    stop.cancel();
    let count = delivering.await?;
    ledger.has_all(0, count, Duration::from_secs(60)).await?;

    let mut goals = Goals::default();
    let answers = during(&load, gone, back);
    let refused = answers.iter().filter(|answered| answered.status != Some(202)).count();
    goals.check(refused == 0, format!("{} deliveries in the outage, {refused} not answered 202", answers.len()));
    let spooled = answers.iter().filter(|answered| answered.place == "spool").count();
    goals.check(spooled * 100 >= answers.len() * 95, format!("answered by a spool: {spooled}"));
    let mut times: Vec<_> = answers.iter().map(|answered| answered.latency).collect();
    let p99 = quantile(&mut times, 0.99);
    let (p50, longest) = (quantile(&mut times, 0.5), quantile(&mut times, 1.0));
    goals.check(
        p99 < P99,
        format!("answered p50 {}, p99 {}, longest {}; goal: p99 < {}", ms(p50), ms(p99), ms(longest), ms(P99)),
    );
    let others: Vec<_> = load.book.answers().into_iter().filter(|answered| answered.status != Some(202)).collect();
    goals.check(others.is_empty(), format!("{count} deliveries in all, {} not answered 202", others.len()));
    goals.check(
        is_drained && drained <= within,
        format!(
            "applied {:.1} s after the broker was started again; goal: within {:.0} s",
            drained.as_secs_f64(),
            within.as_secs_f64()
        ),
    );
    ledger.examine(&load).await?.check(&mut goals);
    topology.stop().await?;
    goals.verdict()
}

fn during(load: &Load, from: Instant, to: Instant) -> Vec<Answered> {
    load.book.answers().into_iter().filter(|answered| (from..to).contains(&answered.due)).collect()
}
