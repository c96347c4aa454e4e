//! `pipecast simulate`: a model forge that tells its life to a running service as signed webhooks.
//! Knows nothing of the service's insides; it talks HTTP like any host.

pub mod body;
pub mod chance;
pub mod forge;
pub mod github;
pub mod gitlab;
pub mod letters;
pub mod life;
pub mod line;
pub mod names;
pub mod postman;
pub mod report;
pub mod run;
pub mod seal;
pub mod target;
pub mod world;

use std::io::Write;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use pipecast_model::{Host, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use forge::{Forge, Memory};
use letters::{Letters, Way};
use postman::{Fate, Pace, Postman, Retry};
use report::Report;
use seal::{Seal, Secrets, SourcePath};
use target::Target;

/// Events that one push sets off in the long run, measured over an hour of simulated life; turns a rate of deliveries into pushes.
const EVENTS_PER_PUSH: f64 = 37.0;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

/// Tell the life of a model forge to a running service.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the service listens.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Deliveries a second, kept exactly; without it, life goes at its own pace of about thirteen a second.
    #[arg(long)]
    pub rate: Option<f64>,
    /// The same seed tells the same kind of life; without it, every simulation is another.
    #[arg(long)]
    pub seed: Option<u64>,
    /// How many repositories, half at each host.
    #[arg(long, default_value_t = 14)]
    pub repositories: usize,
    /// Share of deliveries that come a second time.
    #[arg(long, default_value_t = 0.2)]
    pub duplicates: f64,
    /// Most milliseconds that a delivery comes late, so that others overtake it.
    #[arg(long, default_value_t = 800, value_name = "MILLISECONDS")]
    pub reorder: u64,
    /// How many times as fast as in reality queues and jobs go.
    #[arg(long, default_value_t = 8.0)]
    pub speed: f64,
    /// Stop after so many deliveries.
    #[arg(long)]
    pub count: Option<usize>,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// Requests at once.
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
    /// Send again, with the same id, what was not answered.
    #[arg(long)]
    pub retry: bool,
    /// Secret of the GitHub webhook; else PIPECAST_WEBHOOKS__GITHUB__SECRET.
    #[arg(long)]
    pub github_secret: Option<String>,
    /// Secret token of the GitLab webhook, or its signing token (whsec_…); else PIPECAST_WEBHOOKS__GITLAB__SECRET.
    #[arg(long)]
    pub gitlab_secret: Option<String>,
    /// Deliver to this source alone, as its host does: its path, as in /webhooks/github/KEY. Only that host's secret is needed then.
    #[arg(long, value_name = "PATH")]
    pub source: Option<SourcePath>,
    /// Seconds to wait for the service to come up.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    pub wait: f64,
    /// Say nothing but the summary.
    #[arg(long)]
    pub quiet: bool,
    /// The service is not on this machine, and its owner wants it flooded with made-up pipelines.
    #[arg(long)]
    pub allow_remote: bool,
}

/// Runs the simulation until its count or duration is reached or Ctrl-C is pressed, and prints how it went.
///
/// # Errors
/// Where the address is unusable or not on this machine, a secret is missing, the service does not come up in time, or it
/// refused every delivery.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let target = Target::parse(&args.url, args.allow_remote).await?;
    let tells = |host| args.source.as_ref().is_none_or(|source| source.host == host);
    let secret_of = |host, given: Option<&str>, variable, flag| if tells(host) { secret(given, variable, flag) } else { Ok(String::new()) };
    let secrets = Secrets {
        github: secret_of(
            Host::Github,
            args.github_secret.as_deref(),
            "PIPECAST_WEBHOOKS__GITHUB__SECRET",
            "--github-secret",
        )?,
        gitlab: secret_of(Host::Gitlab, args.gitlab_secret.as_deref(), gitlab_variable(), "--gitlab-secret")?,
    };
    let seal = Seal::new(&secrets, &target.authority, &target.prefix)?.at(args.source.as_ref());
    anyhow::ensure!(args.rate.is_none_or(|rate| rate > 0.0) && args.speed > 0.0, "rate and speed must be above 0");
    anyhow::ensure!((0.0..=1.0).contains(&args.duplicates), "duplicates is a share from 0 to 1");

    let stop = CancellationToken::new();
    let watcher = tokio::spawn(stop_in_time(stop.clone(), args.duration.map(Duration::from_secs_f64)));
    target.come_up(Duration::from_secs_f64(args.wait), &stop).await?;

    let postman = Postman::new(target.address, seal, postman_options(&args));
    let told = Forge::new(forge_options(&args)).filter(|event| tells(event.host));
    let letters = Letters::new(told, way(&args)).take(args.count.unwrap_or(usize::MAX));
    let mut progress = Progress::new(args.quiet);
    match &args.source {
        Some(source) => progress.say(&format!("telling {}{source}; Ctrl-C ends it", target.url())),
        None => progress.say(&format!("telling {} as GitHub and GitLab; Ctrl-C ends it", target.url())),
    }
    let report = postman.deliver(letters, &stop, |receipt| progress.note(&receipt.fate)).await;
    watcher.abort();
    writeln!(std::io::stdout(), "simulate: {report}").context("cannot print the summary")?;
    verdict(&report)
}

