//! Sources as operators make, change, delete and restore them. Every change gives the source a new revision, by which edges hear of it.
//! Knows nothing of secrets.

use pipecast_model::{Host, SourceId, Timestamp};

use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;
use crate::{Error, Result};

/// A source that an operator makes.
#[derive(Clone, Debug)]
pub struct NewSource {
    /// Whom it connects to.
    pub host: Host,
    /// The end of its path; nobody else at this host has it.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// Whether its deliveries are believed.
    pub enabled: bool,
    /// Hours without a delivery after which it is silent.
    pub silent_after: Option<i64>,
    /// The user who makes it.
    pub created_by: Option<i64>,
}

/// What an operator may change of a source: all of it, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceChange {
    /// What it is called.
    pub name: Option<String>,
    /// Whether its deliveries are believed.
    pub enabled: bool,
    /// Hours without a delivery after which it is silent.
    pub silent_after: Option<i64>,
}

impl Tx {
    /// Makes a source, without a secret yet. `None` where the key is taken.
    pub async fn make_source(&mut self, new: &NewSource, now: Timestamp) -> Result<Option<SourceId>> {
        const SQL: &str = "
            INSERT INTO sources (host, key, created_at, managed, name, name_folded, enabled, silent_after, created_by, updated_at, revision)
            VALUES ($1, $2, $3, TRUE, $4, $5, $6, $7, $8, $3, $9)
            ON CONFLICT (host, key) DO NOTHING
            RETURNING id";
        let revision = self.next_revision().await?;
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(new.host.word())
            .bind(&new.key)
            .bind(now)
            .bind(&new.name)
            .bind(new.name.to_lowercase())
            .bind(new.enabled)
            .bind(new.silent_after)
            .bind(new.created_by)
            .bind(revision)
            .fetch_optional(&mut **db)
            .await)
        .attempted("make a source")
    }

    /// Changes a source that is at this version; returns the next one, or `None` where it is at another or deleted.
    pub async fn change_source(&mut self, id: SourceId, version: i64, change: &SourceChange, now: Timestamp) -> Result<Option<i64>> {
        const SQL: &str = "
            UPDATE sources
            SET (name, name_folded, enabled, silent_after, updated_at, version, revision) = ($3, $4, $5, $6, $7, version + 1, $8)
            WHERE id = $1 AND version = $2 AND deleted_at IS NULL
            RETURNING version";
        let revision = self.next_revision().await?;
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(id)
            .bind(version)
            .bind(&change.name)
            .bind(change.name.as_deref().unwrap_or_default().to_lowercase())
            .bind(change.enabled)
            .bind(change.silent_after)
            .bind(now)
            .bind(revision)
            .fetch_optional(&mut **db)
            .await)
        .attempted("change a source")
    }

    /// Deletes a source that is at this version: its deliveries are believed no more, and everything that was told of it stays. Returns the next
    /// version, or `None` where it is at another or deleted already.
    pub async fn delete_source(&mut self, id: SourceId, version: i64, now: Timestamp) -> Result<Option<i64>> {
        self.mark_deleted(id, version, Some(now), now).await
    }

    /// Undoes that.
    pub async fn restore_source(&mut self, id: SourceId, version: i64, now: Timestamp) -> Result<Option<i64>> {
        self.mark_deleted(id, version, None, now).await
    }

    async fn mark_deleted(&mut self, id: SourceId, version: i64, at: Option<Timestamp>, now: Timestamp) -> Result<Option<i64>> {
        const SQL: &str = "
            UPDATE sources
            SET (deleted_at, updated_at, version, revision) = ($3, $4, version + 1, $5)
            WHERE id = $1 AND version = $2 AND (deleted_at IS NULL) <> (CAST($3 AS BIGINT) IS NULL)
            RETURNING version";
        let revision = self.next_revision().await?;
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(id)
            .bind(version)
            .bind(at)
            .bind(now)
            .bind(revision)
            .fetch_optional(&mut **db)
            .await)
        .attempted("delete or restore a source")
    }

    /// Notes that something about a source is new which stands in another table; counts as a change of it.
    pub(super) async fn touch_source(&mut self, id: SourceId, now: Timestamp) -> Result<()> {
        const SQL: &str = "UPDATE sources SET (updated_at, version, revision) = ($2, version + 1, $3) WHERE id = $1";
        let revision = self.next_revision().await?;
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(id)
            .bind(now)
            .bind(revision)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("note a change of a source")
    }

    /// The next revision. Until the transaction ends nobody else gets one, so they become visible in their order.
    async fn next_revision(&mut self) -> Result<i64> {
        const SQL: &str = "
            UPDATE meta
            SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT)
            WHERE key = 'sources_revision'
            RETURNING value";
        let value: String = on!(&mut self.on, |db| sqlx::query_scalar(SQL).fetch_one(&mut **db).await).attempted("count a change of a source")?;
        value.parse().map_err(|_| Error::Corrupt {
            what: "meta.sources_revision".to_owned(),
        })
    }
}
