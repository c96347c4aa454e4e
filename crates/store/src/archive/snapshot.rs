//! Reads the whole database as it is at one moment.
//! Knows nothing of where the rows go.

use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt, empty, unfold};
use pipecast_model::Epoch;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use tokio::time::timeout;

use super::shape::{Db, Native, Special, tables};
use super::{Kind, META, OF_THE_PLACE, Table, Value};
use crate::engine::{On, place, snapshotting};
use crate::error::Attempt;
use crate::migrate::applied;
use crate::{Error, Options, Result};

/// A server that has not come up with the next row by then is taken for gone.
const NEXT_ROW_WITHIN: Duration = Duration::from_secs(60);

/// The whole database at one moment: a transaction that only reads. Others go on writing; on SQLite the write-ahead log cannot be
/// reused until the snapshot ends.
pub struct Snapshot {
    on: On<SqliteConnection, PgConnection>,
    tables: Vec<Native>,
    schema: i64,
    epoch: Epoch,
}

impl Snapshot {
    /// Takes one. Of the primary: a replica may not have yet what a queue has already let go.
    ///
    /// # Errors
    /// `NotMigrated` where nothing is there to be read, `NewerSchema`, `Unavailable`. An older schema is read as it is.
    pub async fn take(options: &Options) -> Result<Snapshot> {
        const ATTEMPTED: &str = "take a snapshot of the database";
        let mut on = match snapshotting(place(&options.url)?) {
            On::Sqlite(connect) => {
                let mut db = SqliteConnection::connect_with(&connect).await.attempted("open the database for reading")?;
                sqlx::query("BEGIN").execute(&mut db).await.attempted(ATTEMPTED)?;
                On::Sqlite(db)
            }
            On::Postgres(connect) => {
                let connecting = timeout(options.acquire_timeout, PgConnection::connect_with(&connect));
                let late = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
                let mut db = connecting.await.unwrap_or_else(late).attempted("open the database for reading")?;
                sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .execute(&mut db)
                    .await
                    .attempted(ATTEMPTED)?;
                On::Postgres(db)
            }
        };
        // The first look at a table is the moment.
        let (newest, known) = applied(borrow(&mut on)).await?.ok_or(Error::NotMigrated)?;
        if newest > known {
            return Err(Error::NewerSchema);
        }
        const EPOCH: &str = "SELECT value FROM meta WHERE key = 'epoch'";
        let epoch: Option<String> = match &mut on {
            On::Sqlite(db) => sqlx::query_scalar(EPOCH).fetch_optional(db).await,
            On::Postgres(db) => sqlx::query_scalar(EPOCH).fetch_optional(db).await,
        }
        .attempted("read the epoch")?;
        let tables = tables(borrow(&mut on)).await?;
        Ok(Snapshot {
            on,
            tables,
            schema: newest,
            epoch: epoch.map(Epoch).ok_or(Error::NotMigrated)?,
        })
    }

    /// The newest migration that has been applied.
    pub fn schema(&self) -> i64 {
        self.schema
    }

    /// The epoch of its sequences.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Its tables, parents before children.
    pub fn tables(&self) -> Vec<Table> {
        self.tables.iter().map(|native| native.table.clone()).collect()
    }

