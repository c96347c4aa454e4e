//! What goes, what stays, and what falls silent.

use std::time::Duration;

use bytes::Bytes;
use pipecast_model::{Facts, ProjectId, Status, Timestamp, Topic};
use pipecast_store::{MOST_POLICIES, MadePolicy, Pruned, Retention};

use crate::ground::{Engine, Ground, Open, delivery, execution, job, project, run};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn prune(open: &Open, retention: &Retention, limit: i64) -> Pruned {
    let mut tx = open.writer.begin().await.unwrap();
    let pruned = tx.prune(retention, Timestamp::now(), limit).await.unwrap();
    tx.commit().await.unwrap();
    pruned
}

#[tokio::test]
async fn bodies_go_by_age_before_their_rows_do_and_in_bounded_batches() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let retention = Retention {
            bodies: 7 * DAY,
            bodies_bytes: 1 << 30,
            deliveries: 30 * DAY,
        };
        let mut kept = Vec::new();
        for days in [0, 8, 9, 10, 31, 32] {
            let mut delivery = delivery();
            delivery.received_at = Timestamp::now().minus(days * DAY);
            open.deliver(&delivery, &Facts::default()).await;
            kept.push(delivery);
        }

        assert_eq!(
            prune(&open, &retention, 3).await,
            Pruned {
                bodies: 3,
                deliveries: 2,
                changes: 0
            }
        );
        assert_eq!(
            prune(&open, &retention, 3).await,
            Pruned {
                bodies: 2,
                deliveries: 0,
                changes: 0
            }
        );
        assert_eq!(prune(&open, &retention, 3).await, Pruned::default());

        let young = open.reader.find_delivery(kept[0].id).await.unwrap().unwrap();
        let old = open.reader.find_delivery(kept[1].id).await.unwrap().unwrap();
        assert_eq!((young.delivery.body.len(), old.delivery.body.len()), (2, 0));
        assert!(open.reader.find_delivery(kept[4].id).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn bodies_go_by_size_the_oldest_first() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let retention = Retention {
            bodies: 7 * DAY,
            bodies_bytes: 250,
            deliveries: 30 * DAY,
        };
        let mut all = Vec::new();
        for minutes in [5, 4, 3, 2, 1] {
            let mut delivery = delivery();
            delivery.received_at = Timestamp::now().minus(Duration::from_secs(60 * minutes));
            delivery.body = Bytes::from(vec![b'x'; 100]);
            open.deliver(&delivery, &Facts::default()).await;
            all.push(delivery.id);
        }

        assert_eq!(prune(&open, &retention, 2).await.bodies, 2);
        assert_eq!(prune(&open, &retention, 2).await.bodies, 1);
        assert_eq!(prune(&open, &retention, 2).await.bodies, 0);

        let mut left = Vec::new();
        for id in all {
            left.push(open.reader.find_delivery(id).await.unwrap().unwrap().delivery.body.len());
        }
        assert_eq!(left, [0, 0, 0, 100, 100]);
    }
}

#[tokio::test]
async fn dirty_topics_survive_until_their_newest_sequence_is_announced() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let topics = open.tell(run("rocket", execution(12, 1, Status::Queued, 0))).await;
        let announced: Vec<(Topic, i64)> = topics.iter().map(|topic| (*topic, 1)).collect();
        open.tell(run("rocket", execution(12, 1, Status::Running, 1))).await;
        let Open { ground, reader, writer } = open;
        drop((reader, writer));
        let open = ground.open().await;

        let clear = async |announced: &[(Topic, i64)]| {
            let mut tx = open.writer.begin().await.unwrap();
            tx.clear_dirty(announced).await.unwrap();
            tx.commit().await.unwrap();
            open.reader.list_dirty(10).await.unwrap().len()
        };

        assert_eq!(clear(&announced).await, 2, "a later sequence waits");
        assert_eq!(clear(&[(topics[0], 2)]).await, 1);
        assert_eq!(clear(&[(topics[1], 7)]).await, 0);
        assert_eq!(clear(&[]).await, 0);
    }
}

#[tokio::test]
async fn a_silent_open_execution_goes_stale_and_wakes_with_the_next_word() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        open.tell(run("rocket", execution(11, 1, Status::Success, 0))).await;
        let told = open.tell(run("rocket", execution(12, 1, Status::Running, 0))).await;
        let Topic::Execution(id) = told[1] else { panic!("{told:?}") };
        let mark = async |before: Timestamp| {
            let mut tx = open.writer.begin().await.unwrap();
            let topics = tx.mark_stale(before, 10).await.unwrap();
            tx.commit().await.unwrap();
            topics
        };

        assert_eq!(mark(Timestamp::now().minus(DAY)).await, []);
        assert_eq!(mark(Timestamp::now()).await, told);
        assert_eq!(mark(Timestamp::now()).await, []);
        let stale = open.reader.find_execution(id).await.unwrap().unwrap();
        assert_eq!((stale.stale, stale.status, stale.seq), (true, Status::Running, 2));

        let word = Facts {
            project: Some(project("rocket")),
            jobs: vec![job(12, 1, "j1", Status::Running, 1)],
            ..Facts::default()
        };
        assert_eq!(open.tell(word).await, told);
        assert!(!open.reader.find_execution(id).await.unwrap().unwrap().stale);
    }
}

