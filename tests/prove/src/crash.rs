//! The proof that nothing is lost: the service is killed again and again while hosts deliver, and in the end everything that it
//! acknowledged has had its effect exactly once, every status is right, and every watcher knows it.
//!
//! `prove crash --kills 50 --deliveries 20000`; exits with 1 where anything is not as it must be.

mod service;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use pipecast::simulate::chance::Chance;
use pipecast::simulate::forge::{self, Forge};
use pipecast::simulate::letters::{Letters, Way};
use pipecast::simulate::postman::{self, Fate, Pace, Postman, Receipt, Retry};
use pipecast::simulate::seal::{Seal, Secrets};
use pipecast_model::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::service::Service;
use crate::accounts::Accounts;
use crate::findings::examine;
use crate::ledger::Ledger;
use crate::watcher::{self, Form, Watcher};

/// Kill the service again and again while hosts deliver, and count what became of every delivery.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// At least so many kills by SIGKILL.
    #[arg(long, default_value_t = 50)]
    kills: u64,
    /// At least so many deliveries, repeated ones included and retries not.
    #[arg(long, default_value_t = 20_000)]
    deliveries: u64,
    /// Decides the life that is told and the moments of the kills.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests at once.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Deliveries a second, whether the service is up or not; hosts do not wait for it either.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// The binary of the service [default: `pipecast` beside this program]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where to keep data and log; without it, they are thrown away unless something was wrong.
    #[arg(long)]
    data: Option<PathBuf>,
}

/// What the sending side and the killing side know of each other.
#[derive(Default)]
struct Shared {
    taken: AtomicU64,
    acknowledged: AtomicU64,
    kills_are_done: AtomicBool,
    last_kill: Mutex<Option<Instant>>,
    longest_outage: Mutex<Duration>,
}

/// Runs the proof, and ends the process with 1 where it fails.
///
/// # Errors
/// Where it cannot be run.
pub async fn run(args: Args) -> anyhow::Result<()> {
    crate::rig::describe_machine();
    let scratch = tempfile::tempdir()?;
    let data = args.data.clone().unwrap_or_else(|| scratch.path().to_owned());
    std::fs::create_dir_all(&data)?;
    let verdict = prove(&args, &data).await;
    if !matches!(verdict, Ok(true)) && args.data.is_none() {
        println!("data and log are kept in {}", scratch.keep().display());
    }
    match verdict? {
        true => Ok(()),
        false => std::process::exit(1),
    }
}

async fn prove(args: &Args, data: &Path) -> anyhow::Result<bool> {
    let binary = args.binary.clone().map_or_else(crate::topology::own_binary, Ok)?;
    let binary = binary.canonicalize().with_context(|| format!("{} is not there", binary.display()))?;
    let data = &data.canonicalize()?;
    let secrets = Secrets {
        github: "a secret of this proof".into(),
        gitlab: "another secret of this proof".into(),
    };
    let mut service = Service::new(&binary, data, &secrets)?;
    service.start()?;
    service.ready().await?;
    let address = service.address;
    let watchers = watchers(address);
    let tasks: Vec<_> = watchers.iter().map(|watcher| tokio::spawn(watcher.clone().watch())).collect();

    let postman = Postman::new(
        address,
        Seal::new(&secrets, &address.to_string(), "")?,
        postman::Options {
            connections: args.connections,
            pace: Pace::PerSecond(args.rate),
            retry: Retry::After(Duration::from_millis(200)),
            patience: Duration::from_secs(10),
        },
    );
    let shared = Shared::default();
    let mut forge = Forge::new(forge::Options {
        seed: args.seed,
        start: Timestamp::now().minus(Duration::from_secs(3_600)),
        pushes_per_second: 1.0,
        ..forge::Options::default()
    });
    let mut accounts = Accounts::default();
    let stop = CancellationToken::new();
    let deliver = async {
        let way = Way {
            duplicates: 0.2,
            reorder: Duration::from_secs(2),
            seed: args.seed,
        };
        // The forge goes on until there were enough deliveries and enough kills; then what is at work there comes to its end.
        let events = std::iter::from_fn(|| {
            if shared.taken.load(Ordering::Relaxed) >= args.deliveries && shared.kills_are_done.load(Ordering::Relaxed) {
                forge.close();
            }
            forge.next()
        });
        let letters = Letters::new(events, way).inspect(|_| {
            shared.taken.fetch_add(1, Ordering::Relaxed);
        });
        postman.deliver(letters, &stop, |receipt| shared.note(receipt, &mut accounts)).await
    };
    let begin = Instant::now();
    let (report, kills) = tokio::join!(deliver, kill_again_and_again(args, &shared, &mut service, &stop));
    kills?;
    println!(
        "delivered in {:.1} s, now waiting for the last of it to be applied",
        begin.elapsed().as_secs_f64()
    );

    let mut ledger = Ledger::in_folder(data).await?;
    accounts.drained(&mut ledger, Duration::from_secs(10)).await?;
    let findings = examine(&mut ledger, &accounts, &forge, &report).await?;
    let wrong_watchers = watcher::wrong(&watchers, &ledger.states().await?, Duration::from_secs(10)).await;
    for task in tasks {
        task.abort();
    }
    let connects: u64 = watchers.iter().map(|watcher| watcher.seen().connects).sum();
    let fallen: Vec<String> = watchers.iter().flat_map(Watcher::falls).collect();
    println!("{report}");
    println!(
        "kills {}, longest outage {:.2} s (from the kill to the next acknowledgement)",
        args.kills,
        shared.longest_outage.lock().expect("nobody panics").as_secs_f64()
    );
    println!("{findings}");
    println!(
        "watchers {}, connected {connects} times, sequences that fell {}, wrong in the end {}",
        watchers.len(),
        fallen.len(),
        wrong_watchers.len()
    );
    for wrong in wrong_watchers.iter().chain(&fallen) {
        println!("  {wrong}");
    }
    Ok(findings.are_good() && wrong_watchers.is_empty() && fallen.is_empty())
}

