//! Public keys by which tokens are verified on every node.
//! Knows nothing of private ones.

use pipecast_model::Timestamp;

use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;
use crate::{Reader, Result};

/// A key that somebody signs with.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SigningKey {
    /// The `kid` of what it signs.
    pub id: String,
    /// Ed25519, 32 bytes.
    pub public_key: Vec<u8>,
    /// From then on nothing that it signed is valid.
    pub expires_at: Timestamp,
}

impl Reader {
    /// Keys by which something may still be valid, the newest first, at most 100.
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKey>> {
        const SQL: &str = "SELECT id, public_key, expires_at FROM signing_keys WHERE expires_at > $1 ORDER BY created_at DESC, id LIMIT 100";
        on!(&self.on, |db| sqlx::query_as(SQL).bind(Timestamp::now()).fetch_all(db).await).attempted("list signing keys")
    }
}

impl Tx {
    /// Publishes a key.
    pub async fn publish_signing_key(&mut self, key: &SigningKey) -> Result<()> {
        const SQL: &str = "INSERT INTO signing_keys (id, public_key, created_at, expires_at) VALUES ($1, $2, $3, $4)";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(&key.id)
            .bind(&key.public_key)
            .bind(Timestamp::now())
            .bind(key.expires_at)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("publish a signing key")
    }
}
