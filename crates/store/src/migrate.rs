//! The schema: bringing it up to this build, and telling whether it is there.
//! Knows the tables `meta` and `_sqlx_migrations` and the counters of ids, and nothing of what the others hold.

use pipecast_model::Epoch;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::engine::{On, Pool, on, place, postgres_pool, writing};
use crate::error::Attempt;
use crate::{Error, Options, Result};

static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");

/// Tables whose ids are seen outside and start at `Options::first_id`.
const SHARED_IDS: [(&str, &str); 3] = [("pipelines", "pipelines_id_seq"), ("executions", "executions_id_seq"), ("jobs", "jobs_id_seq")];

const MINT_EPOCH: &str = "INSERT INTO meta (key, value) VALUES ('epoch', $1) ON CONFLICT (key) DO NOTHING";

/// The newest migration of the oldest build that works on this schema. A migration that only expands says so with it, and then builds from
/// before it may start on what it made; see `migrations/README.md`.
const WORKS_FROM: &str = "SELECT value FROM meta WHERE key = 'works_from'";
const LOOK: &str = "look which builds work on the schema";

/// Brings the schema up to this build's. Several callers at once migrate once.
///
/// # Errors
/// `NewerSchema` where a newer build has been here and has not left a schema that this one works on, `Unavailable`.
pub async fn migrate(options: &Options) -> Result<()> {
    match place(&options.url)? {
        place @ On::Sqlite(_) => {
            let On::Sqlite(connect) = writing(place) else {
                unreachable!("the engine stays the same")
            };
            let mut connection = SqliteConnection::connect_with(&connect).await.attempted("open the database for migrating")?;
            migrate_sqlite(&mut connection, options.first_id).await?;
            connection.close().await.attempted("close the database after migrating")
        }
        // Without the time limits of a writer: a migration may take long, and so may the wait for another one's.
        On::Postgres(connect) => {
            let pool = postgres_pool(1, options.acquire_timeout).connect_lazy_with(connect);
            let mut connection = pool.acquire().await.attempted("open the database for migrating")?;
            let migrated = migrate_postgres(&mut connection, options.first_id).await;
            connection.close().await.attempted("close the database after migrating")?;
            migrated
        }
    }
}

/// SQLite has no lock for migrations, so one transaction that holds the write lock spans them all.
async fn migrate_sqlite(connection: &mut SqliteConnection, first_id: i64) -> Result<()> {
    const ATTEMPTED: &str = "migrate the database";
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.attempted(ATTEMPTED)?;
    bring_sqlite(&mut tx, first_id).await?;
    tx.commit().await.attempted(ATTEMPTED)
}

/// The whole way, in the transaction of the caller.
pub(crate) async fn bring_sqlite(connection: &mut SqliteConnection, first_id: i64) -> Result<()> {
    const ATTEMPTED: &str = "migrate the database";
    if !is_newer(On::Sqlite(connection)).await? {
        // `run` says the same, but a future that holds it cannot move to another thread.
        let migrated = SQLITE.run_direct(None, &mut *connection, false).await;
        migrated.map_err(|error| refusal(error, &SQLITE))?;
    }
    sqlx::query(MINT_EPOCH)
        .bind(Epoch::mint().0)
        .execute(&mut *connection)
        .await
        .attempted(ATTEMPTED)?;
    renew_epoch_after_boot(connection, &boot()).await?;
    for (table, _) in SHARED_IDS {
        raise_sqlite(connection, table, first_id - 1).await?;
    }
    Ok(())
}

/// Sees to it that the next id of a table is greater than this one.
pub(crate) async fn raise_sqlite(connection: &mut SqliteConnection, table: &str, last_id: i64) -> Result<()> {
    const ATTEMPTED: &str = "set where ids go on";
    const ADD: &str = "INSERT INTO sqlite_sequence (name, seq) SELECT $1, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = $1)";
    const RAISE: &str = "UPDATE sqlite_sequence SET seq = $2 WHERE name = $1 AND seq < $2";
    sqlx::query(ADD).bind(table).execute(&mut *connection).await.attempted(ATTEMPTED)?;
    sqlx::query(RAISE)
        .bind(table)
        .bind(last_id)
        .execute(connection)
        .await
        .attempted(ATTEMPTED)
        .map(drop)
}

/// The schema as it was after the migration `target`, in a database that has none.
pub(crate) async fn lay_sqlite(connection: &mut SqliteConnection, target: i64) -> Result<()> {
    let laid = SQLITE.run_direct(Some(target), connection, false).await;
    laid.map_err(|error| refusal(error, &SQLITE))
}

/// The same on PostgreSQL.
pub(crate) async fn lay_postgres(connection: &mut PgConnection, target: i64) -> Result<()> {
    let laid = POSTGRES.run_direct(Some(target), connection, false).await;
    laid.map_err(|error| refusal(error, &POSTGRES))
}

/// Commits that were not synced when the machine went down are gone, and the sequences they gave are given again, to other states.
/// So cursors from before the boot must not be taken for current ones.
async fn renew_epoch_after_boot(connection: &mut SqliteConnection, boot: &str) -> Result<()> {
    const ATTEMPTED: &str = "note the boot of the machine";
    const RENEW: &str = "UPDATE meta SET value = $1 WHERE key = 'epoch' AND NOT EXISTS (SELECT 1 FROM meta WHERE key = 'boot' AND value = $2)";
    const NOTE: &str = "INSERT INTO meta (key, value) VALUES ('boot', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    sqlx::query(RENEW)
        .bind(Epoch::mint().0)
        .bind(boot)
        .execute(&mut *connection)
        .await
        .attempted(ATTEMPTED)?;
    sqlx::query(NOTE).bind(boot).execute(connection).await.attempted(ATTEMPTED).map(drop)
}

