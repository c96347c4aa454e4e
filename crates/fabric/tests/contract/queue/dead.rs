//! What every queue must keep of messages that were buried. Knows nothing of a backend.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use pipecast_fabric::{Dead, DeadId, Queue, Verdict};
use pipecast_model::Lane;

use super::{Limits, Queues, is_empty, message, receive, receive_all, send, settle, texts};
use crate::soon;

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
