//! Pipecast as it is deployed: nginx in front of edges and an admin, workers, and the three servers behind, each a process that can be
//! broken, with a gate of ours between each of them and each server that it uses.
//! Knows nothing of what is sent through it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use pipecast::roles::Role;
use pipecast::simulate::seal::Secrets;

use crate::gate::Gate;
use crate::ports;
use crate::process::{Process, Readiness, Recipe};
use crate::server::nginx;
use crate::server::postgres::Postgres;
use crate::server::rabbitmq::RabbitMq;
use crate::server::redis::Redis;
use crate::watch::{Folder, Watch};

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The binary of Pipecast [default: `pipecast` beside the running program].
    pub binary: Option<PathBuf>,
    /// Where data and logs go, and stay; without it, into a folder that is taken away in the end.
    pub folder: Option<PathBuf>,
    /// How many processes receive and show.
    pub edges: usize,
    /// How many write.
    pub workers: usize,
    /// Whether lists are read from a standby.
    pub standby: bool,
    /// Whether everything goes through gates, or directly, for measuring.
    pub gates: bool,
    /// Settings besides those of docker-compose.yml, by role or for all: variable and value. The last one wins.
    pub settings: Vec<(Option<Role>, String, String)>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            binary: None,
            folder: None,
            edges: 2,
            workers: 2,
            standby: false,
            gates: true,
            settings: Vec::new(),
        }
    }
}

impl Plan {
    /// The same with a setting for every process of ours, as in `("PIPECAST_LIVE__DRAIN_WINDOW", "3s")`.
    pub fn set(mut self, variable: &str, value: &str) -> Self {
        self.settings.push((None, variable.to_owned(), value.to_owned()));
        self
    }

    /// The same with a setting for one role.
    pub fn set_for(mut self, role: Role, variable: &str, value: &str) -> Self {
        self.settings.push((Some(role), variable.to_owned(), value.to_owned()));
        self
    }
}

/// A server that processes of ours use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// The database.
    Postgres,
    /// The replica.
    Standby,
    /// Bus and cache.
    Redis,
    /// The queue.
    RabbitMq,
    /// A process of ours, as nginx sees it.
    Upstream,
}

/// A gate and where it stands.
#[derive(Debug)]
pub struct Way {
    /// The client's name, as in `edge-1`.
    pub from: String,
    /// What is behind it.
    pub to: Server,
    /// The server's name, as in `redis`.
    pub server: String,
    /// The gate.
    pub gate: Gate,
}

/// Everything, running. Dropped, all of it ends at once.
#[derive(Debug)]
pub struct Topology {
    /// nginx; what clients talk to.
    pub proxy: Process,
    /// Processes of the role `realtime`, `edge-1` first. Each has a folder of its own, with its spool.
    pub edges: Vec<Process>,
    /// Processes of the role `worker`, `worker-1` first.
    pub workers: Vec<Process>,
    /// The process of the role `admin`.
    pub admin: Process,
    /// The database.
    pub postgres: Postgres,
    /// Its standby, where one was asked for.
    pub standby: Option<Postgres>,
    /// Bus and cache.
    pub redis: Redis,
    /// The queue.
    pub rabbitmq: RabbitMq,
    /// Every gate; none where none were asked for.
    pub ways: Vec<Way>,
    /// Where data and logs are.
    pub folder: PathBuf,
    /// What the hosts sign with.
    pub secrets: Secrets,
    /// Last, so that there is nothing left for it to do where things went well.
    _watch: Watch,
}

