//! The audit: complete under any number of writers, found by what is in it, and the same in another database.

use std::sync::Arc;

use pipecast_model::{Facts, ProjectId, Timestamp, TokenId, UserId};
use pipecast_store::audit::{Actor, Anchor, AuditQuery, By, Entry, Row, Verification};
use pipecast_store::{Retention, archive};
use serde_json::json;

use crate::ground::{Engine, Ground, Open, delivery};

mod tampering;

use tampering::Somebody;

/// Rows of the audits that are tampered with.
const ROWS: i64 = 24;

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
