//! The queue on RabbitMQ with its spool before it: the contract, and what it is there for.
#![expect(clippy::print_stdout, reason = "the child tells its parent what was acknowledged")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use pipecast_fabric::queue::embedded::EmbeddedQueue;
use pipecast_fabric::queue::rabbitmq::{RabbitmqOptions, RabbitmqQueue};
use pipecast_fabric::queue::spool::SpooledQueue;
use pipecast_fabric::{Durability, Error, Queue, Verdict};
use pipecast_model::Lane;
use tempfile::TempDir;

use crate::broker::{self, Broker};
use crate::queue::{Limits, Queues};
use crate::rabbitmq::{fresh_prefix, options, take_all};
use crate::{embedded, soon};

/// As shipped.
const PATIENCE: Duration = Duration::from_millis(100);

struct Pair {
    prefix: String,
    directory: TempDir,
}

impl Pair {
    fn fresh() -> Pair {
        Pair {
            prefix: fresh_prefix(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    async fn open(&self, broker: &Broker, limits: Limits, patience: Duration) -> SpooledQueue {
        let options = RabbitmqOptions {
            // What is spooled is limited, what the broker takes is not.
            max_messages: 1_000_000,
            confirm_timeout: Duration::from_secs(3),
            ..options(broker, &self.prefix, limits)
        };
        open(options, &self.directory.path().join("spool.db"), limits, patience).await
    }
}

async fn open(options: RabbitmqOptions, spool: &Path, limits: Limits, patience: Duration) -> SpooledQueue {
    let primary = RabbitmqQueue::open(options).await.unwrap();
    let limits = Limits { failures: 1, ..limits };
    let spool = EmbeddedQueue::open(embedded::options(spool, limits)).await.unwrap();
    SpooledQueue::new(Arc::new(primary), spool, patience)
}

#[async_trait]
impl Queues for Pair {
    async fn open(&self, limits: Limits) -> Box<dyn Queue> {
        // Patient, so that nothing comes twice on a busy machine.
        Box::new(Pair::open(self, broker::shared().await, limits, Duration::from_secs(20)).await)
    }
}

macro_rules! queue_keeps {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::queue::$name(&Pair::fresh()).await;
            }
        )*
    };
}

queue_keeps! {
    what_is_acked_never_comes_back
    what_is_unsettled_comes_back_after_a_restart
    a_lane_is_served_oldest_first
    both_lanes_are_served_and_the_urgent_one_more_often
    a_failure_comes_back_and_is_buried_with_its_reason
    what_is_buried_is_listed_page_by_page_and_found
    what_is_retried_is_as_new_and_no_longer_buried
    what_is_dropped_never_comes_back
    a_retry_that_is_cut_off_anywhere_loses_nothing
    failures_are_counted_over_a_restart
    what_is_returned_comes_back_uncounted
    what_is_passed_on_comes_to_whoever_receives_and_is_never_buried
    a_message_that_is_too_large_is_refused
    a_closed_queue_says_so_to_everyone
    thousands_of_senders_at_once_are_all_stored
    every_message_reaches_one_of_many_receivers
}

fn text(number: usize) -> Bytes {
    Bytes::from(number.to_string())
}

