//! What single roles run, and what a process with them depends on.
//! Knows nothing of how a process begins or ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use pipecast_admin::settings::{Offer, Settings};
use pipecast_admin::{Worker, audit, retention};
use pipecast_model::quantity::Kind;
use pipecast_store::{Reader, Replica, Standing, Writer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Role;
use super::fabric::Ports;
use super::schema::Awaited;
use crate::config::hot::{HOT, explained};
use crate::config::{self, Config};
use crate::health::{Dependency, Duty};
use crate::webhooks::Reading;

/// Consumes and announces, once the schema is there.
pub(super) async fn work(worker: Worker, mut awaited: Awaited, ending: CancellationToken) -> anyhow::Result<()> {
    if ending.run_until_cancelled(awaited.there()).await.is_none() {
        return Ok(());
    }
    warn_of_risks(&worker.reader).await;
    Ok(worker.run(ending).await?)
}

/// Keeps the database in order, once the schema is there.
pub(super) async fn keep(
    settings: watch::Receiver<retention::Settings>,
    writer: Arc<Writer>,
    reader: Reader,
    mut awaited: Awaited,
    ending: CancellationToken,
) -> anyhow::Result<()> {
    if ending.run_until_cancelled(awaited.there()).await.is_none() {
        return Ok(());
    }
    warn_of_risks(&reader).await;
    tokio::join!(retention::run(settings, writer, ending.clone()), audit::tell_ends(reader, ending));
    Ok(())
}

/// Keeps the sources of webhooks current, once the schema is there.
pub(super) async fn read_sources(reading: Arc<Reading>, mut awaited: Awaited, ending: CancellationToken) -> anyhow::Result<()> {
    if ending.run_until_cancelled(awaited.there()).await.is_some() {
        reading.run(ending).await;
    }
    Ok(())
}

/// What may be changed while the service runs.
pub(super) fn settings(base: &Config, reader: &Reader, writer: &Arc<Writer>) -> Settings {
    let offers = HOT.iter().map(|hot| Offer {
        key: hot.key,
        kind: base.kind(hot.key).unwrap_or(Kind::Text),
        configured: base.told(hot.key).unwrap_or_default(),
        least: hot.least,
        most: hot.most,
        about: explained(hot.key),
    });
    let check = |key: &str, text: &str| Config::defaults().tune(key, text).map_err(|error| error.why);
    Settings::new(offers.collect(), check, reader.clone(), Arc::clone(writer))
}

/// What retention goes by.
pub(super) fn kept(settings: &config::Retention) -> retention::Settings {
    retention::Settings {
        keep: settings.keep(),
        stale_after: settings.stale_after,
        deleted: settings.deleted,
    }
}

/// Says where lists are read each time that changes.
pub(super) async fn watch_over(replica: Replica, ending: CancellationToken) -> anyhow::Result<()> {
    let serving = metrics::gauge!("pipecast_replica_serving");
    serving.set(1.0);
    let moved = move |standing| {
        serving.set(if standing == Standing::Serving { 1.0 } else { 0.0 });
        match standing {
            Standing::Serving => info!("the replica keeps up again; lists are read there"),
            Standing::Behind => warn!("the replica is more than a second behind; lists are read on the primary until it has caught up"),
            Standing::Down => warn!("the replica does not answer; lists are read on the primary until it does"),
        }
    };
    ending.run_until_cancelled(replica.watch_over(moved)).await;
    Ok(())
}

/// What would make a promise of this process untrue is said once at the start.
async fn warn_of_risks(reader: &Reader) {
    match reader.list_risks().await {
        Ok(risks) => {
            for setting in risks {
                warn!(
                    setting,
                    "the database runs with {setting} = off: what it has confirmed may be lost in a crash; set {setting} = on"
                );
            }
        }
        Err(error) => warn!("cannot find out how durable the database is: {error}"),
    }
}

/// What the probes look at. A cache inside the process is not there to fail.
pub(super) fn dependencies(reader: &Reader, replica: Option<Replica>, ports: Option<&Ports>) -> Vec<Dependency> {
    let mut dependencies = vec![Dependency::Store(reader.clone())];
    dependencies.extend(replica.map(Dependency::Replica));
    if let Some(ports) = ports {
        dependencies.push(Dependency::Queue(Arc::clone(&ports.behind)));
        dependencies.extend(ports.spool.clone().map(Dependency::Spool));
        dependencies.extend(ports.redis.clone().map(Dependency::Redis));
    }
    dependencies
}

/// What a process with these roles is for.
pub(super) fn duties(roles: &BTreeSet<Role>) -> Vec<Duty> {
    let of = |role: &Role| match role {
        Role::Realtime => vec![Duty::Receive, Duty::Show],
        Role::Worker => vec![Duty::Work],
        Role::Admin => vec![Duty::Keep],
    };
    roles.iter().flat_map(of).collect()
}
