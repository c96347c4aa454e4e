//! Logins: what has failed, what of an account one is verified by, and who carries a session on.

use std::time::Duration;

use pipecast_model::{Timestamp, TokenId, UserId};
use pipecast_store::sealed::Keyring;
use pipecast_store::{Anew, Credential, Direction, Ended, SessionQuery};

use crate::accounts::{new_token, new_user, refresh, session, with_user};
use crate::ground::{Engine, Ground};

#[tokio::test]
async fn failures_are_counted_and_forgotten_after_a_time_of_quiet_or_after_a_day() {
    for engine in Engine::BOTH {
        let (open, _) = with_user(engine).await;
        let mut tx = open.writer.begin().await.unwrap();
        let mut note = async |subject, at, anew| tx.note_login_failure(subject, Timestamp(at), anew).await.unwrap();
        let (last, first) = (|at| Anew::IfLastBefore(Timestamp(at)), |at| Anew::IfFirstBefore(Timestamp(at)));

        for (subject, at, anew, count) in [
            ("quiet", 10, last(0), 1),
            ("quiet", 20, last(0), 2),
            ("quiet", 30, last(25), 1),
            ("busy", 10, last(0), 1),
            ("busy", 20, last(5), 2),
            ("day", 10, first(0), 1),
            ("day", 20, first(10), 2),
            ("day", 30, first(15), 1),
        ] {
            assert_eq!(note(subject, at, anew).await, count, "{engine:?}: {subject} at {at}");
        }
        tx.commit().await.unwrap();

        let keys = ["quiet", "busy", "day", "none"].map(str::to_owned);
        let mut failures = open.reader.list_login_failures(&keys).await.unwrap();
        failures.sort_by(|one, other| one.subject.cmp(&other.subject));
        let counts: Vec<_> = failures.iter().map(|one| (one.subject.as_str(), one.failures, one.first_at.0)).collect();
        assert_eq!(counts, [("busy", 2, 10), ("day", 1, 30), ("quiet", 1, 30)], "{engine:?}");
    }
}

#[tokio::test]
async fn a_password_is_hashed_anew_only_where_it_is_still_the_same() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let before = open.reader.find_login("ada").await.unwrap().unwrap();
        let hash = before.password.as_deref().unwrap();

        let mut tx = open.writer.begin().await.unwrap();
        assert!(tx.renew_password(user, hash, "$anew").await.unwrap(), "{engine:?}");
        let same = tx.hold_login(user).await.unwrap().unwrap();
        assert_eq!(same.password.as_deref(), Some("$anew"));
        assert_eq!(same.password_changed_at, before.password_changed_at, "it is the same password");
        tx.set_password(user, "$another").await.unwrap();
        assert!(!tx.renew_password(user, "$anew", "$of the one before").await.unwrap(), "{engine:?}");
        let other = tx.hold_login(user).await.unwrap().unwrap();
        tx.commit().await.unwrap();

        assert_eq!(other.password.as_deref(), Some("$another"));
        assert_ne!(other.password_changed_at, before.password_changed_at);
    }
}

#[tokio::test]
async fn what_passwords_cost_is_listed_once_each() {
    for engine in Engine::BOTH {
        let open = Ground::lay(engine).await.open().await;
        let (salt, tag) = ("s".repeat(22), "t".repeat(43));
        let mut tx = open.writer.begin().await.unwrap();
        for (name, cost) in [("ada", "m=65536,t=3"), ("bob", "m=65536,t=3"), ("eve", "m=8,t=1")] {
            let mut user = new_user(name, None);
            user.password = Some(format!("$argon2id$v=19${cost},p=1${salt}${tag}"));
            tx.create_user(&user).await.unwrap().unwrap();
        }
        let mut odd = new_user("odd", None);
        odd.password = Some("$argon2id$…".into());
        tx.create_user(&odd).await.unwrap().unwrap();
        tx.commit().await.unwrap();

        let mut costs = open.reader.list_password_costs().await.unwrap();
        costs.sort();

        assert_eq!(costs, ["$argon2id$v=19$m=65536,t=3,p=1", "$argon2id$v=19$m=8,t=1,p=1"], "{engine:?}");
    }
}

