//! The proof that the deployed whole loses nothing: while hosts deliver and watchers watch, every process and every server is killed,
//! paused, restarted, cut off and left hanging; then everything is healed, and the database, the senders, the model forge and the
//! watchers must agree.
//!
//! `prove torture --minutes 30`; ends with 1 where anything is not as it must be.

pub mod fault;
pub mod nemesis;
pub mod visibility;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use pipecast::simulate::forge::{self, Forge};
use pipecast::simulate::letters::{Letters, Way};
use pipecast::simulate::postman::{self, Pace, Postman, Retry};
use pipecast::simulate::report::Report;
use pipecast::simulate::seal::Seal;
use pipecast_model::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::nemesis::{Deeds, Nemesis};
use self::visibility::Visibility;
use crate::accounts::Accounts;
use crate::findings::{Findings, examine};
use crate::ledger::Ledger;
use crate::topology::{Plan, Topology};
use crate::watcher::{self, Form, Watcher};

/// Share of deliveries that come a second time.
const REPEATED: f64 = 0.2;
/// Events that one push sets off in the long run; decides how fast the model lives for a rate of deliveries.
const EVENTS_PER_PUSH: f64 = 37.0;
/// Senders at once: enough to go on while one edge holds each request for the time that the proxy waits for it.
const SENDERS: usize = 256;
/// Longest time without any progress, once everything is healed, before what is missing counts as lost.
const DRAINS_WITHIN: Duration = Duration::from_secs(120);

/// Break everything that is deployed, one thing after the other, and count what became of every delivery.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How long.
    #[arg(long, default_value_t = 3.0)]
    pub minutes: f64,
    /// Decides the life that is told and what breaks when; without it, every run is another.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Deliveries a second, repeated ones included, whatever is broken; hosts do not wait either.
    #[arg(long, default_value_t = 90.0)]
    pub rate: f64,
    /// Seconds from one fault to the next, on average.
    #[arg(long, default_value_t = 4.5)]
    pub every: f64,
    /// The binary of the service [default: `pipecast` beside this program]
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// Where to keep data and logs; without it, they are thrown away unless something was wrong.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// Runs the proof, and ends the process with 1 where it fails.
///
/// # Errors
/// Where it cannot be run.
pub async fn run(args: Args) -> anyhow::Result<()> {
    crate::rig::describe_machine();
    let folder = match &args.data {
        Some(data) => data.clone(),
        None => tempfile::tempdir()?.keep(),
    };
    let verdict = tokio::select! {
        verdict = prove(&args, &folder) => verdict,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match &verdict {
        Ok(true) if args.data.is_none() => std::fs::remove_dir_all(&folder)?,
        _ => println!("data and logs are kept in {}", folder.display()),
    }
    match verdict? {
        true => Ok(()),
        false => std::process::exit(1),
    }
}

async fn prove(args: &Args, folder: &Path) -> anyhow::Result<bool> {
    let seed = args.seed.unwrap_or_else(|| Timestamp::now().0.unsigned_abs() % 1_000_000);
    println!("torture: {} min at {}/s with seed {seed}", args.minutes, args.rate);
    let topology = Topology::start(plan(args.binary.clone(), folder)).await?;
    for process in topology.processes() {
        println!("  {:<10} {}", process.name(), process.address());
    }
    let crowd = Crowd::gather(&topology);
    let mut nemesis = Nemesis::new(seed, Duration::from_secs_f64(args.every), topology.edges.len(), topology.workers.len());
    let minutes = Duration::from_secs_f64(args.minutes * 60.0);
    let end = Instant::now() + minutes;
    let (story, deeds) = tokio::join!(Story::tell(&topology, seed, args.rate, minutes), nemesis.rage(&topology, end));
    let mut story = story?;
    topology.ready().await.context("not everything is ready again after the last fault")?;
    println!("everything is healed and delivered; waiting for the last of it to be applied");
    let healed = Instant::now();
    let mut ledger = Ledger::Postgres(topology.postgres.connect().await?);
    story.accounts.drained(&mut ledger, DRAINS_WITHIN).await?;
    println!("drained {:.1} s after that", healed.elapsed().as_secs_f64());
    let verdict = story.judge(&mut ledger, &crowd, Duration::from_secs(60)).await?;
    println!("{}", Visibility::measure(&mut ledger, &story.accounts, &crowd.recorders).await?);
    tell(&deeds);
    println!("{verdict}");
    let rest = emptied(&topology).await?;
    println!("messages that wait at the broker in the end: {rest:?}");
    drop(crowd);
    let stopped = topology.stop().await;
    if let Err(error) = &stopped {
        println!("WRONG: {error:#}");
    }
    Ok(verdict.is_good() && deeds.complaints.is_empty() && stopped.is_ok() && rest.is_empty())
}

/// Repetitions of what is in the ledger already may still be on their way; what waits at the broker after a minute stays there.
async fn emptied(topology: &Topology) -> anyhow::Result<BTreeMap<String, u64>> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let rest = topology.rabbitmq.waiting().await?;
        if rest.is_empty() || Instant::now() > deadline {
            return Ok(rest);
        }
    }
}

