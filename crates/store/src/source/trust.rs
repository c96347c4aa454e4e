//! What edges need to know of sources to tell whom to believe: every source that operators made, with its secrets, sealed as they are.
//! Knows nothing of keys, nor of what is compared.

use std::collections::HashMap;

use pipecast_model::{Host, SecretId, SecretKind, SourceId, Timestamp};
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::Attempt;
use crate::{Reader, Result};

/// A source as an edge knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedSource {
    /// Its id.
    pub id: SourceId,
    /// Whom it connects to.
    pub host: Host,
    /// The end of its path.
    pub key: String,
    /// Whether its deliveries may be believed at all: it is enabled and not deleted.
    pub open: bool,
    /// Where its last change stands among all changes.
    pub revision: i64,
    /// Its secrets, the newest first.
    pub secrets: Vec<SealedSecret>,
}

/// A secret that only the keys open.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SealedSecret {
    /// Its id.
    pub id: SecretId,
    source_id: SourceId,
    /// What it is for.
    pub kind: SecretKind,
    /// As it stands in the database.
    pub sealed: String,
    /// From then on it is not believed.
    pub not_after: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct SourceRow {
    id: SourceId,
    host: Host,
    key: String,
    open: bool,
    revision: i64,
}

const COLUMNS: &str = "id, host, key, enabled = TRUE AND deleted_at IS NULL AS open, revision";

impl Reader {
    /// Sources that have changed after a revision, in the order of their changes, at most `limit`.
    pub async fn list_trusted_after(&self, revision: i64, limit: i64) -> Result<Vec<TrustedSource>> {
        let rows: Vec<SourceRow> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new("SELECT ");
            sql.push(COLUMNS).push(" FROM sources WHERE revision > 0 AND revision > ").push_bind(revision);
            sql.push(" ORDER BY revision LIMIT ").push_bind(limit);
            sql.build_query_as().fetch_all(db).await
        })
        .attempted("read the sources that have changed")?;
        self.with_secrets(rows).await
    }

    /// One source by its path, if operators made it. Asks the same whether there is one or not.
    pub async fn find_trusted(&self, host: Host, key: &str) -> Result<Option<TrustedSource>> {
        const SECRETS: &str = "
            SELECT id, source_id, kind, sealed, not_after
            FROM source_secrets
            WHERE source_id = (SELECT id FROM sources WHERE revision > 0 AND host = $1 AND key = $2)
            ORDER BY id DESC";
        let row: Option<SourceRow> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new("SELECT ");
            sql.push(COLUMNS).push(" FROM sources WHERE revision > 0 AND host = ").push_bind(host.word());
            sql.push(" AND key = ").push_bind(key);
            sql.build_query_as().fetch_optional(db).await
        })
        .attempted("read a source")?;
        let secrets: Vec<SealedSecret> =
            on!(&self.on, |db| sqlx::query_as(SECRETS).bind(host.word()).bind(key).fetch_all(db).await).attempted("read the secrets of a source")?;
        Ok(row.map(|row| trusted(row, secrets)))
    }

    async fn with_secrets(&self, rows: Vec<SourceRow>) -> Result<Vec<TrustedSource>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let secrets: Vec<SealedSecret> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new("SELECT id, source_id, kind, sealed, not_after FROM source_secrets WHERE source_id IN (");
            let mut list = sql.separated(", ");
            for row in &rows {
                list.push_bind(row.id);
            }
            sql.push(") ORDER BY id DESC").build_query_as().fetch_all(db).await
        })
        .attempted("read the secrets of sources")?;
        let mut of_source: HashMap<SourceId, Vec<SealedSecret>> = HashMap::new();
        for secret in secrets {
            of_source.entry(secret.source_id).or_default().push(secret);
        }
        let trusted = rows.into_iter().map(|row| {
            let secrets = of_source.remove(&row.id).unwrap_or_default();
            trusted(row, secrets)
        });
        Ok(trusted.collect())
    }
}

fn trusted(row: SourceRow, secrets: Vec<SealedSecret>) -> TrustedSource {
    TrustedSource {
        id: row.id,
        host: row.host,
        key: row.key,
        open: row.open,
        revision: row.revision,
        secrets,
    }
}
