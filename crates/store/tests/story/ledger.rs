//! The ledger as inbox: each delivery takes effect once, however often and by however many hands it comes.

use std::sync::Arc;

use pipecast_model::{Delivery, DeliveryId, Facts, Outcome, Status, Timestamp, Topic};
use pipecast_store::{Error, Noted};

use crate::ground::{Engine, Ground, Open, delivery, execution, job, run};

#[tokio::test]
async fn a_delivery_key_that_comes_again_counts_on_the_first_row() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let first = delivery();
        let mut again = delivery();
        again.key = first.key.clone();
        let mut elsewhere = delivery();
        (elsewhere.key, elsewhere.source) = (first.key.clone(), "other".into());
        open.deliver(&first, &Facts::default()).await;

        for _ in 0..2 {
            assert_eq!(open.deliver(&again, &Facts::default()).await.0, Noted::Duplicate(first.id));
        }
        assert_eq!(open.deliver(&elsewhere, &Facts::default()).await.0, Noted::New);

        assert_eq!(open.reader.find_delivery(first.id).await.unwrap().unwrap().repeats, 2);
        assert_eq!(open.ground.count("deliveries").await, 2);
        assert_eq!(open.ground.count("sources").await, 2);
    }
}

#[tokio::test]
async fn the_same_body_within_a_day_is_a_duplicate_whatever_its_key_says() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let first = delivery();
        let mut forged = delivery();
        forged.body_sha256 = first.body_sha256.clone();
        let mut tomorrow = delivery();
        tomorrow.body_sha256 = first.body_sha256.clone();
        tomorrow.received_at = Timestamp(first.received_at.0 + 25 * 3_600_000_000);
        let (first_id, forged_id) = (first.id, forged.id);
        open.deliver(&first, &Facts::default()).await;

        assert_eq!(open.deliver(&forged, &Facts::default()).await.0, Noted::Duplicate(first_id));
        assert_eq!(open.deliver(&forged, &Facts::default()).await.0, Noted::Duplicate(first_id));
        assert_eq!(open.deliver(&tomorrow, &Facts::default()).await.0, Noted::New);

        let record = open.reader.find_delivery(forged_id).await.unwrap().unwrap();
        assert_eq!((record.outcome, record.detail), (Outcome::Duplicate, Some(format!("same body as {first_id}"))));
    }
}

#[tokio::test]
async fn a_replay_is_new_and_is_new_once() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let first = delivery();
        let mut replay = first.clone();
        (replay.id, replay.replay_of) = (DeliveryId::fresh(), Some(first.id));
        open.deliver(&first, &Facts::default()).await;

        assert_eq!(open.deliver(&replay, &Facts::default()).await.0, Noted::New);
        assert_eq!(open.deliver(&replay, &Facts::default()).await.0, Noted::Duplicate(replay.id));

        assert_eq!(open.reader.find_delivery(replay.id).await.unwrap().unwrap().delivery.replay_of, Some(first.id));
    }
}

#[tokio::test]
async fn two_writers_at_once_note_a_key_once() {
    for engine in Engine::BOTH {
        let open = Arc::new(Ground::lay(engine).await.open().await);
        let facts = Arc::new(run("rocket", execution(12, 1, Status::Queued, 0)));
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (open, facts) = (Arc::clone(&open), Arc::clone(&facts));
            writers.spawn(async move {
                let mut delivery = delivery();
                delivery.key = Some("the same".into());
                open.deliver(&delivery, &facts).await.0
            });
        }

        let noted = writers.join_all().await;

        assert_eq!(noted.iter().filter(|noted| **noted == Noted::New).count(), 1, "{noted:?}");
        assert_eq!(open.ground.count("topic_changes").await, 2);
        assert_eq!(open.ground.look("SELECT CAST(repeats AS TEXT) FROM deliveries").await, ["7"]);
    }
}