#[tokio::test]
async fn of_two_tokens_of_a_generation_that_are_used_at_once_one_sees_the_other() {
    const SETTLED: Timestamp = Timestamp(100);
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let own = session(user);
        let mut tx = open.writer.begin().await.unwrap();
        tx.open_session(&own).await.unwrap();
        for (hash, begun) in [([1; 32], 50), ([2; 32], 50), ([3; 32], 60)] {
            tx.add_refresh(&refresh(own.id, &hash, Timestamp(begun))).await.unwrap();
        }
        tx.commit().await.unwrap();

        let using = |hash: [u8; 32]| {
            let writer = &open.writer;
            async move {
                let mut tx = writer.begin().await.unwrap();
                let token = tx.use_refresh(&hash, Timestamp(200)).await.unwrap().unwrap();
                let is_second = tx.is_carried_on(&token, &hash, SETTLED).await.unwrap();
                // Long enough for the other one to come in, if it could.
                tokio::time::sleep(Duration::from_millis(100)).await;
                tx.commit().await.unwrap();
                is_second
            }
        };
        let (one, two, other) = tokio::join!(using([1; 32]), using([2; 32]), using([3; 32]));

        assert!(one != two, "{engine:?}: {one} {two}");
        assert!(!other, "{engine:?}: it is of another generation");
    }
}

#[tokio::test]
async fn it_is_known_how_often_a_session_was_carried_on() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let (own, other) = (session(user), session(user));
        let mut tx = open.writer.begin().await.unwrap();
        for (session, tokens) in [(&own, 1..4_u8), (&other, 4..5)] {
            tx.open_session(session).await.unwrap();
            for number in tokens {
                tx.add_refresh(&refresh(session.id, &[number; 32], Timestamp(1))).await.unwrap();
            }
        }

        assert!(
            tx.nth_refresh(own.id, 0).await.unwrap() >= tx.nth_refresh(own.id, 2).await.unwrap(),
            "{engine:?}"
        );
        assert!(tx.nth_refresh(own.id, 2).await.unwrap().is_some());
        assert_eq!(tx.nth_refresh(own.id, 3).await.unwrap(), None);
        assert_eq!(tx.nth_refresh(other.id, 1).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_session_that_is_over_is_nobodys() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let mut ended = session(user);
        ended.expires_at = Timestamp::now();
        let mut tx = open.writer.begin().await.unwrap();
        tx.open_session(&ended).await.unwrap();
        tx.add_refresh(&refresh(ended.id, &[1; 32], Timestamp(1))).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(open.reader.find_bearer(Credential::Session(ended.id)).await.unwrap(), None, "{engine:?}");
        assert_eq!(open.reader.find_session(ended.id).await.unwrap(), None);
        assert_eq!(open.reader.list_sessions(&of(user)).await.unwrap(), []);
        let token = open.reader.find_refresh(&[1; 32]).await.unwrap().unwrap();
        assert!(
            token.session_expires_at <= Timestamp::now() && !token.is_ended,
            "whoever carries it on looks at its end"
        );
    }
}

#[tokio::test]
async fn what_is_confirmed_is_what_was_offered_last() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let ring = Keyring::generate();
        let mut tx = open.writer.begin().await.unwrap();
        let first = tx.offer_totp(user, &[1; 20], &ring).await.unwrap().unwrap();
        let second = tx.offer_totp(user, &[2; 20], &ring).await.unwrap().unwrap();

        assert!(!tx.confirm_totp(&first, 1).await.unwrap(), "{engine:?}: there is another one in its place");
        assert!(tx.confirm_totp(&second, 1).await.unwrap(), "{engine:?}");
        assert!(!tx.confirm_totp(&second, 2).await.unwrap(), "once");
        assert!(tx.offer_totp(user, &[3; 20], &ring).await.unwrap().is_none());
        tx.commit().await.unwrap();
        let kept = open.reader.find_totp(user).await.unwrap().unwrap();
        assert_eq!((kept.last_step, kept.confirmed_at.is_some()), (1, true));
        assert_eq!(kept.open(&ring).map(|plain| plain.to_vec()), Ok(vec![2; 20]));
    }
}

