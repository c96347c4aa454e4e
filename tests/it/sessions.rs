//! Sessions as they go on and end: by the tokens that carry them on, by rest, in any case, and where two have one.

use std::time::Duration;

use pipecast::config::Config;
use serde_json::{Value, json};

use crate::accounts::{log_in, post, sign_in};
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::http::{Answer, Request};
use crate::people::with;

const REFRESH: &str = "/admin/v1/sessions/refresh";

/// As if what has happened had happened eleven seconds earlier: later than two tabs ask at once.
const LATER: &str = "UPDATE refresh_tokens SET used_at = used_at - 11000000, begun_at = begun_at - 11000000, issued_at = issued_at - 11000000";

fn refresh(session: &Value) -> Request {
    post(REFRESH, &json!({"refresh_token": session["refresh_token"]}))
}

/// The next tokens of a session.
async fn carried(app: &TestApp, session: &Value) -> Value {
    let answer = app.send(refresh(session)).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

async fn is_good(app: &TestApp, session: &Value) -> bool {
    let access = session["access_token"].as_str().unwrap();
    app.send(with(Request::get("/admin/v1/me"), access)).await.status == 200
}

/// That the session of these tokens has ended, because two had it.
async fn is_stolen(app: &TestApp, tokens: &[&Value]) {
    for token in tokens {
        assert_eq!(app.send(refresh(token)).await.problem(), "token_refused", "all of the family has ended");
        app.until("its access token is no good", || async { !is_good(app, token).await }).await;
    }
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE ended_by = 'reused'").await, 1);
    assert_eq!(
        app.count("SELECT count(*) FROM audit WHERE action = 'session.reused' AND outcome = 'denied'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_token_is_used_once_and_ends_its_session_when_it_comes_again() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let first = log_in(&app, ADMIN, PASSWORD).await.json();
    app.alter(LATER).await;
    let second = carried(&app, &first).await;
    app.alter(LATER).await;

    assert_eq!(app.send(refresh(&first)).await.problem(), "token_refused");

    is_stolen(&app, &[&second]).await;
}

#[tokio::test]
async fn tabs_that_ask_at_once_are_no_thieves() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let mut session = log_in(&app, ADMIN, PASSWORD).await.json();

    for _ in 0..2 {
        app.alter(LATER).await;
        // Two show the same token, a third one what the first has got, and a fourth what the second has: the browser keeps any of these.
        let (one, two) = tokio::join!(carried(&app, &session), carried(&app, &session));
        let three = carried(&app, &one).await;
        session = carried(&app, &two).await;
        assert!(is_good(&app, &three).await && is_good(&app, &session).await);
    }

    app.alter(LATER).await;
    session = carried(&app, &session).await;
    assert!(is_good(&app, &session).await);
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE ended_at IS NULL").await, 1);
}

#[tokio::test]
async fn a_thief_who_is_quick_enough_for_a_token_of_their_own_ends_the_session_with_it() {
    for quick in [false, true] {
        let app = TestApp::start_with_admin(|_| {}).await;
        let first = log_in(&app, ADMIN, PASSWORD).await.json();
        app.alter(LATER).await;
        let owner = carried(&app, &first).await;
        let mut thief = carried(&app, &first).await;
        if quick {
            // As another tab does.
            thief = carried(&app, &thief).await;
        }
        app.alter(LATER).await;

        let owner_next = carried(&app, &owner).await;
        assert_eq!(app.send(refresh(&thief)).await.problem(), "token_refused", "both have gone on");

        is_stolen(&app, &[&owner_next, &thief]).await;
    }
}

#[tokio::test]
async fn a_session_gets_sixty_tokens_a_minute() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let mut session = log_in(&app, ADMIN, PASSWORD).await.json();
    for _ in 1..60 {
        session = carried(&app, &session).await;
    }

    let refused = app.send(refresh(&session)).await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too_many"));
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    let other = log_in(&app, ADMIN, PASSWORD).await.json();
    carried(&app, &other).await;

    app.alter("UPDATE refresh_tokens SET issued_at = issued_at - 60000000").await;
    carried(&app, &session).await;
}

#[tokio::test]
async fn a_session_ends_when_it_rests_and_after_its_time_in_any_case() {
    let defaults = Config::defaults().auth;
    const DAY: u64 = 24 * 3600;
    assert_eq!(
        (
            defaults.access_lifetime.as_secs(),
            defaults.refresh_lifetime.as_secs(),
            defaults.session_lifetime.as_secs()
        ),
        (600, 14 * DAY, 30 * DAY)
    );
    let app = TestApp::start_with_admin(|config| {
        (config.auth.access_lifetime, config.auth.refresh_lifetime) = (Duration::from_secs(6), Duration::from_secs(6));
        config.auth.session_lifetime = Duration::from_secs(14);
    })
    .await;
    let begun = std::time::Instant::now();
    let resting = log_in(&app, ADMIN, PASSWORD).await.json();
    let mut session = log_in(&app, ADMIN, PASSWORD).await.json();

    tokio::time::sleep(Duration::from_secs(3)).await;
    session = carried(&app, &session).await;
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(app.send(refresh(&resting)).await.problem(), "token_refused", "it has rested for too long");
    session = carried(&app, &session).await;
    let ended: Answer = loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answer = app.send(refresh(&session)).await;
        if answer.status != 200 {
            break answer;
        }
        session = answer.json();
        assert!(begun.elapsed() < Duration::from_secs(25), "it goes on for ever");
    };

    assert_eq!(ended.problem(), "token_refused");
    assert!(begun.elapsed() > Duration::from_secs(13), "it had only rested: {:?}", begun.elapsed());
    assert!(!is_good(&app, &session).await, "an access token ends with its session");
}

#[tokio::test]
async fn an_account_gets_ten_tickets_at_once() {
    let app = TestApp::start_with_admin(|config| config.limits.count_loopback = true).await;
    let token = sign_in(&app, ADMIN, PASSWORD).await;
    let ticket = async || app.send(with(post("/api/ws-tickets", &json!({})), &token)).await;

    let answers = futures_util::future::join_all((0..30).map(|_| ticket())).await;
    let given = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().find(|answer| answer.status != 201).expect("there is an end");
    assert!((10..25).contains(&given), "{given}");
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too_many"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"tickets\";q=10;w=10"));
    app.until("there is another one", || async { ticket().await.status == 201 }).await;
}
