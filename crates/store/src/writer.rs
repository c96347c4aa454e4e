//! The only way to write: a transaction, and how one begins and ends.
//! What can be written lies beside the table that it is written to: see `recording`, `delivery`, `topic`, `stale` and `prune`.

use sqlx::{Postgres, Sqlite, Transaction};

use crate::engine::{On, Pool, on};
use crate::error::Attempt;
use crate::known::{Known, Unwritten};
use crate::sync::Log;
use crate::{Options, Result};

/// The side that can begin a transaction, and nothing else.
#[derive(Debug)]
pub struct Writer {
    on: Pool,
    log: Option<Log>,
}

/// A transaction. Dropped without `commit`, it is undone.
#[derive(Debug)]
pub struct Tx {
    pub(crate) on: On<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>,
    pub(crate) known: Known,
    pub(crate) unwritten: Unwritten,
    log: Option<Log>,
}

/// Takes the write lock at once, so that no transaction fails half-way because another one writes.
const BEGIN: &str = "BEGIN IMMEDIATE";

impl Writer {
    pub(crate) async fn open(options: &Options) -> Result<Self> {
        let on = crate::engine::connect_writer(options).await?;
        let log = Log::of(&options.url)?;
        Ok(Writer { on, log })
    }

    /// Begins a transaction. On SQLite it waits for the one before.
    ///
    /// # Errors
    /// `Unavailable` where none can be begun within the time that `Options::acquire_timeout` allows.
    pub async fn begin(&self) -> Result<Tx> {
        let on = match &self.on {
            On::Sqlite(pool) => match pool.begin_with(BEGIN).await {
                // A full disk made SQLite undo a transaction by itself, and the connection still counts it as open. It would for ever,
                // so it is replaced; there is only this one.
                Err(sqlx::Error::InvalidSavePointStatement) => {
                    pool.acquire()
                        .await
                        .attempted("give up a broken connection")?
                        .close()
                        .await
                        .attempted("give up a broken connection")?;
                    pool.begin_with(BEGIN).await
                }
                begun => begun,
            }
            .map(On::Sqlite),
            On::Postgres(pool) => pool.begin().await.map(On::Postgres),
        };
        Ok(Tx {
            on: on.attempted("begin a transaction")?,
            known: Known::default(),
            unwritten: Unwritten::default(),
            log: self.log.clone(),
        })
    }

    /// Closes it once every transaction has ended. On SQLite the write-ahead log is emptied into the database first, as far as no reader
    /// is in the way, so that the file is whole without it.
    ///
    /// # Errors
    /// `Unavailable` where the log stays as it is; nothing is lost by that.
    pub async fn close(&self) -> Result<()> {
        match &self.on {
            On::Sqlite(pool) => {
                let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await;
                pool.close().await;
                emptied.attempted("empty the write-ahead log").map(drop)
            }
            On::Postgres(pool) => {
                pool.close().await;
                Ok(())
            }
        }
    }

    /// Makes durable whatever `commit_unsynced` has committed. Many commits share one sync.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails, and from then on always: what a failed sync was to write cannot be known to be there.
    pub async fn sync(&self) -> Result<()> {
        match &self.log {
            Some(log) => log.sync().await,
            None => Ok(()),
        }
    }
}

impl Tx {
    /// Makes it all so, durably.
    pub async fn commit(self) -> Result<()> {
        let log = self.log.clone();
        self.commit_unsynced().await?;
        match log {
            Some(log) => log.sync().await,
            None => Ok(()),
        }
    }

    /// Makes it all so: everybody sees it, and it survives a crash of the process. On SQLite it survives a crash of the machine only
    /// after `Writer::sync`; so it is for what can be told again until then, as by a queue whose claim is settled after the sync.
    pub async fn commit_unsynced(mut self) -> Result<()> {
        self.flush().await?;
        self.write_bodies().await?;
        self.write_topics().await?;
        self.write_audit().await?;
        on!(self.on, |db| db.commit().await).attempted("commit")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use bytes::Bytes;
    use pipecast_model::{Delivery, DeliveryId, Host, Timestamp};

    use super::*;
    use crate::{Error, Noted};

    fn delivery(bytes: usize) -> Delivery {
        let id = DeliveryId::fresh();
        Delivery {
            id,
            host: Host::Gitlab,
            source: "default".into(),
            event: "Job Hook".into(),
            key: None,
            body_sha256: id.to_string(),
            received_at: Timestamp::now(),
            headers: Vec::new(),
            replay_of: None,
            secret: None,
            body: Bytes::from(vec![b'x'; bytes]),
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_unavailable_and_passes_with_the_space() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            url: format!("sqlite:{}", directory.path().join("pipecast.db").display()),
            read_url: None,
            read_connections: 1,
            acquire_timeout: Duration::from_secs(5),
            first_id: 1,
        };
        crate::migrate(&options).await.unwrap();
        let writer = Writer::open(&options).await.unwrap();
        let On::Sqlite(pool) = &writer.on else {
            unreachable!("it was opened by its path")
        };
        sqlx::query("PRAGMA max_page_count = 100").execute(pool).await.unwrap();

        let mut tx = writer.begin().await.unwrap();
        tx.note_delivery(&delivery(1 << 20)).await.unwrap();
        let error = tx.commit().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        sqlx::query("PRAGMA max_page_count = 100000").execute(pool).await.unwrap();

        let mut tx = writer.begin().await.unwrap();
        assert_eq!(tx.note_delivery(&delivery(1 << 20)).await.unwrap(), Noted::New);
        tx.commit().await.unwrap();
    }
}