/// Names this boot of the machine. Where the kernel tells none, every start counts as one.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| Epoch::mint().0, |id| id.trim().to_owned())
}

/// On PostgreSQL the migrator holds an advisory lock of its own while it works.
pub(crate) async fn migrate_postgres(connection: &mut PgConnection, first_id: i64) -> Result<()> {
    const ATTEMPTED: &str = "migrate the database";
    if !is_newer(On::Postgres(connection)).await? {
        let migrated = POSTGRES.run_direct(None, &mut *connection, false).await;
        migrated.map_err(|error| refusal(error, &POSTGRES))?;
    }
    sqlx::query(MINT_EPOCH)
        .bind(Epoch::mint().0)
        .execute(&mut *connection)
        .await
        .attempted(ATTEMPTED)?;
    for (_, sequence) in SHARED_IDS {
        const RAISE: &str = "
            SELECT setval(CAST($1 AS REGCLASS), $2, FALSE)
            FROM pg_sequences
            WHERE schemaname = current_schema() AND sequencename = $1 AND coalesce(last_value, 0) < $2 - 1";
        sqlx::query(RAISE)
            .bind(sequence)
            .bind(first_id)
            .execute(&mut *connection)
            .await
            .attempted(ATTEMPTED)?;
    }
    Ok(())
}

/// Reads the epoch, after a look at whether this build and the schema belong together.
pub(crate) async fn recognise(pool: &Pool) -> Result<Epoch> {
    let migrator = match pool {
        On::Sqlite(_) => &SQLITE,
        On::Postgres(_) => &POSTGRES,
    };
    const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success = TRUE";
    let applied: Vec<i64> = match on!(pool, |db| sqlx::query_scalar(APPLIED).fetch_all(db).await) {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table") => {
            return Err(Error::NotMigrated);
        }
        other => other.attempted("read which migrations were applied")?,
    };
    if applied.iter().any(|version| *version > newest(migrator)) {
        let works_from: Option<String> = on!(pool, |db| sqlx::query_scalar(WORKS_FROM).fetch_optional(db).await).attempted(LOOK)?;
        refuse_unless_it_works(works_from, newest(migrator))?;
    }
    if migrator.iter().any(|migration| !applied.contains(&migration.version)) {
        return Err(Error::NotMigrated);
    }
    const EPOCH: &str = "SELECT value FROM meta WHERE key = 'epoch'";
    let epoch: Option<String> = on!(pool, |db| sqlx::query_scalar(EPOCH).fetch_optional(db).await).attempted("read the epoch")?;
    epoch.map(Epoch).ok_or(Error::NotMigrated)
}

/// Whether a newer build has migrated already, and this one works on what it made.
async fn is_newer(mut db: On<&mut SqliteConnection, &mut PgConnection>) -> Result<bool> {
    let again = match &mut db {
        On::Sqlite(db) => On::Sqlite(&mut **db),
        On::Postgres(db) => On::Postgres(&mut **db),
    };
    match applied(again).await? {
        Some((found, known)) if found > known => {
            let works_from: Option<String> = match db {
                On::Sqlite(db) => sqlx::query_scalar(WORKS_FROM).fetch_optional(db).await,
                On::Postgres(db) => sqlx::query_scalar(WORKS_FROM).fetch_optional(db).await,
            }
            .attempted(LOOK)?;
            refuse_unless_it_works(works_from, known).map(|()| true)
        }
        _ => Ok(false),
    }
}

fn refuse_unless_it_works(works_from: Option<String>, known: i64) -> Result<()> {
    match works_from.and_then(|version| version.parse::<i64>().ok()) {
        Some(version) if version <= known => Ok(()),
        _ => Err(Error::NewerSchema),
    }
}

/// The newest migration that was applied here and the newest that this build knows; `None` where there is no schema yet.
pub(crate) async fn applied(db: On<&mut SqliteConnection, &mut PgConnection>) -> Result<Option<(i64, i64)>> {
    const APPLIED: &str = "SELECT max(version) FROM _sqlx_migrations WHERE success = TRUE";
    let (found, known): (sqlx::Result<Option<i64>>, i64) = match db {
        On::Sqlite(db) => (sqlx::query_scalar(APPLIED).fetch_one(db).await, newest(&SQLITE)),
        On::Postgres(db) => {
            // Asked for by name first: on PostgreSQL a failed statement would spoil the transaction.
            const THERE: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
            let there: bool = sqlx::query_scalar(THERE).fetch_one(&mut *db).await.attempted("look for the schema")?;
            let found = if there { sqlx::query_scalar(APPLIED).fetch_one(db).await } else { Ok(None) };
            (found, newest(&POSTGRES))
        }
    };
    match found {
        Err(sqlx::Error::Database(error)) if error.message().starts_with("no such table") => Ok(None),
        other => Ok(other.attempted("read which migrations were applied")?.map(|newest| (newest, known))),
    }
}

/// The newest migration of this build, the same on both engines.
pub(crate) fn known() -> i64 {
    newest(&SQLITE)
}

fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn refusal(error: MigrateError, migrator: &Migrator) -> Error {
    match error {
        MigrateError::VersionMissing(version) if version > newest(migrator) => Error::NewerSchema,
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            Err::<(), _>(source).attempted("migrate the database").expect_err("it was made of an error")
        }
        other => Error::Corrupt {
            what: format!("the list of applied migrations ({other})"),
        },
    }
}
