//! The ledger as it is searched: by what a delivery is, when it came and what became of it, page by page.

use std::collections::BTreeSet;

use pipecast_model::{DeliveryId, Facts, Host, Outcome, Reading, Refusal, Status, Timestamp};
use pipecast_store::{DeliveryQuery, Listed};

use crate::ground::{Engine, Ground, Open, delivery, execution, run};

/// Nine deliveries, a second apart: of two projects, of two hosts, some with other outcomes, one refused.
async fn told(engine: Engine) -> (Open, Vec<DeliveryId>) {
    let open = Ground::lay(engine).await.open().await;
    let mut ids = Vec::new();
    for number in 0..8_i64 {
        let mut told = delivery();
        told.received_at = Timestamp(1_000_000 * (number + 1));
        if number % 2 == 1 {
            (told.host, told.source, told.event) = (Host::Gitlab, "lab".into(), "Job Hook".into());
        }
        let facts = match number {
            5 => Facts {
                reading: Reading::Ignored("nothing of ours".to_owned()),
                ..Facts::default()
            },
            _ => run(if number < 4 { "rocket" } else { "moon" }, execution(number + 1, 1, Status::Running, number)),
        };
        let mut tx = open.writer.begin().await.unwrap();
        if number != 7 {
            // The last is noted as nobody foresaw it.
            tx.foresee(&[(&told, &facts)]).await.unwrap();
        }
        tx.note_delivery(&told).await.unwrap();
        tx.record_facts(&told, &facts).await.unwrap();
        if number == 6 {
            tx.note_attempts(told.id, 3).await.unwrap();
        }
        tx.commit().await.unwrap();
        ids.push(told.id);
    }
    let refusal = Refusal {
        id: DeliveryId::fresh(),
        host: Host::Github,
        source: "default".into(),
        event: Some("workflow_run".into()),
        reason: "bad_signature".into(),
        received_at: Timestamp(9_000_000),
    };
    let mut tx = open.writer.begin().await.unwrap();
    tx.note_refusal(&refusal).await.unwrap();
    tx.commit().await.unwrap();
    ids.push(refusal.id);
    (open, ids)
}

async fn find(open: &Open, query: DeliveryQuery) -> Vec<Listed> {
    let limit = if query.limit == 0 { 100 } else { query.limit };
    open.reader.list_deliveries(&DeliveryQuery { limit, ..query }).await.unwrap()
}

