//! Fills a database in one transaction.
//! Knows nothing of where the rows come from.

use std::collections::HashMap;

use pipecast_model::Timestamp;
use sqlx::migrate::Migrate;
use sqlx::postgres::Postgres;
use sqlx::query_builder::Separated;
use sqlx::sqlite::{Sqlite, SqlitePoolOptions};
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, QueryBuilder, Transaction};

use super::shape::{Db, Native, Special, tables};
use super::{Column, FROM_THE_START, Kind, TABLES, Table, Value};
use crate::engine::{On, Pool, loading, place, postgres_pool};
use crate::error::Attempt;
use crate::migrate::{applied, bring_sqlite, lay_postgres, lay_sqlite, migrate_postgres, raise_sqlite};
use crate::{Ended, Error, Options, Result};

/// Values in one statement, which must stay below what SQLite takes…
const VALUES: usize = 8_000;
/// …and bytes.
const BYTES: usize = 8 << 20;

/// What becomes of rows that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// They are kept, and nothing is loaded.
    Nothing,
    /// They go, in the transaction that brings the others.
    Everything,
}

/// A transaction that fills an empty database. Dropped without `commit`, it leaves the database as it was.
pub struct Load {
    on: On<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>,
    pool: Pool,
    tables: Vec<Native>,
    loaded: HashMap<String, u64>,
    first_id: i64,
}

impl Load {
    /// Lays the schema as it was after the migration `schema`, for rows that were written under it.
    ///
    /// # Errors
    /// `NotEmpty` and `InUse` where it is not ours to fill, `NewerSchema` where either side is from a newer build, `Unavailable`.
    pub async fn begin(options: &Options, schema: i64, over: Over) -> Result<Load> {
        const ATTEMPTED: &str = "begin to fill the database";
        let (on, pool) = match loading(place(&options.url)?) {
            On::Sqlite(connect) => {
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(connect).await.attempted(ATTEMPTED)?;
                let tx = pool.begin_with("BEGIN IMMEDIATE").await.attempted(ATTEMPTED)?;
                (On::Sqlite(tx), On::Sqlite(pool))
            }
            On::Postgres(connect) => {
                let pool = postgres_pool(1, options.acquire_timeout).connect_lazy_with(connect);
                let mut tx = pool.begin().await.attempted(ATTEMPTED)?;
                // Whoever comes to migrate meanwhile waits. It is given back with the connection.
                tx.lock().await.map_err(|error| Error::Corrupt {
                    what: format!("the lock of migrations ({error})"),
                })?;
                (On::Postgres(tx), On::Postgres(pool))
            }
        };
        let mut load = Load {
            on,
            pool,
            tables: Vec::new(),
            loaded: HashMap::new(),
            first_id: options.first_id,
        };
        load.make_room(over).await?;
        match &mut load.on {
            On::Sqlite(db) => lay_sqlite(db, schema).await?,
            On::Postgres(db) => lay_postgres(db, schema).await?,
        }
        // What the schema says of itself comes with the rows that were written under it.
        const CLEAR: &str = "DELETE FROM meta";
        match &mut load.on {
            On::Sqlite(db) => sqlx::query(CLEAR).execute(&mut **db).await.map(drop),
            On::Postgres(db) => sqlx::query(CLEAR).execute(&mut **db).await.map(drop),
        }
        .attempted("begin to fill the database")?;
        match applied(load.db()).await? {
            Some((newest, known)) if newest != schema => {
                // A migration that this build does not have has left no trace, so the schema ends before it.
                return Err(if schema > known { Error::NewerSchema } else { Error::NotMigrated });
            }
            _ => {}
        }
        load.tables = tables(load.db()).await?;
        // What migrations have written comes with the archive, as it is there.
        for name in load.tables.iter().map(|native| native.table.name.clone()).rev().collect::<Vec<_>>() {
            load.execute(format!("DELETE FROM {name}"), ATTEMPTED).await?;
        }
        Ok(load)
    }

