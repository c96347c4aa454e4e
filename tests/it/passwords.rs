//! Passwords: what checking one costs as it is shipped, how long one has to be, with a second factor and without, and who wins where two change one.

use std::time::Duration;

use pipecast::config::Config;
use pipecast_auth::random_text;
use serde_json::{Value, json};

use crate::accounts::{log_in, post, sign_in};
use crate::administration::app_code;
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::http::{Answer, Request};
use crate::logins::database;
use crate::people::{House, expect, with};

const FACTOR: &str = "/admin/v1/me/second-factor";
const OWN: &str = "/admin/v1/me/password";

fn json_of(method: &'static str, path: &str, body: &Value) -> Request {
    Request::with_body(method, path, &body.to_string()).header("Content-Type", "application/json")
}

/// That a password was refused, and by which fault.
fn is_refused(answer: &Answer, code: &str) {
    assert_eq!(answer.status, 422, "{}", String::from_utf8_lossy(&answer.body));
    let fault = &answer.json()["errors"][0];
    assert_eq!((&fault["pointer"], &fault["code"]), (&json!("#/password"), &json!(code)));
}

/// Turns somebody's second factor on.
async fn factor(house: &House, token: &str, password: &str) {
    let offered = house.app.send(with(post(FACTOR, &json!({"password": password})), token)).await;
    expect(&offered, 200);
    let code = app_code(offered.json()["secret"].as_str().unwrap(), 0);
    let confirmed = post(&format!("{FACTOR}/confirm"), &json!({"code": code}));
    expect(&house.app.send(with(confirmed, token)).await, 200);
}

#[tokio::test]
async fn a_password_is_hashed_at_the_cost_that_is_shipped() {
    let app = TestApp::start_with_admin(|config| config.auth = Config::defaults().auth).await;

    let hashes = app.texts("SELECT password FROM users").await;

    assert!(hashes[0].starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{hashes:?}");
    sign_in(&app, ADMIN, PASSWORD).await;
}

#[tokio::test]
async fn more_logins_than_may_wait_are_asked_to_come_again() {
    let app = TestApp::start_with_admin(|config| {
        let auth = &mut config.auth;
        (auth.password_memory, auth.password_passes) = (64 << 20, 3);
        (auth.passwords_at_once, auth.passwords_waiting) = (1, 1);
        auth.login_throttle = false;
    })
    .await;

    let answers = futures_util::future::join_all((0..12).map(|_| log_in(&app, "nobody", PASSWORD))).await;

    let (served, turned): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 401);
    assert!(served.len() >= 2, "one at once, and one waits");
    assert!(!turned.is_empty(), "all twelve were served");
    for answer in turned {
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3).contains(&after), "{after}");
    }
    sign_in(&app, ADMIN, PASSWORD).await;
}

#[tokio::test]
async fn a_password_has_15_characters_and_256_bytes_at_most() {
    let house = House::start(|_| {}).await;
    let mut number = 0;
    let mut make = async |password: String| {
        number += 1;
        let body = json!({"name": format!("user{number}"), "password": password});
        (house.app.send(with(post("/admin/v1/users", &body), &house.admin)).await, body)
    };

    for right in [random_text(15), random_text(256), format!("{}{}", random_text(56), "é".repeat(100))] {
        let (answer, body) = make(right).await;
        expect(&answer, 201);
        // Never cut: whoever leaves its last sign out is not let in.
        let (name, password) = (body["name"].as_str().unwrap(), body["password"].as_str().unwrap());
        let mut shorter = password.to_owned();
        shorter.pop();
        assert_eq!(log_in(&house.app, name, &shorter).await.problem(), "login_refused");
        sign_in(&house.app, name, password).await;
    }
    for weak in [
        random_text(14),
        "é".repeat(14),
        random_text(257),
        format!("{}{}", random_text(57), "é".repeat(100)),
    ] {
        is_refused(&make(weak).await.0, "weak");
    }
}

