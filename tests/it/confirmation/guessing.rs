//! How fast the password and the codes of a session can be tried by whoever has stolen it.

use pipecast::config::Config;
use serde_json::json;

use super::{WRONG, confirming, text};
use crate::accounts::{log_in, post};
use crate::administration::app_code;
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::http::Request;
use crate::people::{House, expect, with};

#[tokio::test]
async fn a_code_is_asked_for_where_there_is_a_factor_and_is_good_once() {
    let house = House::start(|_| {}).await;
    let me = "/admin/v1/me/second-factor";
    let offered = house.done(post(me, &json!({"password": PASSWORD}))).await;
    let secret = text(&offered["secret"]);
    let on = house.done(post(&format!("{me}/confirm"), &json!({"code": app_code(secret, 0)}))).await;
    let recovery = text(&on["recovery_codes"][0]);
    let answer = async |code: Option<&str>| {
        let mut body = json!({"password": PASSWORD});
        if let Some(code) = code {
            body["code"] = json!(code);
        }
        house.app.send(with(confirming(&body), &house.admin)).await
    };

    assert_eq!(answer(None).await.problem(), "second_factor");
    let next = app_code(secret, 1);
    expect(&answer(Some(&next)).await, 200);
    assert_eq!(answer(Some(&next)).await.problem(), "second_factor", "it was taken before");
    expect(&answer(Some(recovery)).await, 200);
    assert_eq!(answer(Some(recovery)).await.problem(), "second_factor");
    // The password is right each time, and still codes are tried no faster.
    for _ in 0..2 {
        assert_eq!(answer(Some("000000")).await.problem(), "second_factor");
    }
    let waiting = answer(Some("000000")).await;
    assert_eq!(
        (waiting.status, waiting.problem().as_str(), waiting.header("retry-after")),
        (429, "too_many", Some("1"))
    );
    let denied = "SELECT count(*) FROM audit WHERE action = 'password.confirm' AND outcome = 'denied'";
    assert_eq!(house.app.count(denied).await, 4);
}

/// This machine is a proxy that names who asks.
fn proxied(config: &mut Config) {
    config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
    // Not what an account may change at all, but how fast it may guess.
    (config.limits.writes_per_second, config.limits.writes_burst) = (1_000, 1_000);
}

#[tokio::test]
async fn passwords_are_guessed_no_faster_in_a_session_and_from_an_address() {
    let app = TestApp::start_with_admin(proxied).await;
    let from = |request: Request, client: &str| request.header("X-Forwarded-For", client);
    let session = async || {
        let typed = post("/admin/v1/sessions", &json!({"name": ADMIN, "password": PASSWORD}));
        app.send(from(typed, "198.51.100.1")).await.json()["access_token"].as_str().unwrap().to_owned()
    };
    let guess = async |session: &str, client: &str, password: &str| {
        let request = with(confirming(&json!({"password": password})), session);
        app.send(from(request, client)).await
    };

    // In one session, wherever it is tried from.
    let first = session().await;
    for number in 0..3 {
        let answer = guess(&first, &format!("2001:db8:{number}::1"), WRONG).await;
        assert_eq!(answer.problem(), "login_refused");
    }
    let waiting = guess(&first, "2001:db8:9::1", PASSWORD).await;
    assert_eq!(
        (waiting.status, waiting.problem().as_str(), waiting.header("retry-after")),
        (429, "too_many", Some("1"))
    );
    // From one address, in however many sessions.
    for _ in 0..10 {
        let session = session().await;
        for _ in 0..2 {
            assert_eq!(guess(&session, "203.0.113.7", WRONG).await.problem(), "login_refused");
        }
    }
    let other = session().await;
    let waiting = guess(&other, "203.0.113.7", PASSWORD).await;
    assert_eq!((waiting.status, waiting.problem().as_str()), (429, "too_many"));
    let after: u64 = waiting.header("retry-after").unwrap().parse().unwrap();
    assert!((800..=900).contains(&after), "{after}");
    expect(&guess(&other, "203.0.113.8", PASSWORD).await, 200);
    assert_eq!(
        app.count("SELECT count(*) FROM login_failures WHERE subject = 'account ada' AND failures = 23")
            .await,
        1
    );
}

#[tokio::test]
async fn many_guesses_at_once_are_no_way_past_the_wait() {
    let app = TestApp::start_with_admin(|config| config.auth.passwords_waiting = 100).await;
    let session = log_in(&app, ADMIN, PASSWORD).await.json();

    let guesses = (0..24).map(|_| app.send(with(confirming(&json!({"password": WRONG})), text(&session["access_token"]))));
    let answers = futures_util::future::join_all(guesses).await;

    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    let waiting = answers.iter().filter(|answer| answer.status == 429).count();
    assert!(looked_at <= 5 && waiting >= 19, "{looked_at} were looked at");
}
