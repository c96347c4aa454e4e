//! Sources: connections to hosts. Here is how a delivery finds its own; beside it what operators say of them, their secrets, what edges
//! need to know, and what has been heard of them.

mod hearing;
mod listing;
mod making;
mod secret;
mod trust;

use pipecast_model::{Host, SourceId, Timestamp};

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;

pub use crate::query::Deleted;
pub use hearing::Heard;
pub use listing::SourceQuery;
pub use making::{NewSource, SourceChange};
pub use secret::{SEALED_SECRET, place_of_secret};
pub use trust::{SealedSecret, TrustedSource};

impl Tx {
    /// The id of a source, which its first delivery creates.
    pub(crate) async fn source(&mut self, host: Host, key: &str) -> Result<SourceId> {
        if let Some(id) = self.known.sources.get(&(host, key.to_owned())) {
            return Ok(*id);
        }
        let id = match self.stored_source(host, key).await? {
            Some(id) => id,
            None => self.create_source(host, key).await?,
        };
        self.known.sources.insert((host, key.to_owned()), id);
        Ok(id)
    }

    /// Without a lock: nearly every delivery comes from a source that is known, and writers of one source need not wait for each other.
    async fn stored_source(&mut self, host: Host, key: &str) -> Result<Option<SourceId>> {
        const SQL: &str = "SELECT id FROM sources WHERE host = $1 AND key = $2";
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(host.word())
            .bind(key)
            .fetch_optional(&mut **db)
            .await)
        .attempted("find a source")
    }

    /// Another writer may have been faster; its row serves as well.
    async fn create_source(&mut self, host: Host, key: &str) -> Result<SourceId> {
        const SQL: &str = "
            INSERT INTO sources (host, key, created_at) VALUES ($1, $2, $3)
            ON CONFLICT (host, key) DO UPDATE SET key = excluded.key
            RETURNING id";
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(host.word())
            .bind(key)
            .bind(Timestamp::now())
            .fetch_one(&mut **db)
            .await)
        .attempted("record a source")
    }
}
