//! The ledger of deliveries, which is also the inbox that tells duplicates.
//! Knows nothing of what a delivery tells.
//!
//! Where a repeated body is looked for, `+ 0` and `|| ''` hide the other columns from the indexes: without statistics both engines
//! prefer the index in which more of the columns are named, and would read every delivery of the source for each new one.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use pipecast_model::{Delivery, DeliveryId, Host, Outcome, ProjectId, Reading, Refusal, SecretId, Timestamp};
use sqlx::QueryBuilder;
use sqlx::types::Json;

use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;
use crate::{Original, Reader, Record, Result};

/// Within this time the same body is the same delivery, whatever its key says: hosts do not sign their keys.
const SAME_BODY: Duration = Duration::from_secs(24 * 60 * 60);

/// Ledger rows in one statement.
const NOTED: usize = 64;

/// Bodies in one statement.
const BODIES: usize = 64;

/// Writes a delivery unless it has been here before.
pub(crate) const WRITE: &str = "
    INSERT INTO deliveries (id, host, source, event, delivery_key, body_sha256, received_at, headers, replay_of, duplicate_of, outcome,
        detail, project_id, repeats, recorded_at, secret_id)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $17, 0, $13, $18
    WHERE NOT EXISTS (
        SELECT 1
        FROM deliveries
        WHERE body_sha256 = $14 AND received_at + 0 BETWEEN $15 AND $16 AND host || '' = $2 AND source || '' = $3 AND duplicate_of IS NULL
    )
    ON CONFLICT DO NOTHING";

/// Whether a delivery has been here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is new and now stands in the ledger.
    New,
    /// It has been here: the same delivery key, or the same body within a day. A delivery that the queue hands out again has our
    /// own id of it in common with the first time.
    Duplicate(Original),
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: DeliveryId,
    host: Host,
    source: String,
    event: Option<String>,
    delivery_key: Option<String>,
    body_sha256: Option<String>,
    received_at: Timestamp,
    headers: Json<Vec<(String, String)>>,
    replay_of: Option<DeliveryId>,
    secret_id: Option<SecretId>,
    outcome: Outcome,
    detail: Option<String>,
    repeats: i64,
    recorded_at: Timestamp,
    body: Option<Vec<u8>>,
}

/// In what an earlier delivery is like this one; the order is how much that says.
const SAME_KEY: i64 = 1;
const SAME_BODY_ALONE: i64 = 2;

impl Reader {
    /// One delivery of the ledger.
    pub async fn find_delivery(&self, id: DeliveryId) -> Result<Option<Record>> {
        const SQL: &str = "
            SELECT d.id, d.host, d.source, d.event, d.delivery_key, d.body_sha256, d.received_at, d.headers, d.replay_of, d.secret_id, d.outcome,
                d.detail, d.repeats, d.recorded_at, b.body
            FROM deliveries d
            LEFT JOIN delivery_bodies b ON b.delivery_id = d.id
            WHERE d.id = $1";
        let row: Option<DeliveryRow> = on!(&self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await).attempted("find a delivery")?;
        Ok(row.map(|row| Record {
            delivery: Delivery {
                id: row.id,
                host: row.host,
                source: row.source,
                event: row.event.unwrap_or_default(),
                key: row.delivery_key,
                body_sha256: row.body_sha256.unwrap_or_default(),
                received_at: row.received_at,
                headers: row.headers.0,
                replay_of: row.replay_of,
                secret: row.secret_id,
                body: row.body.map(Bytes::from).unwrap_or_default(),
            },
            outcome: row.outcome,
            detail: row.detail,
            repeats: row.repeats,
            recorded_at: row.recorded_at,
        }))
    }
}

impl Tx {
    /// Writes a delivery into the ledger with its body, unless it has been here before. A duplicate by key counts on the first
    /// one's row; a duplicate by body alone gets a row of its own that says so. A replay is always new, but like any delivery it
    /// is new only once: handed out again by the queue it is a duplicate of itself, and counts nowhere.
    ///
    /// The row says `applied`, because what is noted here takes effect in the same transaction or not at all.
    pub async fn note_delivery(&mut self, delivery: &Delivery) -> Result<Noted> {
        self.source(delivery.host, &delivery.source).await?;
        if self.known.noted.remove(&delivery.id) || self.write_delivery(delivery, Outcome::Applied, None).await? {
            self.unwritten.bodies.push((delivery.id, delivery.received_at, delivery.body.clone()));
            return Ok(Noted::New);
        }
        match self.find_like(delivery).await? {
            Some((SAME_KEY, first, original)) => self.count_repeat(first, original).await,
            Some((SAME_BODY_ALONE, first, _)) => {
                self.write_delivery(delivery, Outcome::Duplicate, Some(first)).await?;
                Ok(Noted::Duplicate(first))
            }
            Some((_, first, original)) => Ok(Noted::Duplicate(original.unwrap_or(first))),
            None => Ok(Noted::Duplicate(delivery.id)),
        }
    }

