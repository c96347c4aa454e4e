//! The queue on RabbitMQ, put to the contract, and what it adds to it. What a broker does to its clients is in `faults`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipecast_fabric::queue::rabbitmq::{RabbitmqOptions, RabbitmqQueue};
use pipecast_fabric::{Claim, Error, Queue, Verdict};
use pipecast_model::Lane;

use crate::broker::{self, Broker};
use crate::queue::{Limits, Queues};
use crate::soon;

/// Names that nobody else uses.
pub(crate) fn fresh_prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn options(broker: &Broker, prefix: &str, limits: Limits) -> RabbitmqOptions {
    RabbitmqOptions {
        url: broker.url(),
        ca: None,
        prefix: prefix.to_owned(),
        max_messages: limits.messages,
        max_message_bytes: limits.message_bytes,
        max_failures: limits.failures,
        max_crashes: 5,
        retry_base: Duration::from_millis(20),
        retry_cap: Duration::from_millis(100),
        prefetch: 4096,
        confirm_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
    }
}

struct Prefix(String);

#[async_trait]
impl Queues for Prefix {
    async fn open(&self, limits: Limits) -> Box<dyn Queue> {
        let broker = broker::shared().await;
        Box::new(RabbitmqQueue::open(options(broker, &self.0, limits)).await.unwrap())
    }
}

macro_rules! queue_keeps {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::queue::$name(&Prefix(fresh_prefix())).await;
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
    a_full_queue_refuses_and_stores_nothing
    a_message_that_is_too_large_is_refused
    a_closed_queue_says_so_to_everyone
    thousands_of_senders_at_once_are_all_stored
    every_message_reaches_one_of_many_receivers
}

pub(crate) fn text(number: usize) -> Bytes {
    Bytes::from(number.to_string())
}

pub(crate) async fn open(broker: &Broker, prefix: &str) -> RabbitmqQueue {
    RabbitmqQueue::open(options(broker, prefix, Limits::default())).await.unwrap()
}

pub(crate) async fn receive_one(queue: &RabbitmqQueue) -> Claim {
    soon("a message", queue.receive(1)).await.unwrap().remove(0)
}

/// Everything that is there, acked. Ends once nothing has come for a while, and the broker knows of nothing.
pub(crate) async fn take_all(queue: &dyn Queue) -> HashSet<Bytes> {
    let mut found = HashSet::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(1), queue.receive(256)).await {
            Ok(claims) => {
                let claims = claims.unwrap();
                let verdicts = claims.iter().map(|claim| (claim.id, Verdict::Ack)).collect();
                found.extend(claims.into_iter().map(|claim| claim.message));
                queue.settle(verdicts).await.unwrap();
            }
            Err(_) if queue.depth(Lane::Urgent).await.unwrap() + queue.depth(Lane::Bulk).await.unwrap() == 0 => return found,
            Err(_) => {}
        }
    }
}

