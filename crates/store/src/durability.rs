//! Whether the server keeps what it has confirmed.
//! Knows nothing of what is kept.

use crate::engine::{On, in_time};
use crate::error::Attempt;
use crate::{Reader, Result};

impl Reader {
    /// The settings of the server under which a confirmed commit may be lost: of `fsync`, `full_page_writes` and `synchronous_commit`
    /// those that are off. Never any on SQLite, where the connection itself sets what it needs.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_risks(&self) -> Result<Vec<String>> {
        const OFF: &str = "
            SELECT name
            FROM pg_settings
            WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
            ORDER BY name
            LIMIT 3";
        match &self.on {
            On::Sqlite(_) => Ok(Vec::new()),
            On::Postgres(db) => in_time(sqlx::query_scalar(OFF).fetch_all(db)).await.attempted("read how durable the server is"),
        }
    }
}
