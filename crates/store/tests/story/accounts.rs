//! Accounts: who may come in, what carries a session on, and what ends it.

use pipecast_model::{ProjectId, Role, SessionId, Timestamp, TokenId, UserId};
use pipecast_store::sealed::{Keyring, Pass, Unsealable};
use pipecast_store::{Anew, Credential, Deleted, Direction, Ended, NewRefresh, NewToken, NewUser, Session, Sight, SigningKey, TokenQuery, Tx, UserQuery};

use crate::ground::{Engine, Ground, Open, execution, run};

const FAR: Timestamp = Timestamp(4_000_000_000_000_000);

pub(crate) fn new_user(name: &str, role: Option<Role>) -> NewUser {
    NewUser {
        name: name.to_owned(),
        display_name: Some("Ada Lovelace".into()),
        email: Some("ada@example.org".into()),
        role,
        password: Some("$argon2id$…".into()),
    }
}

pub(crate) fn session(user: UserId) -> Session {
    Session {
        id: SessionId::fresh(),
        user_id: user,
        created_at: Timestamp::now(),
        last_seen_at: Timestamp::now(),
        proved_at: Timestamp::now(),
        expires_at: FAR,
        ip: Some("10.1.2.3".into()),
        user_agent: Some("curl".into()),
    }
}

/// A token that carries a session on, of a generation that began then.
pub(crate) fn refresh(session: SessionId, hash: &[u8], begun_at: Timestamp) -> NewRefresh<'_> {
    NewRefresh {
        session,
        hash,
        begun_at,
        expires_at: FAR,
    }
}

pub(crate) fn new_token(user: UserId, prefix: &str, project: Option<ProjectId>) -> NewToken {
    NewToken {
        id: TokenId::fresh(),
        prefix: prefix.to_owned(),
        hash: vec![7; 32],
        user_id: user,
        name: "deploy".into(),
        scopes: "pipelines:read system:read".into(),
        project_id: project,
        expires_at: FAR,
        rotated_from: None,
    }
}

/// Rows in every table of accounts.
pub(crate) async fn fill(tx: &mut Tx) {
    let user = tx.create_user(&new_user("ada", Some(Role::Admin))).await.unwrap().unwrap();
    assert_eq!(tx.add_membership(ProjectId(1), user, Role::Maintainer).await.unwrap(), Some(true));
    let session = session(user);
    tx.open_session(&session).await.unwrap();
    tx.add_refresh(&refresh(session.id, &[1; 32], Timestamp(1))).await.unwrap();
    let token = new_token(user, "abcdefgh", Some(ProjectId(1)));
    assert!(tx.add_token(&token).await.unwrap());
    tx.note_token_uses(&[(token.id, Timestamp::now(), Some("10.1.2.3".into()))]).await.unwrap();
    let key = SigningKey {
        id: "key".into(),
        public_key: vec![3; 32],
        expires_at: FAR,
    };
    tx.publish_signing_key(&key).await.unwrap();
    tx.close_setup().await.unwrap();
    tx.note_login_failure("account ada", Timestamp::now(), Anew::IfLastBefore(Timestamp(0)))
        .await
        .unwrap();
    let offered = tx.offer_totp(user, &[9; 20], &Keyring::generate()).await.unwrap().unwrap();
    assert!(tx.confirm_totp(&offered, 17).await.unwrap());
    tx.replace_recovery_codes(user, &[[5; 32]]).await.unwrap();
}

pub(crate) async fn with_user(engine: Engine) -> (Open, UserId) {
    let open = Ground::lay(engine).await.open().await;
    let mut tx = open.writer.begin().await.unwrap();
    let user = tx.create_user(&new_user("ada", None)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    (open, user)
}

#[tokio::test]
async fn a_name_is_had_once_in_any_case_until_its_account_is_deleted() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;

        let mut tx = open.writer.begin().await.unwrap();
        assert_eq!(tx.create_user(&new_user(" ADA ", None)).await.unwrap(), None, "{engine:?}");
        let mut row = tx.hold_user(user).await.unwrap().unwrap();
        row.deleted_at = Some(Timestamp::now());
        assert!(tx.write_user(&row).await.unwrap());
        let second = tx.create_user(&new_user("Ada", None)).await.unwrap().unwrap();
        tx.commit().await.unwrap();

        let list = |deleted| UserQuery {
            text: Some("LOVE".into()),
            deleted,
            direction: Direction::Up,
            limit: 9,
            ..UserQuery::default()
        };
        let ids = |users: Vec<pipecast_store::User>| users.iter().map(|user| user.id).collect::<Vec<_>>();
        assert_eq!(ids(open.reader.list_users(&list(Deleted::Hidden)).await.unwrap()), [second]);
        assert_eq!(ids(open.reader.list_users(&list(Deleted::Only)).await.unwrap()), [user]);
        assert_eq!(open.reader.find_login("aDa").await.unwrap().map(|login| login.id), Some(second));

        let mut tx = open.writer.begin().await.unwrap();
        let mut row = tx.hold_user(user).await.unwrap().unwrap();
        assert_eq!(row.version, 2);
        row.deleted_at = None;
        assert!(!tx.write_user(&row).await.unwrap(), "{engine:?}: the name is somebody else's now");
    }
}

