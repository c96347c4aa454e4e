//! The composition root: opens what there is to open, starts every role as a named task, and ends them in order.
//! Nobody imports this but the binary and the tests of the whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::web;
use anyhow::{Context, bail};
use pipecast_admin::{Worker, retention};
use pipecast_store::Replica;
use pipecast_watch::Watch;
use tokio_util::sync::CancellationToken;
use tracing::info;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::config::Config;
use crate::docs::Document;
use crate::drain::Drain;
use crate::health::Health;
use crate::live::{self, Live};
use crate::pipelines::Kept;
use crate::webhooks::Receiver;
use crate::{openapi, routes, server, telemetry};

pub mod archive;
mod fabric;
mod parts;
mod running;
mod schema;
mod tasks;

pub use running::Running;

use fabric::Ports;
use schema::Schema;
use tasks::Tasks;

/// Connections that read for a process without the realtime role: one for what is announced, one for whoever asks how it is.
const READERS_OF_A_WORKER: u32 = 2;

/// A part of Pipecast that a process can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// HTTP, sockets and webhooks.
    Realtime,
    /// Migrations, retention, accounts and configuration.
    Admin,
    /// The consumers that write what deliveries tell.
    Worker,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Realtime, Role::Admin, Role::Worker];

    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Role::Realtime => "realtime",
            Role::Admin => "admin",
            Role::Worker => "worker",
        }
    }

    /// The port of a process with these roles where none is set.
    pub fn port(roles: &BTreeSet<Role>) -> u16 {
        match Vec::from_iter(roles)[..] {
            [Role::Realtime] => 8001,
            [Role::Admin] => 8000,
            [Role::Worker] => 8002,
            _ => 8080,
        }
    }
}

