//! A delivery that panics whoever reads it, among others that do not. No body is known that does so, so the reader here is one that does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pipecast_fabric::Queue;
use pipecast_fabric::bus::embedded::EmbeddedBus;
use pipecast_fabric::cache::embedded::EmbeddedCache;
use pipecast_fabric::queue::embedded::{self, EmbeddedQueue};
use pipecast_model::{Delivery, DeliveryId, Facts, Host, Lane, Outcome, Timestamp, Work};
use pipecast_store::{Options, Reader};
use tokio_util::sync::CancellationToken;

use crate::Worker;

fn panics_at_poison(delivery: &Delivery) -> Facts {
    assert_ne!(delivery.event, "poison", "this one cannot be read");
    crate::intake::understand(delivery)
}

fn delivery(event: &str, key: &str) -> Delivery {
    Delivery {
        id: DeliveryId::fresh(),
        host: Host::Github,
        source: "default".to_owned(),
        event: event.to_owned(),
        key: Some(key.to_owned()),
        body_sha256: key.to_owned(),
        received_at: Timestamp::now(),
        headers: Vec::new(),
        replay_of: None,
        secret: None,
        body: Bytes::from_static(br#"{"zen": "Design for failure.", "hook_id": 1}"#),
    }
}

async fn recorded(reader: &Reader, id: DeliveryId) -> pipecast_store::Record {
    let begun = std::time::Instant::now();
    loop {
        if let Some(record) = reader.find_delivery(id).await.expect("an answer") {
            return record;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it is never recorded");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_panics_its_reader_is_unprocessable_once_and_the_others_go_through() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options {
        url: format!("sqlite:{}", directory.path().join("pipecast.db").display()),
        read_url: None,
        read_connections: 2,
        acquire_timeout: Duration::from_secs(5),
        first_id: 1,
    };
    pipecast_store::migrate(&options).await.expect("a schema");
    let (reader, writer) = pipecast_store::open(&options).await.expect("a database");
    let queue = EmbeddedQueue::open(embedded::Options {
        path: directory.path().join("queue.db"),
        max_messages: 100,
        max_bytes: 1 << 30,
        max_message_bytes: 1 << 20,
        max_failures: 5,
        retry_base: Duration::from_millis(5),
        retry_cap: Duration::from_millis(20),
        sync_delay: Duration::ZERO,
    });
    let queue = Arc::new(queue.await.expect("a queue"));
    let poison = delivery("poison", "poison");
    let all = [delivery("ping", "before"), poison.clone(), delivery("ping", "after")];
    for delivery in &all {
        queue.send(Lane::Urgent, Work::Delivery(delivery.clone()).encode()).await.expect("sent");
    }
    let worker = Worker {
        reader: reader.clone(),
        writer: Arc::new(writer),
        queue: Arc::<EmbeddedQueue>::clone(&queue),
        bus: Arc::new(EmbeddedBus::new(64)),
        cache: Arc::new(EmbeddedCache::new(64)),
    };
    let ending = CancellationToken::new();

    let working = tokio::spawn(worker.run_with(panics_at_poison, ending.clone()));

    for (delivery, outcome) in all.iter().zip([Outcome::Ping, Outcome::Unprocessable, Outcome::Ping]) {
        assert_eq!(recorded(&reader, delivery.id).await.outcome, outcome);
    }
    let record = recorded(&reader, poison.id).await;
    assert!(record.detail.is_some_and(|detail| detail.contains("panicked")), "the ledger says why");
    assert_eq!(record.delivery.body, poison.body, "and keeps it, to be replayed by a build that can read it");
    let again = Delivery {
        id: DeliveryId::fresh(),
        ..poison.clone()
    };
    queue.send(Lane::Urgent, Work::Delivery(again).encode()).await.expect("sent");
    let begun = std::time::Instant::now();
    while queue.depth(Lane::Urgent).await.expect("a depth") > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing of it stays in the queue");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(recorded(&reader, poison.id).await.repeats, 1);
    assert!(queue.dead(10).await.expect("a list").is_empty());
    ending.cancel();
    working.await.expect("it does not panic").expect("it ends in order");
}
