//! Everything at one moment, and into another database: from either engine to either engine, row by row the same.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::TryStreamExt;
use pipecast_model::{ChangeFacts, Host, PipelineId, PipelineVisibility, ProjectId, RefFacts, Refusal, Status, Step, Timestamp, Told, Version};
use pipecast_store::archive::{Kind, Load, Over, Snapshot, Table, Value};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{Error, Options, PipelineChange, TargetFields};

use crate::ground::{Engine, Ground, Open, at, delivery, execution, job, run};

/// Whole tables, each row sorted into its place.
type All = Vec<(Table, BTreeSet<String>)>;

async fn read(options: &Options) -> All {
    let mut snapshot = Snapshot::take(options).await.unwrap();
    let mut all = Vec::new();
    for table in snapshot.tables() {
        let rows: Vec<Vec<Value>> = snapshot.rows(&table.name).try_collect().await.unwrap();
        let rows: BTreeSet<String> = rows.iter().map(|row| said(&table, row)).collect();
        all.push((table, rows));
    }
    all
}

/// A row as text. JSON is compared as JSON: PostgreSQL keeps neither the order of its keys nor its spaces.
fn said(table: &Table, row: &[Value]) -> String {
    let mut named: Vec<String> = table
        .columns
        .iter()
        .zip(row)
        .map(|(column, value)| {
            let json = match value {
                Value::Text(text) if ["stamps", "steps", "headers"].contains(&column.name.as_str()) => serde_json::from_str::<serde_json::Value>(text).ok(),
                _ => None,
            };
            json.map_or_else(|| format!("{}={value:?}", column.name), |json| format!("{}={json}", column.name))
        })
        .collect();
    named.sort();
    named.join(" ")
}

pub(crate) async fn copy(from: &Options, to: &Options, over: Over) -> pipecast_store::Result<()> {
    let mut snapshot = Snapshot::take(from).await?;
    let mut load = Load::begin(to, snapshot.schema(), over).await?;
    for table in snapshot.tables() {
        let rows: Vec<Vec<Value>> = snapshot.rows(&table.name).try_collect().await?;
        load.add(&table, &rows).await?;
    }
    for (table, last) in snapshot.last_ids().await? {
        load.go_on_after(&table, last).await?;
    }
    load.commit().await
}

/// A database in which every table has rows, and every column a value somewhere.
async fn full(engine: Engine) -> Open {
    let open = Ground::lay(engine).await.open().await;
    let mut facts = run("rocket", execution(12, 1, Status::Failure, 5));
    facts.executions[0].started_at = Told::new(Version::WEAK, at(5));
    facts.executions[0].title = Told::new(Version::WEAK, "a \"title\" with\n ünïcode 🚀 and \u{1}".to_owned());
    let mut build = job(12, 1, "j1", Status::Failure, 5);
    build.allow_failure = Told::new(Version::WEAK, true);
    let step = Step {
        number: 1,
        name: "make".into(),
        status: Status::Failure,
        started_at: Some(at(1)),
        finished_at: None,
    };
    build.steps = Told::new(Version::WEAK, vec![step]);
    facts.jobs = vec![build];
    facts.refs = vec![RefFacts {
        name: "refs/heads/main".into(),
        commit_sha: Told::new(Version::WEAK, Some("abc".to_owned())),
    }];
    facts.changes = vec![ChangeFacts {
        number: 7,
        title: Told::new(Version::WEAK, "t".to_owned()),
        ..ChangeFacts::default()
    }];
    let mut bytes = delivery();
    bytes.body = Bytes::from((0..=255).collect::<Vec<u8>>());
    open.deliver(&bytes, &facts).await;
    let mut again = delivery();
    again.body_sha256.clone_from(&bytes.body_sha256);
    open.deliver(&again, &facts).await;
    for number in 13..40 {
        open.tell(run("rocket", execution(number, 1, Status::Running, number))).await;
    }
    let mut tx = open.writer.begin().await.unwrap();
    let refusal = Refusal {
        id: delivery().id,
        host: Host::Gitlab,
        source: "default".into(),
        event: None,
        reason: "bad_signature".into(),
        received_at: Timestamp::now(),
    };
    tx.note_refusal(&refusal).await.unwrap();
    crate::accounts::fill(&mut tx).await;
    tx.audit(Entry::new(By::system(), "source.create").on("source", 1, "a \"label\" 🚀"));
    let private = PipelineChange {
        given_name: Some("Nightly".into()),
        visibility: PipelineVisibility::Private,
        archived_at: None,
    };
    tx.change_pipeline(PipelineId(1), 1, &private).await.unwrap().unwrap();
    let project = ProjectId(1);
    tx.create_retention_policy(project, Some(1), None).await.unwrap();
    tx.write_setting("log.filter", Some("debug"), 0, None).await.unwrap();
    let target = TargetFields {
        name: "ops".into(),
        kind: "slack".into(),
        project_id: Some(project),
        statuses: "failure error".into(),
        enabled: true,
    };
    tx.create_notification_target(&target).await.unwrap().unwrap();
    crate::sources::answer(&mut tx).await;
    tx.commit().await.unwrap();
    crate::sealing::make(&open, "managed", "a secret", &pipecast_store::sealed::Keyring::generate()).await;
    open
}