impl Topology {
    /// Starts everything and returns once every process of ours says that it is ready.
    ///
    /// # Errors
    /// Where a program is missing, or something does not come up; what was started ends then.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        let binary = match &plan.binary {
            Some(binary) => binary.clone(),
            None => own_binary()?,
        };
        let binary = binary
            .canonicalize()
            .with_context(|| format!("{} is not there; build it first", binary.display()))?;
        let folder = lay(plan.folder.as_deref())?;
        let watch = Watch::over(&folder, if plan.folder.is_some() { Folder::Keep } else { Folder::Remove })?;
        let (postgres, redis, rabbitmq) = tokio::try_join!(Postgres::primary(&folder), Redis::start(&folder), RabbitMq::start(&folder))?;
        let standby = match plan.standby {
            true => Some(Postgres::standby_of(&postgres, &folder).await?),
            false => None,
        };
        let secrets = Secrets {
            github: "pl4nted: the secret of a proof".to_owned(),
            gitlab: "pl4nted: another secret of a proof".to_owned(),
        };
        let mut house = House {
            plan: &plan,
            binary,
            folder: &folder,
            secrets: &secrets,
            postgres: postgres.process.address(),
            standby: standby.as_ref().map(|standby| standby.process.address()),
            redis: redis.process.address(),
            rabbitmq: rabbitmq.process.address(),
            ways: Vec::new(),
        };
        let admin = house.process("admin".to_owned(), Role::Admin).await?;
        let mut edges = Vec::new();
        for number in 1..=plan.edges {
            edges.push(house.process(format!("edge-{number}"), Role::Realtime).await?);
        }
        let mut workers = Vec::new();
        for number in 1..=plan.workers {
            workers.push(house.process(format!("worker-{number}"), Role::Worker).await?);
        }
        let mut behind = Vec::new();
        for edge in &edges {
            behind.push(house.way("nginx", Server::Upstream, edge.name(), edge.address()).await?);
        }
        let admin_behind = house.way("nginx", Server::Upstream, "admin", admin.address()).await?;
        let proxy = nginx::prepare(&folder, &behind, admin_behind)?;
        let ways = house.ways;
        let topology = Topology {
            proxy,
            edges,
            workers,
            admin,
            postgres,
            standby,
            redis,
            rabbitmq,
            ways,
            folder,
            secrets,
            _watch: watch,
        };
        for process in topology.ours().chain([&topology.proxy]) {
            process.start()?;
        }
        topology.ready().await?;
        Ok(topology)
    }

    /// The processes of our binary.
    pub fn ours(&self) -> impl Iterator<Item = &Process> {
        [&self.admin].into_iter().chain(&self.edges).chain(&self.workers)
    }

    /// All processes, servers included.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        let standby = self.standby.iter().map(|standby| &standby.process);
        self.ours()
            .chain([&self.proxy, &self.postgres.process])
            .chain(standby)
            .chain([&self.redis.process, &self.rabbitmq.process])
    }

    /// The gates of one client, of one server, or both.
    pub fn gates(&self, from: Option<&str>, to: Option<Server>) -> impl Iterator<Item = &Gate> {
        self.ways
            .iter()
            .filter(move |way| from.is_none_or(|from| way.from == from) && to.is_none_or(|to| way.to == to))
            .map(|way| &way.gate)
    }

    /// Waits until every process is ready.
    ///
    /// # Errors
    /// Where one of them has ended or takes longer than two minutes.
    pub async fn ready(&self) -> anyhow::Result<()> {
        try_join_all(self.processes().map(Process::ready)).await.map(drop)
    }

    /// Ends everything in order: the proxy, ours, the servers.
    ///
    /// # Errors
    /// Where something had to be killed; the others have ended all the same.
    pub async fn stop(self) -> anyhow::Result<()> {
        let proxy = self.proxy.terminate().await;
        let ours = futures_util::future::join_all(self.ours().map(Process::terminate)).await;
        let servers = [&self.postgres.process, &self.redis.process, &self.rabbitmq.process];
        let standby = self.standby.iter().map(|standby| &standby.process);
        let servers = futures_util::future::join_all(standby.chain(servers).map(Process::terminate)).await;
        [proxy].into_iter().chain(ours).chain(servers).collect()
    }
}

/// What a process of ours is made from.
struct House<'a> {
    plan: &'a Plan,
    binary: PathBuf,
    folder: &'a Path,
    secrets: &'a Secrets,
    postgres: SocketAddr,
    standby: Option<SocketAddr>,
    redis: SocketAddr,
    rabbitmq: SocketAddr,
    ways: Vec<Way>,
}

