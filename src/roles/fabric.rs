//! Opens what connects processes: bus, cache and queue, each on the backend that the configuration names.
//! Knows nothing of who uses them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use pipecast_fabric::bus::embedded::EmbeddedBus;
use pipecast_fabric::bus::redis::RedisBus;
use pipecast_fabric::cache::embedded::EmbeddedCache;
use pipecast_fabric::cache::redis::RedisCache;
use pipecast_fabric::queue::embedded::EmbeddedQueue;
use pipecast_fabric::queue::rabbitmq::RabbitmqQueue;
use pipecast_fabric::queue::spool::SpooledQueue;
use pipecast_fabric::redis::Redis;
use pipecast_fabric::{Bus, Cache, Queue};

use super::Role;
use crate::config;

/// The ports, opened once for a process. Servers need not be there yet.
pub(super) struct Ports {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) cache: Arc<dyn Cache>,
    /// For whoever sends or receives; the one to close.
    pub(super) queue: Arc<dyn Queue>,
    /// For whoever asks how the queue is doing: without the spool before it.
    pub(super) behind: Arc<dyn Queue>,
    /// What stands in for the queue while it is away.
    pub(super) spool: Option<Arc<SpooledQueue>>,
    /// Where bus and cache are shared with other processes.
    pub(super) redis: Option<Redis>,
}

impl Ports {
    /// # Errors
    /// Addresses that cannot be read, and files that cannot be opened.
    pub(super) async fn open(fabric: config::Fabric, data_dir: &Path, max_body: u64, roles: &BTreeSet<Role>) -> anyhow::Result<Ports> {
        // Taken apart in full, so that a setting that nobody uses is a warning of the compiler.
        let config::Fabric {
            redis_url,
            amqp_url,
            bus_backlog,
            cache_entries,
            redis,
            queue,
            rabbitmq,
            spool,
        } = fabric;
        let redis = open_redis(redis_url.as_deref(), &redis, bus_backlog)?;
        let (bus, cache): (Arc<dyn Bus>, Arc<dyn Cache>) = match &redis {
            Some(redis) => (Arc::new(RedisBus::open(redis)), Arc::new(RedisCache::open(redis))),
            None => (Arc::new(EmbeddedBus::new(bus_backlog)), Arc::new(EmbeddedCache::new(cache_entries))),
        };
        let behind = open_queue(amqp_url.as_deref(), &rabbitmq, &queue, data_dir, max_body).await?;
        // Who takes deliveries must keep them when the broker cannot; who only works on them has nothing to spool.
        let spool = if amqp_url.is_some() && roles.contains(&Role::Realtime) {
            let file = EmbeddedQueue::open(spool.options(data_dir, max_body)).await.context("cannot open the spool")?;
            Some(Arc::new(SpooledQueue::new(Arc::clone(&behind), file, spool.patience)))
        } else {
            None
        };
        let queue = match &spool {
            Some(spool) => Arc::<SpooledQueue>::clone(spool) as Arc<dyn Queue>,
            None => Arc::clone(&behind),
        };
        Ok(Ports {
            bus,
            cache,
            queue,
            behind,
            spool,
            redis,
        })
    }
}

/// The queue alone, for a process that only puts something on it now and then: an admin, which replays.
///
/// # Errors
/// As `Ports::open`.
pub(super) async fn queue_alone(fabric: &config::Fabric, data_dir: &Path, max_body: u64) -> anyhow::Result<Arc<dyn Queue>> {
    open_queue(fabric.amqp_url.as_deref(), &fabric.rabbitmq, &fabric.queue, data_dir, max_body).await
}

/// Redis alone, for the same: it shares its limits with the others, where they are on one.
///
/// # Errors
/// As `Ports::open`.
pub(super) fn redis_alone(fabric: &config::Fabric) -> anyhow::Result<Option<Redis>> {
    open_redis(fabric.redis_url.as_deref(), &fabric.redis, fabric.bus_backlog)
}

fn open_redis(url: Option<&str>, redis: &config::fabric::redis::Redis, bus_backlog: usize) -> anyhow::Result<Option<Redis>> {
    url.map(|url| Redis::open(redis.options(url, bus_backlog)?).context("cannot use fabric.redis_url"))
        .transpose()
}

async fn open_queue(
    amqp_url: Option<&str>,
    rabbitmq: &config::fabric::rabbitmq::Rabbitmq,
    queue: &config::fabric::Queue,
    data_dir: &Path,
    max_body: u64,
) -> anyhow::Result<Arc<dyn Queue>> {
    Ok(match amqp_url {
        Some(url) => {
            let options = rabbitmq.options(url, queue, max_body)?;
            Arc::new(RabbitmqQueue::open(options).await.context("cannot use fabric.amqp_url")?)
        }
        None => {
            let options = queue.options(data_dir, max_body);
            Arc::new(EmbeddedQueue::open(options).await.context("cannot open the queue")?)
        }
    })
}
