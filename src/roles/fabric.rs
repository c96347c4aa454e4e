//! Opens what connects processes: bus, cache and queue, each on the backend that the configuration names.
//! Knows nothing of who uses them.

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

use crate::config;

/// The ports, opened once for a process. Servers need not be there yet.
pub(super) struct Ports {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) cache: Arc<dyn Cache>,
    pub(super) queue: Arc<dyn Queue>,
    /// Where bus and cache are shared with other processes.
    pub(super) redis: Option<Redis>,
}

impl Ports {
    /// `spools` says whether deliveries are taken here, so that they need a place while RabbitMQ is away.
    ///
    /// # Errors
    /// Addresses that cannot be read, files that cannot be opened, and a broker that refuses us.
    pub(super) async fn open(fabric: config::Fabric, data_dir: &Path, max_body: u64, spools: bool) -> anyhow::Result<Ports> {
        // Taken apart in full, so that a setting that nobody uses is a warning of the compiler.
        let config::Fabric {
            redis_url,
            amqp_url,
            bus_backlog,
            cache_entries,
            redis,
            rabbitmq,
            spool,
            queue,
        } = fabric;
        let redis = match &redis_url {
            Some(url) => Some(Redis::open(redis.options(url, bus_backlog)?).context("cannot use fabric.redis_url")?),
            None => None,
        };
        let (bus, cache): (Arc<dyn Bus>, Arc<dyn Cache>) = match &redis {
            Some(redis) => (Arc::new(RedisBus::open(redis)), Arc::new(RedisCache::open(redis))),
            None => (Arc::new(EmbeddedBus::new(bus_backlog)), Arc::new(EmbeddedCache::new(cache_entries))),
        };
        let queue: Arc<dyn Queue> = match &amqp_url {
            Some(url) => {
                let broker = RabbitmqQueue::open(rabbitmq.options(url, &queue, max_body))
                    .await
                    .context("cannot use fabric.amqp_url")?;
                if spools {
                    let file = EmbeddedQueue::open(spool.options(&queue, data_dir, max_body))
                        .await
                        .context("cannot open the spool")?;
                    Arc::new(SpooledQueue::new(Arc::new(broker), file, spool.patience))
                } else {
                    Arc::new(broker)
                }
            }
            None => Arc::new(EmbeddedQueue::open(queue.options(data_dir, max_body)).await.context("cannot open the queue")?),
        };
        Ok(Ports { bus, cache, queue, redis })
    }
}
