//! Whoever tries to come in: how fast passwords and codes can be tried, from where, and what a change of either leaves of who is in.

use std::time::Duration;

use pipecast::config::Config;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::accounts::{log_in, post, sign_in, until_offered};
use crate::administration::second_factor;
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::binary::Process;
use crate::http::{Answer, Request};
use crate::people::{House, expect, with};

const LOGIN: &str = "/admin/v1/sessions";
const WRONG: &str = "wrong horse battery staple";
const FACTOR: &str = "/admin/v1/me/second-factor";

/// This machine is a proxy that names who asks.
fn proxied(config: &mut Config) {
    config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
}

fn typed(name: &str, password: &str, code: Option<&str>, client: &str) -> Request {
    let mut body = json!({"name": name, "password": password});
    if let Some(code) = code {
        body["code"] = json!(code);
    }
    post(LOGIN, &body).header("X-Forwarded-For", client)
}

fn put_password(current: &str) -> Request {
    let body = json!({"current": current, "password": "another long enough password"});
    Request::with_body("PUT", "/admin/v1/me/password", &body.to_string()).header("Content-Type", "application/json")
}

fn counted(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test]
async fn codes_are_tried_no_faster_from_many_networks_and_only_by_whoever_has_the_password() {
    let house = House::start(proxied).await;
    let codes = second_factor(&house).await;
    let with_code = async |code: &str, number: usize| {
        let client = format!("2001:db8:{number:x}::1");
        house.app.send(typed(ADMIN, PASSWORD, Some(code), &client)).await
    };

    // A stranger makes nobody wait.
    for number in 0..4 {
        let stranger = typed(ADMIN, WRONG, Some("000000"), &format!("2001:db8:ff{number}::1"));
        assert_eq!(house.app.send(stranger).await.problem(), "login_refused");
    }
    for number in 0..3 {
        assert_eq!(with_code("000000", number).await.problem(), "second_factor");
    }
    let waiting = with_code(&codes[0], 3).await;
    assert_eq!(
        (waiting.status, waiting.problem().as_str(), waiting.header("retry-after")),
        (429, "too_many", Some("1"))
    );

    let right = || async { with_code(&codes[0], 4).await.status == 201 };
    house.app.until("the second is over", right).await;
    assert_eq!(with_code("000000", 5).await.problem(), "second_factor", "a right code forgets what failed");
}

#[tokio::test]
async fn many_at_once_are_no_way_past_the_wait() {
    let house = House::start(|config| {
        proxied(config);
        config.auth.passwords_waiting = 100;
    })
    .await;
    let passwords = (0..24).map(|_| house.app.send(typed("grace", WRONG, None, "203.0.113.7")));
    let answers = futures_util::future::join_all(passwords).await;
    // Whoever waits longer than the second that the third failure costs may try once more.
    assert!(
        counted(&answers, 401) <= 5 && counted(&answers, 429) >= 19,
        "{} were looked at",
        counted(&answers, 401)
    );

    second_factor(&house).await;
    let codes = (0..24).map(|number| house.app.send(typed(ADMIN, PASSWORD, Some("000000"), &format!("2001:db8:{number:x}::1"))));
    let answers = futures_util::future::join_all(codes).await;
    assert!(
        counted(&answers, 401) <= 5 && counted(&answers, 429) >= 19,
        "{} were looked at",
        counted(&answers, 401)
    );
}

#[tokio::test]
async fn whoever_has_a_session_guesses_its_password_no_faster_and_keeps_nobody_from_logging_in() {
    let house = House::start(|_| {}).await;
    let send = async |request: Request| house.app.send(with(request, &house.admin)).await;
    let confirming = |method: &'static str| {
        let body = json!({"password": PASSWORD}).to_string();
        Request::with_body(method, FACTOR, &body).header("Content-Type", "application/json")
    };

    for _ in 0..3 {
        assert_eq!(send(put_password(WRONG)).await.problem(), "login_refused");
    }
    for request in [put_password(PASSWORD), confirming("POST"), confirming("DELETE")] {
        let waiting = send(request).await;
        assert_eq!(
            (waiting.status, waiting.problem().as_str(), waiting.header("retry-after")),
            (429, "too_many", Some("1"))
        );
    }
    // The owner logs in anew, and what the other session has failed is nothing to that.
    let other = sign_in(&house.app, ADMIN, PASSWORD).await;
    expect(&house.app.send(with(confirming("POST"), &other)).await, 200);
    let rows = house.done(Request::get("/admin/v1/audit?action=password.confirm&outcome=denied")).await;
    let rows = rows["items"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&rows[0]["actor"], &rows[0]["resource_id"], &rows[0]["ip"]),
        (&json!("user"), &json!("1"), &json!("127.0.0.1"))
    );

    let right = || async { send(put_password(PASSWORD)).await.status == 204 };
    house.app.until("the second is over", right).await;
}

