//! Sources as operators see them: found by id, and in pages. What is shown of a secret is when it was made and used, never the secret.
//! Knows nothing of who may see them.

use std::collections::HashMap;

use pipecast_model::{Host, SecretId, SecretKind, Source, SourceId, SourceSecret, Timestamp};
use sqlx::QueryBuilder;

use crate::engine::{Pool, on};
use crate::error::Attempt;
use crate::query::{ByNameOrId, Deleted, containing};
use crate::{Reader, Result, Tx};

/// Which sources.
#[derive(Clone, Debug, Default)]
pub struct SourceQuery {
    /// Only of this host.
    pub host: Option<Host>,
    /// Only those that operators made, or only those that are configured.
    pub managed: Option<bool>,
    /// Only those that are enabled, or only those that are not.
    pub enabled: Option<bool>,
    /// Only those from which nothing has come for longer than they allow, as of this time.
    pub silent_at: Option<Timestamp>,
    /// Only whose name contains this, in any case, or whose key is it.
    pub text: Option<String>,
    /// Whether deleted ones are in it.
    pub deleted: Deleted,
    /// The order.
    pub sort: ByNameOrId,
    /// Go on after this row: its name in small letters, and its id.
    pub after: Option<(String, SourceId)>,
    /// At most this many.
    pub limit: i64,
}

#[derive(sqlx::FromRow)]
struct SourceRow {
    id: SourceId,
    host: Host,
    key: String,
    managed: bool,
    name: Option<String>,
    enabled: bool,
    silent_after: Option<i64>,
    created_at: Timestamp,
    created_by: Option<i64>,
    updated_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
    version: i64,
    last_delivery_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct SecretRow {
    id: SecretId,
    source_id: SourceId,
    kind: SecretKind,
    created_at: Timestamp,
    not_after: Option<Timestamp>,
    last_matched_at: Option<Timestamp>,
}

const SOURCES: &str = "
    SELECT id, host, key, managed, name, enabled, silent_after, created_at, created_by, updated_at, deleted_at, version, last_delivery_at
    FROM sources ";

const SECRETS: &str = "SELECT id, source_id, kind, created_at, not_after, last_matched_at FROM source_secrets ";

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

impl Reader {
    /// One source, deleted or not; what was purged is not there.
    pub async fn find_source(&self, id: SourceId) -> Result<Option<Source>> {
        let row: Option<SourceRow> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(SOURCES);
            sql.push("WHERE (deleted_at IS NULL OR managed = TRUE) AND id = ").push_bind(id);
            sql.build_query_as().fetch_optional(db).await
        })
        .attempted("find a source")?;
        Ok(with_secrets(&self.on, row.into_iter().collect()).await?.pop())
    }

    /// A page of sources.
    pub async fn list_sources(&self, query: &SourceQuery) -> Result<Vec<Source>> {
        let rows: Vec<SourceRow> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(SOURCES);
            sql.push("WHERE ").push(query.deleted.condition());
            // What is left of a source that was purged is in no list.
            sql.push(" AND (deleted_at IS NULL OR managed = TRUE)");
            if let Some(host) = query.host {
                sql.push(" AND host = ").push_bind(host.word());
            }
            if let Some(managed) = query.managed {
                sql.push(" AND managed = ").push_bind(managed);
            }
            if let Some(enabled) = query.enabled {
                sql.push(" AND enabled = ").push_bind(enabled);
            }
            if let Some(now) = query.silent_at {
                sql.push(
                    " AND enabled = TRUE AND deleted_at IS NULL AND silent_after IS NOT NULL AND coalesce(last_delivery_at, created_at) + silent_after * ",
                )
                .push_bind(HOUR);
                sql.push(" <= ").push_bind(now);
            }
            if let Some(text) = &query.text {
                sql.push(" AND (name_folded LIKE ").push_bind(containing(text)).push(" ESCAPE '\\' OR key = ");
                sql.push_bind(text).push(")");
            }
            query.sort.page(&mut sql, ["id", "name_folded"], query.after.clone());
            sql.push_bind(query.limit).build_query_as().fetch_all(db).await
        })
        .attempted("list sources")?;
        with_secrets(&self.on, rows).await
    }
}

impl Tx {
    /// The same by its path.
    pub async fn hold_source_of(&mut self, host: Host, key: &str) -> Result<Option<Source>> {
        const SQL: &str = "SELECT id FROM sources WHERE host = $1 AND key = $2";
        let id: Option<SourceId> = on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(host.word())
            .bind(key)
            .fetch_optional(&mut **db)
            .await)
        .attempted("find a source by its path")?;
        match id {
            Some(id) => self.hold_source(id).await,
            None => Ok(None),
        }
    }

    /// A source as it is in this transaction, kept from others that would change it until the transaction ends.
    pub async fn hold_source(&mut self, id: SourceId) -> Result<Option<Source>> {
        const LOCK: &str = "UPDATE sources SET key = key WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(LOCK).bind(id).execute(&mut **db).await.map(drop)).attempted("lock a source")?;
        let row: Option<SourceRow> = on!(&mut self.on, |db| {
            let mut sql = QueryBuilder::new(SOURCES);
            sql.push("WHERE id = ").push_bind(id).build_query_as().fetch_optional(&mut **db).await
        })
        .attempted("find a source")?;
        let secrets: Vec<SecretRow> = on!(&mut self.on, |db| {
            let mut sql = QueryBuilder::new(SECRETS);
            sql.push("WHERE source_id = ").push_bind(id).push(" ORDER BY id DESC");
            sql.build_query_as().fetch_all(&mut **db).await
        })
        .attempted("read the secrets of a source")?;
        Ok(row.map(|row| shape(row, secrets.into_iter().map(SourceSecret::from).collect())))
    }
}

async fn with_secrets(pool: &Pool, rows: Vec<SourceRow>) -> Result<Vec<Source>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let secrets: Vec<SecretRow> = on!(pool, |db| {
        let mut sql = QueryBuilder::new(SECRETS);
        let mut list = sql.push("WHERE source_id IN (").separated(", ");
        for row in &rows {
            list.push_bind(row.id);
        }
        sql.push(") ORDER BY id DESC").build_query_as().fetch_all(db).await
    })
    .attempted("read the secrets of sources")?;
    let mut of_source: HashMap<SourceId, Vec<SourceSecret>> = HashMap::new();
    for secret in secrets {
        of_source.entry(secret.source_id).or_default().push(secret.into());
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let secrets = of_source.remove(&row.id).unwrap_or_default();
            shape(row, secrets)
        })
        .collect())
}

impl From<SecretRow> for SourceSecret {
    fn from(row: SecretRow) -> Self {
        SourceSecret {
            id: row.id,
            kind: row.kind,
            created_at: row.created_at,
            not_after: row.not_after,
            last_matched_at: row.last_matched_at,
        }
    }
}

fn shape(row: SourceRow, secrets: Vec<SourceSecret>) -> Source {
    Source {
        id: row.id,
        host: row.host,
        key: row.key,
        managed: row.managed,
        name: row.name,
        enabled: row.enabled,
        silent_after: row.silent_after,
        created_at: row.created_at,
        created_by: row.created_by,
        updated_at: row.updated_at,
        deleted_at: row.deleted_at,
        version: row.version,
        last_delivery_at: row.last_delivery_at,
        secrets,
    }
}
