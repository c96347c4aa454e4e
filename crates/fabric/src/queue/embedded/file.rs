//! The SQLite file of the queue: its schema and the one connection that writes it.
//! Knows nothing of claims, of lanes' turns or of waiting.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use pipecast_model::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::lock::lock_beside;
use super::reader::QueueReader;
use super::writer::Insert;
use crate::{Error, Result};

/// The schema that this build reads and writes.
const SCHEMA: i64 = 1;
/// Rows of one INSERT, the largest first: four texts, so that each is prepared once.
const ROWS_AT_ONCE: [usize; 4] = [64, 16, 4, 1];
/// Most buried messages that are kept; the oldest go first.
const BURIED_MESSAGES: i64 = 10_000;
/// Most bytes of them.
const BURIED_BYTES: i64 = 256 << 20;

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY,
        lane TEXT NOT NULL,
        failures INTEGER NOT NULL DEFAULT 0,
        not_before INTEGER NOT NULL DEFAULT 0,
        reason TEXT,
        body BLOB NOT NULL
    );
    CREATE TABLE IF NOT EXISTS dead (
        id INTEGER PRIMARY KEY,
        lane TEXT NOT NULL,
        failures INTEGER NOT NULL,
        reason TEXT NOT NULL,
        buried_at INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    PRAGMA user_version = 1";

/// What becomes of a row.
#[derive(Debug)]
pub(super) enum Change {
    /// It is done.
    Delete(i64),
    /// It failed and waits.
    Fail {
        id: i64,
        failures: u32,
        reason: String,
        not_before: Timestamp,
    },
    /// It failed too often.
    Bury { id: i64, failures: u32, reason: String, at: Timestamp },
}

impl Change {
    /// The id of a row that goes because it is done.
    pub(super) fn deleted(&self) -> Option<i64> {
        match self {
            Change::Delete(id) => Some(*id),
            Change::Fail { .. } | Change::Bury { .. } => None,
        }
    }
}

/// What becomes of a buried message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is tried again, as if it were new.
    Retried,
    /// It is forgotten.
    Dropped,
}

/// The schema is not one of this build's.
#[derive(Debug, thiserror::Error)]
#[error("its schema is {0}, this build knows {SCHEMA}")]
struct NewerSchema(i64);

/// The file's schema, 0 where it has none yet.
///
/// # Errors
/// `Unavailable` where it cannot be read, or a newer build has written it.
pub(super) async fn refuse_newer(connection: &mut SqliteConnection, attempted: &'static str) -> Result<i64> {
    let schema: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(connection)
        .await
        .map_err(unavailable(attempted))?;
    if schema > SCHEMA {
        let source = Box::new(NewerSchema(schema));
        return Err(Error::Unavailable { attempted, source });
    }
    Ok(schema)
}

/// The writing side. Holds the lock as long as it lives.
#[derive(Debug)]
pub(super) struct QueueFile {
    connection: SqliteConnection,
    insert: [String; ROWS_AT_ONCE.len()],
    lock: File,
}

