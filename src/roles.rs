//! The composition root: opens what there is to open, starts every role as a named task, and ends them in order.
//! Nobody imports this but the binary and the tests of the whole.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web;
use anyhow::{Context, bail};
use pipecast_admin::Admin;
use pipecast_fabric::bus::embedded::EmbeddedBus;
use pipecast_fabric::bus::redis::RedisBus;
use pipecast_fabric::cache::embedded::EmbeddedCache;
use pipecast_fabric::cache::redis::RedisCache;
use pipecast_fabric::queue::embedded::EmbeddedQueue;
use pipecast_fabric::redis::Redis;
use pipecast_fabric::{Bus, Cache, Queue};
use pipecast_watch::Watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::config::Config;
use crate::docs::Document;
use crate::drain::Drain;
use crate::health::Health;
use crate::live::{self, Live};
use crate::webhooks::Receiver;
use crate::{openapi, routes, server, telemetry};

/// How long a request that was just finished has to leave the process, once nothing is held any more.
const LAST_BYTES: Duration = Duration::from_millis(50);

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

/// A running process, as its owner sees it. Dropped without `stop`, it ends like a crash: safe, but without farewells.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    tasks: Tasks,
    server: ServerHandle,
    live: Arc<Live>,
    drain: Drain,
    /// Cancelled last: whoever still works on claims ends on it.
    workers: CancellationToken,
    queue: Arc<dyn Queue>,
    grace: Duration,
    deadline: Duration,
}