    async fn make_room(&mut self, over: Over) -> Result<()> {
        const ATTEMPTED: &str = "make room in the database";
        let others = others(self.db()).await?;
        if others > 0 {
            return Err(Error::InUse(others));
        }
        if let Some((newest, known)) = applied(self.db()).await?
            && newest > known
        {
            return Err(Error::NewerSchema);
        }
        let there = tables(self.db()).await?;
        for native in there.iter().filter(|native| !FROM_THE_START.contains(&native.table.name.as_str())) {
            let name = &native.table.name;
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {name})");
            let taken: bool = match &mut self.on {
                On::Sqlite(db) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut **db).await,
                On::Postgres(db) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut **db).await,
            }
            .attempted(ATTEMPTED)?;
            if taken && over == Over::Nothing {
                return Err(Error::NotEmpty(name.clone()));
            }
        }
        for name in TABLES.into_iter().rev().chain(["_sqlx_migrations"]) {
            let sql = format!("DROP TABLE IF EXISTS {name}");
            self.execute(sql, ATTEMPTED).await?;
        }
        Ok(())
    }

    /// Writes rows of a table, whose columns may stand in another order than the database's own.
    ///
    /// # Errors
    /// `Corrupt` where table, columns or values are not those of the schema, `Refused` where the rows contradict each other,
    /// `Unavailable`.
    pub async fn add(&mut self, table: &Table, rows: &[Vec<Value>]) -> Result<()> {
        let special = self.fit(table)?;
        let mut rest = rows;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(together(rest));
            self.insert(table, &special, now).await?;
            rest = later;
        }
        *self.loaded.entry(table.name.clone()).or_default() += rows.len() as u64;
        Ok(())
    }

    /// The types of the columns, in the order of `table`.
    fn fit(&self, table: &Table) -> Result<Vec<Option<Special>>> {
        let other = || Error::Corrupt {
            what: format!("the columns of {}, which are not those of its schema,", table.name),
        };
        let native = self.tables.iter().find(|native| native.table.name == table.name).ok_or_else(other)?;
        let sorted = |columns: &[Column]| {
            let mut columns = columns.to_vec();
            columns.sort();
            columns
        };
        if sorted(&table.columns) != sorted(&native.table.columns) {
            return Err(other());
        }
        let places = table.columns.iter().map(|column| native.table.columns.iter().position(|own| own == column));
        places.map(|place| place.map(|place| native.special[place]).ok_or_else(other)).collect()
    }

    async fn insert(&mut self, table: &Table, special: &[Option<Special>], rows: &[Vec<Value>]) -> Result<()> {
        const ATTEMPTED: &str = "write rows of an archive";
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let start = format!("INSERT INTO {} ({}) ", table.name, names.join(", "));
        if rows.iter().any(|row| row.len() != names.len()) {
            return Err(Error::Corrupt {
                what: format!("a row of {} that has not {} values", table.name, names.len()),
            });
        }
        let mut misfit = None;
        match &mut self.on {
            On::Sqlite(db) => {
                let mut sql = QueryBuilder::new(start);
                sql.push_values(rows, |mut values, row| {
                    for (column, value) in table.columns.iter().zip(row) {
                        misfit = bind_sqlite(&mut values, column.kind, value).err().or(misfit.take());
                    }
                });
                if misfit.is_none() {
                    sql.build().persistent(false).execute(&mut **db).await.attempted(ATTEMPTED)?;
                }
            }
            On::Postgres(db) => {
                let mut sql = QueryBuilder::new(start);
                sql.push_values(rows, |mut values, row| {
                    for ((column, special), value) in table.columns.iter().zip(special).zip(row) {
                        misfit = bind_postgres(&mut values, column.kind, *special, value).err().or(misfit.take());
                    }
                });
                if misfit.is_none() {
                    sql.build().persistent(false).execute(&mut **db).await.attempted(ATTEMPTED)?;
                }
            }
        }
        misfit.map_or(Ok(()), Err)
    }

    /// Sees to it that a table's ids go on after this one.
    ///
    /// # Errors
    /// `Refused` where the table has no such ids, `Unavailable`.
    pub async fn go_on_after(&mut self, table: &str, last_id: i64) -> Result<()> {
        const POSTGRES: &str = "SELECT setval(pg_get_serial_sequence($1, 'id'), $2, TRUE)";
        match &mut self.on {
            On::Sqlite(db) => raise_sqlite(db, table, last_id).await,
            On::Postgres(db) => sqlx::query(POSTGRES)
                .bind(table)
                .bind(last_id)
                .execute(&mut **db)
                .await
                .attempted("set where ids go on")
                .map(drop),
        }
    }

    /// Ends every session that was loaded: one that was ended after the rows were written down must not come back with them. Tokens that carry
    /// a session on are good no longer than it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_sessions(&mut self) -> Result<()> {
        // Of archives from before there were accounts.
        if !self.tables.iter().any(|native| native.table.name == "sessions") {
            return Ok(());
        }
        const SQL: &str = "UPDATE sessions SET ended_at = $1, ended_by = $2 WHERE ended_at IS NULL";
        let (now, why) = (Timestamp::now(), Ended::Restored.word());
        match &mut self.on {
            On::Sqlite(db) => sqlx::query(SQL).bind(now).bind(why).execute(&mut **db).await.map(drop),
            On::Postgres(db) => sqlx::query(SQL).bind(now).bind(why).execute(&mut **db).await.map(drop),
        }
        .attempted("end sessions")
    }

    /// Counts what was loaded, applies the migrations since, mints a new epoch, and makes it all so, durably.
    ///
    /// # Errors
    /// `Corrupt` where rows are missing, else as for `migrate`; nothing is written then.
    pub async fn commit(mut self) -> Result<()> {
        for table in self.tables.iter().map(|native| native.table.name.clone()).collect::<Vec<_>>() {
            let expected = self.loaded.get(&table).copied().unwrap_or(0);
            let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let counted: i64 = match &mut self.on {
                On::Sqlite(db) => sqlx::query_scalar(sql).fetch_one(&mut **db).await,
                On::Postgres(db) => sqlx::query_scalar(sql).fetch_one(&mut **db).await,
            }
            .attempted("count what was loaded")?;
            if u64::try_from(counted) != Ok(expected) {
                return Err(Error::Corrupt {
                    what: format!("{table}, which has {counted} rows and not {expected},"),
                });
            }
        }
        match &mut self.on {
            On::Sqlite(db) => bring_sqlite(db, self.first_id).await?,
            On::Postgres(db) => migrate_postgres(db, self.first_id).await?,
        }
        match self.on {
            On::Sqlite(db) => db.commit().await,
            On::Postgres(db) => db.commit().await,
        }
        .attempted("commit")?;
        match self.pool {
            On::Sqlite(pool) => {
                // So that the file is whole without its log.
                drop(sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await);
                pool.close().await;
            }
            On::Postgres(pool) => pool.close().await,
        }
        Ok(())
    }

    async fn execute(&mut self, sql: String, attempted: &'static str) -> Result<()> {
        match &mut self.on {
            On::Sqlite(db) => sqlx::query(AssertSqlSafe(sql)).execute(&mut **db).await.map(drop),
            On::Postgres(db) => sqlx::query(AssertSqlSafe(sql)).execute(&mut **db).await.map(drop),
        }
        .attempted(attempted)
    }

    fn db(&mut self) -> Db<'_> {
        match &mut self.on {
            On::Sqlite(db) => On::Sqlite(db),
            On::Postgres(db) => On::Postgres(db),
        }
    }
}