#[tokio::test]
async fn a_bearer_is_nobody_once_session_or_account_has_ended() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        open.tell(run("rocket", execution(1, 1, pipecast_model::Status::Queued, 1))).await;
        let (own, token) = (session(user), new_token(user, "abcdefgh", None));
        let mut tx = open.writer.begin().await.unwrap();
        tx.open_session(&own).await.unwrap();
        tx.add_token(&token).await.unwrap();
        tx.add_membership(ProjectId(1), user, Role::Viewer).await.unwrap();
        tx.commit().await.unwrap();
        let (by_session, by_token) = (Credential::Session(own.id), Credential::Token(token.id));

        let bearer = open.reader.find_bearer(by_session).await.unwrap().unwrap();
        assert_eq!((bearer.user, bearer.role, bearer.memberships), (user, None, vec![(ProjectId(1), Role::Viewer)]));
        assert_eq!(bearer.limits, None);
        let limits = open.reader.find_bearer(by_token).await.unwrap().unwrap().limits.unwrap();
        assert_eq!((limits.scopes.as_str(), limits.project), ("pipelines:read system:read", None));

        let mut tx = open.writer.begin().await.unwrap();
        assert!(tx.end_session(own.id, Ended::Logout).await.unwrap() && !tx.end_session(own.id, Ended::Logout).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(open.reader.find_bearer(by_session).await.unwrap(), None);
        let mut tx = open.writer.begin().await.unwrap();
        let mut row = tx.hold_user(user).await.unwrap().unwrap();
        row.disabled_at = Some(Timestamp::now());
        tx.write_user(&row).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(open.reader.find_bearer(by_token).await.unwrap(), None, "{engine:?}");
        assert_eq!(
            open.reader
                .list_tokens(&TokenQuery {
                    limit: 9,
                    ..TokenQuery::default()
                })
                .await
                .unwrap()
                .len(),
            1
        );
    }
}

#[tokio::test]
async fn of_two_who_use_a_token_at_once_one_is_the_second() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let own = session(user);
        let mut tx = open.writer.begin().await.unwrap();
        tx.open_session(&own).await.unwrap();
        tx.add_refresh(&refresh(own.id, &[1; 32], Timestamp(1))).await.unwrap();
        tx.commit().await.unwrap();

        let using = || async {
            let mut tx = open.writer.begin().await.unwrap();
            let used = tx.use_refresh(&[1; 32], Timestamp::now()).await.unwrap().unwrap();
            tx.commit().await.unwrap();
            used.used_at.is_none()
        };
        let first = futures_util::future::join_all((0..4).map(|_| using())).await;

        assert_eq!(first.iter().filter(|first| **first).count(), 1, "{engine:?}");
        let mut tx = open.writer.begin().await.unwrap();
        assert_eq!(tx.use_refresh(&[2; 32], Timestamp::now()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_list_shows_what_its_reader_sees() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        for project in ["one", "two", "three"] {
            open.tell(run(project, execution(1, 1, pipecast_model::Status::Queued, 1))).await;
        }
        open.ground.look("UPDATE projects SET visibility = 'internal' WHERE id = 2").await;
        let seen = |sight| {
            let query = pipecast_store::PipelineQuery {
                sight,
                sort: pipecast_store::Sort::Id,
                limit: 9,
                ..pipecast_store::PipelineQuery::default()
            };
            let reader = open.reader.clone();
            async move {
                let rows = reader.list_pipelines(&query).await.unwrap();
                rows.into_iter().map(|(_, pipeline)| pipeline.project.id.0).collect::<Vec<_>>()
            }
        };
        let projects = |of: &[i64], internal| Sight::Projects {
            of: of.iter().map(|id| ProjectId(*id)).collect(),
            internal,
        };

        assert_eq!(seen(Sight::All).await, [1, 2, 3]);
        assert_eq!(seen(Sight::NOTHING).await, [0; 0], "{engine:?}");
        assert_eq!(seen(projects(&[3], false)).await, [3]);
        assert_eq!(seen(projects(&[1], true)).await, [1, 2]);
        assert_eq!(open.reader.list_internal_projects().await.unwrap(), [(ProjectId(2), None)]);
    }
}

