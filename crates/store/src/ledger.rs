//! Reading the ledger: which deliveries there were, what became of each, and which sources have fallen silent.
//! Knows nothing of how deliveries are noted (see `delivery`), nor of who asks.

use pipecast_model::{DeliveryId, Host, Outcome, ProjectId, SecretId, SourceId, Timestamp, Topic};
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::Attempt;
use crate::{Direction, Error, Reader, Result};

mod asking;
#[cfg(test)]
mod plans;

pub use asking::DeliveryQuery;
use asking::ask;

/// A delivery as a list shows it: without headers and body.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Listed {
    /// Our id of it.
    pub id: DeliveryId,
    /// Who sent it.
    pub host: Host,
    /// The key of its source.
    pub source: String,
    /// The host's word for what it tells.
    pub event: Option<String>,
    /// The host's id of it.
    pub delivery_key: Option<String>,
    /// SHA-256 of its body in hex; none for one that was refused.
    pub body_sha256: Option<String>,
    /// Bytes of its body, as long as that is kept.
    pub bytes: Option<i64>,
    /// When its last byte arrived; for a replay, when that of the first one did.
    pub received_at: Timestamp,
    /// When it was written down, which is when it took effect.
    pub recorded_at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where there is a why.
    pub detail: Option<String>,
    /// How often it was tried; more than once where the database refused it before.
    pub attempts: i64,
    /// How often the same came again.
    pub repeats: i64,
    /// What it is a wanted repetition of.
    pub replay_of: Option<DeliveryId>,
    /// What it is an unwanted repetition of.
    pub duplicate_of: Option<DeliveryId>,
    /// The project that it is about, where it is about one.
    pub project_id: Option<ProjectId>,
    /// The secret of its source that it was signed with; none where that is configured.
    pub secret_id: Option<SecretId>,
}

/// What a delivery gave a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which topic.
    pub topic: Topic,
    /// Its sequence since then.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
}

/// A source and when it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Silence {
    /// The source.
    pub source_id: SourceId,
    /// Its host.
    pub host: Host,
    /// Its key.
    pub source: String,
    /// When it came to be known.
    pub created_at: Timestamp,
    /// When its newest delivery came that was not refused, as far back as the ledger goes.
    pub last_delivery_at: Option<Timestamp>,
}

const LISTED: &str = "
    SELECT d.id, d.host, d.source, d.event, d.delivery_key, d.body_sha256, b.bytes, d.received_at, d.recorded_at, d.outcome, d.detail,
        d.attempts, d.repeats, d.replay_of, d.duplicate_of, d.project_id, d.secret_id
    FROM deliveries d
    LEFT JOIN delivery_bodies b ON b.delivery_id = d.id
    WHERE 1 = 1";

/// What can be replayed has a body and was believed.
const REPLAYABLE: &str = " AND d.outcome <> 'refused' AND EXISTS (SELECT 1 FROM delivery_bodies b WHERE b.delivery_id = d.id)";

impl Reader {
    /// A page of deliveries of the ledger.
    pub async fn list_deliveries(&self, query: &DeliveryQuery) -> Result<Vec<Listed>> {
        if query.parts().is_empty() {
            return Ok(Vec::new());
        }
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new("");
            ask(query, LISTED, "", &mut sql);
            sql.build_query_as().fetch_all(db).await
        })
        .attempted("list deliveries")
    }

    /// One delivery as a list shows it.
    pub async fn find_listed_delivery(&self, id: DeliveryId) -> Result<Option<Listed>> {
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(LISTED);
            sql.push(" AND d.id = ").push_bind(id);
            sql.build_query_as().fetch_optional(db).await
        })
        .attempted("find a delivery")
    }

    /// Those of a query that can be replayed, with the bytes of their bodies, the first received first; neither its order nor `after` count here.
    pub async fn list_replayable(&self, query: &DeliveryQuery) -> Result<Vec<(DeliveryId, i64)>> {
        const SELECT: &str = "
            SELECT d.id, d.received_at, (SELECT b.bytes FROM delivery_bodies b WHERE b.delivery_id = d.id) AS bytes
            FROM deliveries d
            WHERE 1 = 1";
        let query = DeliveryQuery {
            direction: Direction::Up,
            ..query.clone()
        };
        if query.parts().is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(DeliveryId, Timestamp, i64)> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new("");
            ask(&query, SELECT, REPLAYABLE, &mut sql);
            sql.build_query_as().fetch_all(db).await
        })
        .attempted("list deliveries to replay")?;
        Ok(rows.into_iter().map(|(id, _, bytes)| (id, bytes)).collect())
    }

    /// How many a query finds; it counts no further than its limit.
    pub async fn count_deliveries(&self, query: &DeliveryQuery) -> Result<i64> {
        let mut found = 0;
        for part in query.parts() {
            found += self.count_part(&part).await?;
            if found >= query.limit {
                break;
            }
        }
        Ok(found.min(query.limit))
    }

    async fn count_part(&self, query: &DeliveryQuery) -> Result<i64> {
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT d.id FROM deliveries d WHERE 1 = 1");
            query.limit_to(&mut sql);
            sql.push(" ORDER BY d.received_at, d.id LIMIT ").push_bind(query.limit).push(") found");
            sql.build_query_scalar().fetch_one(db).await
        })
        .attempted("count deliveries")
    }

    /// The topics that a delivery changed, in the order in which it did, at most `limit`.
    pub async fn list_changes_of(&self, id: DeliveryId, limit: i64) -> Result<Vec<Changed>> {
        const SQL: &str = "SELECT topic, seq, at FROM topic_changes WHERE delivery_id = $1 ORDER BY at, topic LIMIT $2";
        let rows: Vec<(String, i64, Timestamp)> =
            on!(&self.on, |db| sqlx::query_as(SQL).bind(id).bind(limit).fetch_all(db).await).attempted("list what a delivery changed")?;
        rows.into_iter()
            .map(|(topic, seq, at)| {
                let topic = topic.parse().map_err(|_| Error::Corrupt {
                    what: format!("the topic {topic:?}"),
                })?;
                Ok(Changed { topic, seq, at })
            })
            .collect()
    }

    /// Sources that have sent nothing that was believed since `since`, the longest silent first, at most `limit`. Of one that is disabled or deleted
    /// nothing is expected.
    pub async fn list_silent_sources(&self, since: Timestamp, limit: i64) -> Result<Vec<Silence>> {
        const SQL: &str = "
            SELECT source_id, host, source, created_at, last_delivery_at
            FROM (
                SELECT s.id AS source_id, s.host, s.key AS source, s.created_at, (
                    SELECT d.received_at
                    FROM deliveries d
                    WHERE d.host = s.host AND d.source = s.key AND d.outcome <> 'refused'
                    ORDER BY d.received_at DESC
                    LIMIT 1
                ) AS last_delivery_at
                FROM sources s
                WHERE s.enabled = TRUE AND s.deleted_at IS NULL
            ) heard
            WHERE coalesce(last_delivery_at, created_at) < $1
            ORDER BY coalesce(last_delivery_at, created_at), source_id
            LIMIT $2";
        on!(&self.on, |db| sqlx::query_as(SQL).bind(since).bind(limit).fetch_all(db).await).attempted("list silent sources")
    }
}