/// Opens everything, starts `roles`, and returns once requests are served.
///
/// # Errors
/// Settings that cannot work together, roles that this build cannot split, and whatever cannot be opened or bound.
pub async fn start(config: Config, roles: &BTreeSet<Role>) -> anyhow::Result<Running> {
    config.check()?;
    refuse_split_roles(roles)?;
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

    std::fs::create_dir_all(&data_dir).with_context(|| format!("cannot create data_dir {}", data_dir.display()))?;
    let options = store.options(&data_dir);
    pipecast_store::migrate(&options).await.context("cannot migrate the database")?;
    let (reader, writer) = pipecast_store::open(&options).await.context("cannot open the database")?;
    let queue = EmbeddedQueue::open(fabric.queue.options(&data_dir, webhooks.max_body))
        .await
        .context("cannot open the queue")?;
    let queue: Arc<dyn Queue> = Arc::new(queue);
    let (bus, cache): (Arc<dyn Bus>, Arc<dyn Cache>) = match &fabric.redis_url {
        Some(url) => {
            let redis = Redis::open(fabric.redis.options(url, fabric.bus_backlog)?).context("cannot use fabric.redis_url")?;
            (Arc::new(RedisBus::open(&redis)), Arc::new(RedisCache::open(&redis)))
        }
        None => (
            Arc::new(EmbeddedBus::new(fabric.bus_backlog)),
            Arc::new(EmbeddedCache::new(fabric.cache_entries)),
        ),
    };

    let admin = Admin {
        reader: reader.clone(),
        writer,
        queue: Arc::clone(&queue),
        bus: Arc::clone(&bus),
        cache: Arc::clone(&cache),
        retention: pipecast_admin::retention::Settings {
            keep: retention.keep(),
            stale_after: retention.stale_after,
        },
    };
    let watch = Watch::open(watch.settings(), reader.clone(), bus.as_ref(), cache)
        .await
        .context("cannot tap the bus")?;
    let stall = live.stall;
    let live = Live::new(live, watch.clone());

    let drain = Drain::default();
    let workers = CancellationToken::new();
    let mut tasks = Tasks::default();

    tasks.start("watch", {
        let (watch, workers) = (watch.clone(), workers.clone());
        async move {
            watch.run(workers).await;
            Ok(())
        }
    });
    tasks.start("admin", {
        let workers = workers.clone();
        async move { admin.run(workers).await.map_err(anyhow::Error::from) }
    });

    let recorder = telemetry::start_metrics();
    tasks.start("metrics", {
        let (recorder, workers) = (recorder.clone(), workers.clone());
        async move {
            workers.run_until_cancelled_owned(telemetry::keep_metrics(recorder)).await;
            Ok(())
        }
    });
    let recorder = web::Data::new(recorder);
    let receiver = web::Data::new(Receiver::new(webhooks));
    let document = web::Data::new(Document(openapi::text().into()));
    let health = web::Data::new(Health::new(reader.clone(), Arc::clone(&queue)));
    let reading = web::Data::new(listener.anonymous_reading);
    let data = {
        let (reader, queue, drain) = (web::Data::new(reader), web::Data::from(Arc::clone(&queue)), web::Data::new(drain.clone()));
        let (watch, live) = (web::Data::new(watch), Arc::clone(&live));
        move |app: &mut web::ServiceConfig| {
            app.configure(live::configure(Arc::clone(&live)))
                .app_data(watch.clone())
                .app_data(recorder.clone())
                .app_data(receiver.clone())
                .app_data(document.clone())
                .app_data(health.clone())
                .app_data(reading.clone())
                .app_data(reader.clone())
                .app_data(queue.clone())
                .app_data(drain.clone());
            routes::all(&mut ServiceConfig::new(app));
        }
    };
    let bound = server::bind(&listener, stall, data).with_context(|| format!("cannot listen on {}", listener.listen))?;
    tasks.start("server", async { bound.server.await.context("the server failed") });
    info!(address = %bound.address, "pipecast serves http://{}", bound.address);

    Ok(Running {
        address: bound.address,
        tasks,
        server: bound.handle,
        live,
        drain,
        workers,
        queue,
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

/// Bus, cache and queue of this build live inside the process, so all who use them must live there too.
fn refuse_split_roles(roles: &BTreeSet<Role>) -> anyhow::Result<()> {
    let missing: Vec<_> = Role::ALL
        .iter()
        .filter(|role| !roles.contains(role))
        .map(|role| format!("{role:?}").to_lowercase())
        .collect();
    if !missing.is_empty() {
        bail!(
            "the embedded bus, cache and queue live inside one process, so it needs every role; the role {} is left out: leave --role away, or name it too",
            missing.join(" and ")
        );
    }
    Ok(())
}

impl Running {
    /// Waits until a role ends, which none does by itself unless something is wrong.
    ///
    /// # Errors
    /// Always: says which role ended, and why where that is known.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.next().await {
            Some((name, Ok(()))) => anyhow::anyhow!("the {name} ended by itself"),
            Some((name, Err(error))) => error.context(format!("the {name} ended")),
            None => anyhow::anyhow!("no role is running"),
        }
    }

    /// Ends everything in order: not ready, a grace, no new connections, requests, consumers, the queue.
    ///
    /// # Errors
    /// Where the deadline passed first. Nothing that was acknowledged is lost by that.
    pub async fn stop(self) -> anyhow::Result<()> {
        let deadline = self.deadline;
        let ended = tokio::time::timeout(self.grace + deadline, self.stop_in_order()).await;
        ended.with_context(|| format!("the shutdown was cut off after {deadline:?}"))
    }

    async fn stop_in_order(mut self) {
        self.drain.begin();
        if !self.grace.is_zero() {
            info!("shutting down: not ready, and serving for another {:?}", self.grace);
            tokio::time::sleep(self.grace).await;
        }
        info!(
            connections = self.live.connections(),
            "shutting down: asking every socket and stream to come back later"
        );
        self.live.drain().await;
        info!("shutting down: no new connections");
        let closed = self.server.stop(true);
        tokio::select! {
            // Idle connections would hold this up by a second, so it is enough that nothing is held and the last answer is out.
            () = closed => {}
            () = async { self.drain.released().await; tokio::time::sleep(LAST_BYTES).await } => {}
        }
        self.tasks.abort("server");

        info!("shutting down: consumers");
        self.workers.cancel();
        while let Some((name, result)) = self.tasks.next().await {
            if let Err(error) = result {
                warn!("the {name} ended badly: {error:#}");
            }
        }
        self.queue.close().await;
        info!("shut down");
    }
}

/// The roles' tasks by name. Dropping it ends them all.
#[derive(Default)]
struct Tasks {
    running: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, (&'static str, tokio::task::AbortHandle)>,
}

impl Tasks {
    fn start(&mut self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let handle = self.running.spawn(task);
        self.names.insert(handle.id(), (name, handle));
    }

    fn abort(&self, name: &str) {
        self.names.values().filter(|(own, _)| *own == name).for_each(|(_, handle)| handle.abort());
    }

    /// The next one that ends. A panic is an end like any other, and one that was aborted ended well.
    async fn next(&mut self) -> Option<(&'static str, anyhow::Result<()>)> {
        let (id, result) = match self.running.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            Err(failure) if failure.is_cancelled() => (failure.id(), Ok(())),
            Err(failure) => {
                error!("a task panicked: {failure}");
                (failure.id(), Err(anyhow::anyhow!("it panicked")))
            }
        };
        let name = self.names.remove(&id).map_or("task", |(name, _)| name);
        Some((name, result))
    }
}