#[tokio::test]
async fn an_address_that_fails_twenty_times_waits_and_its_neighbour_does_not() {
    let app = TestApp::start_with_admin(proxied).await;
    let right = async |client: &str| app.send(typed(ADMIN, PASSWORD, None, client)).await;
    for number in 0..20 {
        let guess = typed(&format!("name{number}"), WRONG, None, "203.0.113.7");
        assert_eq!(app.send(guess).await.status, 401);
    }

    let waiting = right("203.0.113.7").await;
    assert_eq!((waiting.status, waiting.problem().as_str()), (429, "too_many"));
    let after: u64 = waiting.header("retry-after").unwrap().parse().unwrap();
    assert!((800..=900).contains(&after), "{after}");
    assert_eq!(right("203.0.113.8").await.status, 201);
}

#[tokio::test]
async fn behind_a_proxy_that_hides_everybody_no_address_keeps_the_others_out() {
    let app = TestApp::start_with_admin(|_| {}).await;
    for number in 0..25 {
        let guess = typed(&format!("name{number}"), WRONG, None, "203.0.113.7");
        assert_eq!(app.send(guess).await.status, 401, "{number}");
    }

    assert_eq!(app.send(typed(ADMIN, PASSWORD, None, "198.51.100.1")).await.status, 201);
}

#[tokio::test]
async fn a_hundred_failures_of_an_account_in_a_day_are_said_once() {
    let process = Process::start(&[("PIPECAST_AUTH__PASSWORD_MEMORY", "8MiB"), ("PIPECAST_AUTH__PASSWORD_PASSES", "1")]);
    let token = setup_token(&process).await;
    let founded = post("/admin/v1/setup", &json!({"token": token, "name": ADMIN, "password": PASSWORD}));
    assert_eq!(founded.send(process.address).await.status, 201);
    let mut database = database(process.data()).await;
    let mut fail = async |name: &str| {
        let answer = post(LOGIN, &json!({"name": name, "password": WRONG})).send(process.address).await;
        assert_eq!(answer.status, 401);
        sqlx::query("DELETE FROM login_failures WHERE subject NOT LIKE 'account%'")
            .execute(&mut database)
            .await
            .unwrap();
        sqlx::query("UPDATE login_failures SET failures = 98 WHERE failures < 98")
            .execute(&mut database)
            .await
            .unwrap();
    };

    for name in [ADMIN, "nobody"] {
        for _ in 0..2 {
            fail(name).await;
        }
    }
    assert_eq!(process.said("failed logins within a day"), 0);
    for name in [ADMIN, "nobody", ADMIN] {
        fail(name).await;
    }
    let begun = std::time::Instant::now();
    while process.said("account 1 has had 100 failed logins within a day") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is not said");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(process.said("failed logins within a day"), 1, "of names that there are, and once");
}

