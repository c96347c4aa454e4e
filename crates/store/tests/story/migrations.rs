//! Migrations: once, the same on both engines, forward only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pipecast_model::Status;
use pipecast_store::Error;
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::ground::{Engine, Ground, Open, execution, run};

#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let mut schemas = Vec::new();
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let sql = match engine {
            Engine::Sqlite => {
                "SELECT t.name || '.' || c.name || CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN '' ELSE '?' END
                FROM sqlite_schema t, pragma_table_info(t.name) c
                WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '_sqlx%'
                ORDER BY 1"
            }
            Engine::Postgres => {
                "SELECT CAST(table_name || '.' || column_name || CASE is_nullable WHEN 'NO' THEN '' ELSE '?' END AS TEXT) COLLATE \"C\"
                FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name NOT LIKE '\\_sqlx%'
                ORDER BY 1"
            }
        };
        schemas.push(open.ground.look(sql).await);
    }

    assert!(schemas[0].len() > 80, "{:?}", schemas[0]);
    assert_eq!(schemas[0], schemas[1]);
}

#[tokio::test]
async fn two_that_migrate_at_once_migrate_once() {
    for engine in Engine::BOTH {
        let ground = Ground::lay(engine).await;
        let mut migrators = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let options = ground.options.clone();
            migrators.spawn(async move { pipecast_store::migrate(&options).await });
        }

        for outcome in migrators.join_all().await {
            outcome.unwrap();
        }

        let open = ground.open().await;
        assert_eq!(open.ground.count("_sqlx_migrations").await as usize, files("sqlite").len());
        assert_eq!(
            open.ground.look("SELECT value FROM meta WHERE key = 'epoch'").await,
            [open.reader.epoch().unwrap().0.clone()]
        );
    }
}

#[tokio::test]
async fn a_schema_of_another_build_is_refused_by_name() {
    for engine in Engine::BOTH {
        let ground = Ground::lay(engine).await;
        assert!(matches!(pipecast_store::open(&ground.options).await, Err(Error::NotMigrated)));

        let open = ground.open().await;
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', TRUE, '', 0)";
        open.ground.look(newer).await;
        open.ground.look("DELETE FROM meta WHERE key = 'works_from'").await;

        assert!(matches!(pipecast_store::open(&open.ground.options).await, Err(Error::NewerSchema)));
        assert!(matches!(pipecast_store::migrate(&open.ground.options).await, Err(Error::NewerSchema)));
    }
}

/// This build's migrations and one that a later release may bring: it expands, and fills what it added from what was there.
async fn migrate_as_the_next_build(open: &Open, works_from: Option<i64>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in files(if open.ground.engine == Engine::Sqlite { "sqlite" } else { "postgres" }) {
        std::fs::write(folder.path().join(name), sql).unwrap();
    }
    let mut next = String::from(
        "ALTER TABLE pipelines ADD COLUMN title TEXT;
        UPDATE pipelines SET title = upper(name);
        ALTER TABLE executions ADD COLUMN shard BIGINT NOT NULL DEFAULT 7;
        CREATE TABLE shards (id BIGINT PRIMARY KEY NOT NULL);",
    );
    // One that does not say who may work on it, where none before it has said so either.
    next.push_str("DELETE FROM meta WHERE key = 'works_from';");
    if let Some(version) = works_from {
        next.push_str(&format!(
            "INSERT INTO meta (key, value) VALUES ('works_from', '{version}') ON CONFLICT (key) DO UPDATE SET value = excluded.value;"
        ));
    }
    std::fs::write(folder.path().join("9001_shards.sql"), next).unwrap();
    let next = sqlx::migrate::Migrator::new(folder.path()).await.unwrap();
    match open.ground.engine {
        Engine::Sqlite => {
            next.run_direct(None, &mut SqliteConnection::connect(&open.ground.options.url).await.unwrap(), false)
                .await
        }
        Engine::Postgres => {
            next.run_direct(None, &mut PgConnection::connect(&open.ground.options.url).await.unwrap(), false)
                .await
        }
    }
    .unwrap();
}

