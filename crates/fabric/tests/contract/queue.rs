//! What every queue must keep; of what is buried, see `dead`. Knows nothing of a backend.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use pipecast_fabric::{Claim, Error, Queue, Verdict};
use pipecast_model::Lane;

use crate::soon;

mod dead;

pub(crate) use dead::{
    a_failure_comes_back_and_is_buried_with_its_reason, a_retry_that_is_cut_off_anywhere_loses_nothing, what_is_buried_is_listed_page_by_page_and_found,
    what_is_dropped_never_comes_back, what_is_retried_is_as_new_and_no_longer_buried,
};

/// One queue's storage, which can be opened again and again.
#[async_trait]
pub(crate) trait Queues: Sync {
    async fn open(&self, limits: Limits) -> Box<dyn Queue>;
}

#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) message_bytes: usize,
    pub(crate) failures: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            messages: 100_000,
            bytes: 1 << 30,
            message_bytes: 8 << 20,
            failures: 3,
        }
    }
}

fn message(number: usize) -> Bytes {
    Bytes::from(format!("message {number}"))
}

async fn send(queue: &dyn Queue, lane: Lane, numbers: std::ops::Range<usize>) {
    for number in numbers {
        queue.send(lane, message(number)).await.unwrap();
    }
}

/// Sends `count` numbered messages, `at_once` at a time.
pub(crate) async fn send_concurrently(queue: &dyn Queue, at_once: usize, count: usize) {
    let next = AtomicUsize::new(0);
    join_all((0..at_once).map(|_| async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            queue.send(Lane::Urgent, message(number)).await.unwrap();
        }
    }))
    .await;
}

async fn receive(queue: &dyn Queue, most: usize) -> Vec<Claim> {
    soon("a message", queue.receive(most)).await.unwrap()
}

async fn receive_all(queue: &dyn Queue, count: usize) -> Vec<Claim> {
    let mut claims = Vec::new();
    while claims.len() < count {
        claims.extend(receive(queue, count - claims.len()).await);
    }
    claims
}

async fn settle(queue: &dyn Queue, claims: &[Claim], verdict: Verdict) {
    queue.settle(claims.iter().map(|claim| (claim.id, verdict.clone())).collect()).await.unwrap();
}

fn texts(claims: &[Claim]) -> Vec<Bytes> {
    claims.iter().map(|claim| claim.message.clone()).collect()
}

async fn is_empty(queue: &dyn Queue) -> bool {
    queue.depth(Lane::Urgent).await.unwrap() + queue.depth(Lane::Bulk).await.unwrap() == 0
}

pub(crate) async fn what_is_acked_never_comes_back(queues: &dyn Queues) {
    let queue = queues.open(Limits::default()).await;
    send(&*queue, Lane::Urgent, 0..3).await;
    let claims = receive_all(&*queue, 3).await;

    settle(&*queue, &claims, Verdict::Ack).await;
    queue.close().await;
    let queue = queues.open(Limits::default()).await;

    assert!(is_empty(&*queue).await);
    send(&*queue, Lane::Urgent, 9..10).await;
    assert_eq!(texts(&receive(&*queue, 10).await), [message(9)]);
    queue.close().await;
}

pub(crate) async fn what_is_unsettled_comes_back_after_a_restart(queues: &dyn Queues) {
    let queue = queues.open(Limits::default()).await;
    send(&*queue, Lane::Urgent, 0..4).await;
    let claimed = receive_all(&*queue, 2).await;
    queue.close().await;
    drop(claimed);

    let queue = queues.open(Limits::default()).await;
    let claims = receive_all(&*queue, 4).await;

    let all: HashSet<Bytes> = texts(&claims).into_iter().collect();
    assert_eq!(all, (0..4).map(message).collect());
    queue.close().await;
}

pub(crate) async fn a_lane_is_served_oldest_first(queues: &dyn Queues) {
    let queue = queues.open(Limits::default()).await;
    send(&*queue, Lane::Bulk, 0..50).await;

    let claims = receive_all(&*queue, 50).await;

    assert_eq!(texts(&claims), (0..50).map(message).collect::<Vec<_>>());
    queue.close().await;
}

pub(crate) async fn both_lanes_are_served_and_the_urgent_one_more_often(queues: &dyn Queues) {
    let queue = queues.open(Limits::default()).await;
    // A backend may bring messages only once somebody has asked for some.
    send(&*queue, Lane::Bulk, 200..201).await;
    settle(&*queue, &receive(&*queue, 1).await, Verdict::Ack).await;
    send(&*queue, Lane::Bulk, 0..40).await;
    send(&*queue, Lane::Urgent, 100..140).await;

    let mut first = Vec::new();
    for _ in 0..20 {
        first.extend(receive(&*queue, 1).await);
    }

    let bulk = first.iter().filter(|claim| claim.lane == Lane::Bulk).count();
    assert!((1..10).contains(&bulk), "{bulk} of the first 20 were bulk");
    assert_eq!(receive_all(&*queue, 60).await.len(), 60);
    queue.close().await;
}

pub(crate) async fn failures_are_counted_over_a_restart(queues: &dyn Queues) {
    let queue = queues.open(Limits::default()).await;
    send(&*queue, Lane::Urgent, 0..1).await;
    let claims = receive(&*queue, 1).await;
    settle(&*queue, &claims, Verdict::Fail("once".into())).await;
    queue.close().await;

    let queue = queues.open(Limits::default()).await;
    let claims = receive(&*queue, 1).await;

    assert_eq!((claims[0].failures, &claims[0].message), (1, &message(0)));
    queue.close().await;
}