    /// Writes the ledger's rows of those deliveries of a batch that are like no other one of it and like none before: nearly all of them, in
    /// one statement. `note_delivery` then finds them written. Those that are left out it writes by itself, in their turn.
    pub(crate) async fn note_together(&mut self, batch: &[&Delivery]) -> Result<()> {
        let (mut ids, mut keys, mut bodies) = (HashSet::new(), HashSet::new(), HashSet::new());
        let unlike = batch.iter().filter(|delivery| {
            let of = (delivery.host, delivery.source.as_str());
            // All three take note of it, whatever the others say.
            let by_id = ids.insert(delivery.id);
            let by_key = delivery.key.as_deref().is_none_or(|key| keys.insert((of, key)));
            let by_body = bodies.insert((of, delivery.body_sha256.as_str()));
            by_id && by_key && by_body && delivery.replay_of.is_none()
        });
        let unlike: Vec<&Delivery> = unlike.copied().collect();
        let now = Timestamp::now();
        for rows in unlike.chunks(NOTED) {
            let noted: Vec<DeliveryId> = on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new(
                    "WITH told (id, host, source, event, delivery_key, body_sha256, received_at, headers, project_id, secret_id, since, until) AS (",
                );
                sql.push_values(rows, |mut row, delivery| {
                    let (since, until) = around(delivery.received_at);
                    row.push_bind(delivery.id)
                        .push_bind(delivery.host.word())
                        .push_bind(&delivery.source)
                        .push_bind(&delivery.event)
                        .push_bind(&delivery.key)
                        .push_bind(&delivery.body_sha256)
                        .push_bind(delivery.received_at)
                        .push_bind(Json(&delivery.headers))
                        .push_bind(self.known.about.get(&delivery.id).copied())
                        .push_bind(delivery.secret)
                        .push_bind(since)
                        .push_bind(until);
                });
                sql.push(
                    ") INSERT INTO deliveries (id, host, source, event, delivery_key, body_sha256, received_at, headers, project_id, secret_id, outcome,
                        repeats, recorded_at)
                    SELECT id, host, source, event, delivery_key, body_sha256, received_at, headers, project_id, secret_id, ",
                );
                sql.push_bind(Outcome::Applied.word()).push(", 0, ").push_bind(now);
                sql.push(
                    " FROM told
                    WHERE NOT EXISTS (
                        SELECT 1
                        FROM deliveries d
                        WHERE d.body_sha256 = told.body_sha256 AND d.received_at + 0 BETWEEN told.since AND told.until
                            AND d.host || '' = told.host AND d.source || '' = told.source AND d.duplicate_of IS NULL
                    )
                    ON CONFLICT DO NOTHING
                    RETURNING id",
                );
                sql.build_query_scalar().fetch_all(&mut **db).await
            })
            .attempted("note deliveries")?;
            self.known.noted.extend(noted);
        }
        Ok(())
    }

    /// The most telling earlier delivery that is the same: in what, which, and which one that was a duplicate of.
    async fn find_like(&mut self, delivery: &Delivery) -> Result<Option<(i64, DeliveryId, Option<DeliveryId>)>> {
        const SQL: &str = "
            SELECT CAST(CASE WHEN id = $1 THEN 0 WHEN delivery_key = $4 THEN 1 ELSE 2 END AS BIGINT) AS likeness, id, duplicate_of
            FROM deliveries
            WHERE id = $1
                OR (host = $2 AND source = $3 AND delivery_key = $4 AND replay_of IS NULL)
                OR (body_sha256 = $5 AND received_at + 0 BETWEEN $6 AND $7 AND host || '' = $2 AND source || '' = $3 AND duplicate_of IS NULL)
            ORDER BY likeness, received_at, id
            LIMIT 1";
        // A replay is only ever the same as itself.
        let replayed = delivery.replay_of.is_some();
        let key = delivery.key.as_deref().filter(|_| !replayed);
        let body = Some(delivery.body_sha256.as_str()).filter(|_| !replayed);
        let (from, to) = around(delivery.received_at);
        on!(&mut self.on, |db| sqlx::query_as(SQL)
            .bind(delivery.id)
            .bind(delivery.host.word())
            .bind(&delivery.source)
            .bind(key)
            .bind(body)
            .bind(from)
            .bind(to)
            .fetch_optional(&mut **db)
            .await)
        .attempted("look for an earlier delivery")
    }

    async fn count_repeat(&mut self, first: DeliveryId, original: Option<DeliveryId>) -> Result<Noted> {
        const SQL: &str = "UPDATE deliveries SET repeats = repeats + 1 WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL).bind(first).execute(&mut **db).await.map(drop)).attempted("count a repeated delivery")?;
        Ok(Noted::Duplicate(original.unwrap_or(first)))
    }

    /// Whether the row was written; it is not where its id or its key is there already, nor where its body is, unless it is
    /// written as the duplicate of that one. Looking and writing are one statement, because nearly every delivery is new.
    async fn write_delivery(&mut self, delivery: &Delivery, outcome: Outcome, duplicate_of: Option<DeliveryId>) -> Result<bool> {
        let new = delivery.replay_of.is_none() && duplicate_of.is_none();
        let body = Some(delivery.body_sha256.as_str()).filter(|_| new);
        let (from, to) = around(delivery.received_at);
        let detail = duplicate_of.map(|first| format!("same body as {first}"));
        let about = self.known.about.get(&delivery.id).copied();
        let rows = on!(&mut self.on, |db| sqlx::query(WRITE)
            .bind(delivery.id)
            .bind(delivery.host.word())
            .bind(&delivery.source)
            .bind(&delivery.event)
            .bind(&delivery.key)
            .bind(&delivery.body_sha256)
            .bind(delivery.received_at)
            .bind(Json(&delivery.headers))
            .bind(delivery.replay_of)
            .bind(duplicate_of)
            .bind(outcome.word())
            .bind(&detail)
            .bind(Timestamp::now())
            .bind(body)
            .bind(from)
            .bind(to)
            .bind(about)
            .bind(delivery.secret)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("note a delivery")?;
        Ok(rows == 1)
    }

    /// Writes the bodies of the deliveries that were noted.
    pub(crate) async fn write_bodies(&mut self) -> Result<()> {
        for rows in std::mem::take(&mut self.unwritten.bodies).chunks(BODIES) {
            on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new("INSERT INTO delivery_bodies (delivery_id, received_at, project_id, bytes, body) ");
                sql.push_values(rows, |mut row, (id, received_at, body)| {
                    let bytes = i64::try_from(body.len()).expect("a body fits into memory");
                    row.push_bind(id)
                        .push_bind(received_at)
                        .push_bind(self.known.about.get(id).copied())
                        .push_bind(bytes)
                        .push_bind(&body[..]);
                });
                sql.build().execute(&mut **db).await.map(drop)
            })
            .attempted("keep the bodies of deliveries")?;
        }
        Ok(())
    }

    /// Writes what a noted delivery is about, where nobody foresaw it.
    pub(crate) async fn write_about(&mut self, id: DeliveryId, project: ProjectId) -> Result<()> {
        const SQL: &str = "UPDATE deliveries SET project_id = $2 WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL).bind(id).bind(project).execute(&mut **db).await.map(drop)).attempted("note what a delivery is about")
    }

    /// Writes how often a noted delivery was tried, this time included. Nothing said, it was once.
    pub async fn note_attempts(&mut self, id: DeliveryId, attempts: i64) -> Result<()> {
        const SQL: &str = "UPDATE deliveries SET attempts = $2 WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL).bind(id).bind(attempts).execute(&mut **db).await.map(drop)).attempted("note how often a delivery was tried")
    }

    /// Writes how a noted delivery ended.
    pub(crate) async fn write_reading(&mut self, id: DeliveryId, reading: &Reading) -> Result<()> {
        const SQL: &str = "UPDATE deliveries SET (outcome, detail) = ($2, $3) WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(id)
            .bind(reading.outcome().word())
            .bind(reading.detail())
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("note how a delivery ended")
    }

    /// Writes a refused delivery into the ledger. Once: the queue may hand it out again.
    pub async fn note_refusal(&mut self, refusal: &Refusal) -> Result<()> {
        const SQL: &str = "
            INSERT INTO deliveries (id, host, source, event, received_at, headers, outcome, detail, repeats, recorded_at)
            VALUES ($1, $2, $3, $4, $5, '[]', 'refused', $6, 0, $7)
            ON CONFLICT (id) DO NOTHING";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(refusal.id)
            .bind(refusal.host.word())
            .bind(&refusal.source)
            .bind(&refusal.event)
            .bind(refusal.received_at)
            .bind(&refusal.reason)
            .bind(Timestamp::now())
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("note a refused delivery")
    }
}

fn around(instant: Timestamp) -> (Timestamp, Timestamp) {
    let day = i64::try_from(SAME_BODY.as_micros()).expect("a day fits");
    (instant.minus(SAME_BODY), Timestamp(instant.0.saturating_add(day)))
}

#[cfg(test)]
mod tests {
    use pipecast_model::quantity::parse_duration;

    use super::SAME_BODY;
    use crate::Retention;

    #[test]
    fn the_ledger_knows_a_body_as_long_as_the_same_one_is_a_repetition() {
        assert_eq!(parse_duration(Retention::LEAST_DELIVERIES), Some(SAME_BODY));
    }
}
