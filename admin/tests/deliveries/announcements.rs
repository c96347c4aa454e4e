//! What a delivery changes is in the database, in the cache and on the bus, once and in order.

use std::collections::HashMap;
use std::time::Duration;

use pipecast_model::{Delivery, DeliveryId, Outcome, PipelineId, Status, Topic};
use pipecast_store::PipelineQuery;

use crate::house::{House, PIPELINE, next, until, workflow_run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_appears_in_database_cache_and_bus() {
    let mut house = House::build().await;
    let tap = house.hear(&[PIPELINE, Topic::Monitor]).await;
    house.start();

    let delivery = workflow_run(1, "in_progress", None, 1);
    house.send(&delivery).await;

    let (topic, first) = next(&*tap).await;
    let (other, second) = next(&*tap).await;
    assert_eq!((topic, other), (PIPELINE, Topic::Monitor));
    assert_eq!((first.topic, first.status, first.seq), (PIPELINE, Status::Running, 1));
    assert_eq!(serde_json::to_value(&first).unwrap(), serde_json::to_value(&second).unwrap());
    let cached = house.cached(PIPELINE).await;
    assert_eq!(cached.id(), first.id());
    let pipeline = house.reader.find_pipeline(PipelineId(1)).await.unwrap().unwrap();
    assert_eq!(pipeline.name, "CI");
    assert_eq!(house.outcome(&delivery).await, Some(Outcome::Applied));
    house.until_the_queue_is_empty().await;
    until("clean topics", async || house.reader.list_dirty(10).await.unwrap().is_empty()).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_announces_nothing() {
    let mut house = House::build().await;
    let tap = house.hear(&[PIPELINE]).await;
    house.start();
    // As an edge sends it: the body's hash is made here.
    let unhashed = |delivery| Delivery {
        body_sha256: String::new(),
        ..delivery
    };
    let first = unhashed(workflow_run(1, "in_progress", None, 1));
    house.send(&first).await;
    assert_eq!(next(&*tap).await.1.seq, 1);

    let same_key = Delivery {
        id: DeliveryId::fresh(),
        ..first.clone()
    };
    let same_body = Delivery {
        id: DeliveryId::fresh(),
        key: Some("another".to_owned()),
        ..first.clone()
    };
    house.send(&same_key).await;
    house.send(&same_body).await;
    house.until_the_queue_is_empty().await;
    house.send(&unhashed(workflow_run(1, "completed", Some("success"), 9))).await;

    let (_, told) = next(&*tap).await;
    assert_eq!((told.status, told.seq), (Status::Success, 2), "nothing between the first and the last");
    assert_eq!(house.reader.find_delivery(first.id).await.unwrap().unwrap().repeats, 1);
    assert_eq!(house.outcome(&same_body).await, Some(Outcome::Duplicate));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_ends_on_the_database_and_no_delivery_counts_twice() {
    let mut house = House::build().await;
    let topics: Vec<_> = (1..=20).map(|id| Topic::Execution(pipecast_model::ExecutionId(id))).chain([PIPELINE]).collect();
    let tap = house.hear(&topics).await;
    house.start();
    let mut deliveries: Vec<_> = (1..=20)
        .flat_map(|run| {
            [
                workflow_run(run, "queued", None, 1),
                workflow_run(run, "in_progress", None, 2),
                workflow_run(run, "completed", Some(if run % 3 == 0 { "failure" } else { "success" }), 3),
            ]
        })
        .collect();
    let copies: Vec<_> = deliveries.iter().step_by(4).cloned().collect();
    deliveries.extend(copies);
    let step = 37; // No common divisor with their number: a fixed shuffle.
    for position in 0..deliveries.len() {
        house.send(&deliveries[position * step % deliveries.len()]).await;
    }
    house.until_the_queue_is_empty().await;

    let mut newest: HashMap<Topic, (i64, Status)> = HashMap::new();
    let expected: HashMap<Topic, (i64, Status)> = house
        .reader
        .list_states(&topics)
        .await
        .unwrap()
        .into_iter()
        .map(|state| (state.topic, (state.seq, state.status)))
        .collect();
    assert_eq!(expected.len(), topics.len());
    while newest != expected {
        let (topic, told) = next(&*tap).await;
        let before = newest.insert(topic, (told.seq, told.status)).map_or(0, |(seq, _)| seq);
        assert!(told.seq > before, "{topic} went from {before} to {}", told.seq);
    }
    for (topic, (seq, _)) in &expected {
        let cached = house.cached(*topic).await;
        assert_eq!(cached.seq, *seq);
    }
    let twice: i64 =
        sqlx::query_scalar("SELECT count(*) FROM (SELECT 1 FROM topic_changes WHERE delivery_id IS NOT NULL GROUP BY topic, delivery_id HAVING count(*) > 1)")
            .fetch_one(&mut house.database().await)
            .await
            .unwrap();
    assert_eq!(twice, 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_execution_becomes_stale_and_that_is_told() {
    let mut house = House::build().await;
    let delivery = workflow_run(1, "in_progress", None, 1);
    let facts = pipecast_admin::intake::understand(&delivery);
    let mut tx = house.writer.as_ref().unwrap().begin().await.unwrap();
    tx.note_delivery(&delivery).await.unwrap();
    tx.record_facts(&delivery, &facts).await.unwrap();
    tx.commit().await.unwrap();
    house.stale_after = Duration::ZERO;

    house.start();

    until("the mark", async || {
        let pipelines = house
            .reader
            .list_pipelines(&PipelineQuery {
                limit: 10,
                ..PipelineQuery::default()
            })
            .await
            .unwrap();
        pipelines
            .iter()
            .any(|(_, pipeline)| pipeline.last_execution.as_ref().is_some_and(|execution| execution.stale))
    })
    .await;
    until("the state in the cache", async || {
        house.cached(PIPELINE).await.data.get().contains(r#""stale":true"#)
    })
    .await;
    house.stop().await;
}
