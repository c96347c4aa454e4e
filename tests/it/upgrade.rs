//! Builds of two envelope versions at work together: what the next one sends is not lost by this one, and what is wrong is seen.
//! The next build is a writer of the tests' own; the rule that it stands for is ADR 17.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use pipecast::config::Config;
use pipecast::roles::{self, Role};
use pipecast_fabric::bus::redis::RedisBus;
use pipecast_fabric::cache::redis::RedisCache;
use pipecast_fabric::queue::embedded::EmbeddedQueue;
use pipecast_fabric::queue::rabbitmq::RabbitmqQueue;
use pipecast_fabric::redis::Redis;
use pipecast_fabric::{Bus, Cache, Queue, Verdict};
use pipecast_model::{Announcement, Delivery, DeliveryId, Epoch, Host, Lane, PipelineId, Timestamp, Topic, Work};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::app::config_in;
use crate::http::Request;
use crate::live::run;
use crate::socket::Socket;
use crate::split::{Deployment, is_ready, postgres, status_at, until};

/// More than a worker of these tests holds at once.
const NEWER: usize = 60;

/// A delivery about a run of its own, as an edge of this build would send it.
fn delivery(run_id: i64) -> Delivery {
    let id = DeliveryId::fresh();
    Delivery {
        id,
        host: Host::Github,
        source: "default".into(),
        event: "workflow_run".into(),
        key: Some(id.to_string()),
        body_sha256: id.to_string(),
        received_at: Timestamp::now(),
        headers: Vec::new(),
        replay_of: None,
        secret: None,
        body: Bytes::from(run(run_id, "in_progress", None, 1).to_string()),
    }
}

fn envelope(version: u8, head: &Value, body: &[u8]) -> Bytes {
    let head = head.to_string();
    let length = u32::try_from(head.len()).unwrap().to_be_bytes();
    [&[version][..], &length, head.as_bytes(), body].concat().into()
}

/// By a build that has added a field, in a version that this build reads: the oldest and the newest of them. The oldest has the body's hash.
fn with_a_field_more(version: u8, run_id: i64) -> Bytes {
    let mut delivery = delivery(run_id);
    if version > 1 {
        delivery.body_sha256.clear();
    }
    let mut head = serde_json::to_value(Work::Delivery(delivery.clone())).unwrap();
    head["region"] = json!({"name": "eu"});
    envelope(version, &head, &delivery.body)
}

/// By a build that has changed the envelope. Nothing is where this build would look for it.
fn of_the_next_version(number: usize) -> Bytes {
    envelope(Work::VERSION + 1, &json!({"number": number, "origin": ["github", "default"]}), b"compressed")
}

fn number_of(message: &Bytes) -> Option<u64> {
    let head: Value = serde_json::from_slice(message.get(5..)?.strip_suffix(b"compressed")?).ok()?;
    head["number"].as_u64()
}

/// What the next build does with the queue: it takes what is its own and passes on the rest.
async fn take_newer(queue: &dyn Queue) -> BTreeSet<u64> {
    let mut taken = BTreeSet::new();
    while taken.len() < NEWER {
        let claims = tokio::time::timeout(Duration::from_secs(30), queue.receive(16))
            .await
            .expect("all of them come")
            .unwrap();
        let verdicts = claims.iter().map(|claim| match number_of(&claim.message) {
            Some(_) => (claim.id, Verdict::Ack),
            None => (claim.id, Verdict::Pass),
        });
        queue.settle(verdicts.collect()).await.unwrap();
        taken.extend(claims.iter().filter_map(|claim| number_of(&claim.message)));
    }
    taken
}

fn hasten(config: &mut Config) {
    // The rest of what is passed on is bounded by it.
    config.fabric.queue.retry_cap = Duration::from_millis(500);
    config.fabric.rabbitmq.prefetch = 16;
}

#[tokio::test]
async fn an_old_worker_leaves_newer_messages_to_a_newer_one_on_rabbitmq() {
    let deployment = Deployment::lay().await;
    let mut config = deployment.config("worker");
    hasten(&mut config);
    let url = config.fabric.amqp_url.clone().unwrap();
    let options = || config.fabric.rabbitmq.options(&url, &config.fabric.queue, config.webhooks.max_body).unwrap();
    let edge = RabbitmqQueue::open(options()).await.unwrap();
    let _admin = deployment.start("admin", Role::Admin).await;
    let old = roles::start(config.clone(), &BTreeSet::from([Role::Worker])).await.unwrap();
    until("it is ready", || is_ready(&old)).await;

    for number in 0..NEWER {
        edge.send(Lane::Urgent, of_the_next_version(number)).await.unwrap();
    }
    let known = (Work::OLDEST..=Work::VERSION).zip(1..);
    for (version, run_id) in known.clone() {
        edge.send(Lane::Urgent, with_a_field_more(version, run_id)).await.unwrap();
    }

    // Newer ones fill every place that the old worker has, and it works on what comes behind them.
    let known = known.count() as i64;
    until("what it knows is applied", || async { deployment.count("executions").await == known }).await;
    let metrics = Request::get("/metrics").send(old.address).await.body;
    assert!(
        String::from_utf8(metrics)
            .unwrap()
            .contains(r#"pipecast_envelopes_unknown_total{carrier="queue"}"#)
    );
    let newer = RabbitmqQueue::open(options()).await.unwrap();
    assert_eq!(
        take_newer(&newer).await,
        (0..NEWER as u64).collect(),
        "beside the old one, which goes on passing them"
    );
    assert!(edge.dead(1).await.unwrap().is_empty());
    until("nothing is left", || async { edge.depth(Lane::Urgent).await.unwrap() == 0 }).await;
    old.stop().await.unwrap();
    newer.close().await;
    edge.close().await;
}

#[tokio::test]
async fn an_old_build_keeps_newer_messages_in_its_queue_file_until_it_is_newer() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config_in(data.path());
    hasten(&mut config);
    let options = config.fabric.queue.options(data.path(), config.webhooks.max_body);
    let before = EmbeddedQueue::open(options.clone()).await.unwrap();
    for number in 0..NEWER {
        before.send(Lane::Urgent, of_the_next_version(number)).await.unwrap();
    }
    for (version, run_id) in (Work::OLDEST..=Work::VERSION).zip(1..) {
        before.send(Lane::Urgent, with_a_field_more(version, run_id)).await.unwrap();
    }
    before.close().await;

    // Twice, so that a restart of the old build is in it.
    for _ in 0..2 {
        let old = roles::start(config.clone(), &BTreeSet::from(Role::ALL)).await.unwrap();
        until("what it knows is applied", || async { status_at(&old).await == "running" }).await;
        until("the others wait", || async {
            let health = Request::get("/health").send(old.address).await.json();
            health["dependencies"]["queue"]["depth"]["urgent"] == NEWER
        })
        .await;
        old.stop().await.unwrap();
    }

    let newer = EmbeddedQueue::open(options).await.unwrap();
    assert_eq!(take_newer(&newer).await, (0..NEWER as u64).collect());
    assert!(newer.dead(1).await.unwrap().is_empty());
    newer.close().await;
}

