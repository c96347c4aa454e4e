//! The reading side of the queue file: what is unsettled in it, the bodies, and what is buried.
//! Knows nothing of who writes it.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use pipecast_model::{Lane, Timestamp};
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use tokio::time::Instant;

use super::board::Board;
use super::file::{json, unavailable};
use crate::{Dead, DeadId, Error, Result};

/// Rows that are listed at once at the start.
const PAGE: i64 = 10_000;

const READ_DEAD: &str = "read buried messages from the queue file";

/// A lane that this build does not know.
#[derive(Debug, thiserror::Error)]
#[error("message {id} is in the unknown lane {lane:?}")]
struct UnknownLane {
    id: i64,
    lane: String,
}

/// The reading side: it never waits for the writer.
#[derive(Clone, Debug)]
pub(super) struct QueueReader(pub(super) SqlitePool);

impl QueueReader {
    /// Everything that is unsettled, without the bodies. Nothing is put off by more than `retry_cap`, whatever a clock that has been
    /// set since says.
    pub(super) async fn load(&self, retry_cap: Duration) -> Result<Board> {
        let failed = unavailable("list the queue file");
        let last: i64 = sqlx::query_scalar("SELECT max(coalesce((SELECT max(id) FROM messages), 0), coalesce((SELECT max(id) FROM dead), 0))")
            .fetch_one(&self.0)
            .await
            .map_err(&failed)?;
        let mut board = Board::starting_at(last + 1);
        let (now, started) = (Timestamp::now(), Instant::now());
        let mut after = 0_i64;
        loop {
            let rows = sqlx::query("SELECT id, lane, failures, not_before, length(body) FROM messages WHERE id > ? ORDER BY id LIMIT ?")
                .bind(after)
                .bind(PAGE)
                .fetch_all(&self.0)
                .await
                .map_err(&failed)?;
            let Some(row) = rows.last() else { return Ok(board) };
            after = row.get(0);
            for row in rows {
                let wait = u64::try_from(row.get::<i64, _>(3) - now.0).ok().filter(|micros| *micros > 0);
                board.restore(
                    row.get(0),
                    lane(row.get(0), row.get(1))?,
                    row.get(2),
                    usize::try_from(row.get::<i64, _>(4)).unwrap_or_default(),
                    wait.map(|micros| started + Duration::from_micros(micros).min(retry_cap)),
                );
            }
        }
    }

    /// The bodies of messages. One that is not there is left out.
    pub(super) async fn bodies(&self, ids: &[i64]) -> Result<HashMap<i64, Bytes>> {
        let rows = sqlx::query("SELECT id, body FROM messages WHERE id IN (SELECT value FROM json_each(?))")
            .bind(json(ids))
            .fetch_all(&self.0)
            .await
            .map_err(unavailable("read messages from the queue file"))?;
        Ok(rows.into_iter().map(|row| (row.get(0), Bytes::from(row.get::<Vec<u8>, _>(1)))).collect())
    }

    /// Buried messages behind this instant and row, of each the beginning.
    pub(super) async fn list_dead(&self, after: (i64, i64), most: usize) -> Result<Vec<Dead>> {
        const SQL: &str = "
            SELECT id, lane, failures, reason, buried_at, substr(body, 1, ?), length(body)
            FROM dead
            WHERE (buried_at, id) > (?, ?)
            ORDER BY buried_at, id
            LIMIT ?";
        let rows = sqlx::query(SQL)
            .bind(i64::try_from(Dead::HEAD).unwrap_or(i64::MAX))
            .bind(after.0)
            .bind(after.1)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.0)
            .await
            .map_err(unavailable(READ_DEAD))?;
        rows.iter().map(dead).collect()
    }

    /// Those of these rows that are buried.
    pub(super) async fn which_are_dead(&self, ids: &[i64]) -> Result<Vec<i64>> {
        sqlx::query_scalar("SELECT id FROM dead WHERE id IN (SELECT value FROM json_each(?))")
            .bind(json(ids))
            .fetch_all(&self.0)
            .await
            .map_err(unavailable(READ_DEAD))
    }

    /// One buried message in full.
    pub(super) async fn find_dead(&self, id: i64) -> Result<Option<Dead>> {
        let row = sqlx::query("SELECT id, lane, failures, reason, buried_at, body, length(body) FROM dead WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.0)
            .await
            .map_err(unavailable(READ_DEAD))?;
        row.as_ref().map(dead).transpose()
    }

    /// Ends the reading connections.
    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

fn dead(row: &SqliteRow) -> Result<Dead> {
    let id: i64 = row.get(0);
    Ok(Dead {
        // In the order of their rows within an instant.
        id: DeadId::buried_at(Timestamp(row.get(4)), &format!("{id:016x}")),
        lane: lane(id, row.get(1))?,
        failures: row.get(2),
        reason: row.get(3),
        buried_at: Timestamp(row.get(4)),
        message: Bytes::from(row.get::<Vec<u8>, _>(5)),
        bytes: usize::try_from(row.get::<i64, _>(6)).unwrap_or_default(),
    })
}

pub(super) fn lane(id: i64, word: &str) -> Result<Lane> {
    Lane::ALL.into_iter().find(|lane| lane.word() == word).ok_or_else(|| Error::Unavailable {
        attempted: "read the queue file",
        source: Box::new(UnknownLane { id, lane: word.to_owned() }),
    })
}
