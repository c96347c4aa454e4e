//! The secrets of sources: sealed before they are written, and up to two of them live at once.
//! Knows nothing of what a secret is compared with.

use pipecast_model::{SecretId, SecretKind, SourceId, Timestamp};

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::sealed::{Keyring, Place};
use crate::writer::Tx;

/// Table and column of sealed secrets.
pub const SEALED_SECRET: (&str, &str) = ("source_secrets", "sealed");

/// Where a secret stands. The source is part of it: a secret that is moved to another source does not open.
pub fn place_of_secret(source: SourceId, id: SecretId) -> Place {
    let (table, column) = SEALED_SECRET;
    Place {
        table,
        column,
        row: format!("{source}/{id}"),
        schema: 1,
    }
}

impl Tx {
    /// Adds a secret to a source, sealed. How many may be live is for the caller to see to, who has the source to itself.
    pub async fn add_secret(&mut self, source: SourceId, kind: SecretKind, secret: &str, ring: &Keyring, now: Timestamp) -> Result<SecretId> {
        // Its place has its id in it, so it is sealed once it has one.
        const ADD: &str = "INSERT INTO source_secrets (source_id, kind, sealed, created_at) VALUES ($1, $2, '', $3) RETURNING id";
        const SEAL: &str = "UPDATE source_secrets SET sealed = $2 WHERE id = $1";
        self.touch_source(source, now).await?;
        let id: SecretId = on!(&mut self.on, |db| sqlx::query_scalar(ADD)
            .bind(source)
            .bind(kind.word())
            .bind(now)
            .fetch_one(&mut **db)
            .await)
        .attempted("add a secret")?;
        let sealed = ring.seal(&place_of_secret(source, id), secret.as_bytes());
        on!(&mut self.on, |db| sqlx::query(SEAL).bind(id).bind(sealed).execute(&mut **db).await.map(drop)).attempted("seal a secret")?;
        Ok(id)
    }

    /// Sees to it that a source's secrets before `newest` are not believed from `end` on; one that ends sooner stays as it is. What has ended
    /// already is taken away.
    pub async fn end_secrets_before(&mut self, source: SourceId, newest: SecretId, end: Timestamp, now: Timestamp) -> Result<()> {
        const END: &str = "UPDATE source_secrets SET not_after = $3 WHERE source_id = $1 AND id < $2 AND (not_after IS NULL OR not_after > $3)";
        const CLEAR: &str = "DELETE FROM source_secrets WHERE source_id = $1 AND id < $2 AND not_after <= $3";
        self.touch_source(source, now).await?;
        on!(&mut self.on, |db| sqlx::query(END)
            .bind(source)
            .bind(newest)
            .bind(end)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("end a secret")?;
        on!(&mut self.on, |db| sqlx::query(CLEAR)
            .bind(source)
            .bind(newest)
            .bind(now)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("take away secrets that have ended")
    }

    /// Takes a secret away at once; says whether it was there.
    pub async fn remove_secret(&mut self, source: SourceId, id: SecretId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "DELETE FROM source_secrets WHERE source_id = $1 AND id = $2";
        self.touch_source(source, now).await?;
        let removed = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(source)
            .bind(id)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("take away a secret")?;
        Ok(removed == 1)
    }
}