/// Waits until a send is confirmed again.
pub(crate) async fn until_sent(queue: &dyn Queue, message: Bytes) {
    soon("a confirm", async {
        while queue.send(Lane::Urgent, message.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kills_whoever_takes_it_goes_to_quarantine_and_is_buried() {
    let broker = broker::shared().await;
    let prefix = fresh_prefix();
    let queue = open(broker, &prefix).await;
    queue.send(Lane::Urgent, text(1)).await.unwrap();
    for _ in 0..2 {
        broker.take_and_die(&format!("{prefix}.v1.urgent"), 1).await;
    }

    // Now it is suspect. It still gets its chances, one at a time and with nothing beside it.
    let suspect = receive_one(&queue).await;
    assert_eq!((&suspect.message, suspect.failures, suspect.lane), (&text(1), 0, Lane::Urgent));
    queue.close().await;
    for _ in 0..2 {
        broker.take_and_die(&format!("{prefix}.v1.quarantine"), 1).await;
    }
    let queue = open(broker, &prefix).await;
    queue.send(Lane::Urgent, text(2)).await.unwrap();

    let other = receive_one(&queue).await;
    assert_eq!(other.message, text(2));
    let dead = soon("the burial", async {
        loop {
            match queue.dead(10).await.unwrap() {
                dead if dead.is_empty() => tokio::time::sleep(Duration::from_millis(20)).await,
                dead => return dead,
            }
        }
    })
    .await;
    assert_eq!((&dead[0].message, dead[0].lane), (&text(1), Lane::Urgent));
    assert!(dead[0].reason.contains("5 times without a verdict"), "{}", dead[0].reason);
    assert_eq!(queue.dead(10).await.unwrap().len(), 1, "looking at the dead leaves them where they are");
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_that_is_given_back_is_no_suspect_any_more() {
    let broker = broker::shared().await;
    let prefix = fresh_prefix();
    let queue = open(broker, &prefix).await;
    queue.send(Lane::Bulk, text(1)).await.unwrap();
    for _ in 0..2 {
        broker.take_and_die(&format!("{prefix}.v1.bulk"), 1).await;
    }

    let suspect = receive_one(&queue).await;
    queue.settle(vec![(suspect.id, Verdict::Return)]).await.unwrap();
    let again = receive_one(&queue).await;

    assert_eq!((&again.message, again.failures), (&text(1), 0));
    assert_eq!(broker.count(&format!("{prefix}.v1.quarantine")).await, 0);
    queue.settle(vec![(again.id, Verdict::Ack)]).await.unwrap();
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_has_its_turn_while_the_lanes_are_full() {
    const MOST: usize = 8;
    let broker = broker::shared().await;
    let prefix = fresh_prefix();
    let queue = open(broker, &prefix).await;
    queue.send(Lane::Urgent, text(0)).await.unwrap();
    for _ in 0..2 {
        broker.take_and_die(&format!("{prefix}.v1.urgent"), 1).await;
    }
    let sent = futures_util::future::join_all((1..=4_000).map(|number| queue.send(Lane::Urgent, text(number)))).await;
    assert!(sent.iter().all(Result::is_ok));

    let mut others = 0;
    loop {
        let claims = soon("a message", queue.receive(MOST)).await.unwrap();
        queue.settle(claims.iter().map(|claim| (claim.id, Verdict::Ack)).collect()).await.unwrap();
        if claims.iter().any(|claim| claim.message == text(0)) {
            break;
        }
        others += claims.len();
        assert!(others < 3_500, "it waits for all others");
        // Work takes its time; the way into quarantine and out again does so, too.
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_with_other_arguments_are_refused_with_a_sentence_that_says_what_to_do() {
    let broker = broker::shared().await;
    let prefix = fresh_prefix();
    let (_connection, channel) = broker.connect().await;
    let other = lapin::options::QueueDeclareOptions::durable();
    let declared = channel.queue_declare(format!("{prefix}.v1.urgent").into(), other, lapin::types::FieldTable::default());
    declared.await.unwrap();

    let refused = RabbitmqQueue::open(options(broker, &prefix, Limits::default())).await.err().unwrap();

    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("other arguments") && cause.contains("fabric.rabbitmq.prefix"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused_and_never_printed() {
    let broker = broker::shared().await;
    let mut wrong = options(broker, &fresh_prefix(), Limits::default());
    wrong.url = wrong.url.replace("guest:guest", "guest:hunter2");

    let refused = RabbitmqQueue::open(wrong.clone()).await.err().unwrap();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("does not let this user in") && !cause.contains("hunter2"), "{cause}");

    wrong.url = "amqp://guest:hunter2@127.0.0.1:notaport".to_owned();
    let refused = RabbitmqQueue::open(wrong).await.err().unwrap();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("fabric.amqp_url") && !cause.contains("hunter2"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_for_the_broker_is_refused_and_the_next_is_not() {
    let broker = broker::shared().await;
    let queue = open(broker, &fresh_prefix()).await;
    let large = Bytes::from(vec![7; broker::LARGEST_MESSAGE + 1]);

    for _ in 0..2 {
        let refused = queue.send(Lane::Urgent, large.clone()).await;
        assert!(
            matches!(
                refused,
                Err(Error::TooLarge {
                    limit: broker::LARGEST_MESSAGE,
                    ..
                })
            ),
            "{refused:?}"
        );
    }

    until_sent(&queue, Bytes::from(vec![8; broker::LARGEST_MESSAGE])).await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tls_the_certificate_must_be_this_brokers_and_come_from_a_known_authority() {
    let broker = broker::shared().await;
    let mut options = options(broker, &fresh_prefix(), Limits::default());
    options.url = broker.tls_url();
    let of_another_name = broker.tls_url().replace("localhost", "127.0.0.1");
    for (url, ca) in [
        (broker.tls_url(), None),
        (broker.tls_url(), Some(broker.another_ca())),
        (of_another_name, Some(broker.ca())),
    ] {
        let stranger = RabbitmqQueue::open(RabbitmqOptions { url, ca, ..options.clone() }).await.unwrap();
        assert!(matches!(stranger.send(Lane::Urgent, text(1)).await, Err(Error::Unavailable { .. })));
        stranger.close().await;
    }

    options.ca = Some(broker.ca());
    let queue = RabbitmqQueue::open(options).await.unwrap();
    queue.send(Lane::Urgent, text(2)).await.unwrap();
    assert_eq!(receive_one(&queue).await.message, text(2));
    queue.close().await;
}
