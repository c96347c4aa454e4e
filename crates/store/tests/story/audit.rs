//! The audit: complete under any number of writers, and anything that is done to it afterwards shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use pipecast_model::{Facts, ProjectId, Timestamp, TokenId, UserId};
use pipecast_store::audit::{Actor, Anchor, AuditQuery, By, Entry, Finding, Row, Verification};
use pipecast_store::{Retention, archive};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::ground::{Engine, Ground, Open, delivery};

/// Rows of the audits that are tampered with.
const ROWS: i64 = 24;
/// Each engine takes half of the trials.
const TRIALS: usize = 500;

fn entry(number: i64) -> Entry {
    let user = UserId(number % 5 + 1);
    let mut by = By::actor(match number % 3 {
        0 => Actor::Token(TokenId::fresh(), user),
        1 => Actor::User(user),
        _ => Actor::System,
    });
    by.ip = Some("192.0.2.7".parse().unwrap());
    by.user_agent = Some("curl/8 \u{1}ü".to_owned());
    by.request_id = Some(format!("request-{number}"));
    Entry::new(by, if number % 2 == 0 { "source.update" } else { "token.create" })
        .on("source", number, format!("source {number}"))
        .of(ProjectId(number % 4))
        .changed(json!({"name": "before", "kept": 1}), json!({"name": format!("after {number}"), "kept": 1}))
}

async fn write(open: &Open, rows: i64) {
    for number in 1..=rows {
        let mut tx = open.writer.begin().await.unwrap();
        tx.audit(entry(number));
        tx.commit().await.unwrap();
    }
}

async fn verify(open: &Open, anchors: &[Anchor]) -> Verification {
    open.reader.verify_audit(anchors, |_| {}).await.unwrap()
}

async fn sound(open: &Open) -> Anchor {
    match verify(open, &[]).await {
        Verification::Sound(newest) => newest,
        broken => panic!("{broken:?}"),
    }
}

#[tokio::test]
async fn an_entry_is_there_with_what_it_is_about_and_without_its_secrets() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        assert_eq!(sound(&open).await.seq, 0);
        let mut tx = open.writer.begin().await.unwrap();
        tx.audit(entry(1).after(json!({"name": "x", "secret": "hunter2", "note": "it is pcst_abc_def"})));
        tx.audit(Entry::new(By::actor(Actor::Anonymous), "session.login").denied());
        tx.commit().await.unwrap();
        let mut undone = open.writer.begin().await.unwrap();
        undone.audit(entry(2));
        drop(undone);

        let rows = open
            .reader
            .list_audit(&AuditQuery {
                limit: 10,
                ..AuditQuery::default()
            })
            .await
            .unwrap();

        let words = |row: &Row| (row.seq, row.actor.clone(), row.action.clone(), row.outcome.clone());
        assert_eq!(
            rows.iter().map(words).collect::<Vec<_>>(),
            [(2, "anonymous", "session.login", "denied"), (1, "user", "token.create", "ok")].map(|(seq, actor, action, outcome)| (
                seq,
                actor.to_owned(),
                action.to_owned(),
                outcome.to_owned()
            )),
            "{engine:?}"
        );
        let row = &rows[1];
        assert_eq!(row.after.as_deref(), Some(r#"{"name":"x","note":"it is ***","secret":"***"}"#));
        assert_eq!(row.before.as_deref(), Some(r#"{"name":"before"}"#));
        assert_eq!(row.user_agent.as_deref(), Some("curl/8 ü"));
        assert_eq!((row.user_id, row.project_id), (Some(UserId(2)), Some(ProjectId(1))));
        assert_eq!(sound(&open).await.seq, 2);
        assert_eq!(open.reader.find_audit(1).await.unwrap().as_ref(), Some(row));
        assert_eq!(open.reader.find_audit(3).await.unwrap(), None);
    }
}

#[tokio::test]
async fn it_is_found_by_who_and_what_and_when_and_page_by_page() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        write(&open, ROWS).await;
        let seqs = async |query: AuditQuery| -> Vec<i64> {
            let rows = open.reader.list_audit(&AuditQuery { limit: 100, ..query }).await.unwrap();
            rows.into_iter().map(|row| row.seq).collect()
        };
        let all = || AuditQuery::default();

        assert_eq!(
            seqs(AuditQuery {
                user: Some(UserId(3)),
                ..all()
            })
            .await,
            [22, 12, 7]
        );
        let action = Some("source.update".to_owned());
        assert_eq!(
            seqs(AuditQuery {
                action,
                after: Some(6),
                ..all()
            })
            .await,
            [4, 2]
        );
        let (resource_type, resource_id) = (Some("source".to_owned()), Some("9".to_owned()));
        assert_eq!(
            seqs(AuditQuery {
                resource_type,
                resource_id,
                ..all()
            })
            .await,
            [9]
        );
        assert_eq!(
            seqs(AuditQuery {
                project: Some(ProjectId(1)),
                after: Some(10),
                ..all()
            })
            .await,
            [9, 5, 1]
        );
        assert_eq!(
            seqs(AuditQuery {
                outcome: Some("denied".to_owned()),
                ..all()
            })
            .await,
            [0; 0]
        );
        let at = open.reader.find_audit(20).await.unwrap().unwrap().at;
        assert!(seqs(AuditQuery { since: Some(at), ..all() }).await.contains(&20));
        assert!(!seqs(AuditQuery { until: Some(at), ..all() }).await.contains(&20));
    }
}