#[tokio::test]
async fn writers_of_one_project_lose_nothing_of_each_other() {
    for engine in Engine::BOTH {
        let open = Arc::new(Ground::lay(engine).await.open().await);
        let mut writers = tokio::task::JoinSet::new();
        for number in 1..=20 {
            let open = Arc::clone(&open);
            writers.spawn(async move { open.tell(run("rocket", execution(number, 1, Status::Running, number))).await });
        }
        writers.join_all().await;

        let newest: Vec<Topic> = open
            .reader
            .list_newest_seqs(10)
            .await
            .unwrap()
            .into_iter()
            .map(|(id, _)| Topic::Pipeline(id))
            .collect();
        let pipelines = open.reader.list_states(&newest).await.unwrap();

        assert_eq!(pipelines.len(), 1);
        assert_eq!(open.ground.count("executions").await, 20);
        assert_eq!(pipelines[0].seq, open.ground.count("topic_changes WHERE topic LIKE 'pipeline:%'").await);
        assert!(pipelines[0].data.get().contains(r#""number":20"#));
    }
}

#[tokio::test]
async fn batches_that_hold_their_projects_first_never_wait_in_a_circle() {
    for engine in Engine::BOTH {
        let open = Arc::new(Ground::lay(engine).await.open().await);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let open = Arc::clone(&open);
            writers.spawn(async move {
                for round in 0..5 {
                    // Every other writer meets the projects from the other end.
                    let mut batch: Vec<_> = (0..6)
                        .map(|project| {
                            (
                                delivery(),
                                run(&format!("p{project}"), execution(writer * 100 + round, 1, Status::Running, round)),
                            )
                        })
                        .collect();
                    if writer % 2 == 1 {
                        batch.reverse();
                    }
                    // A slow machine may let one wait too long for the other, which passes; a circle would not.
                    while let Err(error) = record_batch(&open, &batch).await {
                        let Error::Unavailable {
                            source: sqlx::Error::Database(cause),
                            ..
                        } = &error
                        else {
                            panic!("{error:?}")
                        };
                        assert_eq!(cause.code().as_deref(), Some("55P03"), "{error:?}");
                    }
                }
            });
        }
        writers.join_all().await;

        assert_eq!(open.ground.count("executions").await, 4 * 5 * 6);
        assert_eq!(open.ground.count("projects").await, 6);
        let gaps = "(SELECT topic FROM topic_changes GROUP BY topic HAVING count(*) <> max(seq)) AS gaps";
        assert_eq!(open.ground.count(gaps).await, 0, "sequences have no gaps");
    }
}

async fn record_batch(open: &Open, batch: &[(Delivery, Facts)]) -> Result<(), Error> {
    let held: Vec<_> = batch.iter().map(|(delivery, facts)| (delivery, facts)).collect();
    let mut tx = open.writer.begin().await?;
    tx.hold_projects(&held).await?;
    let mut announced = Vec::new();
    for (delivery, facts) in batch {
        assert_eq!(tx.note_delivery(delivery).await?, Noted::New);
        announced.extend(tx.record_facts(delivery, facts).await?.into_iter().map(|topic| (topic, 1)));
    }
    tx.clear_dirty(&announced).await?;
    tx.commit().await
}

/// Every way in which deliveries of one batch can be like each other, or like what was there before.
fn alike() -> Vec<(Delivery, Facts)> {
    let told = |number| run(["rocket", "probe"][number as usize % 2], execution(number, 1, Status::Running, number));
    let mut batch: Vec<(Delivery, Facts)> = (1..=6).map(|number| (delivery(), told(number))).collect();
    let copy = |batch: &[(Delivery, Facts)], of: usize| (batch[of].0.clone(), batch[of].1.clone());
    // The same one, handed out twice.
    batch.push(copy(&batch, 0));
    // The same key with another body, and with a body that was there under another key.
    let mut again = copy(&batch, 1);
    (again.0.id, again.0.body_sha256) = (DeliveryId::fresh(), "another".into());
    batch.push(again);
    let mut both = copy(&batch, 2);
    (both.0.id, both.0.key) = (DeliveryId::fresh(), batch[3].0.key.clone());
    batch.push(both);
    // The same body under a new key, and then that key with a new body.
    let mut forged = copy(&batch, 4);
    (forged.0.id, forged.0.key) = (DeliveryId::fresh(), Some("forged".into()));
    batch.push(forged);
    let mut after = (delivery(), told(7));
    after.0.key = Some("forged".into());
    batch.push(after);
    // A wanted repetition, twice; and one without a key.
    let mut replay = copy(&batch, 5);
    (replay.0.id, replay.0.replay_of) = (DeliveryId::fresh(), Some(batch[5].0.id));
    batch.push(replay.clone());
    batch.push(replay);
    let mut keyless = (delivery(), told(8));
    keyless.0.key = None;
    batch.push(keyless);
    // Jobs of what is there and of what is new, one alone and many.
    let jobs = |number, names: &[&str]| Facts {
        jobs: names.iter().map(|name| job(number, 1, name, Status::Running, 20)).collect(),
        ..told(number)
    };
    batch.extend([jobs(1, &["a"]), jobs(1, &["a"]), jobs(1, &["a", "b"]), jobs(30, &["c"])].map(|facts| (delivery(), facts)));
    batch
}

#[tokio::test]
async fn a_batch_that_is_foreseen_comes_to_the_same_as_one_by_one() {
    for engine in Engine::BOTH {
        let batch = alike();
        let mut pictures = Vec::new();
        for foreseen in [false, true] {
            let open = Ground::lay(engine).await.open().await;
            let mut told = Vec::new();
            // Twice, so that everything is met as new and as known.
            for _ in 0..2 {
                let mut tx = open.writer.begin().await.unwrap();
                if foreseen {
                    tx.foresee(&batch.iter().map(|(delivery, facts)| (delivery, facts)).collect::<Vec<_>>())
                        .await
                        .unwrap();
                }
                for (delivery, facts) in &batch {
                    let noted = tx.note_delivery(delivery).await.unwrap();
                    let topics = match noted {
                        Noted::New => tx.record_facts(delivery, facts).await.unwrap(),
                        Noted::Duplicate(_) => Vec::new(),
                    };
                    told.push((noted, topics));
                }
                tx.commit().await.unwrap();
            }
            let ledger = open
                .ground
                .look(
                    "SELECT coalesce(delivery_key, '-') || body_sha256 || outcome || repeats || coalesce(detail, '-') || CASE WHEN replay_of IS NULL THEN '' ELSE 'replay' END
                    FROM deliveries ORDER BY received_at, 1",
                )
                .await;
            let jobs = open.ground.look("SELECT execution_id || external_id || status FROM jobs ORDER BY 1").await;
            let executions = open.ground.look("SELECT external_id || status || seq FROM executions ORDER BY 1").await;
            let bodies = open.ground.count("delivery_bodies").await;
            pictures.push((told, ledger, jobs, executions, bodies));
        }

        assert!(
            pictures[0].0.iter().any(|(noted, _)| *noted == Noted::New) && pictures[0].2.len() == 3,
            "{:?}",
            pictures[0].2
        );
        assert_eq!(pictures[0], pictures[1], "{engine:?}");
    }
}
