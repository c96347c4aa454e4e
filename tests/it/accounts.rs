//! Accounts as people and programs have them: the first admin, logins, and sessions that go on and end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::http::{Answer, Request};

const LOGIN: &str = "/admin/v1/sessions";
const REFRESH: &str = "/admin/v1/sessions/refresh";

pub fn post(path: &str, body: &Value) -> Request {
    Request::post(path, body.to_string()).header("Content-Type", "application/json")
}

pub async fn log_in(app: &TestApp, name: &str, password: &str) -> Answer {
    app.send(post(LOGIN, &json!({"name": name, "password": password}))).await
}

/// The access token of a fresh session.
pub async fn sign_in(app: &TestApp, name: &str, password: &str) -> String {
    let answer = log_in(app, name, password).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn bearer(request: Request, token: &str) -> Request {
    request.header("Authorization", format!("Bearer {token}"))
}

/// A request of a page under a loopback name.
fn of_page(app: &TestApp, request: Request) -> Request {
    request.header("Origin", format!("http://{}", app.address)).header("X-Pipecast", "1")
}

/// Waits until the token is refused, and says how long that took.
async fn until_refused(app: &TestApp, token: &str) -> Duration {
    let begun = Instant::now();
    app.until("the token is refused", || async {
        app.send(bearer(Request::get("/admin/v1/me"), token)).await.status == 401
    })
    .await;
    begun.elapsed()
}

#[tokio::test]
async fn a_program_logs_in_is_known_everywhere_and_logs_out() {
    let app = TestApp::start_with_admin(|_| {}).await;

    let answer = log_in(&app, " ADA ", PASSWORD).await;
    let session = answer.json();
    let token = session["access_token"].as_str().unwrap();
    assert_eq!(
        (answer.status, answer.header("cache-control"), answer.header("set-cookie")),
        (201, Some("no-store"), None)
    );
    let me = app.send(bearer(Request::get("/admin/v1/me"), token)).await.json();
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some(ADMIN), Some("admin")));
    let foreign = Request::get("/api/v1/pipelines").header("Host", "ci.example.org");
    assert_eq!(app.send(foreign.clone()).await.problem(), "anonymous_refused");
    assert_eq!(app.send(bearer(foreign, token)).await.status, 200);

    let out = app.send(bearer(Request::new("DELETE", "/admin/v1/sessions/current"), token)).await;
    assert_eq!(out.status, 204);
    let took = until_refused(&app, token).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    let again = post(REFRESH, &json!({"refresh_token": session["refresh_token"]}));
    assert_eq!(app.send(again).await.problem(), "token_refused");
}

#[tokio::test]
async fn a_page_has_a_cookie_that_no_other_site_can_use() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let body = json!({"name": ADMIN, "password": PASSWORD});

    let answer = app.send(of_page(&app, post(LOGIN, &body))).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["refresh_token"], Value::Null);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-pc_rt=pcrt_"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=1209600; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();

    let refresh = post(REFRESH, &json!({})).header("Cookie", &cookie);
    for foreign in [
        refresh.clone().header("Origin", "https://evil.example").header("X-Pipecast", "1"),
        refresh.clone().header("Origin", format!("http://{}", app.address)),
        refresh.clone().header("X-Pipecast", "1"),
        Request::new("DELETE", "/admin/v1/sessions/current").header("Cookie", &cookie),
    ] {
        assert_eq!(app.send(foreign).await.problem(), "cross_site");
    }
    let text = Request::post(REFRESH, "{}").header("Content-Type", "text/plain").header("Cookie", &cookie);
    assert_eq!(app.send(of_page(&app, text)).await.problem(), "unsupported_type");
    assert_eq!(app.send(refresh.clone()).await.problem(), "unauthenticated", "a program has no cookie");

    let reading = Request::get("/api/v1/pipelines").header("X-Forwarded-For", "10.1.2.3");
    assert_eq!(app.send(reading.clone().header("Cookie", &cookie)).await.status, 200);
    let (_, text) = cookie.split_once('=').unwrap();
    assert_eq!(
        app.send(bearer(reading, text)).await.problem(),
        "token_refused",
        "a cookie is no bearer's token"
    );
    let next = app.send(of_page(&app, refresh)).await;
    assert_eq!(next.status, 200);
    assert!(!next.header("set-cookie").unwrap().starts_with(&cookie));
}

#[tokio::test]
async fn who_cannot_come_in_is_not_told_why() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let without_id = |answer: Answer| {
        let mut body = answer.json();
        body.as_object_mut().unwrap().remove("request_id");
        (answer.status, body)
    };

    let wrong = without_id(log_in(&app, ADMIN, "wrong horse battery staple").await);
    let unknown = without_id(log_in(&app, "nobody", PASSWORD).await);
    app.alter("UPDATE users SET disabled_at = 1").await;
    let disabled = without_id(log_in(&app, ADMIN, PASSWORD).await);

    assert_eq!(wrong.0, 401);
    assert!(wrong == unknown && wrong == disabled, "{wrong:?} {unknown:?} {disabled:?}");
}