/// The deployed whole, but for a shutdown that takes less of the time that there is.
pub fn plan(binary: Option<PathBuf>, folder: &Path) -> Plan {
    let plan = Plan {
        binary,
        folder: Some(folder.to_owned()),
        ..Plan::default()
    };
    plan.set("PIPECAST_SERVER__DRAIN_GRACE", "1s").set("PIPECAST_LIVE__DRAIN_WINDOW", "3s")
}

fn tell(deeds: &Deeds) {
    println!("faults {}, all of them healed but {}:", deeds.count(), deeds.complaints.len());
    let mut by_victim: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((victim, harm), count) in &deeds.faults {
        by_victim.entry(victim.to_string()).or_default().push(format!("{} {count}", harm.word()));
    }
    for (victim, harms) in by_victim {
        println!("  {victim:<9} {}", harms.join(", "));
    }
    for complaint in &deeds.complaints {
        println!("  WRONG: {complaint}");
    }
}

/// What the hosts told, and what they know of it.
pub struct Story {
    /// Who told it.
    pub forge: Forge,
    /// What was answered.
    pub accounts: Accounts,
    /// The same in numbers.
    pub report: Report,
}

impl Story {
    /// Tells the life of a forge through the proxy for some time; what is at work then comes to its end.
    ///
    /// # Errors
    /// Where the secrets are unusable.
    pub async fn tell(topology: &Topology, seed: u64, rate: f64, time: Duration) -> anyhow::Result<Self> {
        let mut forge = Forge::new(forge::Options {
            seed,
            // Its clock runs ahead while its first runs are still few; times to come would look odd.
            start: Timestamp::now().minus(Duration::from_secs(3_600)),
            pushes_per_second: rate / EVENTS_PER_PUSH / (1.0 + REPEATED),
            ..forge::Options::default()
        });
        let address = topology.proxy.address();
        let postman = Postman::new(
            address,
            Seal::new(&topology.secrets, &address.to_string(), "")?,
            postman::Options {
                connections: SENDERS,
                pace: Pace::PerSecond(rate),
                retry: Retry::After(Duration::from_millis(500)),
                patience: Duration::from_secs(10),
            },
        );
        let end = Instant::now() + time;
        let events = std::iter::from_fn(|| {
            if Instant::now() >= end {
                forge.close();
            }
            forge.next()
        });
        let way = Way {
            duplicates: REPEATED,
            reorder: Duration::from_secs(2),
            seed,
        };
        let mut accounts = Accounts::default();
        let mut told = Instant::now();
        let note = |receipt: &postman::Receipt| {
            accounts.note(receipt);
            if told.elapsed() > Duration::from_secs(60) {
                told = Instant::now();
                println!("  {} requests acknowledged", accounts.acknowledged);
            }
        };
        let report = postman.deliver(Letters::new(events, way), &CancellationToken::new(), note).await;
        Ok(Story { forge, accounts, report })
    }

