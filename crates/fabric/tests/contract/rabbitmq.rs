//! The queue on RabbitMQ, put to the contract and to what a broker does to its clients.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
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
    failures_are_counted_over_a_restart
    what_is_returned_comes_back_uncounted
    a_full_queue_refuses_and_stores_nothing
    a_message_that_is_too_large_is_refused
    a_closed_queue_says_so_to_everyone
    thousands_of_senders_at_once_are_all_stored
    every_message_reaches_one_of_many_receivers
}

fn text(number: usize) -> Bytes {
    Bytes::from(number.to_string())
}

async fn open(broker: &Broker, prefix: &str) -> RabbitmqQueue {
    RabbitmqQueue::open(options(broker, prefix, Limits::default())).await.unwrap()
}

async fn receive_one(queue: &RabbitmqQueue) -> Claim {
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
async fn until_sent(queue: &dyn Queue, message: Bytes) {
    soon("a confirm", async {
        while queue.send(Lane::Urgent, message.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_routed_is_not_acknowledged_and_its_queue_comes_back() {
    let broker = broker::shared().await;
    let prefix = fresh_prefix();
    let queue = open(broker, &prefix).await;
    queue.send(Lane::Urgent, text(0)).await.unwrap();

    for round in 0..3 {
        broker.delete(&format!("{prefix}.v1.bulk")).await;
        // Many at once, into a queue that is there and one that is not: the broker confirms them in groups.
        let sends = (1..=2_000).map(|number| {
            let lane = if number % 2 == 0 { Lane::Urgent } else { Lane::Bulk };
            let number = round * 10_000 + number;
            let queue = &queue;
            async move { (lane, number, queue.send(lane, text(number)).await) }
        });
        let sent = join_all(sends).await;

        let refused = sent.iter().filter(|(.., sent)| sent.is_err()).count();
        assert!(refused > 0, "the queue of the bulk lane was not there");
        assert!(sent.iter().all(|(lane, _, sent)| *lane == Lane::Bulk || sent.is_ok()), "{sent:?}");
        let acknowledged: HashSet<Bytes> = sent
            .into_iter()
            .filter(|(lane, _, sent)| *lane == Lane::Bulk && sent.is_ok())
            .map(|(_, number, _)| text(number))
            .collect();
        soon("the queue is back", async {
            while queue.send(Lane::Bulk, text(round * 10_000)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let other = open(broker, &prefix).await;
        let found = take_all(&other).await;
        other.close().await;
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "{lost:?} were acknowledged");
    }
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_broker_is_killed_under_load() {
    let broker = broker::fragile().await;
    let prefix = fresh_prefix();
    let queue = open(&broker, &prefix).await;
    let over = AtomicBool::new(false);
    let senders = join_all((0..20).map(|sender| {
        let (queue, over) = (&queue, &over);
        async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let message = Bytes::from(format!("{sender}.{number}"));
                match queue.send(Lane::Urgent, message.clone()).await {
                    Ok(_) => acknowledged.push(message),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
            acknowledged
        }
    }));
    let nemesis = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            tokio::task::block_in_place(|| {
                broker.kill();
                broker.begin();
            });
            until_sent(&queue, Bytes::from_static(b"alive")).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let (acknowledged, ()) = tokio::join!(senders, nemesis);

    let acknowledged: HashSet<Bytes> = acknowledged.into_iter().flatten().collect();
    let found = take_all(&queue).await;
    let lost = acknowledged.difference(&found).count();
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    assert!(acknowledged.len() > 200, "only {} acknowledged", acknowledged.len());
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_broker_closes_is_made_again_and_claims_come_again() {
    let broker = broker::fragile().await;
    let queue = open(&broker, &fresh_prefix()).await;
    queue.send(Lane::Urgent, text(1)).await.unwrap();
    let lost = receive_one(&queue).await;

    tokio::task::block_in_place(|| broker.control(&["close_all_connections", "the test says so"]));
    until_sent(&queue, text(2)).await;
    let again = receive_one(&queue).await;
    queue.settle(vec![(lost.id, Verdict::Ack)]).await.unwrap();
    queue.settle(vec![(again.id, Verdict::Ack)]).await.unwrap();

    assert_eq!((&again.message, again.failures), (&text(1), 0));
    assert_ne!(again.id, lost.id, "what belongs to a lost connection settles nothing");
    assert_eq!(receive_one(&queue).await.message, text(2));
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_broker_is_noticed_and_work_goes_on() {
    let broker = broker::fragile().await;
    let queue = open(&broker, &fresh_prefix()).await;
    queue.send(Lane::Urgent, text(1)).await.unwrap();
    queue.send(Lane::Urgent, text(2)).await.unwrap();
    tokio::task::block_in_place(|| broker.block());

    // The first one tells the broker that we publish, and it tells us that it is blocked.
    let refused = tokio::time::timeout(Duration::from_millis(200), queue.send(Lane::Urgent, text(3))).await;
    assert!(!matches!(refused, Ok(Ok(_))), "{refused:?}");
    let asked = Instant::now();
    let refused = queue.send(Lane::Urgent, text(4)).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert!(asked.elapsed() < Duration::from_millis(50), "{:?}", asked.elapsed());
    let claim = receive_one(&queue).await;
    queue.settle(vec![(claim.id, Verdict::Ack)]).await.unwrap();
    // A failure cannot be stored anew now; it rests here, counted.
    let claim = receive_one(&queue).await;
    queue.settle(vec![(claim.id, Verdict::Fail("while blocked".to_owned()))]).await.unwrap();
    let again = receive_one(&queue).await;
    assert_eq!((&again.message, again.failures), (&text(2), 1));

    tokio::task::block_in_place(|| broker.unblock());
    until_sent(&queue, text(5)).await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_is_given_up_and_found_again() {
    let broker = broker::fragile().await;
    let options = RabbitmqOptions {
        confirm_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_secs(1),
        ..options(&broker, &fresh_prefix(), Limits::default())
    };
    let queue = RabbitmqQueue::open(options).await.unwrap();
    broker.pause();

    let refused = queue.send(Lane::Urgent, text(1)).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    soon("no waiting for it", async {
        loop {
            let asked = Instant::now();
            assert!(queue.send(Lane::Urgent, text(2)).await.is_err());
            if asked.elapsed() < Duration::from_millis(20) {
                return;
            }
        }
    })
    .await;
    broker.resume();

    until_sent(&queue, text(3)).await;
    queue.close().await;
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
async fn a_broker_that_is_down_at_the_start_is_found_later() {
    let broker = broker::fragile().await;
    tokio::task::block_in_place(|| broker.kill());
    let queue = open(&broker, &fresh_prefix()).await;
    assert!(matches!(queue.send(Lane::Urgent, text(1)).await, Err(Error::Unavailable { .. })));
    assert!(matches!(queue.depth(Lane::Urgent).await, Err(Error::Unavailable { .. })));

    tokio::task::block_in_place(|| broker.begin());

    until_sent(&queue, text(2)).await;
    assert_eq!(receive_one(&queue).await.message, text(2));
    queue.close().await;
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
async fn with_tls_the_certificate_must_come_from_a_known_authority() {
    let broker = broker::shared().await;
    let mut options = options(broker, &fresh_prefix(), Limits::default());
    options.url = broker.tls_url();
    let unknown = RabbitmqQueue::open(options.clone()).await.unwrap();
    assert!(matches!(unknown.send(Lane::Urgent, text(1)).await, Err(Error::Unavailable { .. })));
    unknown.close().await;

    options.ca = Some(broker.ca());
    let queue = RabbitmqQueue::open(options).await.unwrap();
    queue.send(Lane::Urgent, text(2)).await.unwrap();
    assert_eq!(receive_one(&queue).await.message, text(2));
    queue.close().await;
}
