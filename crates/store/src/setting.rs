//! Settings that are kept in the database, over what each process is configured with.
//! Knows nothing of what they mean, nor of which there are.

use pipecast_model::{Timestamp, UserId};

use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;
use crate::{Reader, Result};

/// Most that are read; there are far fewer.
const MOST: i64 = 1_000;

/// A setting as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredSetting {
    /// Section and name.
    pub key: String,
    /// As it would be written in the configuration; none where that holds.
    pub value: Option<String>,
    /// How often it was changed.
    pub version: i64,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// By whom, where it was a person or their token.
    pub updated_by: Option<UserId>,
}

impl Reader {
    /// All of them, by key; also those that are no longer set.
    pub async fn list_settings(&self) -> Result<Vec<StoredSetting>> {
        const SQL: &str = "SELECT key, value, version, updated_at, updated_by FROM settings ORDER BY key LIMIT $1";
        on!(&self.on, |db| sqlx::query_as(SQL).bind(MOST).fetch_all(db).await).attempted("read the settings")
    }
}

impl Tx {
    /// Sets one, or with no value leaves it to the configuration; `version` is the one that it must have now, 0 where it was never set.
    /// Returns it as it is then, or `None` where it has another version.
    pub async fn write_setting(&mut self, key: &str, value: Option<&str>, version: i64, by: Option<UserId>) -> Result<Option<StoredSetting>> {
        const SQL: &str = "
            INSERT INTO settings (key, value, version, updated_at, updated_by)
            SELECT $1, $2, $3 + 1, $4, $5
            WHERE $3 = 0 OR EXISTS (SELECT 1 FROM settings WHERE key = $1)
            ON CONFLICT (key) DO UPDATE
            SET (value, version, updated_at, updated_by) = (excluded.value, excluded.version, excluded.updated_at, excluded.updated_by)
            WHERE settings.version = $3
            RETURNING key, value, version, updated_at, updated_by";
        on!(&mut self.on, |db| sqlx::query_as(SQL)
            .bind(key)
            .bind(value)
            .bind(version)
            .bind(Timestamp::now())
            .bind(by)
            .fetch_optional(&mut **db)
            .await)
        .attempted("write a setting")
    }
}