#[tokio::test]
async fn the_heirs_of_a_token_are_all_that_came_after_it() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let mut tx = open.writer.begin().await.unwrap();
        let mut add = async |prefix: &str, of: Option<TokenId>| {
            let mut token = new_token(user, prefix, None);
            token.rotated_from = of;
            assert!(tx.add_token(&token).await.unwrap());
            token.id
        };
        let first = add("first", None).await;
        let second = add("second", Some(first)).await;
        add("beside", Some(first)).await;
        add("third", Some(second)).await;
        add("another", None).await;

        let mut heirs = async |id| {
            let token = tx.hold_token(id).await.unwrap().unwrap();
            let heirs = tx.list_heirs(&token).await.unwrap();
            let mut prefixes: Vec<_> = heirs.into_iter().map(|heir| heir.prefix).collect();
            prefixes.sort();
            prefixes
        };
        assert_eq!(heirs(first).await, ["beside", "second", "third"], "{engine:?}");
        assert_eq!(heirs(second).await, ["third"], "{engine:?}");
    }
}

#[tokio::test]
async fn a_session_is_open_until_it_is_ended_and_known_by_where_it_was_opened() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let own = session(user);
        let mut tx = open.writer.begin().await.unwrap();
        tx.open_session(&own).await.unwrap();
        assert!(tx.has_session(own.id).await.unwrap(), "{engine:?}");
        tx.end_session(own.id, Ended::Logout).await.unwrap();
        assert!(!tx.has_session(own.id).await.unwrap(), "{engine:?}");
        tx.commit().await.unwrap();

        let opened = async |since: i64, ip| open.reader.has_opened_session(user, Timestamp(since), ip).await.unwrap();
        let at = own.created_at.0;
        assert!(opened(at, Some("10.1.2.3")).await, "{engine:?}: also where it has ended since");
        assert!(!opened(at + 1, Some("10.1.2.3")).await, "{engine:?}");
        assert!(!opened(at, Some("10.1.2.4")).await && !opened(at, None).await, "{engine:?}");
    }
}

/// All of a user's, the newest first.
fn of(user: UserId) -> SessionQuery {
    SessionQuery {
        user,
        only: None,
        except: None,
        direction: Direction::Down,
        after: None,
        limit: 1_000,
    }
}

#[tokio::test]
async fn open_sessions_are_listed_behind_a_place_whatever_has_ended() {
    for engine in Engine::BOTH {
        let (open, user) = with_user(engine).await;
        let mut tx = open.writer.begin().await.unwrap();
        let mut all = Vec::new();
        for number in 0..250 {
            let mut session = session(user);
            // Some at the same instant.
            session.created_at = Timestamp(1_000_000 + number / 3);
            tx.open_session(&session).await.unwrap();
            all.push((session.created_at, session.id));
        }
        tx.commit().await.unwrap();
        all.sort_unstable();
        let list = async |query: SessionQuery| -> Vec<_> {
            let listed = open.reader.list_sessions(&query).await.unwrap();
            listed.into_iter().map(|session| (session.created_at, session.id)).collect()
        };

        let newest_first: Vec<_> = all.iter().rev().copied().collect();
        assert_eq!(list(of(user)).await, newest_first, "{engine:?}");
        let mut tx = open.writer.begin().await.unwrap();
        for (_, id) in &all[..100] {
            tx.end_session(*id, Ended::Revoked).await.unwrap();
        }
        tx.commit().await.unwrap();
        let behind = SessionQuery {
            direction: Direction::Up,
            after: Some(all[99]),
            limit: 7,
            ..of(user)
        };
        assert_eq!(list(behind).await, all[100..107], "behind one that has ended");
        let (only, except) = (Some(all[120].1), Some(all[249].1));
        assert_eq!(list(SessionQuery { only, ..of(user) }).await, [all[120]]);
        assert_eq!(list(SessionQuery { except, limit: 1, ..of(user) }).await, [all[248]]);
    }
}
