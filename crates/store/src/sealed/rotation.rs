//! Exchanges the keys under sealed values while everything runs: which keys are still needed, and what is left to wrap anew.
//! Knows nothing of what the values are; it opens none of them, only their own keys.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use super::keyring::{Keyring, Kid};
use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;
use crate::{Reader, Result};

/// A column of sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SealedColumn {
    /// Its table.
    table: &'static str,
    /// Its name; null is a row without such a value.
    column: &'static str,
    /// The column of numbers that names a row.
    id: &'static str,
}

/// Every column of sealed values. One that is not here keeps its old key for ever.
const SEALED: [SealedColumn; 4] = [
    SealedColumn {
        table: "source_secrets",
        column: "sealed",
        id: "id",
    },
    SealedColumn {
        table: "idempotent_answers",
        column: "sealed",
        id: "id",
    },
    SealedColumn {
        table: "totp",
        column: "sealed",
        id: "user_id",
    },
    SealedColumn {
        table: "notification_targets",
        column: "sealed_url",
        id: "id",
    },
];

/// How many values need which key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// By the key's name. A value that is in no known form stands under its beginning.
    pub by_kid: BTreeMap<String, u64>,
}

impl Remaining {
    /// All values.
    pub fn sum(&self) -> u64 {
        self.by_kid.values().sum()
    }

    /// Those that need this key.
    pub fn of(&self, kid: &Kid) -> u64 {
        self.by_kid.get(&kid.to_string()).copied().unwrap_or(0)
    }

    /// Those that no key of the ring opens.
    pub fn lost(&self, ring: &Keyring) -> BTreeMap<String, u64> {
        let known: Vec<String> = ring.kids().map(Kid::to_string).collect();
        let lost = self.by_kid.iter().filter(|(kid, _)| !known.contains(kid));
        lost.map(|(kid, count)| (kid.clone(), *count)).collect()
    }
}

impl Reader {
    /// Counts sealed values by the key that they need. Reads all of them.
    pub async fn count_sealed(&self) -> Result<Remaining> {
        let mut remaining = Remaining::default();
        for SealedColumn { table, column, .. } in SEALED {
            // The name stands behind `v1|a256gcm|` and has twelve letters.
            let sql = format!("SELECT substr({column}, 12, 12) AS kid, count(*) AS values_of FROM {table} WHERE {column} IS NOT NULL GROUP BY 1");
            let counted: Vec<(String, i64)> =
                on!(&self.on, |db| sqlx::query_as(AssertSqlSafe(sql.as_str())).fetch_all(db).await).attempted("count sealed values")?;
            for (kid, count) in counted {
                *remaining.by_kid.entry(kid).or_default() += count.unsigned_abs();
            }
        }
        Ok(remaining)
    }
}

/// How far a pass over all sealed values has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Values that were wrapped anew.
    pub rewrapped: u64,
    /// Values that could not be, because no key of the ring opens them.
    pub left: u64,
    column: usize,
    after: i64,
}

impl Tx {
    /// Wraps up to `limit` values anew that need another key than the one that seals. Says whether there may be more. A value that is
    /// replaced at the same time is left to its writer, and one that no key of the ring opens stays as it is.
    pub async fn rewrap(&mut self, ring: &Keyring, pass: &mut Pass, limit: i64) -> Result<bool> {
        let Some(SealedColumn { table, column, id }) = SEALED.get(pass.column) else {
            return Ok(false);
        };
        let wrapped_by = format!("{}|{}|", super::FORM, ring.sealing());
        let length = i32::try_from(wrapped_by.len()).expect("a few letters");
        let read =
            format!("SELECT {id}, {column} FROM {table} WHERE {id} > $1 AND {column} IS NOT NULL AND substr({column}, 1, $2) <> $3 ORDER BY {id} LIMIT $4");
        let write = format!("UPDATE {table} SET {column} = $3 WHERE {id} = $1 AND {column} = $2");
        let due: Vec<(i64, String)> = on!(&mut self.on, |db| sqlx::query_as(AssertSqlSafe(read.as_str()))
            .bind(pass.after)
            .bind(length)
            .bind(&wrapped_by)
            .bind(limit)
            .fetch_all(&mut **db)
            .await)
        .attempted("read sealed values")?;
        if due.is_empty() {
            (pass.column, pass.after) = (pass.column + 1, 0);
            return Ok(pass.column < SEALED.len());
        }
        for (row, sealed) in due {
            pass.after = row;
            let wrapped = match ring.rewrap(&sealed) {
                Ok(Some(wrapped)) => wrapped,
                Ok(None) => continue,
                Err(_) => {
                    pass.left += 1;
                    continue;
                }
            };
            on!(&mut self.on, |db| sqlx::query(AssertSqlSafe(write.as_str()))
                .bind(row)
                .bind(&sealed)
                .bind(&wrapped)
                .execute(&mut **db)
                .await
                .map(drop))
            .attempted("wrap a sealed value anew")?;
            pass.rewrapped += 1;
        }
        Ok(true)
    }
}
