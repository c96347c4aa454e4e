//! What touches keys, roles and secrets, and whoever logged in a while ago: they prove first once more who they are.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pipecast::roles::{self, Role};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::accounts::{log_in, post};
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::http::{Answer, Request};
use crate::matrix;
use crate::people::{House, expect, with};
use crate::split::Deployment;

mod guessing;

const CONFIRMATION: &str = "/admin/v1/me/confirmation";
const REFRESH: &str = "/admin/v1/sessions/refresh";
const WRONG: &str = "wrong horse battery staple";

/// As if whoever has a session had proved eleven minutes earlier who they are.
const LATER: &str = "UPDATE sessions SET created_at = created_at - 660000000, proved_at = proved_at - 660000000";

/// A source and its secret, which is in the answer.
fn sensitive() -> Request {
    post("/admin/v1/sources", &json!({"host": "github", "name": "acme"}))
}

fn confirming(body: &Value) -> Request {
    post(CONFIRMATION, body)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// What an access token says.
fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

async fn carried(app: &TestApp, session: &Value) -> Value {
    let answer = app.send(post(REFRESH, &json!({"refresh_token": session["refresh_token"]}))).await;
    expect(&answer, 200);
    answer.json()
}

/// A session of somebody who proved eleven minutes ago who they are, as it is carried on.
async fn old_session(app: &TestApp) -> Value {
    let session = log_in(app, ADMIN, PASSWORD).await.json();
    app.alter(LATER).await;
    carried(app, &session).await
}

/// What is refused to whoever has not proved it, and says how to.
fn expect_question(answer: &Answer) {
    assert_eq!((answer.status, answer.problem().as_str()), (403, "confirmation_required"));
    assert!(text(&answer.json()["detail"]).contains("POST /admin/v1/me/confirmation"));
}

/// The operations that the document marks, as method and path.
fn marked() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&pipecast::openapi::text()).unwrap();
    let mut marked = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["x-confirmation"] == true {
                let refusal = text(&operation["responses"]["403"]["description"]);
                assert!(refusal.contains("`confirmation_required`"), "{method} {path} does not say it");
                marked.insert((method.clone(), path.clone()));
            }
        }
    }
    marked
}