/// Opens everything that `roles` need, starts them, and returns once requests are served. Servers that are not there yet are waited for
/// while it already answers probes.
///
/// # Errors
/// Settings that cannot work together, roles that the chosen backends cannot split, and whatever cannot be opened or bound.
pub async fn start(config: Config, roles: &BTreeSet<Role>) -> anyhow::Result<Running> {
    config.check()?;
    refuse_split_roles(&config, roles)?;
    let plays = |role| roles.contains(&role);
    // Taken apart in full, so that a setting that nobody uses is a warning of the compiler.
    let Config {
        data_dir,
        server: listener,
        store,
        fabric,
        webhooks,
        watch,
        live,
        retention,
        log: _,
    } = config;

    let mut options = store.options(&data_dir);
    // A worker and an admin alone keep nothing on this machine.
    if plays(Role::Realtime) || !options.is_shared() {
        std::fs::create_dir_all(&data_dir).with_context(|| format!("cannot create data_dir {}", data_dir.display()))?;
    }
    if !plays(Role::Realtime) {
        options.read_connections = options.read_connections.min(READERS_OF_A_WORKER);
        options.read_url = None;
    }
    let lists = options.clone();
    if options.read_url.is_some() {
        // What is left to the primary is states, each of them once; and while the replica is away its share comes on top.
        options.read_connections = options.read_connections.div_ceil(2);
    }
    let (reader, writer) = pipecast_store::connect(&options).await.context("cannot open the database")?;
    let writer = Arc::new(writer);
    let (lists, replica) = match Replica::connect(&lists, &reader).context("cannot use store.read_url")? {
        Some((lists, replica)) => (lists, Some(replica)),
        None => (reader.clone(), None),
    };
    let ports = if plays(Role::Realtime) || plays(Role::Worker) {
        Some(Ports::open(fabric, &data_dir, webhooks.max_body, roles).await?)
    } else {
        None
    };

    let opened = (reader.clone(), Arc::clone(&writer));
    let drain = Drain::default();
    let workers = CancellationToken::new();
    let mut tasks = Tasks::default();
    let (schema, awaited) = Schema::new(options, reader.clone(), plays(Role::Admin));
    if !schema.attempt().await? {
        let workers = workers.clone();
        tasks.start("database", async move {
            if let Some(brought) = workers.run_until_cancelled(schema.bring()).await {
                brought?;
                // It has done its work; a task that ends would end the process.
                workers.cancelled().await;
            }
            Ok(())
        });
    }
    if let Some(ports) = ports.as_ref().filter(|_| plays(Role::Worker)) {
        let worker = Worker {
            reader: reader.clone(),
            writer: Arc::clone(&writer),
            queue: Arc::clone(&ports.queue),
            bus: Arc::clone(&ports.bus),
            cache: Arc::clone(&ports.cache),
        };
        tasks.start("worker", parts::work(worker, awaited.clone(), workers.clone()));
    }
    if plays(Role::Admin) {
        let settings = retention::Settings {
            keep: retention.keep(),
            stale_after: retention.stale_after,
        };
        tasks.start("retention", parts::keep(settings, writer, reader.clone(), awaited.clone(), workers.clone()));
    }
    if let Some(replica) = replica.clone() {
        tasks.start("replica", parts::watch_over(replica, workers.clone()));
    }
    let recorder = telemetry::start_metrics();
    tasks.start("metrics", {
        let (recorder, workers) = (recorder.clone(), workers.clone());
        async move {
            workers.run_until_cancelled_owned(telemetry::keep_metrics(recorder)).await;
            Ok(())
        }
    });

    let health = Health::new(parts::dependencies(&reader, replica, ports.as_ref()), parts::duties(roles), awaited.seen());
    let shared = {
        let (recorder, health, drain) = (web::Data::new(recorder), web::Data::new(health), web::Data::new(drain.clone()));
        let (reading, proxies) = (web::Data::new(listener.anonymous_reading), web::Data::new(listener.trusted_proxies.clone()));
        move |app: &mut web::ServiceConfig| {
            app.app_data(recorder.clone())
                .app_data(health.clone())
                .app_data(drain.clone())
                .app_data(reading.clone())
                .app_data(proxies.clone());
        }
    };
    let address = listener.listen.at(Role::port(roles));
    let stall = live.stall;
    let realtime = match ports.as_ref().filter(|_| plays(Role::Realtime)) {
        Some(ports) => {
            let watch = Watch::open(watch.settings(), reader, ports.bus.as_ref(), Arc::clone(&ports.cache))
                .await
                .context("cannot tap the bus")?;
            tasks.start("watch", {
                let (watch, workers) = (watch.clone(), workers.clone());
                async move {
                    watch.run(workers).await;
                    Ok(())
                }
            });
            Some((watch.clone(), Live::new(live, watch), ports))
        }
        None => None,
    };
    let live = realtime.as_ref().map(|(_, live, _)| Arc::clone(live));
    let bound = match realtime {
        Some((watch, live, ports)) => {
            let kept = web::Data::new(Kept::new(watch.clone()));
            let (watch, reader, queue) = (web::Data::new(watch), web::Data::new(lists), web::Data::from(Arc::clone(&ports.queue)));
            let (receiver, document) = (web::Data::new(Receiver::new(webhooks)), web::Data::new(Document(openapi::text().into())));
            server::bind(&listener, address, stall, move |app| {
                shared(app);
                app.configure(live::configure(Arc::clone(&live)))
                    .app_data(watch.clone())
                    .app_data(reader.clone())
                    .app_data(queue.clone())
                    .app_data(kept.clone())
                    .app_data(receiver.clone())
                    .app_data(document.clone());
                routes::all(&mut ServiceConfig::new(app));
            })
        }
        None => server::bind(&listener, address, stall, move |app| {
            shared(app);
            routes::of_a_process(&mut ServiceConfig::new(app));
        }),
    }
    .with_context(|| format!("cannot listen on {address}"))?;
    tasks.start("server", async { bound.server.await.context("the server failed") });
    info!(address = %bound.address, roles = ?roles, "pipecast serves http://{}", bound.address);

    Ok(Running {
        address: bound.address,
        tasks,
        server: bound.handle,
        live,
        drain,
        workers,
        queue: ports.map(|ports| ports.queue),
        store: opened,
        grace: listener.drain_grace,
        deadline: listener.drain_deadline,
    })
}

/// Brings the schema up to this build's and does nothing else.
///
/// # Errors
/// Whatever the database refuses.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.data_dir).with_context(|| format!("cannot create data_dir {}", config.data_dir.display()))?;
    pipecast_store::migrate(&config.store.options(&config.data_dir))
        .await
        .context("cannot migrate the database")
}

/// Embedded backends live inside one process, so all who use them must live there too.
fn refuse_split_roles(config: &Config, roles: &BTreeSet<Role>) -> anyhow::Result<()> {
    let missing: Vec<_> = Role::ALL.iter().filter(|role| !roles.contains(role)).map(|role| role.word()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let has_fabric = roles != &BTreeSet::from([Role::Admin]);
    let is_shared = config.store.options(&config.data_dir).is_shared();
    let embedded: Vec<_> = [
        (!is_shared, "store.url (postgres://…)"),
        (has_fabric && config.fabric.redis_url.is_none(), "fabric.redis_url"),
        (has_fabric && config.fabric.amqp_url.is_none(), "fabric.amqp_url"),
    ]
    .into_iter()
    .filter_map(|(is_embedded, setting)| is_embedded.then_some(setting))
    .collect();
    if !embedded.is_empty() {
        bail!(
            "without the role {} in this process, it must share its servers with others: set {}, or leave --role away to run everything in one process",
            missing.join(" and "),
            embedded.join(" and ")
        );
    }
    Ok(())
}
