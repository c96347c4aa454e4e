//! The side that cannot write: its connections are read-only on the engine itself.
//! What can be read lies beside the table that it is read from: see `pipeline`, `execution`, `job`, `state`, `topic` and `delivery`.

use std::sync::Arc;

use pipecast_model::Epoch;
use tokio::sync::OnceCell;

use crate::engine::{On, Pool, on};
use crate::error::Attempt;
use crate::migrate::recognise;
use crate::{Options, Result};

/// The side that cannot write. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) on: Pool,
    /// Known once the schema has been recognised; it never changes under a running process.
    pub(crate) epoch: Arc<OnceCell<Epoch>>,
}

impl Reader {
    /// Reads the primary. On PostgreSQL nothing is connected yet, so a server that is down is no error here.
    ///
    /// # Errors
    /// `BadUrl`; on SQLite `Unavailable` where the file cannot be opened.
    pub async fn connect(options: &Options) -> Result<Self> {
        let on = crate::engine::connect_reader(options).await?;
        Ok(Reader { on, epoch: Arc::default() })
    }

    /// The epoch of every sequence in this database; `None` until the schema has been recognised.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.get()
    }

    /// Finds out, once, whether this build and the schema belong together.
    ///
    /// # Errors
    /// `NotMigrated`, `NewerSchema`, `Unavailable`. The next call looks again.
    pub async fn recognise(&self) -> Result<&Epoch> {
        self.epoch.get_or_try_init(|| recognise(&self.on)).await
    }

    /// Closes it for every clone of it.
    pub async fn close(&self) {
        match &self.on {
            On::Sqlite(pool) => pool.close().await,
            On::Postgres(pool) => pool.close().await,
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        const SQL: &str = "SELECT CAST(1 AS BIGINT)";
        on!(&self.on, |db| sqlx::query_scalar::<_, i64>(SQL).fetch_one(db).await.map(drop)).attempted("reach the database")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    async fn refusal_of(url: String) -> String {
        let options = Options {
            url,
            read_url: None,
            read_connections: 1,
            acquire_timeout: Duration::from_secs(5),
            first_id: 1,
        };
        let _writer = crate::Writer::open(&options).await.unwrap();
        let reader = crate::engine::connect_reader(&options).await.unwrap();
        const WRITE: &str = "CREATE TABLE written_by_a_reader (id BIGINT)";
        let outcome = on!(&reader, |db| sqlx::query(WRITE).execute(db).await.map(drop)).attempted("write");
        match outcome.unwrap_err() {
            crate::Error::Refused { source, .. } => source.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_reader_cannot_write_on_either_engine() {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = format!("sqlite:{}", directory.path().join("pipecast.db").display());
        let postgres = std::env::var("PIPECAST_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());

        assert!(refusal_of(sqlite).await.contains("readonly"));
        assert!(refusal_of(postgres).await.contains("read-only"));
    }
}