#[tokio::test]
async fn an_older_schema_is_migrated_with_its_data_in_it_while_the_build_before_works() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let facts = |run_id| run("rocket", execution(run_id, 1, Status::Queued, run_id));
        open.tell(facts(1)).await;
        let before = open.ground.look("SELECT CAST(id AS TEXT) || status || stamps FROM executions").await;

        migrate_as_the_next_build(&open, Some(1)).await;

        assert_eq!(open.ground.look("SELECT CAST(id AS TEXT) || status || stamps FROM executions").await, before);
        assert_eq!(open.ground.look("SELECT title FROM pipelines").await, ["CI"]);
        // This build is now the one before: it works on, and it may start anew.
        assert_eq!(open.tell(facts(2)).await.len(), 2, "{engine:?}");
        pipecast_store::migrate(&open.ground.options).await.unwrap();
        let (reader, writer) = pipecast_store::open(&open.ground.options).await.unwrap();
        let again = Open {
            reader,
            writer,
            ground: open.ground,
        };
        assert_eq!(again.tell(facts(3)).await.len(), 2, "{engine:?}");
        assert_eq!(again.ground.look("SELECT CAST(shard AS TEXT) FROM executions").await, ["7", "7", "7"]);
        let backup = pipecast_store::archive::Snapshot::take(&again.ground.options).await.err();
        assert!(matches!(backup, Some(Error::NewerSchema)), "it would leave out what it does not know");
    }
}

#[tokio::test]
async fn a_newer_schema_that_this_build_does_not_work_on_is_refused() {
    for engine in Engine::BOTH {
        for works_from in [None, Some(9_001)] {
            let open = Ground::lay(engine).await.open().await;
            // What no file has ever said is not assumed.
            open.ground.look("DELETE FROM meta WHERE key = 'works_from'").await;
            migrate_as_the_next_build(&open, works_from).await;

            assert!(
                matches!(pipecast_store::open(&open.ground.options).await, Err(Error::NewerSchema)),
                "{engine:?}"
            );
            assert!(
                matches!(pipecast_store::migrate(&open.ground.options).await, Err(Error::NewerSchema)),
                "{engine:?}"
            );
        }
    }
}

#[tokio::test]
async fn ids_start_where_they_are_told_to_and_never_fall_back() {
    for engine in Engine::BOTH {
        let mut ground = Ground::lay(engine).await;
        for first in [1, 500, 1] {
            ground.options.first_id = first;
            pipecast_store::migrate(&ground.options).await.unwrap();
        }
        ground.options.first_id = 700;
        let open = ground.open().await;

        let topics = open
            .tell(crate::ground::run("p", crate::ground::execution(1, 1, pipecast_model::Status::Queued, 0)))
            .await;

        assert_eq!(topics.iter().map(ToString::to_string).collect::<Vec<_>>(), ["pipeline:700", "execution:700"]);
    }
}

#[test]
fn migrations_have_the_same_names_on_both_engines_and_add_nothing_that_old_rows_lack() {
    let (sqlite, postgres) = (files("sqlite"), files("postgres"));
    assert_eq!(sqlite.keys().collect::<Vec<_>>(), postgres.keys().collect::<Vec<_>>());
    assert!(!sqlite.is_empty());

    for (name, sql) in sqlite.into_iter().chain(postgres) {
        assert!(
            name.starts_with("0001_") || sql.contains("'works_from'"),
            "{name}: say which builds work on it, see migrations/README.md"
        );
        for statement in sql
            .to_uppercase()
            .split(';')
            .filter(|statement| statement.contains("ADD COLUMN") || statement.contains("SET NOT NULL"))
        {
            assert!(!statement.contains("NOT NULL") || statement.contains("DEFAULT"), "{name}: {statement}");
        }
    }
}

fn files(engine: &str) -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(engine);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_boot_of_the_machine_renews_the_epoch_of_sqlite_and_a_restart_does_not() {
    let open = Ground::lay(Engine::Sqlite).await.open().await;
    let first = open.reader.epoch().cloned();

    let open = open.ground.open().await;
    let after_restart = open.reader.epoch().cloned();
    open.ground.look("UPDATE meta SET value = 'another' WHERE key = 'boot'").await;
    let after_boot = open.ground.open().await.reader.epoch().cloned();

    assert_eq!(after_restart, first);
    assert_ne!(after_boot, first);
}
