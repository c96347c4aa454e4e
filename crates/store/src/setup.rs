//! The way to the first admin: one row, which is used once.
//! Knows nothing of how its token reaches anybody.

use pipecast_model::Timestamp;

use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;
use crate::{Reader, Result};

/// What the first admin is waited for with.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Offer {
    /// The hash of the token.
    pub hash: Vec<u8>,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

impl Reader {
    /// The setup that is on offer.
    pub async fn find_setup(&self) -> Result<Option<Offer>> {
        const SQL: &str = "SELECT hash, expires_at FROM setup WHERE used_at IS NULL AND hash IS NOT NULL AND expires_at IS NOT NULL";
        on!(&self.on, |db| sqlx::query_as(SQL).fetch_optional(db).await).attempted("look for the setup")
    }

    /// Whether there has been an admin, so that nobody can become the first.
    pub async fn is_set_up(&self) -> Result<bool> {
        const SQL: &str = "SELECT count(*) FROM setup WHERE used_at IS NOT NULL";
        let used: i64 = on!(&self.on, |db| sqlx::query_scalar(SQL).fetch_one(db).await).attempted("look whether there is an admin")?;
        Ok(used > 0)
    }
}

impl Tx {
    /// Puts a token in the place of the one before. `false` where there has been an admin already.
    pub async fn offer_setup(&mut self, hash: &[u8], expires_at: Timestamp) -> Result<bool> {
        const SQL: &str = "
            INSERT INTO setup (id, hash, expires_at) VALUES (1, $1, $2)
            ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, expires_at = excluded.expires_at WHERE setup.used_at IS NULL";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(hash)
            .bind(expires_at)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("offer the setup")?;
        Ok(rows == 1)
    }

    /// Uses the token up. Of two at once one gets `true`: the row is locked until the transaction ends.
    pub async fn use_setup(&mut self, hash: &[u8]) -> Result<bool> {
        const SQL: &str = "UPDATE setup SET hash = NULL, used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(hash)
            .bind(Timestamp::now())
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("use the setup")?;
        Ok(rows == 1)
    }

    /// Notes that there is an admin by another way.
    pub async fn close_setup(&mut self) -> Result<()> {
        const SQL: &str = "
            INSERT INTO setup (id, used_at) VALUES (1, $1)
            ON CONFLICT (id) DO UPDATE SET hash = NULL, used_at = coalesce(setup.used_at, excluded.used_at)";
        on!(&mut self.on, |db| sqlx::query(SQL).bind(Timestamp::now()).execute(&mut **db).await.map(drop)).attempted("close the setup")
    }
}