/// A pipeline's state as another build announces it, with whatever else it has to say.
fn announcement(v: u8, epoch: &Epoch, seq: i64, status: &str) -> Bytes {
    let topic = Topic::Pipeline(PipelineId(1));
    let data = json!({"id": 1, "name": "CI", "status": status, "seq": seq, "shard": 7});
    let text = json!({"v": v, "topic": topic, "status": status, "timestamp": Timestamp::now(), "epoch": epoch, "seq": seq, "shard": 7, "data": data});
    Bytes::from(text.to_string())
}

#[tokio::test]
async fn an_old_edge_reads_the_database_where_it_cannot_read_what_is_announced() {
    let deployment = Deployment::lay().await;
    let _admin = deployment.start("admin", Role::Admin).await;
    let worker = deployment.start("worker", Role::Worker).await;
    let edge = deployment.start("edge", Role::Realtime).await;
    until("everyone is ready", || is_ready(&worker)).await;
    crate::app::github("workflow_run", run(1001, "in_progress", None, 1).to_string())
        .send(edge.address)
        .await;
    until("it shows", || async { status_at(&edge).await == "running" }).await;
    worker.stop().await.unwrap();
    let mut socket = Socket::plain(edge.address, "/ws/pipeline/1").await;
    let snapshot = socket.json_of("snapshot").await;
    let (epoch, seq) = snapshot["id"].as_str().unwrap().rsplit_once('-').unwrap();
    let (epoch, seq) = (Epoch(epoch.to_owned()), seq.parse::<i64>().unwrap());
    let config = deployment.config("newer worker");
    let redis = Redis::open(config.fabric.redis.options(config.fabric.redis_url.as_deref().unwrap(), 16).unwrap()).unwrap();
    let (bus, cache) = (RedisBus::open(&redis), RedisCache::open(&redis));
    let topic = Topic::Pipeline(PipelineId(1));
    let tell = async |text: Bytes, seq| {
        cache.offer(topic, &epoch, seq, text.clone(), Duration::from_secs(60)).await.unwrap();
        let message = [br#"{"type":"status_change","#, &text[1..]].concat();
        bus.publish(topic, message.into()).await.unwrap();
    };

    // A newer worker has written the row and announces it in its own way, with a word of its own in it.
    let mut database = PgConnection::connect(&format!("{}?options[search_path]={}", postgres(), deployment.name))
        .await
        .unwrap();
    let write = format!("UPDATE pipelines SET status = 'failure', previous_status = 'running', seq = {}", seq + 1);
    sqlx::query(AssertSqlSafe(write)).execute(&mut database).await.unwrap();
    tell(announcement(Announcement::VERSION + 1, &epoch, seq + 1, "levitating"), seq + 1).await;

    let change = socket.json_of("status_change").await;
    assert_eq!((&change["status"], &change["id"]), (&json!("failure"), &json!(format!("{epoch}-{}", seq + 1))));
    let other = deployment.start("other edge", Role::Realtime).await;
    until("the other edge reads past the cache", || async { status_at(&other).await == "failure" }).await;
    for carrier in ["bus", "cache"] {
        let metrics = String::from_utf8(Request::get("/metrics").send(other.address).await.body).unwrap();
        assert!(
            metrics.contains(&format!(r#"pipecast_envelopes_unknown_total{{carrier="{carrier}"}}"#)),
            "{carrier}"
        );
    }

    // Every version that this build reads is taken as it is told, fields more or less; the database is not asked.
    for (version, seq) in (Announcement::OLDEST..=Announcement::VERSION).zip(seq + 2..) {
        tell(announcement(version, &epoch, seq, "success"), seq).await;
        let change = socket.json_of("status_change").await;
        assert_eq!(
            (&change["status"], &change["data"]["shard"]),
            (&json!("success"), &json!(7)),
            "version {version}"
        );
    }
}