#[tokio::test]
async fn with_a_second_factor_eight_characters_do_and_it_stays_as_long_as_they_are_fewer_than_15() {
    let house = House::start(|_| {}).await;
    let (_, grace) = house.person("grace", Some("viewer")).await;
    let send = async |request: Request| house.app.send(with(request, &grace)).await;
    let change = |before: &str, password: &str| json_of("PUT", OWN, &json!({"current": before, "password": password}));
    let off = |password: &str| json_of("DELETE", FACTOR, &json!({"password": password}));
    let (short, long) = (random_text(8), random_text(15));

    is_refused(&send(change(PASSWORD, &short)).await, "weak");
    factor(&house, &grace, PASSWORD).await;
    is_refused(&send(change(PASSWORD, &short[..7])).await, "weak");
    expect(&send(change(PASSWORD, &short)).await, 204);

    let refused = send(off(&short)).await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "conflict"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("change it first"), "{}", refused.json());
    assert_eq!(log_in(&house.app, "grace", &short).await.problem(), "second_factor", "it is still on");
    expect(&send(change(&short, &long)).await, 204);
    expect(&send(off(&long)).await, 204);
    sign_in(&house.app, "grace", &long).await;
    is_refused(&send(change(&long, &short)).await, "weak");
}

#[tokio::test]
async fn a_short_password_opens_nothing_once_an_admin_has_taken_its_factor_away() {
    let house = House::start(|_| {}).await;
    let (id, grace) = house.person("grace", Some("viewer")).await;
    factor(&house, &grace, PASSWORD).await;
    let (short, long) = (random_text(8), random_text(15));
    let path = format!("/admin/v1/users/{id}");
    let reset = |password: &str| json_of("PUT", &format!("{path}/password"), &json!({"password": password}));
    house.done(reset(&short)).await;

    house.done(Request::new("DELETE", &format!("{path}/second-factor"))).await;

    let refused = log_in(&house.app, "grace", &short).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("an admin has to give you another one"));
    assert_eq!(
        log_in(&house.app, "grace", &short[..7]).await.problem(),
        "login_refused",
        "whoever guesses is told nothing"
    );
    let rows = house
        .app
        .texts("SELECT resource_label FROM audit WHERE action = 'session.open' AND outcome = 'denied' ORDER BY seq")
        .await;
    assert_eq!(rows, ["password too short", ""]);
    is_refused(&house.app.send(with(reset(&short), &house.admin)).await, "weak");
    house.done(reset(&long)).await;
    sign_in(&house.app, "grace", &long).await;
}

/// As an admin does it who takes an account from a thief: the account has another password, and no session.
const RESET: [&str; 2] = [
    "UPDATE users SET password = '$another', password_changed_at = password_changed_at + 1",
    "UPDATE sessions SET ended_at = 1",
];

#[tokio::test]
async fn what_a_thief_has_begun_does_not_win_over_an_admin_who_was_faster() {
    for (changes, problem) in [(&RESET[..], "login_refused"), (&RESET[1..], "token_refused")] {
        for (number, request) in [
            json_of("PUT", OWN, &json!({"current": PASSWORD, "password": random_text(20)})),
            post(FACTOR, &json!({"password": PASSWORD})),
            json_of("DELETE", FACTOR, &json!({"password": PASSWORD})),
        ]
        .into_iter()
        .enumerate()
        {
            let app = TestApp::start_with_admin(|_| {}).await;
            let thief = sign_in(&app, ADMIN, PASSWORD).await;
            let mut database = database(app.data()).await;

            // Whoever holds this lock is about to commit: the thief was verified before, and writes after.
            sqlx::query("BEGIN IMMEDIATE").execute(&mut database).await.unwrap();
            let stealing = with(request, &thief).send(app.address);
            let resetting = async {
                tokio::time::sleep(Duration::from_millis(700)).await;
                for sql in changes.iter().chain(&["COMMIT"]) {
                    sqlx::query(*sql).execute(&mut database).await.unwrap();
                }
            };
            let (answer, ()) = tokio::join!(stealing, resetting);

            assert_eq!((answer.status, answer.problem().as_str()), (401, problem), "request {number}");
            assert_eq!(app.count("SELECT count(*) FROM totp").await, 0);
            let written = app
                .count("SELECT count(*) FROM audit WHERE action IN ('user.password', 'second_factor.off')")
                .await;
            assert_eq!(written, 0, "request {number}");
        }
    }
}