impl QueueFile {
    /// Locks, opens and, where it is new, creates the file.
    pub(super) async fn open(path: &Path) -> Result<(Self, QueueReader)> {
        let lock = lock_beside(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            // A checkpoint costs two syncs, so it comes after 16 MiB and not after every 4.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("journal_size_limit", "67108864")
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let failed = unavailable("open the queue file");
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(&failed)?;
        let schema = refuse_newer(&mut connection, "open the queue file").await?;
        if schema < SCHEMA {
            sqlx::raw_sql(CREATE).execute(&mut connection).await.map_err(&failed)?;
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(2)
            .connect_with(SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging())
            .await
            .map_err(&failed)?;
        let insert = ROWS_AT_ONCE.map(|rows| format!("INSERT INTO messages (id, lane, body) VALUES {}", vec!["(?, ?, ?)"; rows].join(", ")));
        Ok((QueueFile { connection, insert, lock }, QueueReader(readers)))
    }

    /// Stores messages and writes changes in one transaction; returns after it has been synced.
    ///
    /// The statements that begin and end it are plain text: sqlx counts its own transactions, and miscounts where SQLite has
    /// already undone one by itself, as it does when the disk is full.
    pub(super) async fn commit(&mut self, inserts: &[Insert], changes: &[Change]) -> sqlx::Result<()> {
        let written = self.write(inserts, changes).await;
        if written.is_err() {
            // Fails where SQLite has undone it already.
            drop(sqlx::query("ROLLBACK").execute(&mut self.connection).await);
            // On a full disk this makes room: what the log holds moves to where it belongs, and the log becomes empty.
            drop(sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.connection).await);
        }
        written
    }

    async fn write(&mut self, inserts: &[Insert], changes: &[Change]) -> sqlx::Result<()> {
        let Self { connection, insert, .. } = self;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        let mut rest = inserts;
        for (rows, text) in ROWS_AT_ONCE.into_iter().zip(insert.iter()) {
            while rest.len() >= rows {
                let (chunk, after) = rest.split_at(rows);
                let mut query = sqlx::query(AssertSqlSafe(text.as_str()));
                for message in chunk {
                    query = query.bind(message.id).bind(message.lane.word()).bind(&message.body[..]);
                }
                query.execute(&mut *connection).await?;
                rest = after;
            }
        }
        let mut buried = false;
        for change in changes {
            match change {
                Change::Delete(_) => {}
                Change::Fail {
                    id,
                    failures,
                    reason,
                    not_before,
                } => {
                    sqlx::query("UPDATE messages SET failures = ?, reason = ?, not_before = ? WHERE id = ?")
                        .bind(failures)
                        .bind(reason)
                        .bind(not_before.0)
                        .bind(id)
                        .execute(&mut *connection)
                        .await?;
                }
                Change::Bury { id, failures, reason, at } => {
                    buried = true;
                    bury(connection, *id, *failures, reason, *at).await?;
                }
            }
        }
        let deleted: Vec<i64> = changes.iter().filter_map(Change::deleted).collect();
        if !deleted.is_empty() {
            sqlx::query("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?))")
                .bind(json(&deleted))
                .execute(&mut *connection)
                .await?;
        }
        if buried {
            trim_dead(connection).await?;
        }
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        Ok(())
    }

    /// Takes rows from among the dead, those that are there, in one transaction that has been synced when this returns: their ids, lanes
    /// and sizes.
    pub(super) async fn exhume(&mut self, ids: &[i64], fate: Fate) -> sqlx::Result<Vec<(i64, String, i64)>> {
        let exhumed = self.write_exhumed(&json(ids), fate).await;
        if exhumed.is_err() {
            // Fails where SQLite has undone it already.
            drop(sqlx::query("ROLLBACK").execute(&mut self.connection).await);
        }
        exhumed
    }

    async fn write_exhumed(&mut self, ids: &str, fate: Fate) -> sqlx::Result<Vec<(i64, String, i64)>> {
        let connection = &mut self.connection;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        if fate == Fate::Retried {
            sqlx::query("INSERT INTO messages (id, lane, body) SELECT id, lane, body FROM dead WHERE id IN (SELECT value FROM json_each(?))")
                .bind(ids)
                .execute(&mut *connection)
                .await?;
        }
        let exhumed = sqlx::query_as("DELETE FROM dead WHERE id IN (SELECT value FROM json_each(?)) RETURNING id, lane, length(body)")
            .bind(ids)
            .fetch_all(&mut *connection)
            .await?;
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        Ok(exhumed)
    }

    /// Closes the connection; the lock goes with it.
    pub(super) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the queue file did not close cleanly; nothing is lost, it is recovered at the next start");
        }
        // Said aloud, because a process that is just being started may hold a copy of the handle for a moment.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the lock of the queue file was not given back; it ends with this process");
        }
    }
}

async fn bury(connection: &mut SqliteConnection, id: i64, failures: u32, reason: &str, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query("INSERT OR IGNORE INTO dead (id, lane, failures, reason, buried_at, body) SELECT id, lane, ?, ?, ?, body FROM messages WHERE id = ?")
        .bind(failures)
        .bind(reason)
        .bind(at.0)
        .bind(id)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM messages WHERE id = ?").bind(id).execute(&mut *connection).await?;
    Ok(())
}

async fn trim_dead(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM dead WHERE id IN (
            SELECT id FROM (
                SELECT id, row_number() OVER newest AS number, sum(length(body)) OVER newest AS held
                FROM dead
                WINDOW newest AS (ORDER BY buried_at DESC, id DESC ROWS UNBOUNDED PRECEDING)
            )
            WHERE number > ? OR (held > ? AND number > 1)
        )",
    )
    .bind(BURIED_MESSAGES)
    .bind(BURIED_BYTES)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn json(ids: &[i64]) -> String {
    serde_json::to_string(ids).expect("numbers are always JSON")
}

pub(super) fn unavailable(attempted: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| Error::Unavailable {
        attempted,
        source: Box::new(source),
    }
}