#[tokio::test]
async fn every_row_is_the_same_wherever_it_goes() {
    for from in Engine::BOTH {
        for to in Engine::BOTH {
            let source = full(from).await;
            let target = Ground::lay(to).await;
            let epoch = source.reader.epoch().cloned();

            copy(&source.ground.options, &target.options, Over::Nothing).await.unwrap();

            let (was, is) = (read(&source.ground.options).await, read(&target.options).await);
            assert_eq!(was.len(), is.len());
            for ((table, was), (_, is)) in was.iter().zip(&is) {
                assert_eq!(was, is, "{from:?} to {to:?}: {}", table.name);
                assert!(!was.is_empty() || table.name == "meta", "{} has no rows, so it proves nothing", table.name);
            }
            // What belongs to the place is its own, and everything goes on.
            let target = target.open().await;
            assert_ne!(target.reader.epoch().cloned(), epoch);
            assert_eq!(target.reader.list_dirty(100).await.unwrap(), source.reader.list_dirty(100).await.unwrap());
            let facts = run("rocket", execution(99, 1, Status::Queued, 99));
            assert_eq!(
                target.tell(facts.clone()).await,
                source.tell(facts).await,
                "{from:?} to {to:?}: ids and sequences go on"
            );
        }
    }
}

#[tokio::test]
async fn an_id_that_was_given_away_is_never_given_again() {
    for (from, to) in [(Engine::Sqlite, Engine::Postgres), (Engine::Postgres, Engine::Sqlite)] {
        let source = full(from).await;
        source.ground.look("DELETE FROM jobs").await;
        source.ground.look("DELETE FROM executions WHERE id > 20").await;
        let target = Ground::lay(to).await;

        copy(&source.ground.options, &target.options, Over::Nothing).await.unwrap();

        let topics = target.open().await.tell(run("rocket", execution(99, 1, Status::Queued, 99))).await;
        assert_eq!(topics.last().map(ToString::to_string).as_deref(), Some("execution:29"));
    }
}

#[tokio::test]
async fn what_is_committed_while_a_snapshot_is_read_is_not_in_it() {
    for engine in Engine::BOTH {
        let source = full(engine).await;
        let before = source.ground.count("executions").await;
        let mut snapshot = Snapshot::take(&source.ground.options).await.unwrap();

        source.tell(run("rocket", execution(99, 1, Status::Queued, 99))).await;
        let rows: Vec<Vec<Value>> = snapshot.rows("executions").try_collect().await.unwrap();

        assert_eq!(rows.len() as i64, before, "{engine:?}");
        assert_eq!(source.ground.count("executions").await, before + 1);
    }
}

#[tokio::test]
async fn only_an_empty_database_is_filled_unless_it_is_said_otherwise() {
    for engine in Engine::BOTH {
        let source = full(Engine::Sqlite).await;
        let target = Ground::lay(engine).await;
        // Migrated and unused counts as empty.
        pipecast_store::migrate(&target.options).await.unwrap();
        copy(&source.ground.options, &target.options, Over::Nothing).await.unwrap();
        let first = read(&target.options).await;
        source.tell(run("rocket", execution(99, 1, Status::Queued, 99))).await;

        let refused = copy(&source.ground.options, &target.options, Over::Nothing).await.unwrap_err();
        assert!(matches!(refused, Error::NotEmpty(_)), "{refused:?}");
        assert_eq!(read(&target.options).await, first);

        copy(&source.ground.options, &target.options, Over::Everything).await.unwrap();
        assert_eq!(read(&target.options).await, read(&source.ground.options).await);
    }
}