/// Connections of our name to this database beside this one. SQLite has no list of them.
pub(super) async fn others(db: Db<'_>) -> Result<i64> {
    const SQL: &str = "
        SELECT count(*)
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = current_setting('application_name')";
    match db {
        On::Sqlite(_) => Ok(0),
        On::Postgres(db) => sqlx::query_scalar(SQL).fetch_one(db).await.attempted("look who uses the database"),
    }
}

/// How many of these rows fit into one statement; at least one.
fn together(rows: &[Vec<Value>]) -> usize {
    let (mut values, mut bytes) = (0, 0);
    let fits = |row: &&Vec<Value>| {
        values += row.len();
        bytes += row.iter().map(Value::size).sum::<usize>();
        values <= VALUES && bytes <= BYTES
    };
    rows.iter().take_while(fits).count().max(1)
}

fn bind_sqlite(values: &mut Separated<'_, Sqlite, &'static str>, kind: Kind, value: &Value) -> Result<()> {
    match kind {
        Kind::Int => values.push_bind(value.int()?),
        Kind::Bool => values.push_bind(value.bool()?),
        Kind::Text => values.push_bind(value.text()?.map(str::to_owned)),
        Kind::Bytes => values.push_bind(value.bytes()?.map(<[u8]>::to_owned)),
    };
    Ok(())
}

fn bind_postgres(values: &mut Separated<'_, Postgres, &'static str>, kind: Kind, special: Option<Special>, value: &Value) -> Result<()> {
    match (kind, special) {
        (Kind::Bytes, Some(Special::Uuid)) => {
            let uuid = value.bytes()?.map(Uuid::from_slice).transpose();
            values.push_bind(uuid.map_err(|_| Error::Corrupt { what: "a UUID".to_owned() })?)
        }
        (Kind::Text, Some(Special::Jsonb)) => values
            .push("CAST(")
            .push_bind_unseparated(value.text()?.map(str::to_owned))
            .push_unseparated(" AS JSONB)"),
        (Kind::Int, _) => values.push_bind(value.int()?),
        (Kind::Bool, _) => values.push_bind(value.bool()?),
        (Kind::Text, _) => values.push_bind(value.text()?.map(str::to_owned)),
        (Kind::Bytes, _) => values.push_bind(value.bytes()?.map(<[u8]>::to_owned)),
    };
    Ok(())
}
