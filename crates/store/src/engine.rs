//! The two engines behind one text: which one it is, and how its connections are opened.
//! Knows nothing of any table.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlitePool};

use crate::error::Attempt;
use crate::{Error, Options, Result};

/// One of two engines.
#[derive(Clone, Debug)]
pub(crate) enum On<S, P> {
    /// SQLite.
    Sqlite(S),
    /// PostgreSQL.
    Postgres(P),
}

/// Writes a query once for both engines: the body is compiled for each, so nothing typed by an engine may leave it.
macro_rules! on {
    ($engine:expr, |$db:ident| $query:expr) => {
        match $engine {
            $crate::engine::On::Sqlite($db) => $query,
            $crate::engine::On::Postgres($db) => $query,
        }
    };
}
pub(crate) use on;

/// A pool of either engine.
pub(crate) type Pool = On<SqlitePool, PgPool>;

/// What the URL of the store points at, without a connection.
pub(crate) type Place = On<SqliteConnectOptions, PgConnectOptions>;

/// The first SQLite without the defect that can corrupt a database in WAL mode.
const SOUND_SQLITE: [u32; 3] = [3, 51, 3];

/// Writers of one process at once on PostgreSQL: consumers, and beside them what announces and prunes.
const POSTGRES_WRITERS: u32 = 8;

/// Reads a URL of the store.
///
/// # Errors
/// `BadUrl` where it is neither `sqlite:PATH` nor `postgres://…`. A database in memory is refused too: every connection would have its own.
pub(crate) fn place(url: &str) -> Result<Place> {
    let bad = || Error::BadUrl(url.to_owned());
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains(":memory:") {
            return Err(bad());
        }
        return Ok(On::Sqlite(SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(5))));
    }
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        let options = PgConnectOptions::from_str(url).map_err(|_| bad())?;
        return Ok(On::Postgres(options.application_name("pipecast")));
    }
    Err(bad())
}

/// How a connection that writes is set up.
pub(crate) fn writing(place: Place) -> Place {
    match place {
        On::Sqlite(options) => On::Sqlite(
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Normal)
                .foreign_keys(true)
                .pragma("trusted_schema", "OFF")
                .pragma("journal_size_limit", "67108864"),
        ),
        On::Postgres(options) => On::Postgres(options.options([
            ("statement_timeout", "5s"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ])),
    }
}

/// How a connection that reads is set up: the engine itself refuses every write on it.
fn reading(place: Place) -> Place {
    match place {
        On::Sqlite(options) => On::Sqlite(options.read_only(true).pragma("trusted_schema", "OFF").pragma("query_only", "ON")),
        On::Postgres(options) => On::Postgres(options.options([
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ])),
    }
}

/// The pool that writes: one connection on SQLite. On PostgreSQL it connects when it is first used, so that a process that only
/// reads holds nothing open there.
pub(crate) async fn connect_writer(options: &Options) -> Result<Pool> {
    match writing(place(&options.url)?) {
        On::Sqlite(connect) => {
            let pool = SqlitePoolOptions::new()
                .max_connections(1)
                .acquire_timeout(options.acquire_timeout)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .connect_with(connect)
                .await
                .attempted("open the database for writing")?;
            assert_sound(&pool).await?;
            Ok(On::Sqlite(pool))
        }
        On::Postgres(connect) => Ok(On::Postgres(
            PgPoolOptions::new()
                .max_connections(POSTGRES_WRITERS)
                .acquire_timeout(options.acquire_timeout)
                .connect_lazy_with(connect),
        )),
    }
}

/// The pool that reads.
pub(crate) async fn connect_reader(options: &Options) -> Result<Pool> {
    let url = options.read_url.as_deref().unwrap_or(&options.url);
    match reading(place(url)?) {
        On::Sqlite(connect) => SqlitePoolOptions::new()
            .max_connections(options.read_connections)
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(connect)
            .await
            .map(On::Sqlite),
        On::Postgres(connect) => PgPoolOptions::new()
            .max_connections(options.read_connections)
            .acquire_timeout(options.acquire_timeout)
            .connect_with(connect)
            .await
            .map(On::Postgres),
    }
    .attempted("open the database for reading")
}

async fn assert_sound(pool: &SqlitePool) -> Result<()> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(pool)
        .await
        .attempted("ask for the version of sqlite")?;
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let numbers: [u32; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    if numbers < SOUND_SQLITE { Err(Error::OldSqlite(version)) } else { Ok(()) }
}
