//! A rabbitmq-server with a node of its own and memory that is bounded, at which the alarm of memory can be raised.
//! Knows nothing of queues.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::process::{Process, Readiness, Recipe};
use crate::{ports, root};

/// Where the programs lie; those in the path change the user first.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// Beyond it the broker takes no more messages. Generous for what a proof leaves waiting.
const MEMORY: &str = "800MB";

/// It is the only one at its own epmd, and finds its files again by this name.
const NODE: &str = "pipecast@localhost";

/// Of the one user. Whoever looks for leaks finds it by its mark.
const PASSWORD: &str = "pl4nted-password-of-rabbitmq";

/// A rabbitmq-server.
#[derive(Debug)]
pub struct RabbitMq {
    /// The process.
    pub process: Process,
    home: Home,
    /// By which `rabbitmqctl` finds it. It outlives the broker, as on any machine.
    _epmd: Process,
}

/// What its programs must know to mean this node and no other.
#[derive(Clone, Debug)]
struct Home {
    folder: PathBuf,
    address: SocketAddr,
    epmd: SocketAddr,
    distribution: SocketAddr,
}

impl RabbitMq {
    /// Starts one whose files and log are in `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let home = Home {
            folder: folder.join("rabbitmq"),
            address: ports::free()?,
            epmd: ports::free()?,
            distribution: ports::free()?,
        };
        ensure!(
            Path::new(PROGRAMS).join("rabbitmq-server").exists(),
            "needs {PROGRAMS}/rabbitmq-server; on Debian: apt-get install rabbitmq-server"
        );
        std::fs::create_dir_all(&home.folder)?;
        std::fs::write(home.folder.join("plugins"), "[].")?;
        std::fs::write(home.folder.join("rabbitmq.conf"), home.settings()?)?;
        let epmd_at = home.epmd.port().to_string();
        let epmd = Process::new(Recipe {
            name: "epmd".to_owned(),
            address: home.epmd,
            folder: folder.to_owned(),
            command: Box::new(move || {
                let mut command = Command::new("epmd");
                command.args(["-address", "127.0.0.1", "-port", &epmd_at]);
                command
            }),
            readiness: Readiness::Listens,
            farewell: "TERM",
        });
        epmd.start()?;
        epmd.ready().await?;
        let process = Process::new(Recipe {
            name: "rabbitmq".to_owned(),
            address: home.address,
            folder: folder.to_owned(),
            command: {
                let home = home.clone();
                Box::new(move || home.command("rabbitmq-server"))
            },
            readiness: Readiness::Listens,
            farewell: "TERM",
        });
        process.start()?;
        process.ready().await?;
        Ok(RabbitMq { process, home, _epmd: epmd })
    }

    /// Where it is, seen through `address`: its own or a gate's.
    pub fn url_at(address: SocketAddr) -> String {
        format!("amqp://pipecast:{PASSWORD}@{address}/%2f")
    }

    /// Raises the alarm of memory: who publishes is blocked until it is cleared.
    pub async fn raise_alarm(&self) -> anyhow::Result<()> {
        self.control(&["set_vm_memory_high_watermark", "0.00000001"]).await.map(drop)
    }

    /// Clears it.
    pub async fn clear_alarm(&self) -> anyhow::Result<()> {
        self.control(&["set_vm_memory_high_watermark", "absolute", MEMORY]).await.map(drop)
    }

    /// How many messages each queue holds, of those that hold any.
    pub async fn waiting(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let answer = self.control(&["-q", "list_queues", "--no-table-headers", "name", "messages"]).await?;
        let queues = answer.lines().filter_map(|line| line.split_once('\t'));
        let mut waiting = BTreeMap::new();
        for (name, count) in queues {
            let count = count.trim().parse().with_context(|| format!("rabbitmqctl says of {name}: {count}"))?;
            if count > 0 {
                waiting.insert(name.to_owned(), count);
            }
        }
        Ok(waiting)
    }

    /// Runs `rabbitmqctl` on this node; what it said.
    pub async fn control(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.home.command("rabbitmqctl");
        command.args(["-n", NODE, "--timeout", "60"]).args(arguments).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || super::run(&mut command)).await?
    }
}

impl Home {
    /// Those of docker-compose.yml's file, but for the limits of memory and disk, which are a container's there.
    fn settings(&self) -> anyhow::Result<String> {
        let deployed = std::fs::read_to_string(root().join("deploy/rabbitmq.conf"))?;
        let kept: String = deployed
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains("watermark") && !line.contains("disk_free"))
            .map(|line| format!("{line}\n"))
            .collect();
        Ok(format!(
            "{kept}listeners.tcp.1 = {}\ndefault_user = pipecast\ndefault_pass = {PASSWORD}\nvm_memory_high_watermark.absolute = {MEMORY}\ndisk_free_limit.absolute = 50MB\n",
            self.address
        ))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        let at = |name: &str| self.folder.join(name);
        command
            .env("HOME", &self.folder)
            .env("RABBITMQ_NODENAME", NODE)
            .env("RABBITMQ_NODE_PORT", self.address.port().to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution.port().to_string())
            .env("ERL_EPMD_PORT", self.epmd.port().to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            // One process, not a shell around it; it ends in order by SIGTERM.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            // Idle schedulers sleep instead of spinning: others share this machine.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none");
        command
    }
}
