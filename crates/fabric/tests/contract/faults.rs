//! What a broker does to the queue on RabbitMQ: it dies, blocks, falls silent, loses queues and closes connections.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use pipecast_fabric::queue::rabbitmq::{RabbitmqOptions, RabbitmqQueue};
use pipecast_fabric::{Error, Queue, Verdict};
use pipecast_model::Lane;

use crate::queue::Limits;
use crate::rabbitmq::{fresh_prefix, open, options, receive_one, take_all, text, until_sent};
use crate::{broker, soon};

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
    assert!(
        asked.elapsed() < Duration::from_millis(500),
        "nobody waits for a confirm: {:?}",
        asked.elapsed()
    );
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