#[tokio::test]
async fn the_secret_of_an_app_is_sealed_for_its_user_and_wrapped_anew_with_the_others() {
    const SECRET: &[u8; 20] = b"twenty bytes for app";
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let ring = Keyring::generate();
        let mut tx = open.writer.begin().await.unwrap();
        let other = tx.create_user(&new_user("bob", None)).await.unwrap().unwrap();
        assert!(tx.offer_totp(user, SECRET, &ring).await.unwrap().is_some());
        assert!(tx.offer_totp(other, b"another secret of 20", &ring).await.unwrap().is_some());
        tx.commit().await.unwrap();
        let opened = async |user, ring: &Keyring| open.reader.find_totp(user).await.unwrap().unwrap().open(ring).map(|plain| plain.to_vec());

        assert_eq!(opened(user, &ring).await, Ok(SECRET.to_vec()), "{engine:?}");
        assert_eq!(opened(user, &Keyring::generate()).await, Err(Unsealable::NoKey(ring.sealing())));
        let stored = open.ground.look("SELECT sealed FROM totp ORDER BY user_id").await;
        assert!(stored.iter().all(|sealed| sealed.starts_with("v1|a256gcm|")), "{stored:?}");
        assert_eq!(open.ground.count("totp WHERE length(secret) > 0").await, 0);

        let next = ring.with_new_key();
        let mut pass = Pass::default();
        loop {
            let mut tx = open.writer.begin().await.unwrap();
            let more = tx.rewrap(&next, &mut pass, 1).await.unwrap();
            tx.commit().await.unwrap();
            if !more {
                break;
            }
        }
        assert_eq!((pass.rewrapped, pass.left), (2, 0));
        let alone = next.without(&ring.sealing()).unwrap();
        assert_eq!(opened(user, &alone).await, Ok(SECRET.to_vec()), "the old key is not needed any more");

        open.ground
            .look(&format!(
                "UPDATE totp SET sealed = (SELECT t.sealed FROM totp t WHERE t.user_id = {other}) WHERE user_id = {user}"
            ))
            .await;
        assert_eq!(opened(user, &alone).await, Err(Unsealable::Broken), "it is another user's");
    }
}

#[tokio::test]
async fn users_and_tokens_are_searched_in_any_case_of_any_script() {
    for engine in Engine::BOTH {
        let (open, _) = with_user(engine).await;
        let mut tx = open.writer.begin().await.unwrap();
        let new = NewUser {
            display_name: Some("Élise Øst".into()),
            email: Some("ÉLISE@example.org".into()),
            ..new_user("elise", None)
        };
        let user = tx.create_user(&new).await.unwrap().unwrap();
        let token = NewToken {
            name: "ÜBERGABE".into(),
            ..new_token(user, "uebergab", None)
        };
        assert!(tx.add_token(&token).await.unwrap());
        tx.commit().await.unwrap();
        let users = async |text: &str| {
            let query = UserQuery {
                text: Some(text.to_owned()),
                limit: 9,
                ..UserQuery::default()
            };
            open.reader.list_users(&query).await.unwrap().len()
        };
        let tokens = async |text: &str| {
            let query = TokenQuery {
                text: Some(text.to_owned()),
                limit: 9,
                ..TokenQuery::default()
            };
            open.reader.list_tokens(&query).await.unwrap().len()
        };

        for text in ["Élise", "élise ø", "ÉLISE@"] {
            assert_eq!(users(text).await, 1, "{engine:?}: {text}");
        }
        for text in ["übergabe", "ÜBER", "Übergabe"] {
            assert_eq!(tokens(text).await, 1, "{engine:?}: {text}");
        }

        // As an older build has left them.
        open.ground.look("UPDATE users SET (display_name_folded, email_folded) = (NULL, NULL)").await;
        open.ground.look("UPDATE api_tokens SET name_folded = NULL").await;
        assert_eq!(users("lovelace").await, 1, "{engine:?}: what lower() knows is found meanwhile");
        let mut tx = open.writer.begin().await.unwrap();
        assert_eq!(tx.fold_names(1).await.unwrap(), 2);
        while tx.fold_names(1).await.unwrap() > 0 {}
        tx.commit().await.unwrap();
        assert_eq!((users("élise ø").await, tokens("übergabe").await), (1, 1), "{engine:?}");

        // And by whoever changes them.
        let mut tx = open.writer.begin().await.unwrap();
        let mut row = tx.hold_user(user).await.unwrap().unwrap();
        row.display_name = Some("ŒUVRE".into());
        assert!(tx.write_user(&row).await.unwrap());
        let mut row = tx.hold_token(token.id).await.unwrap().unwrap();
        row.name = "ÑANDÚ".into();
        tx.write_token(&row).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!((users("œuvre").await, tokens("ñandú").await, tokens("übergabe").await), (1, 1, 0));
    }
}
