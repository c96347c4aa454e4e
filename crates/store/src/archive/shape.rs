//! Tables and their columns, as the engine's own catalogue has them.
//! Knows nothing of rows.

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, SqliteConnection};

use super::{Kind, TABLES};
use crate::engine::On;
use crate::error::Attempt;
use crate::{Error, Result};

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in the order of the values of a row.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A table with the types that the engine itself has for its columns.
pub(super) struct Native {
    pub(super) table: Table,
    /// By column: its type, where the engine has one of its own that both engines do not share.
    pub(super) special: Vec<Option<Special>>,
}

/// Types that only PostgreSQL has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Uuid,
    Jsonb,
}

pub(super) type Db<'a> = On<&'a mut SqliteConnection, &'a mut PgConnection>;

const ATTEMPTED: &str = "read the catalogue of tables";

/// Those of our tables that are there, parents before children.
pub(super) async fn tables(mut db: Db<'_>) -> Result<Vec<Native>> {
    let mut tables = Vec::new();
    for name in TABLES {
        let types = match &mut db {
            On::Sqlite(db) => columns_on_sqlite(db, name).await?,
            On::Postgres(db) => columns_on_postgres(db, name).await?,
        };
        if !types.is_empty() {
            tables.push(native(name, types)?);
        }
    }
    Ok(tables)
}

async fn columns_on_sqlite(db: &mut SqliteConnection, table: &str) -> Result<Vec<(String, String)>> {
    const SQL: &str = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";
    sqlx::query_as(SQL).bind(table).fetch_all(db).await.attempted(ATTEMPTED)
}

async fn columns_on_postgres(db: &mut PgConnection, table: &str) -> Result<Vec<(String, String)>> {
    const SQL: &str = "
        SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT)
        FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name = $1
        ORDER BY ordinal_position";
    sqlx::query_as(SQL).bind(table).fetch_all(db).await.attempted(ATTEMPTED)
}

fn native(table: &str, types: Vec<(String, String)>) -> Result<Native> {
    let mut columns = Vec::with_capacity(types.len());
    let mut special = Vec::with_capacity(types.len());
    for (name, word) in types {
        let (kind, own) = match word.to_ascii_lowercase().as_str() {
            "integer" | "bigint" => (Kind::Int, None),
            "boolean" => (Kind::Bool, None),
            "text" => (Kind::Text, None),
            "jsonb" => (Kind::Text, Some(Special::Jsonb)),
            "blob" | "bytea" => (Kind::Bytes, None),
            "uuid" => (Kind::Bytes, Some(Special::Uuid)),
            other => {
                return Err(Error::Corrupt {
                    what: format!("the type {other} of {table}.{name}"),
                });
            }
        };
        columns.push(Column { name, kind });
        special.push(own);
    }
    let name = table.to_owned();
    Ok(Native {
        table: Table { name, columns },
        special,
    })
}
