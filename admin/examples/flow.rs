//! Measures the way from the queue to the bus: `flow RATE SECONDS [STORE_URL REDIS_URL]` (deliveries a second of 50 executions that take
//! turns; 0 for all of them at once, 1000 for each second), on SQLite and inside this process where no servers are named.
//! Prints how long after its `send` began each delivery was heard on the bus, and what was applied.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use pipecast_admin::Worker;
use pipecast_fabric::bus::embedded::EmbeddedBus;
use pipecast_fabric::bus::redis::RedisBus;
use pipecast_fabric::cache::embedded::EmbeddedCache;
use pipecast_fabric::cache::redis::RedisCache;
use pipecast_fabric::queue::embedded::{self, EmbeddedQueue};
use pipecast_fabric::redis::{Redis, RedisOptions};
use pipecast_fabric::{Bus, BusEvent, Cache, Queue};
use pipecast_model::{Announcement, Delivery, DeliveryId, Host, Lane, Timestamp, Topic, Work};
use pipecast_store::Options;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The executions that the deliveries speak of, in turn.
const EXECUTIONS: u64 = 50;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<u64>());
    let (rate, seconds) = (number(200)?, number(5)?);
    let (store, redis) = (arguments.next(), arguments.next());
    let directory = tempfile::tempdir_in(".")?;
    let options = Options {
        url: store.unwrap_or_else(|| format!("sqlite:{}", directory.path().join("pipecast.db").display())),
        read_url: None,
        read_connections: 4,
        acquire_timeout: Duration::from_secs(5),
        first_id: 1,
    };
    pipecast_store::migrate(&options).await?;
    let (reader, writer) = pipecast_store::open(&options).await?;
    let queue = Arc::new(
        EmbeddedQueue::open(embedded::Options {
            path: directory.path().join("queue.db"),
            max_messages: 1_000_000,
            max_bytes: 4 << 30,
            max_message_bytes: 25 << 20,
            max_failures: 5,
            retry_base: Duration::from_secs(1),
            retry_cap: Duration::from_secs(60),
            sync_delay: Duration::ZERO,
        })
        .await?,
    );
    let (bus, cache): (Arc<dyn Bus>, Arc<dyn Cache>) = match redis {
        Some(url) => {
            let redis = Redis::open(RedisOptions {
                url,
                ca: None,
                connections: 8,
                command_timeout: Duration::from_millis(200),
                connect_timeout: Duration::from_secs(2),
                probe_every: Duration::from_secs(1),
                bus_backlog: 1 << 20,
            })?;
            (Arc::new(RedisBus::open(&redis)), Arc::new(RedisCache::open(&redis)))
        }
        None => (Arc::new(EmbeddedBus::new(1 << 20)), Arc::new(EmbeddedCache::new(10_000))),
    };
    let tap = bus.tap().await?;
    tap.subscribe(Topic::Monitor).await?;
    for id in 1..=EXECUTIONS {
        tap.subscribe(Topic::Execution(pipecast_model::ExecutionId(id.cast_signed()))).await?;
    }
    let worker = Worker {
        reader: reader.clone(),
        writer: Arc::new(writer),
        queue: Arc::<EmbeddedQueue>::clone(&queue),
        bus: Arc::clone(&bus),
        cache,
    };
    let ending = CancellationToken::new();
    let worker = tokio::spawn(worker.run(ending.clone()));

    // Every delivery moves one execution on; a title says which delivery it was.
    let heard: Arc<Mutex<HashMap<u64, Instant>>> = Arc::default();
    let hearing = Arc::clone(&heard);
    let listener = tokio::spawn(async move {
        while let Some(event) = tap.next().await {
            if let BusEvent::Message {
                topic: Topic::Execution(_),
                message,
            } = event
            {
                let at = Instant::now();
                let state: Announcement = serde_json::from_slice(&message).expect("an announcement");
                let data: serde_json::Value = serde_json::from_str(state.data.get()).expect("an execution");
                if let Some(number) = data["title"].as_str().and_then(|title| title.parse::<u64>().ok()) {
                    hearing.lock().expect("nobody panics").insert(number, at);
                }
            }
        }
    });

    let begun = Instant::now();
    let mut senders = JoinSet::new();
    let count = if rate == 0 { 1_000 } else { rate } * seconds;
    for number in 0..count {
        if let Some(due) = (number * 1_000_000).checked_div(rate) {
            tokio::time::sleep_until(begun + Duration::from_micros(due)).await;
        }
        let queue = Arc::clone(&queue);
        senders.spawn(async move {
            let message = Work::Delivery(delivery(number)).encode();
            let sent = Instant::now();
            queue.send(Lane::Urgent, message).await.map(|_| (number, sent, sent.elapsed()))
        });
    }
    let mut sent = Vec::new();
    while let Some(done) = senders.join_next().await {
        sent.push(done??);
    }
    let sending = begun.elapsed();
    while queue.depth(Lane::Urgent).await? > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let applying = begun.elapsed();
    ending.cancel();
    worker.await??;
    // Whatever is on its way arrives.
    for _ in 0..1_000 {
        if heard.lock().expect("nobody panics").contains_key(&(count - 1)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    listener.abort();
    let heard = heard.lock().expect("nobody panics").clone();
    reader.list_newest_seqs(1).await?.first().context("no pipeline was written")?;

    let mut answers: Vec<_> = sent.iter().map(|(_, _, took)| *took).collect();
    let mut ways: Vec<_> = sent.iter().filter_map(|(number, at, _)| heard.get(number).map(|heard| *heard - *at)).collect();
    println!(
        "{} sent in {:.2} s, applied in {:.2} s ({:.0} a second), {} queue commits; answer p50 {:?} p99 {:?}; to the bus p50 {:?} p99 {:?} ({} heard, the others were overtaken)",
        sent.len(),
        sending.as_secs_f64(),
        applying.as_secs_f64(),
        sent.len() as f64 / applying.as_secs_f64(),
        queue.commits(),
        percentile(&mut answers, 0.5),
        percentile(&mut answers, 0.99),
        percentile(&mut ways, 0.5),
        percentile(&mut ways, 0.99),
        ways.len(),
    );
    queue.close().await;
    Ok(())
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default()
}

fn delivery(number: u64) -> Delivery {
    let run = number % EXECUTIONS + 1;
    let attempt = number / EXECUTIONS;
    let instant = Timestamp(1_700_000_000_000_000 + attempt.cast_signed() * 1_000_000);
    let padding = "x".repeat(8_000);
    let body = format!(
        r#"{{"repository":{{"id":7,"full_name":"octo/repo"}},"workflow":{{"id":70,"name":"CI"}},"padding":"{padding}",
            "workflow_run":{{"id":{run},"run_attempt":1,"run_number":{run},"workflow_id":70,"name":"CI","status":"in_progress","conclusion":null,
            "display_title":"{number}","created_at":"2020-11-21T10:00:00Z","run_started_at":"2020-11-21T10:00:00Z","updated_at":"{instant}"}}}}"#
    );
    Delivery {
        id: DeliveryId::fresh(),
        host: Host::Github,
        source: "default".to_owned(),
        event: "workflow_run".to_owned(),
        key: Some(number.to_string()),
        body_sha256: number.to_string(),
        received_at: Timestamp::now(),
        headers: Vec::new(),
        replay_of: None,
        secret: None,
        body: Bytes::from(body),
    }
}
