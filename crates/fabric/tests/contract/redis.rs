//! The backends on Redis, put to the contract, and to what a server does to them: it dies, comes back empty or with an old dump,
//! stands still, and cuts connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pipecast_fabric::bus::redis::RedisBus;
use pipecast_fabric::cache::redis::RedisCache;
use pipecast_fabric::redis::{Redis, RedisOptions};
use pipecast_fabric::{Bus, BusEvent, BusTap, Cache, Error, Foreign, Found};
use pipecast_model::{Epoch, ExecutionId, PipelineId, Topic};

use crate::cache::{ours, value};
use crate::server::Server;
use crate::soon;

const ONE: Topic = Topic::Pipeline(PipelineId(1));
const HOUR: Duration = Duration::from_secs(3600);

fn epoch() -> Epoch {
    Epoch("aaaaaaaa".into())
}

async fn offer(cache: &dyn Cache, seq: i64) -> bool {
    cache.offer(ONE, &epoch(), seq, value(&epoch(), seq), HOUR).await.unwrap()
}

fn foreign(text: &'static str, after: Option<i64>) -> Foreign {
    Foreign {
        text: Bytes::from_static(text.as_bytes()),
        after: after.map(|seq| (epoch(), seq)),
    }
}

/// Waits for a message with this text, whatever comes before it.
async fn hears(tap: &dyn BusTap, expected: &str) {
    soon(expected, async {
        loop {
            match tap.next().await.expect("the bus is open") {
                BusEvent::Message { message, .. } if message == expected => return,
                _ => {}
            }
        }
    })
    .await;
}

/// Waits until the tap is told, whatever comes before it.
async fn is_told(tap: &dyn BusTap, expected: BusEvent) {
    soon("the word of the bus", async {
        while std::mem::discriminant(&tap.next().await.expect("the bus is open")) != std::mem::discriminant(&expected) {}
    })
    .await;
}

#[tokio::test]
async fn the_bus_keeps_its_contract() {
    let server = Server::start().await;
    let bus = RedisBus::open(&server.redis());
    crate::bus::each_topic_is_heard_in_order(&bus).await;
    crate::bus::only_what_is_subscribed_is_heard(&bus).await;
    let small = Redis::open(RedisOptions {
        bus_backlog: 64,
        ..server.options()
    });
    crate::bus::a_tap_that_falls_behind_is_told(&RedisBus::open(&small.unwrap())).await;
}

#[tokio::test]
async fn the_cache_keeps_its_contract() {
    let server = Server::start().await;
    let cache = Arc::new(RedisCache::open(&server.redis()));
    crate::cache::the_newer_sequence_wins(&*cache).await;
    server.type_in(&["FLUSHALL"]).await;
    crate::cache::a_reader_fills_what_is_missing_and_nothing_newer(&*cache).await;
    server.type_in(&["FLUSHALL"]).await;
    crate::cache::another_epoch_replaces(&*cache).await;
    server.type_in(&["FLUSHALL"]).await;
    crate::cache::an_entry_expires(&*cache).await;
    server.type_in(&["FLUSHALL"]).await;
    crate::cache::of_many_writers_the_newest_stays(cache).await;
}