fn verdict(report: &Report) -> anyhow::Result<()> {
    if report.sent > 0 && report.acknowledged == 0 {
        anyhow::bail!("not one delivery was acknowledged; do the secrets fit?");
    }
    Ok(())
}

fn postman_options(args: &Args) -> postman::Options {
    postman::Options {
        connections: args.connections,
        pace: args.rate.map_or(Pace::Lifelike, Pace::PerSecond),
        retry: if args.retry { Retry::After(Duration::from_millis(500)) } else { Retry::Never },
        patience: Duration::from_secs(10),
    }
}

fn forge_options(args: &Args) -> forge::Options {
    let now = Timestamp::now();
    forge::Options {
        seed: args.seed.unwrap_or(now.0.unsigned_abs()),
        // At a fixed rate the model's clock runs ahead while its first runs are still few; times to come would look odd.
        start: if args.rate.is_some() { now.minus(Duration::from_secs(60)) } else { now },
        repositories: args.repositories,
        speed: args.speed,
        pushes_per_second: args.rate.map_or(forge::Options::default().pushes_per_second, |rate| {
            rate / EVENTS_PER_PUSH / (1.0 + args.duplicates)
        }),
        memory: Memory::None,
    }
}

fn way(args: &Args) -> Way {
    Way {
        duplicates: args.duplicates,
        reorder: Duration::from_millis(args.reorder),
        seed: args.seed.unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())),
    }
}

/// A service that has a signing token takes no plain one.
fn gitlab_variable() -> &'static str {
    const SIGNING_TOKEN: &str = "PIPECAST_WEBHOOKS__GITLAB__SIGNING_TOKEN";
    if std::env::var_os(SIGNING_TOKEN).is_some_and(|token| !token.is_empty()) {
        SIGNING_TOKEN
    } else {
        "PIPECAST_WEBHOOKS__GITLAB__SECRET"
    }
}

fn secret(given: Option<&str>, variable: &str, flag: &str) -> anyhow::Result<String> {
    let secret = given.map(str::to_owned).or_else(|| std::env::var(variable).ok()).unwrap_or_default();
    anyhow::ensure!(!secret.is_empty(), "give the service's secret with {flag} or in {variable}");
    Ok(secret)
}

async fn stop_in_time(stop: CancellationToken, duration: Option<Duration>) {
    let over = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = over => {}
    }
    stop.cancel();
}

/// Says every few seconds how it goes.
struct Progress {
    quiet: bool,
    since: Instant,
    acknowledged: u64,
    refused: u64,
    failed: u64,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        Progress {
            quiet,
            since: Instant::now(),
            acknowledged: 0,
            refused: 0,
            failed: 0,
        }
    }

    fn note(&mut self, fate: &Fate) {
        match fate {
            Fate::Acknowledged(_) => self.acknowledged += 1,
            Fate::Refused(_) => self.refused += 1,
            Fate::Failed(_) => self.failed += 1,
        }
        if self.since.elapsed() >= PROGRESS {
            let rate = self.acknowledged as f64 / self.since.elapsed().as_secs_f64();
            self.say(&format!(
                "{rate:.1} deliveries a second acknowledged, {} refused, {} without an answer",
                self.refused, self.failed
            ));
            *self = Progress::new(self.quiet);
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            // Nobody to tell it to is no reason to stop telling the service.
            let _ = writeln!(std::io::stdout(), "simulate: {line}");
        }
    }
}