#[tokio::test]
async fn writers_at_once_leave_one_chain_without_a_gap() {
    for engine in Engine::BOTH {
        let open = Arc::new(Ground::lay(engine).await.open().await);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let open = Arc::clone(&open);
            writers.spawn(async move {
                let mut committed = 0;
                for round in 0..20 {
                    let mut tx = open.writer.begin().await.unwrap();
                    let entries = (writer + round) % 3 + 1;
                    (0..entries).for_each(|number| tx.audit(entry(number)));
                    if round % 5 == 4 {
                        drop(tx);
                    } else {
                        tx.commit().await.unwrap();
                        committed += entries;
                    }
                }
                committed
            });
        }

        let committed: i64 = writers.join_all().await.into_iter().sum();

        assert_eq!(sound(&open).await.seq, committed, "{engine:?}");
    }
}

#[tokio::test]
async fn the_engines_refuse_to_change_it_and_retention_leaves_it() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        write(&open, 3).await;
        open.deliver(&delivery(), &Facts::default()).await;
        let mut tx = open.writer.begin().await.unwrap();
        let nothing = Retention {
            bodies: std::time::Duration::ZERO,
            bodies_bytes: 0,
            deliveries: std::time::Duration::ZERO,
        };
        tx.prune(&nothing, Timestamp(i64::MAX), 1_000).await.unwrap();
        tx.commit().await.unwrap();

        for sql in ["UPDATE audit SET actor = 'system'", "DELETE FROM audit WHERE seq = 3"] {
            let error = Somebody::at(&open.ground).await.does(sql).await.unwrap_err().to_string();
            assert!(error.contains("rows of the audit are never"), "{engine:?}: {error}");
        }
        assert_eq!(open.ground.count("deliveries").await, 0);
        assert_eq!(sound(&open).await.seq, 3);
    }
}

#[tokio::test]
async fn it_is_as_sound_in_another_database_and_goes_on_there() {
    for (from, to) in [(Engine::Sqlite, Engine::Postgres), (Engine::Postgres, Engine::Sqlite)] {
        let source = Ground::lay(from).await.open().await;
        write(&source, 5).await;
        let newest = sound(&source).await;
        let target = Ground::lay(to).await;
        crate::archive::copy(&source.ground.options, &target.options, archive::Over::Nothing)
            .await
            .unwrap();

        let target = target.open().await;
        assert_eq!(sound(&target).await, newest);
        write(&target, 2).await;
        assert!(matches!(verify(&target, &[newest]).await, Verification::Sound(Anchor { seq: 7, .. })));
    }
}

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
enum Somebody {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Somebody {
    async fn at(ground: &Ground) -> Somebody {
        match ground.engine {
            Engine::Sqlite => Somebody::Sqlite(SqliteConnection::connect(&ground.options.url).await.unwrap()),
            Engine::Postgres => Somebody::Postgres(PgConnection::connect(&ground.options.url).await.unwrap()),
        }
    }

    /// Several statements in one transaction.
    async fn does(&mut self, sql: &str) -> sqlx::Result<()> {
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
