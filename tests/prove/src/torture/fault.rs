//! One fault: what is done to whom, and how it is healed. Every fault is healed before it is over.
//! Knows nothing of when it happens.

use std::fmt;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{sleep, timeout};

use crate::gate::{Gate, Way};
use crate::process::Process;
use crate::topology::{Server, Topology};

/// A fault heals within this time, or something is wrong with whom it befell.
const HEALED_WITHIN: Duration = Duration::from_secs(90);

/// To whom something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Victim {
    /// One that receives and shows, by its place.
    Edge(usize),
    /// One that writes, by its place.
    Worker(usize),
    /// The one that migrates and tidies.
    Admin,
    /// The proxy.
    Nginx,
    /// The database.
    Postgres,
    /// Bus and cache.
    Redis,
    /// The queue.
    RabbitMq,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Harm {
    /// SIGKILL, and a start after a while.
    Kill,
    /// SIGSTOP for a while.
    Pause,
    /// It ends in order and starts again.
    Restart,
    /// Its connections are reset and refused for a while.
    Cut,
    /// Its connections pass nothing for a while.
    Hang,
    /// The broker says for a while that it has no memory left.
    Alarm,
    /// Every key is gone.
    Flush,
    /// It ends and starts again without what it had.
    Empty,
    /// Every connection of a client ends.
    Backends,
}

/// Which of the ways to and from a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    All,
    /// One, by its place, counted round.
    One(usize),
}

/// One fault.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What is done.
    pub harm: Harm,
    /// To whom.
    pub victim: Victim,
    /// How long.
    pub lasts: Duration,
    /// Which ways, where it is about ways.
    pub reach: Reach,
}

impl Harm {
    /// What can be done to everyone.
    pub const TO_ANYONE: [Harm; 5] = [Harm::Kill, Harm::Pause, Harm::Restart, Harm::Cut, Harm::Hang];

    /// Its word in the account.
    pub fn word(self) -> &'static str {
        match self {
            Harm::Kill => "kill -9",
            Harm::Pause => "pause",
            Harm::Restart => "restart",
            Harm::Cut => "cut off",
            Harm::Hang => "hang",
            Harm::Alarm => "alarm of memory",
            Harm::Flush => "flushed",
            Harm::Empty => "restarted empty",
            Harm::Backends => "backends ended",
        }
    }
}

impl Victim {
    /// Everyone, where there are so many of each.
    pub fn all(edges: usize, workers: usize) -> Vec<Victim> {
        let many = (0..edges).map(Victim::Edge).chain((0..workers).map(Victim::Worker));
        many.chain([Victim::Admin, Victim::Nginx, Victim::Postgres, Victim::Redis, Victim::RabbitMq])
            .collect()
    }

    /// Its process.
    pub fn process(self, topology: &Topology) -> &Process {
        match self {
            Victim::Edge(place) => &topology.edges[place],
            Victim::Worker(place) => &topology.workers[place],
            Victim::Admin => &topology.admin,
            Victim::Nginx => &topology.proxy,
            Victim::Postgres => &topology.postgres.process,
            Victim::Redis => &topology.redis.process,
            Victim::RabbitMq => &topology.rabbitmq.process,
        }
    }

    /// Its ways: those of one of ours to its servers, those of a server to all who use it.
    fn gates(self, topology: &Topology) -> Vec<&Gate> {
        match self {
            Victim::Postgres => topology.gates(None, Some(Server::Postgres)).collect(),
            Victim::Redis => topology.gates(None, Some(Server::Redis)).collect(),
            Victim::RabbitMq => topology.gates(None, Some(Server::RabbitMq)).collect(),
            ours => topology.gates(Some(ours.process(topology).name()), None).collect(),
        }
    }
}

impl Fault {
    /// Does it and heals it. Whoever it befell is ready again afterwards, as far as other faults let it.
    ///
    /// # Errors
    /// Where it does not heal.
    pub async fn inflict(&self, topology: &Topology) -> anyhow::Result<()> {
        let process = self.victim.process(topology);
        match self.harm {
            Harm::Kill => {
                process.kill().await?;
                sleep(self.lasts).await;
                process.start()?;
                self.healed(process).await
            }
            Harm::Pause => {
                process.pause();
                sleep(self.lasts).await;
                process.resume();
                Ok(())
            }
            Harm::Restart => {
                process.terminate().await?;
                process.start()?;
                self.healed(process).await
            }
            Harm::Cut | Harm::Hang => {
                self.obstruct(topology).await;
                Ok(())
            }
            Harm::Alarm => {
                topology.rabbitmq.raise_alarm().await?;
                sleep(self.lasts).await;
                topology.rabbitmq.clear_alarm().await
            }
            Harm::Flush => topology.redis.flush().await,
            Harm::Empty => {
                process.terminate().await?;
                sleep(self.lasts).await;
                topology.redis.start_empty()?;
                self.healed(process).await
            }
            Harm::Backends => topology.postgres.terminate_backends().await,
        }
    }

    async fn obstruct(&self, topology: &Topology) {
        let mut gates = self.victim.gates(topology);
        if let Reach::One(place) = self.reach {
            gates = vec![gates[place % gates.len()]];
        }
        // Where another fault is at it already, that one heals it.
        gates.retain(|gate| gate.way() == Way::Open);
        for gate in &gates {
            match self.harm {
                Harm::Hang => gate.hang(),
                _ => gate.cut(),
            }
        }
        sleep(self.lasts).await;
        gates.iter().for_each(|gate| gate.open());
    }

    /// Waits until it is ready. While other faults keep it from that, it need only be alive.
    async fn healed(&self, process: &Process) -> anyhow::Result<()> {
        let ready = async {
            while !process.is_ready().await {
                if process.has_ended() {
                    bail!("{} has ended by itself after {self}; see {}", process.name(), process.log().display());
                }
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        timeout(HEALED_WITHIN, ready).await.unwrap_or(Ok(()))
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Victim::Edge(place) => write!(f, "edge-{}", place + 1),
            Victim::Worker(place) => write!(f, "worker-{}", place + 1),
            Victim::Admin => f.write_str("admin"),
            Victim::Nginx => f.write_str("nginx"),
            Victim::Postgres => f.write_str("postgres"),
            Victim::Redis => f.write_str("redis"),
            Victim::RabbitMq => f.write_str("rabbitmq"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.victim, self.harm.word())?;
        match (self.harm, self.reach) {
            (Harm::Flush | Harm::Backends | Harm::Restart, _) => Ok(()),
            (Harm::Cut | Harm::Hang, Reach::One(_)) => write!(f, " at one gate for {:.1} s", self.lasts.as_secs_f64()),
            _ => write!(f, " for {:.1} s", self.lasts.as_secs_f64()),
        }
    }
}