impl House<'_> {
    /// Where `from` finds a server: at a gate of its own, or directly.
    async fn way(&mut self, from: &str, to: Server, server: &str, address: SocketAddr) -> anyhow::Result<SocketAddr> {
        if !self.plan.gates {
            return Ok(address);
        }
        let gate = Gate::to(address).await?;
        let at = gate.address;
        self.ways.push(Way {
            from: from.to_owned(),
            to,
            server: server.to_owned(),
            gate,
        });
        Ok(at)
    }

    /// A process with the settings of docker-compose.yml and those of the plan; it does not run yet.
    async fn process(&mut self, name: String, role: Role) -> anyhow::Result<Process> {
        let (address, data) = (ports::free()?, self.folder.join(&name));
        std::fs::create_dir_all(&data)?;
        let postgres = self.way(&name, Server::Postgres, "postgres", self.postgres).await?;
        let redis = self.way(&name, Server::Redis, "redis", self.redis).await?;
        let rabbitmq = self.way(&name, Server::RabbitMq, "rabbitmq", self.rabbitmq).await?;
        let mut settings = vec![
            ("PIPECAST_DATA_DIR".to_owned(), data.display().to_string()),
            ("PIPECAST_KEYS__FILE".to_owned(), self.folder.join("keyring").display().to_string()),
            ("PIPECAST_SERVER__LISTEN".to_owned(), address.to_string()),
            ("PIPECAST_SERVER__ANONYMOUS_READING".to_owned(), "everyone".to_owned()),
            ("PIPECAST_SERVER__TRUSTED_PROXIES".to_owned(), "127.0.0.1".to_owned()),
            ("PIPECAST_SERVER__DRAIN_GRACE".to_owned(), "5s".to_owned()),
            ("PIPECAST_STORE__URL".to_owned(), Postgres::url_at(postgres)),
            ("PIPECAST_FABRIC__REDIS_URL".to_owned(), Redis::url_at(redis)),
            ("PIPECAST_FABRIC__AMQP_URL".to_owned(), RabbitMq::url_at(rabbitmq)),
            ("PIPECAST_LOG__FORMAT".to_owned(), "json".to_owned()),
        ];
        if let Some(standby) = self.standby {
            let standby = self.way(&name, Server::Standby, "standby", standby).await?;
            settings.push(("PIPECAST_STORE__READ_URL".to_owned(), Postgres::url_at(standby)));
        }
        if role == Role::Realtime {
            settings.push(("PIPECAST_WEBHOOKS__GITHUB__SECRET".to_owned(), self.secrets.github.clone()));
            settings.push(("PIPECAST_WEBHOOKS__GITLAB__SECRET".to_owned(), self.secrets.gitlab.clone()));
        }
        let extra = self.plan.settings.iter().filter(|(of, _, _)| of.is_none_or(|of| of == role));
        settings.extend(extra.map(|(_, variable, value)| (variable.clone(), value.clone())));
        let binary = self.binary.clone();
        Ok(Process::new(Recipe {
            name,
            address,
            folder: self.folder.to_owned(),
            command: Box::new(move || {
                let mut command = Command::new(&binary);
                // Whatever this machine sets for a Pipecast of its own is not for these.
                for (variable, _) in std::env::vars_os().filter(|(variable, _)| variable.to_string_lossy().starts_with("PIPECAST_")) {
                    command.env_remove(variable);
                }
                command
                    .args(["serve", "--role", role.word()])
                    .current_dir(&data)
                    .envs(settings.iter().map(|(variable, value)| (variable, value)));
                command
            }),
            readiness: Readiness::SaysSo,
            farewell: "TERM",
        }))
    }
}

/// The folder of everything, without ids of processes of an earlier time in it.
fn lay(wanted: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = match wanted {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            folder.canonicalize()?
        }
        None => tempfile::tempdir()?.keep(),
    };
    // PostgreSQL is another user where we are root, and has to come through to its own.
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711))?;
    for file in std::fs::read_dir(&folder)?.flatten() {
        if file.path().extension().is_some_and(|extension| extension == "pid") {
            std::fs::remove_file(file.path())?;
        }
    }
    Ok(folder)
}

/// `pipecast` in the directory of the running program or above it, where a test finds it.
pub fn own_binary() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let found = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("pipecast"))
        .find(|binary| binary.is_file());
    let binary = found.context("there is no pipecast beside this program; build it with `cargo build --bin pipecast` or name it with --binary")?;
    ensure!(binary.is_absolute(), "{} is not absolute", binary.display());
    Ok(binary)
}
