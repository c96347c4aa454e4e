//! What every queue must keep. Knows nothing of a backend.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use pipecast_fabric::{Claim, Dead, DeadId, Error, Queue, Verdict};
use pipecast_model::Lane;

use crate::soon;

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

pub(crate) async fn a_failure_comes_back_and_is_buried_with_its_reason(queues: &dyn Queues) {
    let queue = queues.open(Limits::default()).await;
    send(&*queue, Lane::Urgent, 0..1).await;

    for failures in 0..3 {
        let claims = receive(&*queue, 1).await;
        assert_eq!(claims[0].failures, failures);
        settle(&*queue, &claims, Verdict::Fail(format!("reason {failures}"))).await;
    }

    let dead = soon("the burial", async {
        loop {
            match queue.dead(10).await.unwrap() {
                dead if dead.is_empty() => tokio::task::yield_now().await,
                dead => return dead,
            }
        }
    })
    .await;
    assert_eq!(
        (&dead[0].message, dead[0].failures, dead[0].reason.as_str(), dead[0].lane),
        (&message(0), 3, "reason 2", Lane::Urgent)
    );
    assert!(is_empty(&*queue).await);
    queue.close().await;
}

/// Where one failure is enough.
fn fragile() -> Limits {
    Limits {
        failures: 1,
        ..Limits::default()
    }
}

/// Buries messages, one after the other, and returns them as they are listed.
async fn bury(queue: &dyn Queue, lane: Lane, numbers: std::ops::Range<usize>) -> Vec<Dead> {
    for number in numbers {
        let before = queue.dead(1_000).await.unwrap().len();
        queue.send(lane, message(number)).await.unwrap();
        settle(queue, &receive(queue, 1).await, Verdict::Fail(format!("reason {number}"))).await;
        until_buried(queue, before + 1).await;
    }
    queue.dead(1_000).await.unwrap()
}

