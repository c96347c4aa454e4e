//! The composition root: opens what there is to open, starts every role as a named task, and ends them in order.
//! Nobody imports this but the binary and the tests of the whole.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web;
use anyhow::Context;
use pipecast_fabric::Queue;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::drain::Drain;
use crate::health::Health;
use crate::{routes, server, telemetry};

/// A part of Pipecast that a process can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// HTTP, sockets and webhooks.
    Realtime,
    /// Migrations, accounts and configuration.
    Admin,
    /// The consumers that write what deliveries tell.
    Worker,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Realtime, Role::Admin, Role::Worker];
}

/// A running process, as its owner sees it.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
    server: ServerHandle,
    drain: Drain,
    consumers: CancellationToken,
    queue: Arc<dyn Queue>,
    grace: Duration,
}
