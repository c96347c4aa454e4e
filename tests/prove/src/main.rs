//! `prove`: the long proofs, and the deployed topology to look at.
//! Knows nothing of how they are done.

use clap::{Parser, Subcommand};
use pipecast_prove::{across, broker_down, caches, cluster, crash, leaks, perf, redis_empty, rolling, torture};

/// Pipecast as it is deployed, in real processes: to look at, and to break.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Across(across::Args),
    BrokerDown(broker_down::Args),
    Caches(caches::Args),
    Cluster(cluster::Args),
    Crash(crash::Args),
    Leaks(leaks::Args),
    Perf(perf::Args),
    RedisEmpty(redis_empty::Args),
    Rolling(rolling::Args),
    Torture(torture::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A proof holds many sockets, and so does what it starts.
    let _ = rlimit::increase_nofile_limit(rlimit::INFINITY);
    match Arguments::parse().command {
        Command::Across(args) => across::run(args).await,
        Command::BrokerDown(args) => broker_down::run(args).await,
        Command::Caches(args) => caches::run(args).await,
        Command::Cluster(args) => cluster::run(args).await,
        Command::Crash(args) => crash::run(args).await,
        Command::Leaks(args) => leaks::run(&args),
        Command::Perf(args) => perf::run(args).await,
        Command::RedisEmpty(args) => redis_empty::run(args).await,
        Command::Rolling(args) => rolling::run(args).await,
        Command::Torture(args) => torture::run(args).await,
    }
}
