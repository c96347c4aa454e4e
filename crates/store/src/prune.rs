//! Retention: takes away what is older, or more, than it may be.
//! Knows the ages and sizes of rows, and nothing of what stands in them.

use std::time::Duration;

use pipecast_model::{DeliveryId, ProjectId, Timestamp};
use sqlx::QueryBuilder;

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::retention_policy::MOST_POLICIES;
use crate::writer::Tx;

const TAKE_AWAY: &str = "take away what is too old";

/// How long what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Bodies of deliveries.
    pub bodies: Duration,
    /// All bodies together, in bytes; the oldest go first.
    pub bodies_bytes: i64,
    /// The ledger, which is also the inbox that tells duplicates, and what each of its deliveries changed.
    pub deliveries: Duration,
}

impl Retention {
    /// The least that `deliveries` may be, as it is written: the ledger has to know a body as long as the same one is a repetition.
    pub const LEAST_DELIVERIES: &str = "1d";

    /// The most that an age may be, as it is written: ten years.
    pub const MOST: &str = "3650d";
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

/// Statements that take away what is older than `$1`, at most `$2` rows, and say of which deliveries: everywhere; of one project, which is
/// `$3`; of what belongs to no project; and of the projects that have no policy of their own.
struct Prunes {
    everywhere: &'static str,
    of_project: &'static str,
    of_none: &'static str,
    of_others: &'static str,
}

const BODIES: Prunes = Prunes {
    everywhere: "
        DELETE FROM delivery_bodies
        WHERE delivery_id IN (SELECT delivery_id FROM delivery_bodies WHERE received_at < $1 ORDER BY received_at, delivery_id LIMIT $2)
        RETURNING delivery_id",
    of_project: "
        DELETE FROM delivery_bodies
        WHERE delivery_id IN (
            SELECT delivery_id
            FROM delivery_bodies
            WHERE project_id = $3 AND received_at < $1
            ORDER BY received_at, delivery_id
            LIMIT $2
        )
        RETURNING delivery_id",
    of_none: "
        DELETE FROM delivery_bodies
        WHERE delivery_id IN (
            SELECT delivery_id
            FROM delivery_bodies
            WHERE project_id IS NULL AND received_at < $1
            ORDER BY received_at, delivery_id
            LIMIT $2
        )
        RETURNING delivery_id",
    // Project by project, each by its index: what others keep for longer is not read over and over.
    of_others: "
        DELETE FROM delivery_bodies
        WHERE delivery_id IN (
            SELECT b.delivery_id
            FROM projects p
            CROSS JOIN delivery_bodies b
            WHERE b.project_id = p.id AND b.received_at < $1
                AND NOT EXISTS (SELECT 1 FROM retention_policies r WHERE r.project_id = p.id AND r.bodies IS NOT NULL)
            LIMIT $2
        )
        RETURNING delivery_id",
};

const DELIVERIES: Prunes = Prunes {
    everywhere: "
        DELETE FROM deliveries
        WHERE id IN (SELECT id FROM deliveries WHERE received_at < $1 ORDER BY received_at, id LIMIT $2)
        RETURNING id",
    of_project: "
        DELETE FROM deliveries
        WHERE id IN (SELECT id FROM deliveries WHERE project_id = $3 AND received_at < $1 ORDER BY received_at, id LIMIT $2)
        RETURNING id",
    of_none: "
        DELETE FROM deliveries
        WHERE id IN (SELECT id FROM deliveries WHERE project_id IS NULL AND received_at < $1 ORDER BY received_at, id LIMIT $2)
        RETURNING id",
    of_others: "
        DELETE FROM deliveries
        WHERE id IN (
            SELECT d.id
            FROM projects p
            CROSS JOIN deliveries d
            WHERE d.project_id = p.id AND d.received_at < $1
                AND NOT EXISTS (SELECT 1 FROM retention_policies r WHERE r.project_id = p.id AND r.deliveries IS NOT NULL)
            LIMIT $2
        )
        RETURNING id",
};

impl Tx {
    /// Takes away what is older than it may be, at most `limit` rows of each kind and policy. Call it again while it takes `limit` of any.
    ///
    /// A project with a policy of its own keeps its deliveries and bodies as long as that says; the size of all bodies together is
    /// above every policy. What a delivery changed is kept as long as the delivery, and what belongs to none as long as any.
    pub async fn prune(&mut self, retention: &Retention, now: Timestamp, limit: i64) -> Result<Pruned> {
        const OLD_CHANGES: &str = "
            DELETE FROM topic_changes
            WHERE (topic, seq) IN (SELECT topic, seq FROM topic_changes WHERE at < $1 ORDER BY at LIMIT $2)";
        let policies = self.retention_ages().await?;
        let of_bodies = policies.iter().filter_map(|(project, bodies, _)| Some((*project, (*bodies)?))).collect();
        let of_deliveries: Vec<_> = policies
            .iter()
            .filter_map(|(project, _, deliveries)| Some((*project, (*deliveries)?)))
            .collect();
        let mut bodies = self.prune_by_age(&BODIES, retention.bodies, of_bodies, now, limit).await?.len() as u64;
        bodies += self.prune_bodies_by_size(retention.bodies_bytes, limit - bodies.cast_signed()).await?;
        let longest = of_deliveries.iter().map(|(_, micros)| Timestamp(now.0.saturating_sub(*micros))).min();
        let gone = self.prune_by_age(&DELIVERIES, retention.deliveries, of_deliveries, now, limit).await?;
        let mut changes = self.prune_changes_of(&gone).await?;
        let before = now.minus(retention.deliveries);
        let before = longest.map_or(before, |longest| longest.min(before));
        changes += on!(&mut self.on, |db| sqlx::query(OLD_CHANGES)
            .bind(before)
            .bind(limit)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted(TAKE_AWAY)?;
        Ok(Pruned {
            bodies,
            deliveries: gone.len() as u64,
            changes,
        })
    }

    async fn prune_changes_of(&mut self, deliveries: &[DeliveryId]) -> Result<u64> {
        let mut taken = 0;
        for some in deliveries.chunks(500) {
            taken += on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new("DELETE FROM topic_changes WHERE delivery_id IN (");
                let mut ids = sql.separated(", ");
                for id in some {
                    ids.push_bind(id);
                }
                sql.push(")");
                sql.build().execute(&mut **db).await.map(|done| done.rows_affected())
            })
            .attempted(TAKE_AWAY)?;
        }
        Ok(taken)
    }

