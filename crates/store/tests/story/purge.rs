//! What was deleted long ago and goes for good: what is left of it, and what is not.

use std::time::Duration;

use pipecast_model::{Host, SecretKind, SourceId, Status, Timestamp, UserId};
use pipecast_store::sealed::Keyring;
use pipecast_store::source::{Deleted, SourceQuery};
use pipecast_store::{NewUser, Purged, TokenQuery};

use crate::accounts::fill;
use crate::ground::{Engine, Ground, Open, delivery, execution, run};
use crate::sealing::new_source;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn purge(open: &Open, age: Duration, limit: i64) -> Purged {
    let mut tx = open.writer.begin().await.unwrap();
    let purged = tx.purge(Timestamp::now().minus(age), limit).await.unwrap();
    tx.commit().await.unwrap();
    purged
}

/// A source with a secret, deleted so long ago.
async fn deleted_source(open: &Open, key: &str, ago: Duration) -> SourceId {
    let mut tx = open.writer.begin().await.unwrap();
    let id = tx.make_source(&new_source(key), Timestamp::now()).await.unwrap().unwrap();
    tx.add_secret(id, SecretKind::Hmac, "a secret of a source", &Keyring::generate(), Timestamp::now())
        .await
        .unwrap();
    let version = tx.hold_source(id).await.unwrap().unwrap().version;
    tx.delete_source(id, version, Timestamp::now().minus(ago)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    id
}

#[tokio::test]
async fn a_deleted_source_goes_with_its_secrets_and_the_history_of_its_projects_stays() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let mut told = delivery();
        told.source = "told".into();
        open.deliver(&told, &run("rocket", execution(12, 1, Status::Running, 0))).await;
        let young = deleted_source(&open, "young", 29 * DAY).await;
        let old = deleted_source(&open, "old", 31 * DAY).await;
        // The delivery has made a row for it, as for one that is configured; the operator's is another.
        let with_history = deleted_source(&open, "history", 32 * DAY).await;
        open.ground.look(&format!("UPDATE projects SET source_id = {with_history}")).await;

        assert_eq!(purge(&open, 30 * DAY, 1).await.sources, 1);
        assert_eq!(purge(&open, 30 * DAY, 1).await.sources, 1);
        assert_eq!(purge(&open, 30 * DAY, 1).await, Purged::default(), "{engine:?}");

        let mut found = Vec::new();
        for id in [young, old, with_history] {
            found.push(open.reader.find_source(id).await.unwrap().is_some());
        }
        assert_eq!(found, [true, false, false]);
        assert_eq!(open.ground.count("source_secrets").await, 1, "the one that can be restored has its own");
        let all = SourceQuery {
            deleted: Deleted::Included,
            limit: 10,
            ..SourceQuery::default()
        };
        let listed: Vec<_> = open.reader.list_sources(&all).await.unwrap().into_iter().map(|source| source.key).collect();
        assert_eq!(listed, ["told", "young"]);
        assert_eq!(open.ground.count("projects").await, 1);
        assert_eq!(
            open.ground
                .look("SELECT key FROM sources WHERE managed = FALSE AND name IS NULL AND deleted_at IS NOT NULL")
                .await,
            ["history"]
        );
        let trusted = open.reader.find_trusted(Host::Github, "history").await.unwrap().unwrap();
        assert!(!trusted.open && trusted.secrets.is_empty(), "edges go on refusing it");
        assert_eq!(
            open.ground
                .look("SELECT resource_label FROM audit WHERE action = 'source.purge' ORDER BY seq")
                .await,
            ["Source history", "Source old"]
        );
    }
}

#[tokio::test]
async fn a_deleted_user_goes_with_everything_that_is_theirs() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        open.tell(run("rocket", execution(12, 1, Status::Running, 0))).await;
        let mut tx = open.writer.begin().await.unwrap();
        fill(&mut tx).await;
        let other = NewUser {
            name: "bob".to_owned(),
            display_name: None,
            email: None,
            role: None,
            password: None,
        };
        let bob = tx.create_user(&other).await.unwrap().unwrap();
        let ada = UserId(1);
        let mut row = tx.hold_user(ada).await.unwrap().unwrap();
        row.deleted_at = Some(Timestamp::now().minus(31 * DAY));
        assert!(tx.write_user(&row).await.unwrap());
        tx.commit().await.unwrap();

        assert_eq!(purge(&open, 32 * DAY, 10).await, Purged::default(), "{engine:?}: it can still be restored");
        assert_eq!(purge(&open, 30 * DAY, 10).await.users, 1);

        for table in ["sessions", "refresh_tokens", "api_tokens", "totp", "recovery_codes", "memberships"] {
            assert_eq!(open.ground.count(table).await, 0, "{engine:?}: {table}");
        }
        assert_eq!(open.reader.find_user(ada).await.unwrap(), None);
        assert!(open.reader.find_user(bob).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn tokens_that_have_ended_go_and_others_stay() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        open.tell(run("rocket", execution(12, 1, Status::Running, 0))).await;
        let mut tx = open.writer.begin().await.unwrap();
        fill(&mut tx).await;
        tx.commit().await.unwrap();
        let long_ago = Timestamp::now().minus(31 * DAY).0;
        for (prefix, ended) in [
            ("revoked0", format!("revoked_at = {long_ago}")),
            ("expired0", format!("expires_at = {long_ago}")),
        ] {
            let mut tx = open.writer.begin().await.unwrap();
            let token = crate::accounts::new_token(UserId(1), prefix, None);
            assert!(tx.add_token(&token).await.unwrap());
            tx.commit().await.unwrap();
            open.ground.look(&format!("UPDATE api_tokens SET {ended} WHERE prefix = '{prefix}'")).await;
        }

        assert_eq!(purge(&open, 30 * DAY, 10).await.tokens, 2, "{engine:?}");

        let all = TokenQuery {
            limit: 10,
            ..TokenQuery::default()
        };
        let left: Vec<_> = open.reader.list_tokens(&all).await.unwrap().into_iter().map(|token| token.prefix).collect();
        assert_eq!(left, ["abcdefgh"]);
        assert_eq!(open.ground.count("audit WHERE action = 'token.purge'").await, 2);
    }
}
