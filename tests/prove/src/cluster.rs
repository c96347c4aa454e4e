//! `prove cluster`: the deployed topology on this machine, fed with a simulation, until Ctrl-C.
//! Knows nothing of faults.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::process::{Process, Readiness, Recipe};
use crate::topology::{Plan, Topology, own_binary};

/// Start two edges, two workers and an admin on PostgreSQL, Redis and RabbitMQ behind nginx, and feed them.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Edges.
    #[arg(long, default_value_t = 2)]
    edges: usize,
    /// Workers.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Read lists from a standby.
    #[arg(long)]
    standby: bool,
    /// Start without the simulation.
    #[arg(long)]
    quiet: bool,
    /// The binary of the service [default: `pipecast` beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where to keep data and logs; without it, they are thrown away in the end.
    #[arg(long)]
    data: Option<PathBuf>,
}

/// Runs until it is asked to end.
///
/// # Errors
/// Where something does not come up, ends by itself, or does not end in order.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let plan = Plan {
        binary: args.binary.clone(),
        folder: args.data,
        edges: args.edges,
        workers: args.workers,
        standby: args.standby,
        gates: false,
        ..Plan::default()
    };
    println!("cluster: starting; it takes about ten seconds");
    let topology = tokio::select! {
        topology = Topology::start(plan) => topology?,
        _ = interrupted.recv() => return Ok(()),
        _ = terminated.recv() => return Ok(()),
    };
    let simulation = match args.quiet {
        true => None,
        false => Some(simulation(&topology, args.binary)?),
    };
    tell(&topology);
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    println!("cluster: ending");
    if let Some(simulation) = simulation {
        simulation.terminate().await?;
    }
    topology.stop().await
}

fn tell(topology: &Topology) {
    println!("cluster: open http://{}  (Ctrl-C ends everything)", topology.proxy.address());
    for process in topology.processes() {
        println!("  {:<10} {}", process.name(), process.address());
    }
    println!("  data and logs in {}", topology.folder.display());
    println!("  webhook secrets: GitHub {:?}, GitLab {:?}", topology.secrets.github, topology.secrets.gitlab);
}

fn simulation(topology: &Topology, binary: Option<PathBuf>) -> anyhow::Result<Process> {
    let binary = binary.map_or_else(own_binary, Ok)?.canonicalize()?;
    let (address, secrets) = (topology.proxy.address(), topology.secrets.clone());
    let process = Process::new(Recipe {
        name: "simulation".to_owned(),
        address,
        folder: topology.folder.clone(),
        command: Box::new(move || {
            let mut command = Command::new(&binary);
            command
                .args(["simulate", "--url", &format!("http://{address}")])
                .env("PIPECAST_WEBHOOKS__GITHUB__SECRET", &secrets.github)
                .env("PIPECAST_WEBHOOKS__GITLAB__SECRET", &secrets.gitlab)
                .stdin(Stdio::null());
            command
        }),
        readiness: Readiness::Listens,
        farewell: "TERM",
    });
    process.start().context("the simulation does not start")?;
    Ok(process)
}