pub(crate) async fn what_is_returned_comes_back_uncounted(queues: &dyn Queues) {
    let queue = queues
        .open(Limits {
            failures: 1,
            ..Limits::default()
        })
        .await;
    send(&*queue, Lane::Urgent, 0..1).await;
    let claims = receive(&*queue, 1).await;

    settle(&*queue, &claims, Verdict::Return).await;
    let again = receive(&*queue, 1).await;

    assert_eq!((again[0].failures, &again[0].message), (0, &message(0)));
    queue.close().await;
}

/// The retry cap of these queues bounds the rest to a tenth of a second.
pub(crate) async fn what_is_passed_on_comes_to_whoever_receives_and_is_never_buried(queues: &dyn Queues) {
    let queue = queues
        .open(Limits {
            failures: 1,
            ..Limits::default()
        })
        .await;
    send(&*queue, Lane::Urgent, 0..1).await;

    for _ in 0..25 {
        let claims = receive(&*queue, 1).await;
        assert_eq!((claims[0].failures, &claims[0].message, claims[0].lane), (0, &message(0), Lane::Urgent));
        settle(&*queue, &claims, Verdict::Pass).await;
    }

    assert_eq!(queue.depth(Lane::Urgent).await.unwrap(), 1);
    assert!(queue.dead(1).await.unwrap().is_empty());
    queue.close().await;
    let queue = queues.open(Limits::default()).await;
    assert_eq!(texts(&receive(&*queue, 1).await), [message(0)]);
    queue.close().await;
}

pub(crate) async fn a_full_queue_refuses_and_stores_nothing(queues: &dyn Queues) {
    let limits = Limits {
        messages: 3,
        ..Limits::default()
    };
    let queue = queues.open(limits).await;
    send(&*queue, Lane::Urgent, 0..2).await;
    send(&*queue, Lane::Bulk, 2..3).await;

    let refused = queue.send(Lane::Urgent, message(3)).await;

    assert!(matches!(refused, Err(Error::Full { waiting: 3, limit: 3 })), "{refused:?}");
    queue.close().await;
    let queue = queues.open(limits).await;
    let claims = receive_all(&*queue, 3).await;
    settle(&*queue, &claims, Verdict::Ack).await;
    assert!(!texts(&claims).contains(&message(3)));
    assert!(is_empty(&*queue).await);
    send(&*queue, Lane::Urgent, 4..5).await;
    queue.close().await;
}

pub(crate) async fn a_message_that_is_too_large_is_refused(queues: &dyn Queues) {
    let queue = queues
        .open(Limits {
            message_bytes: 10,
            ..Limits::default()
        })
        .await;

    let refused = queue.send(Lane::Urgent, Bytes::from_static(b"eleven bytes")).await;

    assert!(matches!(refused, Err(Error::TooLarge { size: 12, limit: 10 })), "{refused:?}");
    assert!(is_empty(&*queue).await);
    queue.close().await;
}

pub(crate) async fn a_closed_queue_says_so_to_everyone(queues: &dyn Queues) {
    let queue = queues.open(Limits::default()).await;

    let (received, ()) = soon("the end of receive", async { tokio::join!(queue.receive(1), queue.close()) }).await;

    assert!(matches!(received, Err(Error::Closed(_))));
    assert!(matches!(queue.send(Lane::Urgent, message(0)).await, Err(Error::Closed(_))));
    assert!(matches!(queue.receive(1).await, Err(Error::Closed(_))));
    queue.close().await;
}

pub(crate) async fn thousands_of_senders_at_once_are_all_stored(queues: &dyn Queues) {
    let queue = queues.open(Limits::default()).await;

    join_all((0..3_000).map(|number| queue.send(Lane::Urgent, message(number))))
        .await
        .into_iter()
        .for_each(|sent| assert!(sent.is_ok(), "{sent:?}"));
    queue.close().await;

    let queue = queues.open(Limits::default()).await;
    let all: HashSet<Bytes> = texts(&receive_all(&*queue, 3_000).await).into_iter().collect();
    assert_eq!(all.len(), 3_000);
    queue.close().await;
}

pub(crate) async fn every_message_reaches_one_of_many_receivers(queues: &dyn Queues) {
    let queue = queues.open(Limits::default()).await;
    let count = 2_000;
    let done = AtomicUsize::new(0);
    let finished = tokio::sync::Notify::new();

    let receivers = join_all((0..8).map(|_| async {
        let mut got = Vec::new();
        while done.load(Ordering::SeqCst) < count {
            let claims = tokio::select! {
                claims = queue.receive(16) => claims.unwrap(),
                () = finished.notified() => break,
            };
            settle(&*queue, &claims, Verdict::Ack).await;
            if done.fetch_add(claims.len(), Ordering::SeqCst) + claims.len() >= count {
                finished.notify_waiters();
            }
            got.extend(texts(&claims));
        }
        got
    }));
    let (got, ()) = soon("all deliveries", async { tokio::join!(receivers, send_concurrently(&*queue, 32, count)) }).await;

    let got = got.concat();
    assert_eq!(got.len(), count, "each message once");
    assert_eq!(got.into_iter().collect::<HashSet<_>>().len(), count);
    assert!(is_empty(&*queue).await);
    queue.close().await;
}