async fn until_empty(queue: &SpooledQueue) {
    soon("an empty spool", async {
        while queue.spooled(Lane::Urgent).await.unwrap() + queue.spooled(Lane::Bulk).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// In the order in which the queue hands them out, acked.
async fn take_in_order(queue: &dyn Queue, count: usize) -> Vec<Bytes> {
    let mut found = Vec::new();
    while found.len() < count {
        let claims = soon("a message", queue.receive(256)).await.unwrap();
        queue.settle(claims.iter().map(|claim| (claim.id, Verdict::Ack)).collect()).await.unwrap();
        found.extend(claims.into_iter().map(|claim| claim.message));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_down_messages_are_spooled_at_once_and_follow_in_order() {
    let broker = broker::fragile().await;
    let pair = Pair::fresh();
    let queue = pair.open(&broker, Limits::default(), PATIENCE).await;
    assert_eq!(queue.send(Lane::Urgent, text(0)).await.unwrap(), Durability::Broker);
    tokio::task::block_in_place(|| broker.kill());

    let mut slowest = Duration::ZERO;
    for number in 1..=300 {
        let asked = Instant::now();
        assert_eq!(queue.send(Lane::Urgent, text(number)).await.unwrap(), Durability::Spool);
        slowest = slowest.max(asked.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(queue.spooled(Lane::Urgent).await.unwrap(), 300);
    tokio::task::block_in_place(|| broker.begin());
    until_empty(&queue).await;

    assert_eq!(take_in_order(&queue, 301).await, (0..=300).map(text).collect::<Vec<_>>());
    soon("the broker is used again", async {
        while queue.send(Lane::Urgent, text(301)).await.unwrap() != Durability::Broker {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_alarm_blocks_the_broker_the_spool_takes_over() {
    let broker = broker::fragile().await;
    let pair = Pair::fresh();
    let queue = pair.open(&broker, Limits::default(), PATIENCE).await;
    queue.send(Lane::Urgent, text(0)).await.unwrap();
    tokio::task::block_in_place(|| broker.block());

    let mut waits = Vec::new();
    for number in 1..=50 {
        let asked = Instant::now();
        assert_eq!(queue.send(Lane::Bulk, text(number)).await.unwrap(), Durability::Spool);
        waits.push(asked.elapsed());
    }
    let slow = waits.iter().filter(|wait| **wait >= PATIENCE).count();
    assert!(slow <= 3, "{slow} of 50 waited for the broker: {waits:?}");
    tokio::task::block_in_place(|| broker.unblock());
    until_empty(&queue).await;

    let found: HashSet<Bytes> = take_all(&queue).await;
    assert_eq!(found, (0..=50).map(text).collect());
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_costs_a_few_their_patience_and_the_others_nothing() {
    let broker = broker::fragile().await;
    let pair = Pair::fresh();
    let queue = pair.open(&broker, Limits::default(), PATIENCE).await;
    queue.send(Lane::Urgent, text(0)).await.unwrap();
    broker.pause();

    let mut waits = Vec::new();
    for number in 1..=50 {
        let asked = Instant::now();
        assert_eq!(queue.send(Lane::Urgent, text(number)).await.unwrap(), Durability::Spool);
        waits.push(asked.elapsed());
    }
    let slow = waits.iter().filter(|wait| **wait >= PATIENCE).count();
    assert!(slow <= 5, "{slow} of 50 waited for the broker: {waits:?}");
    broker.resume();
    until_empty(&queue).await;

    let found: HashSet<Bytes> = take_all(&queue).await;
    assert_eq!(found, (0..=50).map(text).collect());
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_refuses_and_says_early_that_it_fills() {
    let broker = broker::fragile().await;
    let pair = Pair::fresh();
    let limits = Limits {
        messages: 10,
        ..Limits::default()
    };
    tokio::task::block_in_place(|| broker.kill());
    let queue = pair.open(&broker, limits, PATIENCE).await;

    for number in 0..10 {
        assert_eq!(queue.is_nearly_full(), number >= 8, "{number} of 10");
        queue.send(Lane::Urgent, text(number)).await.unwrap();
    }
    let refused = queue.send(Lane::Urgent, text(10)).await;
    assert!(matches!(refused, Err(Error::Full { waiting: 10, limit: 10 })), "{refused:?}");
    tokio::task::block_in_place(|| broker.begin());
    until_empty(&queue).await;

    let found: HashSet<Bytes> = take_all(&queue).await;
    assert_eq!(found, (0..10).map(text).collect());
    assert!(!queue.is_nearly_full());
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_queue_does_not_lose_what_is_sent_to_it() {
    let broker = broker::shared().await;
    let pair = Pair::fresh();
    let queue = pair.open(broker, Limits::default(), Duration::from_secs(3)).await;
    broker.delete(&format!("{}.v1.urgent", pair.prefix)).await;

    let sent = join_all((0..100).map(|number| queue.send(Lane::Urgent, text(number)))).await;

    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    until_empty(&queue).await;
    let found: HashSet<Bytes> = take_all(&queue).await;
    assert_eq!(found, (0..100).map(text).collect());
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_leave_the_spool_is_buried_there() {
    let broker = broker::shared().await;
    let pair = Pair::fresh();
    let narrow = RabbitmqOptions {
        max_message_bytes: 10,
        ..options(broker, &pair.prefix, Limits::default())
    };
    let spool = pair.directory.path().join("spool.db");
    let file = EmbeddedQueue::open(embedded::options(&spool, Limits::default())).await.unwrap();
    file.send(Lane::Bulk, Bytes::from_static(b"eleven bytes")).await.unwrap();
    file.send(Lane::Bulk, text(1)).await.unwrap();
    file.close().await;

    let queue = open(narrow, &spool, Limits::default(), PATIENCE).await;
    until_empty(&queue).await;

    assert_eq!(take_in_order(&queue, 1).await, [text(1)]);
    let dead = soon("the burial", async {
        loop {
            match queue.dead(10).await.unwrap() {
                dead if dead.is_empty() => tokio::time::sleep(Duration::from_millis(20)).await,
                dead => return dead,
            }
        }
    })
    .await;
    assert_eq!(dead[0].message, "eleven bytes");
    queue.close().await;
}

const CHILD: &str = "PIPECAST_TEST_SPOOL";

/// Fills the spool before a broker that is there, so that it is always draining.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_spools_and_drains_until_it_is_killed() {
    let Ok(given) = std::env::var(CHILD) else { return };
    let [url, prefix, path]: [String; 3] = given.split('|').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
    let options = RabbitmqOptions {
        url,
        ca: None,
        prefix,
        max_messages: 1_000_000,
        max_message_bytes: 1 << 20,
        max_failures: 3,
        max_crashes: 5,
        retry_base: Duration::ZERO,
        retry_cap: Duration::ZERO,
        prefetch: 1,
        confirm_timeout: Duration::from_secs(3),
        connect_timeout: Duration::from_secs(10),
    };
    // No patience at all: everything is sent to both.
    let queue = open(options, Path::new(&path), Limits::default(), Duration::ZERO).await;
    let tag = std::process::id();
    join_all((0..20).map(|sender| {
        let queue = &queue;
        async move {
            for number in 0_u32.. {
                let message = format!("{tag}.{sender}.{number}");
                queue.send(Lane::Urgent, Bytes::from(message.clone())).await.unwrap();
                println!("acknowledged {message}");
            }
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed_while_it_drains() {
    let broker = broker::shared().await;
    let pair = Pair::fresh();
    let path = pair.directory.path().join("spool.db");
    let mut acknowledged = HashSet::new();

    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "spool::child_that_spools_and_drains_until_it_is_killed",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(CHILD, format!("{}|{}|{}", broker.url(), pair.prefix, path.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut fatal = Some(rand::random_range(100..400));
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            let Some((_, message)) = line.split_once("acknowledged ") else { continue };
            acknowledged.insert(Bytes::from(message.to_owned()));
            fatal = fatal.map(|left| left - 1);
            if fatal == Some(0) {
                child.kill().unwrap();
                fatal = None;
            }
        }
        child.wait().unwrap();
        assert!(fatal.is_none(), "the child of round {round} ended by itself");
    }

    let queue = pair.open(broker, Limits::default(), PATIENCE).await;
    until_empty(&queue).await;
    let found = take_all(&queue).await;
    let lost = acknowledged.difference(&found).count();
    println!("5 kills: {} acknowledged, {} found, {lost} lost", acknowledged.len(), found.len());
    assert_eq!(lost, 0);
    queue.close().await;
}