    async fn prune_by_age(&mut self, prunes: &Prunes, age: Duration, policies: Vec<(ProjectId, i64)>, now: Timestamp, limit: i64) -> Result<Vec<DeliveryId>> {
        let before = now.minus(age);
        if policies.is_empty() {
            return self.take_away(prunes.everywhere, before, limit, None).await;
        }
        let mut taken = self.take_away(prunes.of_none, before, limit, None).await?;
        taken.extend(self.take_away(prunes.of_others, before, limit, None).await?);
        for (project, micros) in policies {
            let before = Timestamp(now.0.saturating_sub(micros));
            taken.extend(self.take_away(prunes.of_project, before, limit, Some(project)).await?);
        }
        Ok(taken)
    }

    async fn retention_ages(&mut self) -> Result<Vec<(ProjectId, Option<i64>, Option<i64>)>> {
        const SQL: &str = "SELECT project_id, bodies, deliveries FROM retention_policies ORDER BY project_id LIMIT $1";
        on!(&mut self.on, |db| sqlx::query_as(SQL).bind(MOST_POLICIES).fetch_all(&mut **db).await).attempted("read the retention policies")
    }

    async fn take_away(&mut self, sql: &'static str, before: Timestamp, limit: i64, of: Option<ProjectId>) -> Result<Vec<DeliveryId>> {
        on!(&mut self.on, |db| {
            let mut query = sqlx::query_scalar(sql).bind(before).bind(limit);
            if let Some(project) = of {
                query = query.bind(project);
            }
            query.fetch_all(&mut **db).await
        })
        .attempted(TAKE_AWAY)
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