/// Of the whole, of pipelines and of executions, some that come at once and some that are not there yet, in every form.
fn watchers(address: SocketAddr) -> Vec<Watcher> {
    let paths = [
        "monitor",
        "pipeline/1",
        "pipeline/8",
        "pipeline/15",
        "execution/2",
        "execution/40",
        "execution/400",
    ];
    let forms = [Form::Plain, Form::V1, Form::Events];
    paths.iter().flat_map(|path| forms.map(|form| Watcher::new(address, path, form))).collect()
}

impl Shared {
    fn note(&self, receipt: &Receipt, accounts: &mut Accounts) {
        accounts.note(receipt);
        if !matches!(receipt.fate, Fate::Acknowledged(_)) {
            return;
        }
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        if let Some(kill) = self.last_kill.lock().expect("nobody panics").take() {
            let mut longest = self.longest_outage.lock().expect("nobody panics");
            *longest = longest.max(kill.elapsed());
        }
    }
}

/// Kills at random: mostly after some more acknowledgements, at times while the service is still coming up.
async fn kill_again_and_again(args: &Args, shared: &Shared, service: &mut Service, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut chance = Chance::new(args.seed).apart(9);
    let share = args.deliveries as f64 * 1.2 / args.kills.max(1) as f64;
    for number in 1..=args.kills {
        if chance.happens(0.2) {
            sleep(Duration::from_secs_f64(chance.between(0.0, 0.4))).await;
        } else {
            let wanted = shared.acknowledged.load(Ordering::Relaxed) + (share * chance.between(0.2, 1.8)) as u64;
            let patience = Instant::now() + Duration::from_secs(20);
            while shared.acknowledged.load(Ordering::Relaxed) < wanted && Instant::now() < patience {
                if service.has_ended()? {
                    stop.cancel();
                    bail!("the service ended by itself before kill {number}");
                }
                sleep(Duration::from_millis(1)).await;
            }
        }
        *shared.last_kill.lock().expect("nobody panics") = Some(Instant::now());
        service.kill()?;
        service.start()?;
        if number % 10 == 0 {
            println!("{number} kills, {} acknowledged", shared.acknowledged.load(Ordering::Relaxed));
        }
    }
    let ready = service.ready().await;
    shared.kills_are_done.store(true, Ordering::Relaxed);
    println!(
        "kills over, {} acknowledged; what is at work at the hosts comes to its end",
        shared.acknowledged.load(Ordering::Relaxed)
    );
    ready.inspect_err(|_| stop.cancel())
}