async fn until_buried(queue: &dyn Queue, count: usize) {
    soon("the burial", async {
        while queue.dead(1_000).await.unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn ids(dead: &[Dead]) -> Vec<DeadId> {
    dead.iter().map(|dead| dead.id.clone()).collect()
}

pub(crate) async fn what_is_buried_is_listed_page_by_page_and_found(queues: &dyn Queues) {
    let queue = queues.open(fragile()).await;
    let all = bury(&*queue, Lane::Bulk, 0..5).await;

    let first = queue.list_dead(None, 2).await.unwrap();
    let second = queue.list_dead(Some(&first[1].id), 2).await.unwrap();
    let third = queue.list_dead(Some(&second[1].id), 2).await.unwrap();

    let pages: Vec<Dead> = [first, second, third].concat();
    let numbers: Vec<Bytes> = pages.iter().map(|dead| dead.message.clone()).collect();
    assert_eq!(numbers, (0..5).map(message).collect::<Vec<_>>());
    assert_eq!(ids(&pages), ids(&all), "a name stays the same");
    let found = queue.find_dead(&all[3].id).await.unwrap().unwrap();
    assert_eq!((&found.message, found.reason.as_str(), found.lane), (&message(3), "reason 3", Lane::Bulk));
    let unknown = DeadId("never heard of".to_owned());
    assert!(queue.find_dead(&unknown).await.unwrap().is_none());
    let asked = [all[3].id.clone(), unknown, all[0].id.clone()];
    let there: HashSet<DeadId> = queue.which_are_dead(&asked).await.unwrap().into_iter().collect();
    assert_eq!(there, [all[0].id.clone(), all[3].id.clone()].into(), "those that are there");
    let large = Bytes::from(vec![b'x'; 10 * Dead::HEAD]);
    queue.send(Lane::Bulk, large.clone()).await.unwrap();
    settle(&*queue, &receive(&*queue, 1).await, Verdict::Fail("too large".to_owned())).await;
    until_buried(&*queue, 6).await;
    let listed = queue.list_dead(Some(&all[4].id), 2).await.unwrap();
    assert_eq!((listed.len(), listed[0].bytes), (1, large.len()));
    assert_eq!(listed[0].message, large[..Dead::HEAD], "a list has the beginning of each");
    assert_eq!(queue.find_dead(&listed[0].id).await.unwrap().unwrap().message, large);
    assert_eq!(queue.drop_dead(&[listed[0].id.clone()]).await.unwrap(), 1);
    queue.close().await;
    let queue = queues.open(fragile()).await;
    assert_eq!(ids(&queue.dead(9).await.unwrap()), ids(&all), "after a restart too");
    queue.close().await;
}

pub(crate) async fn what_is_retried_is_as_new_and_no_longer_buried(queues: &dyn Queues) {
    let queue = queues.open(fragile()).await;
    let dead = bury(&*queue, Lane::Urgent, 0..4).await;

    assert_eq!(queue.retry_dead(&[dead[1].id.clone(), DeadId("7000-7000".to_owned())]).await.unwrap(), 1);
    let claims = receive(&*queue, 9).await;
    assert_eq!((texts(&claims), claims[0].failures, claims[0].lane), (vec![message(1)], 0, Lane::Urgent));
    assert_eq!(ids(&queue.dead(9).await.unwrap()), [&dead[0], &dead[2], &dead[3]].map(|dead| dead.id.clone()));
    // It may fail again, and then it is buried again.
    settle(&*queue, &claims, Verdict::Fail("again".to_owned())).await;
    until_buried(&*queue, 4).await;
    assert_eq!(queue.retry_dead(&ids(&dead[2..])).await.unwrap(), 2);
    queue.close().await;

    let queue = queues.open(fragile()).await;
    let back = receive_all(&*queue, 2).await;
    assert_eq!(texts(&back).into_iter().collect::<HashSet<_>>(), [message(2), message(3)].into());
    settle(&*queue, &back, Verdict::Ack).await;
    assert_eq!(queue.retry_dead(&ids(&dead[2..])).await.unwrap(), 0, "they are not there any more");
    let behind = queue.list_dead(Some(&dead[2].id), 9).await.unwrap();
    assert_eq!(behind.len(), 1, "the list goes on behind one that is gone");
    assert!(is_empty(&*queue).await);
    assert_eq!(queue.dead(9).await.unwrap().len(), 2);
    queue.close().await;
}

pub(crate) async fn what_is_dropped_never_comes_back(queues: &dyn Queues) {
    let queue = queues.open(fragile()).await;
    let dead = bury(&*queue, Lane::Urgent, 0..3).await;

    assert_eq!(queue.drop_dead(&ids(&dead[..2])).await.unwrap(), 2);
    assert_eq!(queue.drop_dead(&ids(&dead[..2])).await.unwrap(), 0);

    assert_eq!(ids(&queue.dead(9).await.unwrap()), ids(&dead[2..]));
    queue.close().await;
    let queue = queues.open(fragile()).await;
    assert_eq!(ids(&queue.dead(9).await.unwrap()), ids(&dead[2..]));
    assert!(is_empty(&*queue).await);
    queue.close().await;
}

pub(crate) async fn a_retry_that_is_cut_off_anywhere_loses_nothing(queues: &dyn Queues) {
    let queue = queues.open(fragile()).await;
    bury(&*queue, Lane::Urgent, 0..1).await;

    for step in 0..25 {
        let dead = queue.dead(9).await.unwrap();
        let chosen = ids(&dead[..1]);
        drop(tokio::time::timeout(Duration::from_micros(step * 150), queue.retry_dead(&chosen)).await);
        // It is in its lane, among the dead or in both; from its lane it comes back to where it was.
        soon("the message", async {
            loop {
                if let Ok(claims) = tokio::time::timeout(Duration::from_millis(60), queue.receive(9)).await {
                    settle(&*queue, &claims.unwrap(), Verdict::Fail("again".to_owned())).await;
                }
                if !queue.dead(9).await.unwrap().is_empty() {
                    return;
                }
            }
        })
        .await;
    }

    let dead = queue.dead(99).await.unwrap();
    assert!(dead.iter().all(|dead| dead.message == message(0)), "{dead:?}");
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
