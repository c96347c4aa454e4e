//! The composition root: opens what there is to open, starts every role as a named task, and ends them in order.
//! Nobody imports this but the binary and the tests of the whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::web;
use anyhow::Context;
use pipecast_admin::Worker;
use pipecast_admin::accounts::Founder;
use pipecast_auth::{Gatekeeper, Shown};
use pipecast_http::Witness;
use pipecast_watch::Watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::config::Config;
use crate::docs::Document;
use crate::drain::Drain;
use crate::health::Health;
use crate::live::{self, Live};
use crate::pipelines::Kept;
use crate::routes::Methods;
use crate::webhooks::Receiver;
use crate::{openapi, routes, server, telemetry};

pub mod archive;
pub mod audit;
mod databases;
mod desk;
mod fabric;
mod foundation;
pub mod keys;
mod limits;
mod parts;
mod people;
mod running;
mod schema;
mod tasks;
mod tuning;

pub use running::Running;

use databases::Databases;
use desk::Desk;
use fabric::Ports;
use foundation::Foundation;
use tasks::Tasks;
use tuning::{Apply, Tuner};

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
    if roles.contains(&Role::Realtime) {
        config.doubts().iter().for_each(|doubt| warn!("{doubt}"));
    }
    fabric::refuse_split_roles(&config, roles)?;
    keys::refuse_keys_of_ones_own(&config.keys, roles)?;
    let plays = |role| roles.contains(&role);
    let base = config.clone();
    // Taken apart in full, so that a setting that nobody uses is a warning of the compiler.
    let Config {
        data_dir,
        server: listener,
        auth,
        store,
        keys,
        fabric,
        webhooks,
        watch,
        limits,
        live,
        retention,
        log,
    } = config;

    let keys = keys::open(&keys, &data_dir)?;
    let Databases {
        options,
        reader,
        writer,
        lists,
        replica,
    } = Databases::connect(&store, &data_dir, roles).await?;
    // An admin alone tells nobody of changes; it only needs somewhere to put what is replayed.
    let (ports, queue, redis) = if plays(Role::Realtime) || plays(Role::Worker) {
        let ports = Ports::open(fabric, &data_dir, webhooks.max_body, roles).await?;
        let (queue, redis) = (Arc::clone(&ports.queue), ports.redis.clone());
        (Some(ports), queue, redis)
    } else {
        let queue = fabric::queue_alone(&fabric, &data_dir, webhooks.max_body).await?;
        (None, queue, fabric::redis_alone(&fabric)?)
    };

    let drain = Drain::default();
    let workers = CancellationToken::new();
    let mut tasks = Tasks::default();
    let (foundation, awaited) = Foundation::new(options, reader.clone(), Arc::clone(&keys), roles);
    foundation.lay(&mut tasks, &workers).await?;
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
    let gatekeeper = Gatekeeper::new(reader.clone(), listener.issuer());
    tasks.start("gatekeeper", people::guard(Arc::clone(&gatekeeper), awaited.clone(), workers.clone()));
    let witness = Arc::new(Witness::default());
    if plays(Role::Admin) || plays(Role::Realtime) {
        let (witness, queue) = (Arc::clone(&witness), Arc::clone(&queue));
        tasks.start("witness", people::witness(witness, queue, workers.clone()));
    }
    let mut desk = None;
    if plays(Role::Admin) {
        let accounts = Arc::new(people::accounts(&auth, &reader, &writer, &gatekeeper, &keys)?);
        desk = Some(Desk::open(&base, Arc::clone(&accounts), &reader, &writer, &queue, &keys));
        tasks.start("logins", people::watch_logins(Arc::clone(&accounts), awaited.clone(), workers.clone()));
        tasks.start("setup", people::offer_setup(accounts, log.format, awaited.clone(), workers.clone()));
    }
    // Before anything counts.
    let recorder = telemetry::start_metrics();
    let (limits, tune_limits) = limits::limit(&limits, redis, &mut tasks, &workers);
    let mut tuned: Vec<Apply> = vec![Box::new(|config| telemetry::filter_logs(&config.log.filter)), tune_limits];
    if plays(Role::Admin) {
        let (tune, settings) = tokio::sync::watch::channel(parts::kept(&retention));
        tuned.push(Box::new(move |config| {
            tune.send_replace(parts::kept(&config.retention));
        }));
        tasks.start(
            "retention",
            parts::keep(settings, Arc::clone(&writer), reader.clone(), awaited.clone(), workers.clone()),
        );
    }
    if let Some(replica) = replica.clone() {
        tasks.start("replica", parts::watch_over(replica, workers.clone()));
    }
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
        let (site, gatekeeper) = (web::Data::new(listener.site()), web::Data::from(Arc::clone(&gatekeeper)));
        let witness = web::Data::from(witness);
        let text = web::Data::new(Document(openapi::text().into()));
        let methods = web::Data::new(Methods::of(&openapi::document()));
        move |app: &mut web::ServiceConfig| {
            if let Some(desk) = &desk {
                desk.mount(app);
            }
            app.app_data(recorder.clone())
                .app_data(site.clone())
                .app_data(gatekeeper.clone())
                .app_data(methods.clone())
                .app_data(witness.clone())
                .app_data(text.clone())
                .app_data(limits.clone())
                .app_data(health.clone())
                .app_data(drain.clone())
                .app_data(reading.clone())
                .app_data(proxies.clone());
        }
    };
    let (address, stall) = (listener.listen.at(Role::port(roles)), live.stall);
    let realtime = match ports.as_ref().filter(|_| plays(Role::Realtime)) {
        Some(ports) => {
            let watch = Watch::open(watch.settings(), reader.clone(), ports.bus.as_ref(), Arc::clone(&ports.cache))
                .await
                .context("cannot tap the bus")?;
            tasks.start("watch", {
                let (watch, workers) = (watch.clone(), workers.clone());
                async move {
                    watch.run(workers).await;
                    Ok(())
                }
            });
            Some((watch.clone(), Live::new(live, watch, Arc::clone(&gatekeeper), Arc::clone(&ports.cache)), ports))
        }
        None => None,
    };
    let live = realtime.as_ref().map(|(_, live, _)| Arc::clone(live));
    if let Some(live) = live.clone() {
        tuned.push(Box::new(move |config| live.tune(&config.live)));
    }
    let tuner = Tuner {
        base,
        reader: reader.clone(),
        apply: tuned,
    };
    tasks.start("settings", tuner.run(awaited.clone(), workers.clone()));
    let bound = match realtime {
        Some((watch, live, ports)) => {
            let kept = web::Data::new(Kept::new(watch.clone()));
            let (watch, lists, queue) = (web::Data::new(watch), web::Data::new(lists), web::Data::from(Arc::clone(&ports.queue)));
            let receiver = Receiver::new(webhooks, reader.clone(), keys);
            let reading = receiver.reading();
            if awaited.is_there()
                && let Err(error) = reading.read().await
            {
                warn!("cannot read the sources of webhooks yet: {error}");
            }
            tasks.start("sources", parts::read_sources(reading, awaited, workers.clone()));
            let receiver = web::Data::new(receiver);
            server::bind(&listener, address, stall, move |app| {
                shared(app);
                routes::ahead_of_all(&mut ServiceConfig::new(app));
                app.configure(live::configure(Arc::clone(&live)))
                    .app_data(watch.clone())
                    .app_data(lists.clone())
                    .app_data(queue.clone())
                    .app_data(kept.clone())
                    .app_data(receiver.clone());
                routes::all(&mut ServiceConfig::new(app));
            })
        }
        None => {
            let routes = if plays(Role::Admin) { routes::of_an_admin } else { routes::of_a_process };
            server::bind(&listener, address, stall, move |app| {
                shared(app);
                routes(&mut ServiceConfig::new(app));
            })
        }
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
        queue,
        store: (reader, writer),
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

/// Makes an admin, on the machine of whoever may do that.
///
/// # Errors
/// A name that is taken, a password that is too easy, and whatever the database refuses.
pub async fn create_admin(config: &Config, name: &str, password: &str) -> anyhow::Result<()> {
    migrate(config).await?;
    let (reader, writer) = pipecast_store::open(&config.store.options(&config.data_dir))
        .await
        .context("cannot open the database")?;
    let gatekeeper = Gatekeeper::new(reader.clone(), config.server.issuer());
    // It seals nothing, so it does not matter whether the keys are there.
    let keys = keys::open(&config.keys, &config.data_dir)?;
    let accounts = people::accounts(&config.auth, &reader, &Arc::new(writer), &gatekeeper, &keys)?;
    let founder = Founder {
        name: name.to_owned(),
        password: Shown::new(password),
    };
    accounts.create_admin(&founder).await.context("cannot create the admin")?;
    Ok(())
}
