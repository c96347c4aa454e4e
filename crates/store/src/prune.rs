//! Retention: takes away what is older, or more, than it may be.
//! Knows the ages and sizes of rows, and nothing of what stands in them.

use std::time::Duration;

use pipecast_model::{DeliveryId, Timestamp};

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;

/// How long what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Bodies of deliveries.
    pub bodies: Duration,
    /// All bodies together, in bytes; the oldest go first.
    pub bodies_bytes: i64,
    /// The ledger, which is also the inbox that tells duplicates, and the changes of topics.
    pub deliveries: Duration,
}

/// What `prune` took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Bodies.
    pub bodies: u64,
    /// Rows of the ledger.
    pub deliveries: u64,
    /// Notes on which delivery changed which topic.
    pub changes: u64,
}

impl Tx {
    /// Takes away what is older than it may be, at most `limit` rows of each kind. Call it again while it takes `limit` of any.
    pub async fn prune(&mut self, retention: &Retention, now: Timestamp, limit: i64) -> Result<Pruned> {
        const OLD_BODIES: &str = "
            DELETE FROM delivery_bodies
            WHERE delivery_id IN (SELECT delivery_id FROM delivery_bodies WHERE received_at < $1 ORDER BY received_at, delivery_id LIMIT $2)";
        const OLD_DELIVERIES: &str = "
            DELETE FROM deliveries
            WHERE id IN (SELECT id FROM deliveries WHERE received_at < $1 ORDER BY received_at, id LIMIT $2)";
        const OLD_CHANGES: &str = "
            DELETE FROM topic_changes
            WHERE (topic, seq) IN (SELECT topic, seq FROM topic_changes WHERE at < $1 ORDER BY at LIMIT $2)";
        let mut bodies = self.take_away(OLD_BODIES, now.minus(retention.bodies), limit).await?;
        bodies += self.prune_bodies_by_size(retention.bodies_bytes, limit - bodies.cast_signed()).await?;
        let deliveries = self.take_away(OLD_DELIVERIES, now.minus(retention.deliveries), limit).await?;
        let changes = self.take_away(OLD_CHANGES, now.minus(retention.deliveries), limit).await?;
        Ok(Pruned { bodies, deliveries, changes })
    }

    async fn take_away(&mut self, sql: &'static str, before: Timestamp, limit: i64) -> Result<u64> {
        on!(&mut self.on, |db| sqlx::query(sql)
            .bind(before)
            .bind(limit)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("take away what is too old")
    }

    async fn prune_bodies_by_size(&mut self, most: i64, limit: i64) -> Result<u64> {
        const ATTEMPTED: &str = "take away bodies that are too many";
        const TOTAL: &str = "SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM delivery_bodies";
        const OLDEST: &str = "SELECT received_at, delivery_id, bytes FROM delivery_bodies ORDER BY received_at, delivery_id LIMIT $1";
        const UP_TO: &str = "DELETE FROM delivery_bodies WHERE (received_at, delivery_id) <= ($1, $2)";
        let total: i64 = on!(&mut self.on, |db| sqlx::query_scalar(TOTAL).fetch_one(&mut **db).await).attempted(ATTEMPTED)?;
        let mut surplus = total - most;
        if surplus <= 0 || limit <= 0 {
            return Ok(0);
        }
        let oldest: Vec<(Timestamp, DeliveryId, i64)> =
            on!(&mut self.on, |db| sqlx::query_as(OLDEST).bind(limit).fetch_all(&mut **db).await).attempted(ATTEMPTED)?;
        let mut last = None;
        for (received_at, id, bytes) in oldest {
            if surplus <= 0 {
                break;
            }
            surplus -= bytes;
            last = Some((received_at, id));
        }
        let Some((received_at, id)) = last else { return Ok(0) };
        on!(&mut self.on, |db| sqlx::query(UP_TO)
            .bind(received_at)
            .bind(id)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted(ATTEMPTED)
    }
}
