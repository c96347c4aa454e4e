//! What the ids in the audit are called: today, and when what had the name is gone.

use std::time::Duration;

use pipecast_model::{ProjectId, Status, Timestamp, TokenId, UserId};
use pipecast_store::NewUser;
use pipecast_store::audit::{Actor, AuditQuery, By, Entry, Named, Names, Row};

use crate::ground::{Engine, Ground, Open, execution, run};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn user(open: &Open, name: &str) -> UserId {
    let new = NewUser {
        name: name.to_owned(),
        display_name: None,
        email: None,
        role: None,
        password: None,
    };
    let mut tx = open.writer.begin().await.unwrap();
    let id = tx.create_user(&new).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    id
}

async fn delete(open: &Open, id: UserId, ago: Duration) {
    let mut tx = open.writer.begin().await.unwrap();
    let mut row = tx.hold_user(id).await.unwrap().unwrap();
    row.deleted_at = Some(Timestamp::now().minus(ago));
    assert!(tx.write_user(&row).await.unwrap());
    tx.commit().await.unwrap();
}

async fn note(open: &Open, entry: Entry) {
    let mut tx = open.writer.begin().await.unwrap();
    tx.audit(entry);
    tx.commit().await.unwrap();
}

async fn rows(open: &Open, query: AuditQuery) -> (Vec<Row>, Names) {
    let rows = open.reader.list_audit(&AuditQuery { limit: 100, ..query }).await.unwrap();
    let names = open.reader.audit_names(&rows).await.unwrap();
    (rows, names)
}

fn named(name: &str, is_gone: bool) -> Named {
    let name = Some(name.to_owned());
    Named { name, is_gone }
}

#[tokio::test]
async fn ids_are_told_by_name_while_there_is_a_row_and_after_it_is_gone() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        open.tell(run("rocket", execution(12, 1, Status::Running, 0))).await;
        let (ada, bob, eve) = (user(&open, "ada").await, user(&open, "bob").await, user(&open, "eve").await);
        for who in [ada, bob, eve] {
            let by = By::actor(Actor::User(who));
            note(&open, Entry::new(by, "user.end_sessions").on("user", who, "").of(ProjectId(1))).await;
        }
        let never = By::actor(Actor::Token(TokenId::fresh(), UserId(9_999)));
        note(&open, Entry::new(never, "user.update").on("user", ada, "ada of old")).await;
        delete(&open, bob, DAY).await;
        delete(&open, eve, 31 * DAY).await;
        let mut tx = open.writer.begin().await.unwrap();
        tx.purge(Timestamp::now().minus(30 * DAY), 10).await.unwrap();
        tx.commit().await.unwrap();

        let (rows, names) = rows(&open, AuditQuery::default()).await;

        let told: Vec<Option<&Named>> = [ada, bob, eve].into_iter().map(|id| names.user(id)).collect();
        let expected = [named("ada", false), named("bob", true), named("eve", true)];
        assert_eq!(told, expected.iter().map(Some).collect::<Vec<_>>(), "{engine:?}");
        assert_eq!(names.project(ProjectId(1)), Some(&named("acme/rocket", false)));
        let stranger = rows.iter().find(|row| row.user_id == Some(UserId(9_999))).unwrap();
        let unknown = Named { name: None, is_gone: true };
        assert_eq!(names.user(UserId(9_999)), Some(&unknown));
        assert_eq!(names.token(stranger.token_id.unwrap()), Some(&unknown));
        assert_eq!(names.resource(stranger), Some(named("ada of old", false)), "as it was called then");
        let own = rows.iter().find(|row| row.user_id == Some(bob)).unwrap();
        assert_eq!(names.resource(own), Some(named("bob", true)), "the row itself does not tell");
        assert_eq!(names.user(UserId(77)), None, "it is in no row");
    }
}

#[tokio::test]
async fn rows_are_found_by_the_name_of_who_did_it() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let (ada, bob) = (user(&open, "Ada").await, user(&open, "bob").await);
        for who in [ada, bob, ada] {
            note(&open, Entry::new(By::actor(Actor::User(who)), "source.create")).await;
        }
        delete(&open, ada, DAY).await;

        let of = async |name: &str| {
            let user_name = Some(name.to_owned());
            let (rows, _) = rows(
                &open,
                AuditQuery {
                    user_name,
                    ..AuditQuery::default()
                },
            )
            .await;
            rows.into_iter().map(|row| row.user_id.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(" aDA ").await, [ada, ada], "{engine:?}");
        assert_eq!(of("bob").await, [bob]);
        assert_eq!(of("nobody").await, []);
    }
}
