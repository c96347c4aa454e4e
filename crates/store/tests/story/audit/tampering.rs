//! Anything that is done to an audit afterwards shows, whoever does it.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use pipecast_store::audit::{Finding, Row, Verification};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use super::{ROWS, sound, verify, write};
use crate::ground::{Engine, Ground};

/// Each engine takes half of the trials.
const TRIALS: usize = 500;

#[tokio::test]
async fn whatever_is_done_to_it_is_detected() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        write(&open, ROWS).await;
        let kept = sound(&open).await;
        let rows = open.reader.list_audit_after(0, 1_000).await.unwrap();
        let unlock = match engine {
            Engine::Sqlite => "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_deleted;",
            Engine::Postgres => "DROP TRIGGER audit_is_never_changed ON audit;",
        };
        let copy = "CREATE TABLE was AS SELECT * FROM audit; CREATE TABLE head_was AS SELECT * FROM audit_head;";
        let mut somebody = Somebody::at(&open.ground).await;
        somebody.does(&format!("{unlock} {copy}")).await.unwrap();
        let back = "DELETE FROM audit; INSERT INTO audit SELECT * FROM was; DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM head_was;";
        let mut dice = Dice(u64::from(uuid::Uuid::new_v4().as_fields().0));
        let mut kinds = BTreeSet::new();

        for trial in 0..TRIALS {
            let seed = dice.0;
            let deed = Deed::any(&mut dice, &rows);
            somebody.does(&format!("{back} {}", deed.sql)).await.unwrap();
            let anchors = if deed.needs_anchor { vec![kept.clone()] } else { Vec::new() };

            let found = verify(&open, &anchors).await;

            let said = format!("{engine:?}, trial {trial}, seed {seed}: {} ({found:?})", deed.sql);
            match found {
                Verification::Sound(_) => panic!("not detected: {said}"),
                Verification::Broken { seq, .. } => assert_eq!(seq, deed.first, "{said}"),
            }
            kinds.insert(deed.kind);
        }

        somebody.does(back).await.unwrap();
        assert_eq!(sound(&open).await, kept);
        assert_eq!(kinds.len() as u64, Deed::KINDS, "{kinds:?}");
        assert_eq!(Finding::Missing.to_string(), "is missing");
    }
}

/// Somebody who may do everything.
pub(super) enum Somebody {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Somebody {
    pub(super) async fn at(ground: &Ground) -> Somebody {
        match ground.engine {
            Engine::Sqlite => Somebody::Sqlite(SqliteConnection::connect(&ground.options.url).await.unwrap()),
            Engine::Postgres => Somebody::Postgres(PgConnection::connect(&ground.options.url).await.unwrap()),
        }
    }

    /// Several statements in one transaction.
    pub(super) async fn does(&mut self, sql: &str) -> sqlx::Result<()> {
        let sql = AssertSqlSafe(format!("BEGIN; {sql}; COMMIT;"));
        match self {
            Somebody::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
            Somebody::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
        }
    }
}

/// Something that somebody does to an audit that is not to be found out.
struct Deed {
    kind: u64,
    sql: String,
    /// The first row that has to be named for it.
    first: i64,
    /// Where all of it was made anew, only what is known from elsewhere helps.
    needs_anchor: bool,
}

impl Deed {
    const KINDS: u64 = 13;

