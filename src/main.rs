//! The command line: reads the configuration and hands over to the library.
//! Knows nothing of how anything works.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use pipecast::config::{Config, DEFAULTS};
use pipecast::health::probe;
use pipecast::roles::{self, Role, archive, audit, keys};
use pipecast::server::panics;
use pipecast::{openapi, simulate, telemetry};
use pipecast_store::audit::Anchor;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// A delivery is many small allocations, made on one thread and freed on another; see `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A realtime companion service for CI/CD.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The configuration file [default: ./pipecast.toml where there is one]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the service
    Serve {
        /// The parts to run [default: all]
        #[arg(long = "role", value_enum)]
        roles: Vec<Role>,
    },
    /// Brings the database up to this build's schema
    Migrate,
    /// Writes all that is kept here and in the database into one file, while everything runs
    Backup {
        /// The archive; readable by its owner alone
        file: PathBuf,
        /// Replace a file of that name
        #[arg(long)]
        force: bool,
    },
    /// Brings back what a backup holds, into an empty database; every process that uses it must be stopped
    Restore {
        /// The archive
        file: PathBuf,
        /// Put it in the place of what the database holds
        #[arg(long)]
        force: bool,
    },
    /// Copies the database to another place or engine; every process that uses it must be stopped
    Move {
        /// Where to: postgres://USER@HOST/DATABASE (password in PGPASSWORD or ~/.pgpass) or sqlite:PATH
        #[arg(long, value_name = "URL")]
        to: String,
        /// Put it in the place of what is there
        #[arg(long)]
        force: bool,
    },
    /// The keys that secrets in the database are sealed with
    Keys {
        #[command(subcommand)]
        command: Keys,
    },
    /// Who did what: verify it, or copy it
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
    /// Asks the process that runs with these settings how it is; ends with 0 where it does its work
    Health {
        /// The parts that it runs, which say its port where none is set [default: all]
        #[arg(long = "role", value_enum)]
        roles: Vec<Role>,
        /// Ask only whether it runs
        #[arg(long)]
        live: bool,
    },
    /// Makes an admin; the password is the first line of standard input
    CreateAdmin {
        /// What they log in with
        name: String,
        /// Read the password from this file
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Prints every setting with its default
    Config,
    /// Prints the OpenAPI document
    Openapi,
    Simulate(simulate::Args),
}

#[derive(Subcommand)]
enum Keys {
    /// Shows the names of the keys, which of them seals, and how many values need each
    List,
    /// Prints a fresh key, as it stands in a key file
    Generate,
    /// Has a fresh key seal and wraps every value anew that needs an older one, while everything runs
    Rotate {
        /// Use this key, which is in the key file already
        #[arg(long, value_name = "KEY")]
        to: Option<String>,
    },
    /// Takes a key away that no value needs any more
    Remove {
        /// Its name
        key: String,
    },
}