/// What a first start prints past its log.
pub async fn setup_token(process: &Process) -> String {
    let begun = std::time::Instant::now();
    loop {
        let lines = process.lines();
        let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(token) = lines.find_map(|line| line["fields"]["setup_token"].as_str().map(str::to_owned)) {
            return token;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it says no setup token");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn database(data: &std::path::Path) -> SqliteConnection {
    let url = format!("sqlite:{}", data.join("pipecast.db").display());
    SqliteConnection::connect(&url).await.unwrap()
}

#[tokio::test]
async fn a_login_with_a_password_that_changes_meanwhile_opens_nothing() {
    for change in [
        "UPDATE users SET password = '$another', password_changed_at = password_changed_at + 1",
        "UPDATE users SET disabled_at = 1",
        "UPDATE users SET deleted_at = 1",
    ] {
        let app = TestApp::start_with_admin(|_| {}).await;
        sign_in(&app, ADMIN, PASSWORD).await;
        let mut database = database(app.data()).await;

        // Whoever holds this lock is about to commit: the login has verified the password before, and opens its session after.
        sqlx::query("BEGIN IMMEDIATE").execute(&mut database).await.unwrap();
        let login = post(LOGIN, &json!({"name": ADMIN, "password": PASSWORD})).send(app.address);
        let changing = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            for sql in [change, "UPDATE sessions SET ended_at = 1", "COMMIT"] {
                sqlx::query(sql).execute(&mut database).await.unwrap();
            }
        };
        let (answer, ()) = tokio::join!(login, changing);

        assert_eq!((answer.status, answer.problem().as_str()), (401, "login_refused"), "{change}");
        assert_eq!(app.count("SELECT count(*) FROM sessions WHERE ended_at IS NULL").await, 0, "{change}");
    }
}

#[tokio::test]
async fn whoever_comes_back_has_no_token_of_before() {
    let house = House::start(|_| {}).await;
    let (id, person) = house.person("grace", Some("viewer")).await;
    let path = format!("/admin/v1/users/{id}");
    let token = async |person: &str| {
        let wanted = post("/admin/v1/tokens", &json!({"name": "machine", "scopes": ["pipelines:read"]}));
        let issued = house.app.send(with(wanted, person)).await;
        expect(&issued, 201);
        issued.json()["token"].as_str().unwrap().to_owned()
    };
    let disable = async |disabled: bool| {
        let patch = Request::with_body("PATCH", &path, &json!({"disabled": disabled}).to_string());
        house
            .done(patch.header("Content-Type", "application/merge-patch+json").header("If-Match", "*"))
            .await;
    };
    let is_over = async |token: &str| {
        house.until_answered(token, "/admin/v1/me", 401).await;
        // Whoever asks with a token that was ended is told so for as long as it is remembered, and longer.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(house.app.send(with(Request::get("/admin/v1/me"), token)).await.status, 401);
    };

    let first = token(&person).await;
    disable(true).await;
    disable(false).await;
    is_over(&first).await;

    let second = token(&sign_in(&house.app, "grace", PASSWORD).await).await;
    house.done(Request::new("DELETE", &path).header("If-Match", "*")).await;
    house.done(Request::new("POST", &format!("{path}/restore"))).await;
    is_over(&second).await;

    // One's own change leaves them, and an admin's does not.
    let person = sign_in(&house.app, "grace", PASSWORD).await;
    let third = token(&person).await;
    expect(&house.app.send(with(put_password(PASSWORD), &person)).await, 204);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    expect(&house.app.send(with(Request::get("/admin/v1/me"), &third)).await, 200);
    let reset = Request::with_body("PUT", &format!("{path}/password"), &json!({"password": PASSWORD}).to_string());
    house.done(reset.header("Content-Type", "application/json")).await;
    is_over(&third).await;

    let actions = house.app.texts("SELECT action FROM audit WHERE action LIKE 'user.%' ORDER BY seq").await;
    assert_eq!(
        actions,
        [
            "user.create",
            "user.create",
            "user.update",
            "user.update",
            "user.delete",
            "user.restore",
            "user.password",
            "user.password"
        ]
    );
}

#[tokio::test]
async fn an_admin_helps_whoever_has_lost_their_factor() {
    let house = House::start(|_| {}).await;
    let (id, grace) = house.person("grace", Some("viewer")).await;
    let path = format!("/admin/v1/users/{id}/second-factor");
    let drop_it = || Request::new("DELETE", &path);
    assert_eq!(house.app.send(with(drop_it(), &house.admin)).await.problem(), "not_found", "there is none");
    let own = House { admin: grace, ..house };
    second_factor(&own).await;
    let House { app, admin: grace } = own;
    let house = House {
        admin: sign_in(&app, ADMIN, PASSWORD).await,
        app,
    };
    assert_eq!(log_in(&house.app, "grace", PASSWORD).await.problem(), "second_factor");

    let (_, machine) = house.token("machine", &["users:manage"]).await;
    assert_eq!(house.app.send(with(drop_it(), &machine)).await.problem(), "forbidden", "it is for people");
    house.done(drop_it()).await;

    house.until_answered(&grace, "/admin/v1/me", 401).await;
    sign_in(&house.app, "grace", PASSWORD).await;
    assert_eq!(house.app.count("SELECT count(*) FROM recovery_codes").await, 0);
    let rows = house.done(Request::get("/admin/v1/audit?action=second_factor.off")).await;
    let row = &rows["items"][0];
    assert_eq!(
        (&row["user_id"], &row["resource_id"], &row["resource_label"]),
        (&json!(1), &json!(id.to_string()), &json!("grace"))
    );
}

#[tokio::test]
async fn a_nonsense_setup_token_is_refused_before_anything_is_done_for_it() {
    let app = TestApp::start().await;
    until_offered(&app).await;
    // What would be told of the password had anybody looked at it.
    let setup = |token: &str| post("/admin/v1/setup", &json!({"token": token, "name": ADMIN, "password": "too short"}));

    assert_eq!(app.send(setup("pcsu_guessed")).await.problem(), "not_found");
    app.alter("UPDATE setup SET hash = X'7117fff2d0fd294462b3c802b7cb8753579f23f3946b99cf55f38e873f013f10'")
        .await;
    assert_eq!(app.send(setup("known")).await.problem(), "invalid");
    app.alter("UPDATE setup SET expires_at = 1").await;
    assert_eq!(app.send(setup("known")).await.problem(), "not_found");
}