    fn any(dice: &mut Dice, rows: &[Row]) -> Deed {
        let kind = dice.below(Deed::KINDS);
        let (row, other) = (dice.row(), dice.row());
        let deed = |first: i64, sql: String| Deed {
            kind,
            sql,
            first,
            needs_anchor: false,
        };
        match kind {
            0 | 1 => {
                let texts = [
                    "actor",
                    "action",
                    "outcome",
                    "resource_type",
                    "resource_id",
                    "resource_label",
                    "before",
                    "after",
                    "ip",
                    "user_agent",
                    "request_id",
                    "hash",
                ];
                let column = texts[dice.below(texts.len() as u64) as usize];
                // In the middle of it, at its end, or all of it.
                let value = [
                    format!("replace({column}, substr({column}, 1, 1), '~')"),
                    format!("{column} || ' '"),
                    "'x'".to_owned(),
                ];
                let value = &value[dice.below(3) as usize];
                deed(row, format!("UPDATE audit SET {column} = {value} WHERE seq = {row}"))
            }
            2 => {
                let column = ["at", "user_id", "project_id"][dice.below(3) as usize];
                deed(row, format!("UPDATE audit SET {column} = coalesce({column}, 0) + 1 WHERE seq = {row}"))
            }
            3 => {
                let with_token = row / 3 * 3 + if row < 3 { 3 } else { 0 };
                deed(with_token, format!("UPDATE audit SET token_id = NULL WHERE seq = {with_token}"))
            }
            4 => deed(row, format!("UPDATE audit SET ip = NULL WHERE seq = {row}")),
            5 => deed(row, format!("DELETE FROM audit WHERE seq = {row}")),
            6 => {
                let other = if other == row { row % ROWS + 1 } else { other };
                let swap = format!(
                    "UPDATE audit SET seq = -1 WHERE seq = {row}; UPDATE audit SET seq = {row} WHERE seq = {other}; UPDATE audit SET seq = {other} WHERE seq = -1"
                );
                deed(row.min(other), swap)
            }
            7 => deed(row, format!("DELETE FROM audit WHERE seq >= {row}")),
            8 => {
                let sql = match rows.get((row - 2).max(0) as usize) {
                    Some(last) if row > 1 => format!("DELETE FROM audit WHERE seq >= {row}; {}", head(last)),
                    _ => format!("DELETE FROM audit; UPDATE audit_head SET seq = 0, hash = '{}'", "0".repeat(64)),
                };
                Deed {
                    needs_anchor: true,
                    ..deed(row, sql)
                }
            }
            9 => {
                let copy = "INSERT INTO audit SELECT";
                let columns = "at, actor, user_id, token_id, action, outcome, project_id, resource_type, resource_id, resource_label,
                    before, after, ip, user_agent, request_id, hash";
                deed(ROWS + 1, format!("{copy} {}, {columns} FROM audit WHERE seq = {row}", ROWS + 1))
            }
            10 => {
                // Before the first row, where nobody counts; shown like any other.
                let columns = "at, actor, user_id, token_id, action, outcome, project_id, resource_type, resource_id, resource_label,
                    before, after, ip, user_agent, request_id, hash";
                let seq = [0, -1, -row, i64::MIN + 1, i64::MIN][dice.below(5) as usize];
                deed(
                    seq,
                    format!("INSERT INTO audit SELECT {}, {columns} FROM audit WHERE seq = {row}", literal(seq)),
                )
            }
            11 => match dice.below(3) {
                0 => deed(ROWS, "DELETE FROM audit_head".to_owned()),
                1 => deed(ROWS, "UPDATE audit_head SET hash = 'x'".to_owned()),
                _ => deed(ROWS + 1, "UPDATE audit_head SET seq = seq + 1".to_owned()),
            },
            _ => {
                // A row is changed and gets the hash that fits it; or all behind it are made to fit too, and the head.
                let through = dice.below(2) == 1;
                let sql = made_to_fit(rows, row, if through { ROWS } else { row });
                let first = if through { ROWS } else { (row + 1).min(ROWS) };
                Deed {
                    needs_anchor: through,
                    ..deed(first, sql)
                }
            }
        }
    }
}

/// Both engines read the lowest number as a minus before one that is too large.
fn literal(seq: i64) -> String {
    if seq == i64::MIN {
        "(-9223372036854775807 - 1)".to_owned()
    } else {
        seq.to_string()
    }
}

fn head(row: &Row) -> String {
    format!("UPDATE audit_head SET seq = {}, hash = '{}'", row.seq, row.hash)
}

/// Changes a row and puts the hashes right from it up to another; up to the last, the head's too.
fn made_to_fit(rows: &[Row], changed: i64, up_to: i64) -> String {
    let mut rows = rows.to_vec();
    let mut sql = String::new();
    for seq in changed..=up_to {
        let at = seq as usize - 1;
        let before = if at == 0 { "0".repeat(64) } else { rows[at - 1].hash.clone() };
        let row = &mut rows[at];
        if seq == changed {
            row.actor = "nobody".into();
        }
        row.hash = hash(&before, row);
        sql.push_str(&format!("UPDATE audit SET actor = '{}', hash = '{}' WHERE seq = {seq};", row.actor, row.hash));
    }
    if changed < up_to && up_to == ROWS {
        sql.push_str(&head(&rows[up_to as usize - 1]));
    }
    sql
}

/// As the documentation has it, for whoever checks the chain without us.
fn hash(before: &str, row: &Row) -> String {
    let mut bytes: Vec<u8> = (0..64).step_by(2).map(|at| u8::from_str_radix(&before[at..at + 2], 16).unwrap()).collect();
    bytes.extend_from_slice(row.canonical().as_bytes());
    digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn row(&mut self) -> i64 {
        self.below(ROWS as u64) as i64 + 1
    }
}