#[tokio::test]
async fn deliveries_are_found_by_everything_that_they_are() {
    for engine in Engine::BOTH {
        let (open, ids) = told(engine).await;
        let numbers = |found: Vec<Listed>| -> Vec<usize> { found.iter().map(|row| ids.iter().position(|id| *id == row.id).unwrap()).collect() };
        let any = DeliveryQuery::default;
        let all = find(&open, any()).await;
        let project = |number: usize| all.iter().find(|row| row.id == ids[number]).unwrap().project_id;

        assert_eq!(numbers(all.clone()), [8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(
            numbers(
                find(
                    &open,
                    DeliveryQuery {
                        host: Some(Host::Gitlab),
                        ..any()
                    }
                )
                .await
            ),
            [7, 5, 3, 1]
        );
        assert_eq!(
            numbers(
                find(
                    &open,
                    DeliveryQuery {
                        source: Some("default".into()),
                        ..any()
                    }
                )
                .await
            ),
            [8, 6, 4, 2, 0]
        );
        assert_eq!(
            numbers(
                find(
                    &open,
                    DeliveryQuery {
                        event: Some("Job Hook".into()),
                        ..any()
                    }
                )
                .await
            ),
            [7, 5, 3, 1]
        );
        assert_eq!(
            numbers(
                find(
                    &open,
                    DeliveryQuery {
                        outcome: Some(Outcome::Ignored),
                        ..any()
                    }
                )
                .await
            ),
            [5]
        );
        assert_eq!(
            numbers(
                find(
                    &open,
                    DeliveryQuery {
                        outcome: Some(Outcome::Refused),
                        ..any()
                    }
                )
                .await
            ),
            [8]
        );
        assert_eq!(
            numbers(
                find(
                    &open,
                    DeliveryQuery {
                        outcome: Some(Outcome::Applied),
                        ..any()
                    }
                )
                .await
            )
            .len(),
            7
        );
        // Each host has a project of that name of its own.
        assert_eq!(numbers(find(&open, DeliveryQuery { project: project(0), ..any() }).await), [2, 0]);
        assert_eq!(
            numbers(find(&open, DeliveryQuery { project: project(7), ..any() }).await),
            [7],
            "{engine:?}: also where nobody foresaw it"
        );
        let (since, until) = (Some(Timestamp(3_000_000)), Some(Timestamp(5_000_000)));
        assert_eq!(numbers(find(&open, DeliveryQuery { since, until, ..any() }).await), [3, 2]);
        assert_eq!((project(5), project(8)), (None, None));
        assert_eq!((all[2].attempts, all[3].attempts), (3, 1));
        assert_eq!((all[0].bytes, all[1].bytes), (None, Some(2)));
        assert_eq!(all[0].detail.as_deref(), Some("bad_signature"));
    }
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended_also_within_an_instant() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        for _ in 0..7 {
            let mut told = delivery();
            told.received_at = Timestamp(5);
            open.deliver(&told, &Facts::default()).await;
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = find(
                &open,
                DeliveryQuery {
                    after,
                    limit: 3,
                    ..DeliveryQuery::default()
                },
            )
            .await;
            let Some(last) = page.last() else { break };
            after = Some((last.received_at, last.id));
            seen.extend(page.iter().map(|row| row.id));
        }

        assert_eq!(seen.len(), 7, "{engine:?}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 7);
    }
}

#[tokio::test]
async fn what_a_delivery_changed_and_what_repeats_it_is_known() {
    for engine in Engine::BOTH {
        let (open, ids) = told(engine).await;
        let changes = open.reader.list_changes_of(ids[0], 10).await.unwrap();
        let topics: BTreeSet<String> = changes.iter().map(|change| change.topic.to_string()).collect();
        assert_eq!(topics, ["execution:1", "pipeline:1"].map(str::to_owned).into(), "{engine:?}");
        assert!(open.reader.list_changes_of(ids[5], 10).await.unwrap().is_empty());

        let mut replay = open.reader.find_delivery(ids[0]).await.unwrap().unwrap().delivery;
        (replay.id, replay.replay_of) = (DeliveryId::fresh(), Some(ids[0]));
        open.deliver(&replay, &Facts::default()).await;

        let replays = find(
            &open,
            DeliveryQuery {
                replay_of: Some(ids[0]),
                ..DeliveryQuery::default()
            },
        )
        .await;
        assert_eq!(replays.iter().map(|row| row.id).collect::<Vec<_>>(), [replay.id]);
        let listed = open.reader.find_listed_delivery(replay.id).await.unwrap().unwrap();
        assert_eq!(
            (listed.replay_of, listed.received_at, listed.outcome),
            (Some(ids[0]), Timestamp(1_000_000), Outcome::Applied)
        );
    }
}

#[tokio::test]
async fn what_can_be_replayed_has_a_body_and_was_believed() {
    for engine in Engine::BOTH {
        let (open, ids) = told(engine).await;
        let query = DeliveryQuery {
            limit: 100,
            ..DeliveryQuery::default()
        };
        let replayable = async |query: &DeliveryQuery| -> Vec<DeliveryId> {
            let listed = open.reader.list_replayable(query).await.unwrap();
            assert!(listed.iter().all(|(_, bytes)| *bytes == 2), "{listed:?}");
            listed.into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(open.reader.count_deliveries(&query).await.unwrap(), 9, "{engine:?}");
        assert_eq!(replayable(&query).await, ids[..8]);

        let sql = "DELETE FROM delivery_bodies WHERE received_at < 3000000 RETURNING 'gone'";
        open.ground.look(sql).await;

        assert_eq!(open.reader.count_deliveries(&query).await.unwrap(), 9);
        assert_eq!(replayable(&query).await, ids[2..8]);
        let two = DeliveryQuery { limit: 2, ..query };
        assert_eq!(replayable(&two).await, ids[2..4], "those that can be replayed, not the first that are found");
        assert_eq!(open.reader.count_deliveries(&two).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn a_source_that_has_fallen_silent_is_known_and_refusals_are_no_sign_of_life() {
    for engine in Engine::BOTH {
        let (open, _) = told(engine).await;
        let silent = async |since: i64| -> Vec<(String, Option<Timestamp>)> {
            let sources = open.reader.list_silent_sources(Timestamp(since), 10).await.unwrap();
            sources.into_iter().map(|row| (row.source, row.last_delivery_at)).collect()
        };

        assert_eq!(silent(7_000_000).await, []);
        assert_eq!(silent(7_000_001).await, [("default".to_owned(), Some(Timestamp(7_000_000)))], "{engine:?}");
        let later = silent(8_500_000).await;
        assert_eq!(later.iter().map(|(source, _)| source.as_str()).collect::<Vec<_>>(), ["default", "lab"]);

        // Of what is switched off, deleted, or left of what was purged nothing is expected.
        for (change, back) in [
            ("enabled = FALSE", "enabled = TRUE"),
            ("deleted_at = 1, managed = TRUE", "deleted_at = NULL"),
            ("deleted_at = 1, managed = FALSE", "deleted_at = NULL"),
        ] {
            let set = async |what: &str| {
                let sql = format!("UPDATE sources SET {what} WHERE key = 'default' RETURNING key");
                open.ground.look(&sql).await;
            };
            set(change).await;
            let named: Vec<String> = silent(8_500_000).await.into_iter().map(|(source, _)| source).collect();
            assert_eq!(named, ["lab"], "{engine:?}: {change}");
            set(back).await;
        }
    }
}