    /// Compares everything with everything. Watchers have `patience` to learn the last of it.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn judge(&mut self, ledger: &mut Ledger, crowd: &Crowd, patience: Duration) -> anyhow::Result<Verdict> {
        let findings = examine(ledger, &self.accounts, &self.forge, &self.report).await?;
        let wrong = watcher::wrong(&crowd.watchers, &ledger.states().await?, patience).await;
        Ok(Verdict {
            findings,
            report: self.report.clone(),
            longest_outage: self.accounts.longest_outage(),
            watchers: crowd.watchers.len(),
            connects: crowd.watchers.iter().map(|watcher| watcher.seen().connects).sum(),
            fallen: crowd.watchers.iter().flat_map(Watcher::falls).collect(),
            wrong,
        })
    }
}

/// Everyone who watches.
pub struct Crowd {
    /// All of them.
    pub watchers: Vec<Watcher>,
    /// Those at each edge who remember when they saw what.
    pub recorders: Vec<Watcher>,
    _tasks: JoinSet<()>,
}

impl Crowd {
    /// At every edge and through the proxy: of the whole in every form, of pipelines, and of executions that are not there yet.
    pub fn gather(topology: &Topology) -> Self {
        const FORMS: [Form; 3] = [Form::Plain, Form::V1, Form::Events];
        let mut watchers = Vec::new();
        let mut recorders = Vec::new();
        for edge in &topology.edges {
            recorders.push(Watcher::new(edge.address(), "monitor", Form::Plain).recording());
        }
        let pipelines = (1..=40).map(|id| format!("pipeline/{id}"));
        let executions = (0..14).map(|power| format!("execution/{}", 2_i64.pow(power) + 1));
        let paths: Vec<String> = pipelines.chain(executions).collect();
        for (place, whom) in topology.edges.iter().chain([&topology.proxy]).enumerate() {
            let address = whom.address();
            let of_the_whole = FORMS.map(|form| Watcher::new(address, "monitor", form));
            let of_one = paths.iter().enumerate();
            let of_one = of_one.map(|(number, path)| Watcher::new(address, path, FORMS[(number + place) % FORMS.len()]));
            let all = of_the_whole.into_iter().chain(of_one);
            if place < topology.edges.len() {
                watchers.extend(all);
            } else {
                watchers.extend(all.map(Watcher::behind_a_proxy));
            }
        }
        watchers.extend(recorders.iter().cloned());
        let mut tasks = JoinSet::new();
        for watcher in &watchers {
            tasks.spawn(watcher.clone().watch());
        }
        Crowd {
            watchers,
            recorders,
            _tasks: tasks,
        }
    }
}

/// What came out of it.
pub struct Verdict {
    /// What became of the deliveries.
    pub findings: Findings,
    /// States that came to a watcher after a newer one of the same topic.
    pub fallen: Vec<String>,
    /// Watchers that do not know in the end what the database knows.
    pub wrong: Vec<String>,
    report: Report,
    longest_outage: Duration,
    watchers: usize,
    connects: u64,
}

impl Verdict {
    /// Whether everything is as it must be.
    pub fn is_good(&self) -> bool {
        self.findings.are_good() && self.wrong.is_empty() && self.fallen.is_empty()
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nlongest outage {:.1} s (without an accepted delivery, while there was always one to send)\n{}\n\
             watchers {}, connected {} times, sequences that fell {}, wrong in the end {}",
            self.report,
            self.longest_outage.as_secs_f64(),
            self.findings,
            self.watchers,
            self.connects,
            self.fallen.len(),
            self.wrong.len()
        )?;
        self.wrong
            .iter()
            .take(10)
            .chain(self.fallen.iter().take(10))
            .try_for_each(|wrong| write!(f, "\n  {wrong}"))
    }
}