#[tokio::test]
async fn failed_logins_make_further_ones_wait_and_lock_nobody_out() {
    let app = TestApp::start_with_admin(|_| {}).await;
    for _ in 0..3 {
        assert_eq!(log_in(&app, ADMIN, "wrong horse battery staple").await.status, 401);
    }

    let waiting = log_in(&app, ADMIN, PASSWORD).await;
    assert_eq!(
        (waiting.status, waiting.problem().as_str(), waiting.header("retry-after")),
        (429, "too_many", Some("1"))
    );
    app.until("the second is over", || async { log_in(&app, ADMIN, PASSWORD).await.status == 201 })
        .await;
    assert_eq!(
        log_in(&app, ADMIN, "wrong horse battery staple").await.status,
        401,
        "a login forgets what failed"
    );
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let (one, other) = (sign_in(&app, ADMIN, PASSWORD).await, sign_in(&app, ADMIN, PASSWORD).await);

    let list = app.send(bearer(Request::get(LOGIN), &one)).await.json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["current"].as_bool().unwrap()).collect::<Vec<_>>(), [false, true]);
    let path = format!("{LOGIN}/{}", items[0]["id"].as_str().unwrap());
    assert_eq!(app.send(bearer(Request::new("DELETE", &path), &one)).await.status, 204);

    until_refused(&app, &other).await;
    assert_eq!(app.send(bearer(Request::get("/admin/v1/me"), &one)).await.status, 200);
}

#[tokio::test]
async fn whoever_ends_their_sessions_page_by_page_ends_all_of_them() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let one = sign_in(&app, ADMIN, PASSWORD).await;
    for _ in 0..5 {
        sign_in(&app, ADMIN, PASSWORD).await;
    }

    let mut ended = 0;
    let mut next = Some(format!("{LOGIN}?current=false&sort=created_at&limit=2"));
    while let Some(path) = next {
        let page = app.send(bearer(Request::get(&path), &one)).await.json();
        for session in page["items"].as_array().unwrap() {
            let path = format!("{LOGIN}/{}", session["id"].as_str().unwrap());
            assert_eq!(app.send(bearer(Request::new("DELETE", &path), &one)).await.status, 204);
            ended += 1;
        }
        let cursor = page["next_cursor"].as_str();
        next = cursor.map(|cursor| format!("{LOGIN}?current=false&sort=created_at&limit=2&cursor={cursor}"));
    }

    assert_eq!(ended, 5);
    let left = app.send(bearer(Request::get(LOGIN), &one)).await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1, "one's own: {left}");
}

#[tokio::test]
async fn other_services_verify_our_tokens_by_the_published_keys() {
    let app = TestApp::start_with_admin(|_| {}).await;
    assert_eq!(
        app.get("/admin/v1/jwks.json").await["keys"],
        json!([]),
        "there is no key before the first login"
    );

    let token = sign_in(&app, ADMIN, PASSWORD).await;

    let keys = app.get("/admin/v1/jwks.json").await;
    let key = &keys["keys"][0];
    assert_eq!(
        (key["kty"].as_str(), key["crv"].as_str(), key["alg"].as_str()),
        (Some("OKP"), Some("Ed25519"), Some("EdDSA"))
    );
    let header = token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).unwrap()).unwrap();
    assert_eq!(header, json!({"typ": "at+jwt", "alg": "EdDSA", "kid": key["kid"]}));
}

#[tokio::test]
async fn a_restart_ends_no_session() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let token = sign_in(&app, ADMIN, PASSWORD).await;

    let app = app.restart().await;

    assert_eq!(app.send(bearer(Request::get("/admin/v1/me"), &token)).await.status, 200);
}

/// Waits until a first start has made its setup token.
pub async fn until_offered(app: &TestApp) {
    const OFFERED: &str = "SELECT count(*) FROM setup WHERE hash IS NOT NULL";
    app.until("there is a setup token", || async { app.count(OFFERED).await == 1 }).await;
}

#[tokio::test]
async fn there_is_one_way_to_the_first_admin_and_it_closes_behind_them() {
    let app = TestApp::start().await;
    assert_eq!(app.send(Request::get("/admin/v1/setup")).await.status, 204);
    let setup = |token: &str, name: &str, password: &str| post("/admin/v1/setup", &json!({"token": token, "name": name, "password": password}));
    until_offered(&app).await;
    assert_eq!(app.send(setup("pcsu_guessed", ADMIN, PASSWORD)).await.problem(), "not_found");
    // The token itself is on standard error alone; this one has the hash of "known".
    app.alter("UPDATE setup SET hash = X'7117fff2d0fd294462b3c802b7cb8753579f23f3946b99cf55f38e873f013f10'")
        .await;

    assert_eq!(app.send(setup("known", ADMIN, "too short")).await.problem(), "invalid");
    let many = (0..8).map(|number| app.send(setup("known", &format!("admin{number}"), PASSWORD)));
    let statuses: Vec<u16> = futures_util::future::join_all(many).await.iter().map(|answer| answer.status).collect();

    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(BTreeSet::from_iter(statuses), BTreeSet::from([201, 404]));
    assert_eq!(app.send(Request::get("/admin/v1/setup")).await.status, 404);
    assert_eq!(app.count("SELECT count(*) FROM users").await, 1);
}
