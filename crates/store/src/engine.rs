//! The two engines behind one text: which one it is, and how its connections are opened.
//! Knows nothing of any table.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use sqlx::Connection;
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
            $crate::engine::On::Postgres($db) => $crate::engine::in_time(async { $query }).await,
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

/// Writers of one process at once on PostgreSQL: the consumer, and beside it what clears and what prunes.
const POSTGRES_WRITERS: u32 = 4;

/// A server that has not answered a statement by then is taken for gone. Longer than the server itself lets a statement run, so this is
/// about servers that are frozen or cut off: a connection to such a one would wait for ever.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// A connection that was idle for longer is asked whether it still works before it is used…
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// …and has this long to say so.
const PING_WITHIN: Duration = Duration::from_millis(500);

/// Waits for an answer of PostgreSQL, but not for ever.
pub(crate) async fn in_time<T>(query: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, query).await;
    answer.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

/// A pool of connections to PostgreSQL that opens none before it is needed, so that a server that is down at the start is no error.
pub(crate) fn postgres_pool(most: u32, acquire_timeout: Duration) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| Box::pin(async move { Ok(meta.idle_for < TRUSTED_FOR || answers(connection).await) }))
}

/// Whether a connection still works.
pub(crate) async fn answers(connection: &mut sqlx::PgConnection) -> bool {
    matches!(tokio::time::timeout(PING_WITHIN, connection.ping()).await, Ok(Ok(())))
}

/// Reads a URL of the store.
///
/// # Errors
/// `BadUrl` where it is neither `sqlite:PATH` nor `postgres://…`. A database in memory is refused too: every connection would have its own.
pub(crate) fn place(url: &str) -> Result<Place> {
    let bad = || Error::BadUrl(scheme_of(url));
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains(":memory:") {
            return Err(bad());
        }
        return Ok(On::Sqlite(SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(5))));
    }
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        let options = PgConnectOptions::from_str(url).map_err(|_| bad())?;
        // Who names the application in the URL tells several deployments on one server apart.
        let is_named = url.contains("application_name=");
        return Ok(On::Postgres(if is_named { options } else { options.application_name("pipecast") }));
    }
    Err(bad())
}

/// What stands before the colon, which is all of a URL that may be shown: the rest has a password in it.
fn scheme_of(url: &str) -> String {
    url.split_once(':')
        .map_or_else(|| "(no scheme)".to_owned(), |(scheme, _)| format!("{scheme}:…"))
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
            // What is written is found by a key. A plan that was made while a table was new would go on reading all of it.
            ("enable_seqscan", "off"),
        ])),
    }
}

/// How a connection that reads is set up: the engine itself refuses every write on it.
pub(crate) fn reading(place: Place) -> Place {
    match place {
        On::Sqlite(options) => On::Sqlite(options.read_only(true).pragma("trusted_schema", "OFF").pragma("query_only", "ON")),
        On::Postgres(options) => On::Postgres(options.options([
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ])),
    }
}

/// How a connection that reads everything in one go is set up: as one that reads, and without limits on how long that takes.
pub(crate) fn snapshotting(place: Place) -> Place {
    match place {
        On::Sqlite(_) => reading(place),
        On::Postgres(options) => On::Postgres(options.options([
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
        ])),
    }
}

/// How a connection that fills a whole database is set up: its one commit is synced by itself, and it may take long.
pub(crate) fn loading(place: Place) -> Place {
    match writing(place) {
        On::Sqlite(options) => On::Sqlite(options.synchronous(SqliteSynchronous::Full)),
        On::Postgres(options) => On::Postgres(options.options([
            ("statement_timeout", "0"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "0"),
        ])),
    }
}

/// The pool that writes: one connection on SQLite. On PostgreSQL it connects when it is first used.
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
            postgres_pool(POSTGRES_WRITERS, options.acquire_timeout).connect_lazy_with(connect),
        )),
    }
}

/// The pool that reads the primary. On PostgreSQL it connects when it is first used.
pub(crate) async fn connect_reader(options: &Options) -> Result<Pool> {
    match reading(place(&options.url)?) {
        On::Sqlite(connect) => SqlitePoolOptions::new()
            .max_connections(options.read_connections)
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(connect)
            .await
            .map(On::Sqlite)
            .attempted("open the database for reading"),
        On::Postgres(connect) => Ok(On::Postgres(
            postgres_pool(options.read_connections, options.acquire_timeout).connect_lazy_with(connect),
        )),
    }
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