#[tokio::test]
async fn a_load_that_ends_half_way_leaves_the_database_as_it_was() {
    for engine in Engine::BOTH {
        let source = full(Engine::Sqlite).await;
        let target = full(engine).await.ground;
        let was = read(&target.options).await;
        // Connections of the story that filled it.
        until_unused(&target).await;
        let mut snapshot = Snapshot::take(&source.ground.options).await.unwrap();
        let tables = snapshot.tables();

        let mut load = Load::begin(&target.options, snapshot.schema(), Over::Everything).await.unwrap();
        let sources: Vec<Vec<Value>> = snapshot.rows("sources").try_collect().await.unwrap();
        let table = tables.iter().find(|table| table.name == "sources").unwrap();
        load.add(table, &sources).await.unwrap();
        // Columns of another schema, values of another kind, children before their parents.
        let mut other = table.clone();
        other.columns[0].name = "number".into();
        assert!(matches!(load.add(&other, &sources).await, Err(Error::Corrupt { .. })));
        let misplaced = vec![vec![Value::Bool(true); table.columns.len()]];
        assert!(matches!(load.add(table, &misplaced).await, Err(Error::Corrupt { .. })));
        drop(load);
        until_unused(&target).await;
        assert_eq!(read(&target.options).await, was, "{engine:?}");

        let newer = Load::begin(&target.options, 9_999, Over::Everything).await.err();
        assert!(matches!(newer, Some(Error::NewerSchema)), "{newer:?}");
        until_unused(&target).await;
        assert_eq!(read(&target.options).await, was, "{engine:?}");
    }
}

#[tokio::test]
async fn a_database_that_somebody_uses_is_left_alone() {
    let target = Ground::lay(Engine::Postgres).await.open().await;
    target.reader.ping().await.unwrap();

    let refused = Load::begin(&target.ground.options, 1, Over::Everything).await.err();

    assert!(matches!(refused, Some(Error::InUse(_))), "{refused:?}");
}

#[tokio::test]
async fn every_table_and_every_type_is_known_to_the_archive() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let catalogue = match engine {
            Engine::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx%'",
            Engine::Postgres => {
                "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name NOT LIKE '\\_sqlx%'"
            }
        };
        let there: BTreeSet<String> = open.ground.look(catalogue).await.into_iter().collect();

        let snapshot = Snapshot::take(&open.ground.options).await.unwrap();

        let known: BTreeSet<String> = snapshot.tables().into_iter().map(|table| table.name).collect();
        assert_eq!(known, there, "{engine:?}: add a new table to archive::TABLES, after those that it refers to");
        let kinds = snapshot.tables().into_iter().flat_map(|table| table.columns).map(|column| column.kind);
        assert_eq!(kinds.collect::<BTreeSet<Kind>>().len(), 4);
    }
}

/// Connections that were dropped take a moment to be gone.
async fn until_unused(ground: &Ground) {
    if ground.engine == Engine::Postgres {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let name = ground.options.url.rsplit('=').next().unwrap().to_owned();
        while ground
            .count(&format!("pg_stat_activity WHERE application_name = '{name}' AND pid <> pg_backend_pid()"))
            .await
            > 0
        {
            assert!(std::time::Instant::now() < deadline, "somebody stays connected");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn sessions_that_are_loaded_can_be_ended_with_the_rest_of_it() {
    for (from, to) in [(Engine::Sqlite, Engine::Postgres), (Engine::Postgres, Engine::Sqlite)] {
        let source = full(from).await;
        assert_eq!(source.ground.count("sessions WHERE ended_at IS NULL").await, 1, "one is open");
        let target = Ground::lay(to).await;
        let mut snapshot = Snapshot::take(&source.ground.options).await.unwrap();
        let mut load = Load::begin(&target.options, snapshot.schema(), Over::Nothing).await.unwrap();
        for table in snapshot.tables() {
            let rows: Vec<Vec<Value>> = snapshot.rows(&table.name).try_collect().await.unwrap();
            load.add(&table, &rows).await.unwrap();
        }

        load.end_sessions().await.unwrap();
        load.commit().await.unwrap();

        assert_eq!(target.look("SELECT ended_by FROM sessions").await, ["restored"], "{to:?}");
        let target = target.open().await;
        assert!(target.reader.find_refresh(&[1; 32]).await.unwrap().unwrap().is_ended);
        assert_eq!(target.ground.count("api_tokens WHERE revoked_at IS NULL").await, 1, "tokens of programs stay");
    }
}