    /// The last id that each table has given away, be its row still there or not.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn last_ids(&mut self) -> Result<Vec<(String, i64)>> {
        const SQLITE: &str = "SELECT name, seq FROM sqlite_sequence WHERE seq > 0 ORDER BY name";
        const POSTGRES: &str = "
            SELECT CAST(c.table_name AS TEXT), s.last_value
            FROM information_schema.columns c
            JOIN pg_sequences s ON s.schemaname = current_schema() AND s.sequencename = c.table_name || '_id_seq'
            WHERE c.table_schema = current_schema() AND c.is_identity = 'YES' AND s.last_value > 0
            ORDER BY 1";
        let ids: Vec<(String, i64)> = match &mut self.on {
            On::Sqlite(db) => sqlx::query_as(SQLITE).fetch_all(db).await,
            On::Postgres(db) => sqlx::query_as(POSTGRES).fetch_all(db).await,
        }
        .attempted("read the last ids")?;
        Ok(ids.into_iter().filter(|(name, _)| self.native(name).is_some()).collect())
    }

    /// The rows of one of its tables, in no order.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub fn rows<'a>(&'a mut self, table: &'a str) -> BoxStream<'a, Result<Vec<Value>>> {
        const ATTEMPTED: &str = "read a table for an archive";
        let Some(at) = self.tables.iter().position(|native| native.table.name == table) else {
            return empty().boxed();
        };
        let native = &self.tables[at];
        let sql = AssertSqlSafe(select(native));
        match &mut self.on {
            On::Sqlite(db) => sqlx::query(sql)
                .fetch(db)
                .map(|row| row.and_then(|row| from_sqlite(native, &row)).attempted(ATTEMPTED))
                .boxed(),
            On::Postgres(db) => in_time(sqlx::query(sql).fetch(db))
                .map(|row| row.and_then(|row| from_postgres(native, &row)).attempted(ATTEMPTED))
                .boxed(),
        }
    }

    /// Processes of ours that are connected to the database beside this one, as far as the server tells; SQLite's are told by locks.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn others(&mut self) -> Result<i64> {
        super::load::others(borrow(&mut self.on)).await
    }

    fn native(&self, table: &str) -> Option<&Native> {
        self.tables.iter().find(|native| native.table.name == table)
    }
}

fn borrow(on: &mut On<SqliteConnection, PgConnection>) -> Db<'_> {
    match on {
        On::Sqlite(db) => On::Sqlite(db),
        On::Postgres(db) => On::Postgres(db),
    }
}

/// Every row, each column as one of the kinds.
fn select(native: &Native) -> String {
    let columns: Vec<String> = native
        .table
        .columns
        .iter()
        .zip(&native.special)
        .map(|(column, special)| match special {
            Some(Special::Uuid) => format!("uuid_send({})", column.name),
            Some(Special::Jsonb) => format!("CAST({} AS TEXT)", column.name),
            None => column.name.clone(),
        })
        .collect();
    let mut sql = format!("SELECT {} FROM {}", columns.join(", "), native.table.name);
    if native.table.name == META {
        let keys = OF_THE_PLACE.map(|key| format!("'{key}'")).join(", ");
        sql.push_str(&format!(" WHERE key NOT IN ({keys})"));
    }
    sql
}

/// Ends with an error where the next row does not come.
fn in_time<'a, T: Send + 'a>(rows: BoxStream<'a, sqlx::Result<T>>) -> BoxStream<'a, sqlx::Result<T>> {
    unfold(Some(rows), |rows| async {
        let mut rows = rows?;
        match timeout(NEXT_ROW_WITHIN, rows.next()).await {
            Ok(row) => row.map(|row| (row, Some(rows))),
            Err(_) => Some((Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())), None)),
        }
    })
    .boxed()
}

macro_rules! values {
    ($name:ident, $row:ty) => {
        fn $name(native: &Native, row: &$row) -> sqlx::Result<Vec<Value>> {
            let columns = native.table.columns.iter().enumerate();
            columns
                .map(|(at, column)| {
                    let value = match column.kind {
                        Kind::Int => row.try_get::<Option<i64>, _>(at)?.map(Value::Int),
                        Kind::Bool => row.try_get::<Option<bool>, _>(at)?.map(Value::Bool),
                        Kind::Text => row.try_get::<Option<String>, _>(at)?.map(Value::Text),
                        Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Value::Bytes),
                    };
                    Ok(value.unwrap_or(Value::Null))
                })
                .collect()
        }
    };
}

values!(from_sqlite, SqliteRow);
values!(from_postgres, PgRow);
