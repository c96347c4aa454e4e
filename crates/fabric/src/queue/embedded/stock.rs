//! What a queue file holds, read beside the process that works with it: for a backup.
//! Knows nothing of claims: what is claimed is still in the file until it is settled.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use pipecast_model::Lane;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};

use super::file::{refuse_newer, unavailable};
use super::reader::lane;
use crate::Result;

/// A queue file at one moment. While it is held the file's write-ahead log cannot be reused.
pub struct Stock(SqliteConnection);

/// A message of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it waits or waited.
    pub lane: Lane,
    /// What was sent.
    pub message: Bytes,
}

const ATTEMPTED: &str = "read the queue file";

impl Stock {
    /// Looks at the file at `path`; `None` where there is none.
    ///
    /// # Errors
    /// `Unavailable` where it cannot be read, or a newer build has written it.
    pub async fn of(path: &Path) -> Result<Option<Stock>> {
        if !path.exists() {
            return Ok(None);
        }
        let failed = unavailable(ATTEMPTED);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(&failed)?;
        sqlx::query("BEGIN").execute(&mut connection).await.map_err(&failed)?;
        let schema = refuse_newer(&mut connection, ATTEMPTED).await?;
        Ok((schema > 0).then_some(Stock(connection)))
    }

    /// What waits or is claimed, the oldest first.
    pub fn waiting(&mut self) -> BoxStream<'_, Result<Stored>> {
        self.read("SELECT id, lane, body FROM messages ORDER BY id")
    }

    /// What is buried, the oldest first.
    pub fn buried(&mut self) -> BoxStream<'_, Result<Stored>> {
        self.read("SELECT id, lane, body FROM dead ORDER BY buried_at, id")
    }

    /// How many messages wait or are claimed.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn depth(&mut self) -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM messages")
            .fetch_one(&mut self.0)
            .await
            .map_err(unavailable(ATTEMPTED))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    fn read(&mut self, sql: &'static str) -> BoxStream<'_, Result<Stored>> {
        sqlx::query(sql)
            .fetch(&mut self.0)
            .map(|row| {
                let row = row.map_err(unavailable(ATTEMPTED))?;
                Ok(Stored {
                    lane: lane(row.get(0), row.get(1))?,
                    message: Bytes::from(row.get::<Vec<u8>, _>(2)),
                })
            })
            .boxed()
    }
}