#[derive(Subcommand)]
enum Audit {
    /// Reads all of it and says the first row that is not as it was written; ends with 0 where every row is
    Verify {
        /// A row that was written down elsewhere, as this command and the log say it: SEQ:HASH; may be given several times
        #[arg(long = "anchor", value_name = "SEQ:HASH")]
        anchors: Vec<Anchor>,
    },
    /// Writes it to standard output, one JSON object a line, the oldest first
    Export {
        /// Only what stands behind the row of this number
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: i64,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The sentence that says what to change stands alone: a backtrace would bury it.
            drop(writeln!(std::io::stderr(), "pipecast: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { config, command }: Cli) -> anyhow::Result<()> {
    match command {
        Command::Serve { roles } => serve(load(config)?, roles),
        Command::Migrate => runtime()?.block_on(roles::migrate(&load(config)?)),
        Command::Backup { file, force } => print(&runtime()?.block_on(archive::backup(&load(config)?, &file, force))?),
        Command::Restore { file, force } => print(&runtime()?.block_on(archive::restore(load(config)?, &file, force))?),
        Command::Move { to, force } => print(&runtime()?.block_on(archive::move_database(&load(config)?, &to, force))?),
        Command::Keys { command } => {
            let answer = match command {
                Keys::Generate => keys::generate(),
                Keys::List => runtime()?.block_on(keys::list(&load(config)?))?,
                Keys::Rotate { to } => runtime()?.block_on(keys::rotate(&load(config)?, to.as_deref()))?,
                Keys::Remove { key } => runtime()?.block_on(keys::remove(&load(config)?, &key))?,
            };
            print(&answer)
        }
        Command::Audit { command } => match command {
            Audit::Verify { anchors } => print(&runtime()?.block_on(audit::verify(&load(config)?, &anchors))?),
            Audit::Export { after } => runtime()?.block_on(audit::export(&load(config)?, after, &mut std::io::stdout().lock())),
        },
        Command::Health { roles, live } => {
            let config = Config::load(config.as_deref(), std::env::vars())?.config;
            let path = if live { "/health/live" } else { "/health/ready" };
            probe::ask(config.server.listen.at(Role::port(&chosen(roles))), path)
        }
        Command::CreateAdmin { name, password_file } => {
            let password = password(password_file)?;
            runtime()?.block_on(roles::create_admin(&load(config)?, &name, &password))?;
            print(&format!("{name} is an admin now\n"))
        }
        Command::Config => print(DEFAULTS),
        Command::Openapi => print(&openapi::text()),
        Command::Simulate(args) => runtime()?.block_on(simulate::run(args)),
    }
}

/// The first line of a file or of standard input. Not an argument: everybody on the machine sees those.
fn password(file: Option<PathBuf>) -> anyhow::Result<String> {
    let mut line = String::new();
    match file {
        Some(file) => line = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?,
        None => {
            if std::io::stdin().is_terminal() {
                drop(write!(std::io::stderr(), "password (it is shown as you type): "));
            }
            std::io::stdin().read_line(&mut line).context("cannot read the password from standard input")?;
        }
    }
    Ok(line.lines().next().unwrap_or_default().to_owned())
}

/// Reads the settings and starts logging with them.
fn load(file: Option<PathBuf>) -> anyhow::Result<Config> {
    let loaded = Config::load(file.as_deref(), std::env::vars())?;
    telemetry::start_logging(&loaded.config.log)?;
    panics::watch();
    match &loaded.file {
        Some(file) => info!("settings come from {}, the environment and the defaults", file.display()),
        None => info!("settings come from the environment and the defaults"),
    }
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    Ok(loaded.config)
}

/// Every role, where none is named.
fn chosen(roles: Vec<Role>) -> BTreeSet<Role> {
    if roles.is_empty() { Role::ALL.into() } else { roles.into_iter().collect() }
}

fn serve(config: Config, roles: Vec<Role>) -> anyhow::Result<()> {
    raise_file_limit(config.live.max_sockets);
    let roles = chosen(roles);
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let mut running = pipecast::roles::start(config, &roles).await?;
        let failure = tokio::select! {
            failure = running.failed() => Some(failure),
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
        };
        if let Some(failure) = &failure {
            tracing::error!("{failure:#}");
        }
        tokio::select! {
            stopped = running.stop() => stopped?,
            // Nothing that was acknowledged is lost by leaving at once.
            _ = interrupt.recv() => std::process::exit(130),
            _ = terminate.recv() => std::process::exit(143),
        }
        failure.map_or(Ok(()), Err)
    });
    runtime.shutdown_background();
    ended
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("cannot listen to signals")
}

/// Every socket needs a file descriptor, and the soft limit that shells start with is often 1,024. A process may raise it to the
/// hard limit by itself.
fn raise_file_limit(max_sockets: usize) {
    /// Files, logs, databases and requests beside the sockets.
    const OTHERS: u64 = 512;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit < max_sockets as u64 + OTHERS => {
            warn!(
                "this process may hold {limit} file descriptors, which is less than live.max_sockets ({max_sockets}) needs; raise `ulimit -Hn` or lower the setting"
            );
        }
        Ok(_) => {}
        Err(error) => warn!("cannot raise the limit of file descriptors: {error}"),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}