#[tokio::test]
async fn what_the_document_marks_asks_an_old_session_and_nothing_else_does() {
    let house = House::start(|_| {}).await;
    matrix::deliver_job(&house.app).await;
    let (viewer, _) = house.member("viewer", 1, "viewer").await;
    let (_, machine) = house
        .token("machine", &["users:manage", "members:manage", "sources:manage", "settings:manage"])
        .await;
    let session = old_session(&house.app).await;
    let (marked, old) = (marked(), text(&session["access_token"]));
    let mut wrong = Vec::new();
    // The answers of an admin who has just logged in, who is asked for nothing.
    for ((method, path), (body, query, answers)) in matrix::rows() {
        let request = matrix::request(method, &format!("{}{query}", matrix::filled(path, &viewer.to_string())), body);
        let is_marked = marked.contains(&(method.to_owned(), path.to_owned()));
        let (status, expected) = (matrix::status_of(&house.app, with(request.clone(), old)).await, answers[matrix::ADMIN]);
        match is_marked {
            true => {
                let asked = house.app.send(with(request.clone(), old)).await;
                let by_program = house.app.send(with(request, &machine)).await;
                if asked.problem() != "confirmation_required" || by_program.problem() == "confirmation_required" {
                    wrong.push(format!("{method} {path}: {} in person, {} by a program", asked.status, by_program.status));
                }
            }
            false if status != expected => wrong.push(format!("{method} {path}: {status}, and a fresh login gets {expected}")),
            false => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(marked.len(), 16, "one more or less is a decision: see ADR 29");

    let confirmed = house.app.send(with(confirming(&json!({"password": PASSWORD})), old)).await;
    expect(&confirmed, 200);
    let confirmed = confirmed.json();
    for ((method, path), (body, query, answers)) in matrix::rows() {
        if marked.contains(&(method.to_owned(), path.to_owned())) {
            let request = matrix::request(method, &format!("{}{query}", matrix::filled(path, &viewer.to_string())), body);
            let status = matrix::status_of(&house.app, with(request, text(&confirmed["access_token"]))).await;
            assert_eq!(status, answers[matrix::ADMIN], "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_right_password_is_good_for_ten_minutes_and_stands_in_the_audit() {
    let house = House::start(|_| {}).await;
    let session = old_session(&house.app).await;
    let old = text(&session["access_token"]);
    expect_question(&house.app.send(with(sensitive(), old)).await);

    assert_eq!(
        house.app.send(with(confirming(&json!({"password": WRONG})), old)).await.problem(),
        "login_refused"
    );
    let answer = house.app.send(with(confirming(&json!({"password": PASSWORD})), old)).await;

    expect(&answer, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let confirmed = answer.json();
    let fresh = text(&confirmed["access_token"]);
    let (before, after) = (claims(old), claims(fresh));
    assert_eq!((&before["sid"], &before["sub"]), (&after["sid"], &after["sub"]), "it is the same session");
    let seconds = |claims: &Value, name: &str| claims[name].as_i64().unwrap();
    assert!((0..=2).contains(&(seconds(&after, "iat") - seconds(&after, "auth_time"))), "{after}");
    assert!(seconds(&before, "iat") - seconds(&before, "auth_time") >= 660, "{before}");
    let until = pipecast_model::Timestamp::parse(text(&confirmed["confirmed_until"])).unwrap();
    assert!((until.0 / 1_000_000 - seconds(&after, "auth_time") - 600).abs() <= 1, "{until:?}");
    let made = house.app.send(with(sensitive(), fresh)).await;
    expect(&made, 201);
    assert!(made.json()["secret"].is_string());

    let outcomes = house
        .app
        .texts("SELECT outcome || ' ' || actor || ' ' || resource_type || ' ' || resource_id FROM audit WHERE action = 'password.confirm' ORDER BY seq")
        .await;
    assert_eq!(outcomes, ["denied user user 1", "ok user user 1"]);
}

#[tokio::test]
async fn to_be_asked_is_no_denial() {
    let house = House::start(|_| {}).await;
    let (_, machine) = house.token("machine", &["sources:manage"]).await;
    let session = old_session(&house.app).await;

    expect_question(&house.app.send(with(sensitive(), text(&session["access_token"]))).await);
    let answer = house.app.send(with(confirming(&json!({"password": PASSWORD})), &machine)).await;
    assert_eq!(answer.problem(), "forbidden", "a program has nothing to prove it by");

    const DENIALS: &str = "SELECT count(*) FROM audit WHERE action = 'request.refuse'";
    house.app.until("the denial is told", || async { house.app.count(DENIALS).await > 0 }).await;
    assert_eq!(house.app.count(DENIALS).await, 1, "the other is none");
}

#[tokio::test]
async fn carrying_a_session_on_moves_no_proof() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let session = old_session(&app).await;
    let proved = claims(text(&session["access_token"]))["auth_time"].clone();

    let next = carried(&app, &session).await;
    assert_eq!(claims(text(&next["access_token"]))["auth_time"], proved);
    expect_question(&app.send(with(sensitive(), text(&next["access_token"]))).await);
    // A session of a build that did not ask was proved when it was opened.
    app.alter("UPDATE sessions SET proved_at = NULL").await;
    let next = carried(&app, &next).await;
    assert_eq!(claims(text(&next["access_token"]))["auth_time"], proved);

    let confirmed = app
        .send(with(confirming(&json!({"password": PASSWORD})), text(&next["access_token"])))
        .await
        .json();
    let next = carried(&app, &next).await;
    let of = |granted: &Value| claims(text(&granted["access_token"]))["auth_time"].clone();
    assert_eq!(of(&next), of(&confirmed), "the session keeps it");
    expect(&app.send(with(sensitive(), text(&next["access_token"]))).await, 201);
}

#[tokio::test]
async fn a_stolen_token_gains_nothing_when_its_owner_confirms() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let session = old_session(&app).await;
    let (stolen, owner) = (text(&session["access_token"]), text(&session["access_token"]));

    for body in [json!({}), json!({"password": ""}), json!({"code": "000000"}), json!({"password": null})] {
        let status = app.send(with(confirming(&body), stolen)).await.status;
        assert!(matches!(status, 401 | 422), "{body}: {status}");
    }
    let confirmed = app.send(with(confirming(&json!({"password": PASSWORD})), owner)).await.json();
    tokio::time::sleep(pipecast_auth::FRESH_FOR).await;

    expect_question(&app.send(with(sensitive(), stolen)).await);
    expect(&app.send(with(sensitive(), text(&confirmed["access_token"]))).await, 201);
    let other = log_in(&app, ADMIN, PASSWORD).await.json();
    app.alter(LATER).await;
    let other = carried(&app, &other).await;
    expect_question(&app.send(with(sensitive(), text(&other["access_token"]))).await);
}

#[tokio::test]
async fn programs_are_not_asked() {
    let house = House::start(|_| {}).await;
    let (_, machine) = house.token("machine", &["sources:manage"]).await;
    house.app.alter(LATER).await;

    expect(&house.app.send(with(sensitive(), &machine)).await, 201);
}

#[tokio::test]
async fn a_page_that_shows_its_cookie_alone_is_asked_too_and_goes_on_at_once() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let of_page = |request: Request| request.header("Origin", format!("http://{}", app.address)).header("X-Pipecast", "1");
    let entry = app
        .send(of_page(post("/admin/v1/sessions", &json!({"name": ADMIN, "password": PASSWORD}))))
        .await;
    let cookie = entry.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let send = async |request: Request| app.send(of_page(request).header("Cookie", &cookie)).await;
    expect(&send(sensitive()).await, 201);

    app.alter(LATER).await;
    expect_question(&send(sensitive()).await);
    expect(&send(confirming(&json!({"password": PASSWORD}))).await, 200);
    expect(&send(sensitive()).await, 201);
}

#[tokio::test]
async fn how_long_it_is_good_is_configured() {
    let app = TestApp::start_with_admin(|config| config.auth.confirmed_for = Duration::from_secs(720)).await;
    let session = old_session(&app).await;

    expect(&app.send(with(sensitive(), text(&session["access_token"]))).await, 201);
    app.alter(LATER).await;
    let session = carried(&app, &session).await;
    let asked = app.send(with(sensitive(), text(&session["access_token"]))).await;
    expect_question(&asked);
    assert!(text(&asked.json()["detail"]).contains("more than 12 minutes"));
}

#[tokio::test]
async fn a_session_that_has_ended_is_not_confirmed() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let session = old_session(&app).await;
    expect(&app.send(with(Request::get("/admin/v1/me"), text(&session["access_token"]))).await, 200);

    // For two seconds the node takes it for good; what is written decides.
    app.alter("UPDATE sessions SET ended_at = 1").await;
    let answer = app.send(with(confirming(&json!({"password": PASSWORD})), text(&session["access_token"]))).await;

    assert_eq!((answer.status, answer.problem().as_str()), (401, "token_refused"));
    assert_eq!(app.count("SELECT count(*) FROM audit WHERE action = 'password.confirm'").await, 0);
}

#[tokio::test]
async fn a_password_that_changes_meanwhile_proves_nothing() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let session = old_session(&app).await;
    let mut database = SqliteConnection::connect(&format!("sqlite:{}", app.data().join("pipecast.db").display()))
        .await
        .unwrap();

    // Whoever holds this lock is about to commit: the password was verified before, and the proof is written after.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut database).await.unwrap();
    let confirmation = app.send(with(confirming(&json!({"password": PASSWORD})), text(&session["access_token"])));
    let changing = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        for sql in ["UPDATE users SET password_changed_at = password_changed_at + 1", "COMMIT"] {
            sqlx::query(sql).execute(&mut database).await.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(confirmation, changing);

    assert_eq!((answer.status, answer.problem().as_str()), (401, "login_refused"));
    let next = carried(&app, &session).await;
    expect_question(&app.send(with(sensitive(), text(&next["access_token"]))).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_confirms_at_one_admin_is_not_asked_at_another() {
    let deployment = Deployment::lay().await;
    roles::create_admin(&deployment.config("one"), ADMIN, PASSWORD).await.unwrap();
    let (one, two) = (deployment.start("one", Role::Admin).await, deployment.start("two", Role::Admin).await);
    let session = post("/admin/v1/sessions", &json!({"name": ADMIN, "password": PASSWORD}))
        .send(one.address)
        .await
        .json();
    deployment.order(LATER).await;
    let session = post(REFRESH, &json!({"refresh_token": session["refresh_token"]}))
        .send(two.address)
        .await
        .json();
    let old = text(&session["access_token"]);
    for admin in [&one, &two] {
        expect_question(&with(sensitive(), old).send(admin.address).await);
    }

    let confirmed = with(confirming(&json!({"password": PASSWORD})), old).send(one.address).await.json();

    for admin in [&two, &one] {
        expect(&with(sensitive(), text(&confirmed["access_token"])).send(admin.address).await, 201);
    }
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}
