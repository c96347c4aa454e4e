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
    crate::cache::a_name_is_claimed_once_until_its_time_is_over(&*cache).await;
    crate::cache::of_many_writers_the_newest_stays(cache).await;
}

#[tokio::test]
async fn what_others_write_comes_through_and_only_a_newer_sequence_replaces_it() {
    let server = Server::start().await;
    let cache = RedisCache::open(&server.redis());
    assert_eq!(cache.get(ONE).await.unwrap(), None);
    server.type_in(&["SET", "pipeline:1:status", "queued"]).await;
    assert_eq!(cache.get(ONE).await.unwrap(), Some(Found::Foreign(foreign("queued", None))));

    assert!(!cache.fill(ONE, &epoch(), 4, value(&epoch(), 4), HOUR).await.unwrap(), "a reader is no writer");
    assert!(offer(&cache, 5).await);
    assert_eq!(ours(&cache, ONE).await.as_deref(), Some("aaaaaaaa-5"));
    server.type_in(&["SET", "pipeline:1:status", "running", "EX", "3600"]).await;

    assert_eq!(cache.get(ONE).await.unwrap(), Some(Found::Foreign(foreign("running", Some(5)))));
    let asked = [ONE, Topic::Pipeline(PipelineId(2)), Topic::Execution(ExecutionId(1))];
    assert_eq!(cache.list_foreign(&asked).await.unwrap(), [(ONE, foreign("running", Some(5)))]);
    assert!(!offer(&cache, 5).await, "it was told before");
    assert!(!offer(&cache, 4).await, "a late writer does no harm either");
    assert!(offer(&cache, 6).await);
    assert_eq!(ours(&cache, ONE).await.as_deref(), Some("aaaaaaaa-6"));
    assert!(cache.list_foreign(&asked).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_text_or_too_long_is_in_nobodys_way() {
    let server = Server::start().await;
    let cache = RedisCache::open(&server.redis());
    server.type_in(&["RPUSH", "pipeline:1:status", "a list"]).await;
    server.type_in(&["SET", "pipeline:2:status", &"long ".repeat(20_000)]).await;

    assert_eq!(cache.get(ONE).await.unwrap(), None);
    assert_eq!(cache.get(Topic::Pipeline(PipelineId(2))).await.unwrap(), None);
    assert!(cache.list_foreign(&[ONE, Topic::Pipeline(PipelineId(2))]).await.unwrap().is_empty());
    assert!(offer(&cache, 1).await);
    assert_eq!(ours(&cache, ONE).await.as_deref(), Some("aaaaaaaa-1"));
}

#[tokio::test]
async fn our_value_is_one_that_others_can_read() {
    let server = Server::start().await;
    let cache = RedisCache::open(&server.redis());
    assert!(offer(&cache, 5).await);

    let value: serde_json::Value = serde_json::from_str(&server.type_in(&["GET", "pipeline:1:status"]).await).unwrap();

    let run_id = server.type_in(&["INFO", "server"]).await;
    assert!(run_id.contains(value["generation"].as_str().unwrap()));
    assert_eq!((&value["id"], &value["is"]), (&"aaaaaaaa-5".into(), &"aaaaaaaa-5".into()));
    let left: String = server.type_in(&["TTL", "pipeline:1:status"]).await;
    assert!(left.contains("3600") || left.contains("3599"), "{left}");
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_empty_is_heard_again_and_has_no_say_in_between() {
    let mut server = Server::start().await;
    let redis = server.redis();
    let (bus, cache) = (RedisBus::open(&redis), RedisCache::open(&redis));
    let tap = bus.tap().await.unwrap();
    tap.subscribe(ONE).await.unwrap();
    assert!(offer(&cache, 5).await);

    server.kill();

    is_told(&*tap, BusEvent::Away).await;
    assert!(matches!(cache.get(ONE).await, Err(Error::Unavailable { .. })));
    assert!(matches!(bus.publish(ONE, Bytes::from_static(b"{}")).await, Err(Error::Unavailable { .. })));
    let other = Topic::Execution(ExecutionId(9));
    soon("a subscription while it is away", tap.subscribe(other)).await.unwrap();

    server.again().await;

    is_told(&*tap, BusEvent::Lost).await;
    soon("the cache", async {
        while cache.get(ONE).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(cache.get(ONE).await.unwrap(), None);
    assert!(offer(&cache, 5).await);
    for topic in [ONE, other] {
        bus.publish(topic, Bytes::from(topic.to_string())).await.unwrap();
        hears(&*tap, &topic.to_string()).await;
    }
}

#[tokio::test]
async fn what_an_old_dump_brings_back_is_not_served() {
    let mut server = Server::start().await;
    let cache = RedisCache::open(&server.redis());
    assert!(offer(&cache, 5).await);
    server.type_in(&["SET", "pipeline:2:status", "queued"]).await;
    server.type_in(&["SAVE"]).await;
    assert!(offer(&cache, 6).await);

    server.kill();
    server.again().await;

    let kept = server.type_in(&["GET", "pipeline:1:status"]).await;
    assert!(kept.contains("aaaaaaaa-5"), "the dump is there: {kept}");
    soon("an answer", async {
        while cache.get(ONE).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(cache.get(ONE).await.unwrap(), None);
    let others = Topic::Pipeline(PipelineId(2));
    assert_eq!(
        cache.get(others).await.unwrap(),
        Some(Found::Foreign(foreign("queued", None))),
        "that one is not ours to judge"
    );
    assert!(
        cache.fill(ONE, &epoch(), 4, value(&epoch(), 4), HOUR).await.unwrap(),
        "whatever its sequence, it gives way"
    );
}

#[tokio::test]
async fn a_cut_connection_of_the_bus_is_made_anew_and_told() {
    let server = Server::start().await;
    let bus = RedisBus::open(&server.redis());
    let tap = bus.tap().await.unwrap();
    tap.subscribe(ONE).await.unwrap();

    server.type_in(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;

    is_told(&*tap, BusEvent::Lost).await;
    bus.publish(ONE, Bytes::from_static(b"after")).await.unwrap();
    hears(&*tap, "after").await;
}

#[tokio::test]
async fn a_server_that_stands_still_costs_no_more_than_the_limit_and_is_noticed() {
    let server = Server::start().await;
    let options = RedisOptions {
        command_timeout: Duration::from_millis(100),
        ..server.options()
    };
    let limit = options.command_timeout + Duration::from_millis(150);
    let redis = Redis::open(options).unwrap();
    let (bus, cache) = (RedisBus::open(&redis), RedisCache::open(&redis));
    let tap = bus.tap().await.unwrap();
    tap.subscribe(ONE).await.unwrap();
    assert!(offer(&cache, 5).await);

    server.pause();

    for _ in 0..3 {
        let began = Instant::now();
        assert!(matches!(cache.get(ONE).await, Err(Error::Unavailable { .. })));
        assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    }
    let began = Instant::now();
    assert!(bus.publish(ONE, Bytes::from_static(b"{}")).await.is_err());
    assert!(
        began.elapsed() < limit - Duration::from_millis(150),
        "the fuse has blown: {:?}",
        began.elapsed()
    );
    is_told(&*tap, BusEvent::Away).await;
    let began = Instant::now();
    tap.subscribe(Topic::Monitor).await.unwrap();
    assert!(began.elapsed() < limit, "nobody waits for what is away: {:?}", began.elapsed());

    server.resume();

    is_told(&*tap, BusEvent::Lost).await;
    soon("the cache", async {
        while cache.get(ONE).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(
        ours(&cache, ONE).await.as_deref(),
        Some("aaaaaaaa-5"),
        "it is the same server with the same memory"
    );
    bus.publish(Topic::Monitor, Bytes::from_static(b"after")).await.unwrap();
    hears(&*tap, "after").await;
}

#[tokio::test]
async fn a_tap_on_a_server_that_is_not_there_yet_hears_once_it_is() {
    let mut server = Server::start().await;
    server.kill();
    let bus = RedisBus::open(&server.redis());
    let tap = soon("the tap", bus.tap()).await.unwrap();
    tap.subscribe(ONE).await.unwrap();
    is_told(&*tap, BusEvent::Away).await;

    server.again().await;

    is_told(&*tap, BusEvent::Lost).await;
    bus.publish(ONE, Bytes::from_static(b"here")).await.unwrap();
    hears(&*tap, "here").await;
}

/// How often the server was asked to subscribe, since its statistics were reset.
async fn subscribe_commands(server: &Server) -> usize {
    let stats = server.type_in(&["INFO", "commandstats"]).await;
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_subscribe:calls="));
    line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn thousands_of_topics_are_subscribed_again_in_batches() {
    const TOPICS: i64 = 5_000;
    let server = Server::start().await;
    let bus = RedisBus::open(&server.redis());
    let tap = bus.tap().await.unwrap();
    let wishes = (1..=TOPICS).map(|id| tap.subscribe(Topic::Pipeline(PipelineId(id))));
    for subscribed in futures_util::future::join_all(wishes).await {
        subscribed.unwrap();
    }
    assert!(subscribe_commands(&server).await < 100, "those who wish together share a command");
    server.type_in(&["CONFIG", "RESETSTAT"]).await;

    let began = Instant::now();
    server.type_in(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    is_told(&*tap, BusEvent::Lost).await;

    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(subscribe_commands(&server).await, 10);
    bus.publish(Topic::Pipeline(PipelineId(TOPICS)), Bytes::from_static(b"the last")).await.unwrap();
    hears(&*tap, "the last").await;

    for id in 1..=TOPICS {
        tap.unsubscribe(Topic::Pipeline(PipelineId(id))).await.unwrap();
    }
    soon("the end of the subscriptions", async {
        while !server.type_in(&["INFO", "stats"]).await.contains("pubsub_channels:0\r\n") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_is_let_go_and_wanted_again_at_once_is_heard() {
    let server = Server::start().await;
    let bus = RedisBus::open(&server.redis());
    let tap = bus.tap().await.unwrap();

    for round in 0..200 {
        tap.subscribe(ONE).await.unwrap();
        bus.publish(ONE, Bytes::from(round.to_string())).await.unwrap();
        hears(&*tap, &round.to_string()).await;
        tap.unsubscribe(ONE).await.unwrap();
    }
}

/// An authority, a certificate for 127.0.0.1 that it has signed, and another authority, as `openssl` makes them.
fn certificates(directory: &std::path::Path) {
    const SCRIPT: &str = "set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=another -keyout another.key -out another.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis -keyout redis.key -out redis.csr
        printf 'subjectAltName=IP:127.0.0.1' > names
        openssl x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out redis.pem";
    let made = std::process::Command::new("sh").args(["-c", SCRIPT]).current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn over_tls_a_server_is_believed_only_with_a_certificate_of_its_own_from_a_known_authority() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name).display().to_string();
    let tls_port = crate::ports::free().unwrap().port();
    let arguments = [
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &file("redis.pem"),
        "--tls-key-file",
        &file("redis.key"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ];
    let server = Server::start_with(&arguments).await;
    let options = |ca| RedisOptions {
        url: format!("rediss://127.0.0.1:{tls_port}"),
        ca,
        ..server.options()
    };

    let of_another_name = RedisOptions {
        url: format!("rediss://localhost:{tls_port}"),
        ..options(Some(std::fs::read(file("ca.pem")).unwrap()))
    };
    let of_another_authority = options(Some(std::fs::read(file("another.pem")).unwrap()));
    let known = Redis::open(options(Some(std::fs::read(file("ca.pem")).unwrap()))).unwrap();

    for stranger in [options(None), of_another_authority, of_another_name] {
        assert!(Redis::open(stranger).unwrap().check().await.is_err());
    }
    known.check().await.unwrap();
    let (bus, cache) = (RedisBus::open(&known), RedisCache::open(&known));
    assert!(offer(&cache, 5).await);
    assert_eq!(ours(&cache, ONE).await.as_deref(), Some("aaaaaaaa-5"));
    let tap = bus.tap().await.unwrap();
    tap.subscribe(ONE).await.unwrap();
    bus.publish(ONE, Bytes::from_static(b"secret")).await.unwrap();
    hears(&*tap, "secret").await;
}
