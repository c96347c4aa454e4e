//! Deliveries that cannot be applied, servers that are away, and ends in the middle: nothing is lost, and nothing counts twice.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use pipecast_fabric::{Cache, Queue};
use pipecast_model::{Delivery, Lane, Outcome, Status, Work};
use pipecast_store::Noted;

use crate::house::{House, PIPELINE, next, until, workflow_run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_delivery_is_buried_and_the_others_go_through() {
    let mut house = House::build().await;
    sqlx::query("CREATE TRIGGER poison BEFORE INSERT ON deliveries WHEN NEW.delivery_key = 'poison' BEGIN SELECT raise(ABORT, 'poisoned'); END")
        .execute(&mut house.database().await)
        .await
        .unwrap();
    let poison = Delivery {
        key: Some("poison".to_owned()),
        ..workflow_run(2, "completed", Some("failure"), 2)
    };
    let sound: Vec<_> = [1, 3].into_iter().map(|run| workflow_run(run, "completed", Some("success"), 2)).collect();
    house.send(&sound[0]).await;
    house.send(&poison).await;
    house.queue.send(Lane::Urgent, Bytes::from_static(b"")).await.unwrap();
    house.send(&sound[1]).await;
    house.start();

    until("two burials", async || house.queue.dead(10).await.unwrap().len() == 2).await;

    for delivery in &sound {
        assert_eq!(house.outcome(delivery).await, Some(Outcome::Applied));
    }
    assert_eq!(house.outcome(&poison).await, None);
    let reasons: Vec<_> = house
        .queue
        .dead(10)
        .await
        .unwrap()
        .into_iter()
        .map(|dead| (dead.failures, dead.reason))
        .collect();
    assert!(reasons.iter().all(|(failures, _)| *failures == 2), "{reasons:?}");
    assert!(reasons.iter().any(|(_, reason)| reason.contains("poisoned")), "{reasons:?}");
    assert!(reasons.iter().any(|(_, reason)| reason.contains("malformed envelope")), "{reasons:?}");
    house.until_the_queue_is_empty().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_untold_is_told_at_the_next_start() {
    let mut house = House::build().await;
    let delivery = workflow_run(1, "in_progress", None, 1);
    let facts = pipecast_admin::intake::understand(&delivery);
    let mut tx = house.writer.as_ref().unwrap().begin().await.unwrap();
    assert_eq!(tx.note_delivery(&delivery).await.unwrap(), Noted::New);
    tx.record_facts(&delivery, &facts).await.unwrap();
    tx.commit().await.unwrap();
    // The crash comes here: committed, not announced, not acked.
    house.send(&delivery).await;
    let tap = house.hear(&[PIPELINE]).await;

    house.start();

    let (_, told) = next(&*tap).await;
    assert_eq!((told.status, told.seq), (Status::Running, 1));
    house.until_the_queue_is_empty().await;
    until("clean topics", async || house.reader.list_dirty(10).await.unwrap().is_empty()).await;
    assert!(house.cache.get(PIPELINE).await.unwrap().is_some());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_away_holds_nothing_up_and_leaves_topics_dirty() {
    let mut house = House::build().await;
    house.bus.close();
    house.start();

    let delivery = workflow_run(1, "in_progress", None, 1);
    house.send(&delivery).await;

    house.until_the_queue_is_empty().await;
    assert_eq!(house.outcome(&delivery).await, Some(Outcome::Applied));
    house.stop().await;
    assert!(house.reader.list_dirty(10).await.unwrap().contains(&PIPELINE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_finishes_what_is_in_hand_and_leaves_nothing_dirty() {
    let mut house = House::build().await;
    house.start();
    let deliveries: Vec<_> = (1..=200).map(|run| workflow_run(run, "in_progress", None, 1)).collect();
    for delivery in &deliveries {
        house.queue.send(Lane::Bulk, Work::Delivery(delivery.clone()).encode()).await.unwrap();
    }

    house.stop().await;

    assert!(house.reader.list_dirty(10).await.unwrap().is_empty());
    let mut applied = 0;
    for delivery in &deliveries {
        applied += u64::from(house.outcome(delivery).await.is_some());
    }
    assert_eq!(
        house.queue.depth(Lane::Bulk).await.unwrap() + applied,
        200,
        "each is either applied or still there"
    );
    house.queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_of_a_newer_build_is_given_back() {
    let mut house = House::build().await;
    house.start();
    house.queue.send(Lane::Urgent, Bytes::from_static(&[9, 0, 0, 0, 0])).await.unwrap();
    let after = workflow_run(1, "in_progress", None, 1);

    house.send(&after).await;

    until("the next delivery", async || house.outcome(&after).await.is_some()).await;
    until("only the newer one", async || house.queue.depth(Lane::Urgent).await.unwrap() == 1).await;
    assert!(house.queue.dead(10).await.unwrap().is_empty());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_gives_deliveries_back_uncounted() {
    let mut house = House::build().await;
    let mut other = house.database().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let deliveries: Vec<_> = (1..=5).map(|run| workflow_run(run, "in_progress", None, 1)).collect();
    for delivery in &deliveries {
        house.send(delivery).await;
    }
    house.start();
    until("a batch that was given back", async || house.queue.given_back.load(Ordering::SeqCst) > 0).await;
    assert_eq!(house.queue.depth(Lane::Urgent).await.unwrap(), 5);

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();

    for delivery in &deliveries {
        until("the delivery", async || house.outcome(delivery).await == Some(Outcome::Applied)).await;
    }
    assert!(house.queue.dead(10).await.unwrap().is_empty());
    house.stop().await;
}