#[tokio::test]
async fn a_project_with_a_policy_keeps_what_is_its_own_for_as_long_as_that_says() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let retention = Retention {
            bodies: 7 * DAY,
            bodies_bytes: 1 << 30,
            deliveries: 30 * DAY,
        };
        let mut ids = Vec::new();
        for (number, (of, days)) in (0_i64..).zip([("long", 8), ("long", 40), ("short", 2), ("other", 8), ("other", 40), ("", 8), ("", 40)]) {
            let mut told = delivery();
            told.received_at = Timestamp::now().minus(days * DAY);
            let facts = match of {
                "" => Facts::default(),
                of => run(of, execution(number + 1, 1, Status::Running, number)),
            };
            open.deliver(&told, &facts).await;
            ids.push(told.id);
        }
        let day = i64::try_from(DAY.as_micros()).unwrap();
        let project = async |number: usize| open.reader.find_listed_delivery(ids[number]).await.unwrap().unwrap().project_id.unwrap();
        let (long, short) = (project(0).await, project(2).await);
        let mut tx = open.writer.begin().await.unwrap();
        let made = tx.create_retention_policy(long, Some(90 * day), Some(365 * day)).await.unwrap();
        assert!(matches!(made, MadePolicy::Made(policy) if policy.version == 1 && policy.bodies == Some(90 * day)));
        tx.create_retention_policy(short, Some(day), None).await.unwrap();
        assert_eq!(tx.create_retention_policy(short, None, None).await.unwrap(), MadePolicy::Taken);
        assert_eq!(tx.create_retention_policy(ProjectId(99), None, None).await.unwrap(), MadePolicy::NoProject);
        tx.commit().await.unwrap();

        // As if each of them had been written down when it came.
        let aged = "UPDATE topic_changes SET at = (SELECT d.received_at FROM deliveries d WHERE d.id = delivery_id)";
        open.ground.look(aged).await;

        while prune(&open, &retention, 2).await != Pruned::default() {}

        let changes = async |number: usize| open.reader.list_changes_of(ids[number], 10).await.unwrap().len();
        assert_eq!(
            [changes(1).await, changes(3).await, changes(4).await],
            [2, 2, 0],
            "{engine:?}: as long as their deliveries"
        );
        let mut kept = Vec::new();
        for id in &ids {
            let listed = open.reader.find_listed_delivery(*id).await.unwrap();
            kept.push(listed.map(|listed| listed.bytes.is_some()));
        }
        let (whole, without_body, gone) = (Some(true), Some(false), None);
        assert_eq!(kept, [whole, whole, without_body, without_body, gone, without_body, gone], "{engine:?}");

        // A change names the version that it is a change of; without the policy everything is as everywhere.
        let mut policy = open.reader.find_retention_policy(long).await.unwrap().unwrap();
        policy.bodies = None;
        let mut tx = open.writer.begin().await.unwrap();
        let changed = tx.update_retention_policy(&policy).await.unwrap().unwrap();
        assert_eq!((changed.version, changed.bodies, changed.deliveries), (2, None, Some(365 * day)));
        assert_eq!(tx.update_retention_policy(&policy).await.unwrap(), None, "it has another version now");
        assert!(!tx.delete_retention_policy(long, 1).await.unwrap());
        assert!(tx.delete_retention_policy(long, 2).await.unwrap());
        tx.commit().await.unwrap();
        while prune(&open, &retention, 2).await != Pruned::default() {}
        assert!(open.reader.find_listed_delivery(ids[1]).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn there_are_no_more_policies_than_are_heeded() {
    const FILL: [&str; 2] = [
        "INSERT INTO projects (source_id, external_id, name_folded, stamps)
        SELECT 1, 'p' || i, 'p', '{}' FROM (WITH RECURSIVE numbers (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM numbers WHERE i <= MOST) SELECT i FROM numbers) n
        RETURNING external_id",
        "INSERT INTO retention_policies (project_id, version, created_at, updated_at)
        SELECT id, 1, 0, 0 FROM projects WHERE id > 1 ORDER BY id
        RETURNING 'made'",
    ];
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        open.deliver(&delivery(), &run("rocket", execution(1, 1, Status::Running, 0))).await;
        for sql in FILL {
            open.ground.look(&sql.replace("MOST", &(MOST_POLICIES - 1).to_string())).await;
        }

        let mut tx = open.writer.begin().await.unwrap();
        let last = tx.create_retention_policy(ProjectId(1), None, None).await.unwrap();
        assert!(matches!(last, MadePolicy::Made(_)), "{engine:?}: {last:?}");
        let one = "INSERT INTO projects (source_id, external_id, name_folded, stamps) VALUES (1, 'more', 'more', '{}') RETURNING external_id";
        tx.commit().await.unwrap();
        open.ground.look(one).await;
        let mut tx = open.writer.begin().await.unwrap();

        let more = tx.create_retention_policy(ProjectId(MOST_POLICIES + 1), None, None).await.unwrap();

        assert_eq!(more, MadePolicy::Full, "{engine:?}: of what is beyond nothing would ever be heeded");
    }
}

#[tokio::test]
async fn a_setting_is_changed_by_whoever_knows_its_version() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let write = async |value: Option<&str>, version: i64| {
            let mut tx = open.writer.begin().await.unwrap();
            let written = tx.write_setting("log.filter", value, version, None).await.unwrap();
            tx.commit().await.unwrap();
            written.map(|setting| {
                assert_eq!(setting.value.as_deref(), value, "as it is then");
                setting.version
            })
        };

        assert_eq!(write(Some("debug"), 3).await, None, "{engine:?}: it was never set");
        assert_eq!(write(Some("debug"), 0).await, Some(1));
        assert_eq!(write(Some("trace"), 0).await, None);
        assert_eq!(write(None, 1).await, Some(2));
        assert_eq!(write(Some("warn"), 1).await, None, "a version never comes again");

        let settings = open.reader.list_settings().await.unwrap();
        assert_eq!(settings.len(), 1);
        assert_eq!(
            (settings[0].key.as_str(), settings[0].value.as_deref(), settings[0].version),
            ("log.filter", None, 2)
        );
    }
}
