//! Second factors as they are turned on, and what is seen of whoever has a password and no code.

use std::time::Duration;

use serde_json::{Value, json};

use crate::accounts::post;
use crate::administration::app_code;
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::clock::Late;
use crate::http::{Answer, Request};
use crate::logins::{database, setup_token};
use crate::people::{House, expect, with};

const LOGIN: &str = "/admin/v1/sessions";
const FACTOR: &str = "/admin/v1/me/second-factor";

async fn offer(house: &House) -> String {
    let offered = house.done(post(FACTOR, &json!({"password": PASSWORD}))).await;
    offered["secret"].as_str().unwrap().to_owned()
}

async fn confirm(house: &House, code: &str) -> Answer {
    let request = post(&format!("{FACTOR}/confirm"), &json!({"code": code}));
    house.app.send(with(request, &house.admin)).await
}

#[tokio::test]
async fn first_codes_are_tried_no_faster_than_codes_at_a_login_and_each_stands_in_the_audit() {
    let house = House::start(|_| {}).await;
    let secret = offer(&house).await;

    for _ in 0..3 {
        assert_eq!(confirm(&house, "000000").await.problem(), "second_factor");
    }
    let waiting = confirm(&house, &app_code(&secret, 0)).await;
    assert_eq!(
        (waiting.status, waiting.problem().as_str(), waiting.header("retry-after")),
        (429, "too_many", Some("1"))
    );
    let rows = house.done(Request::get("/admin/v1/audit?action=second_factor.confirm&outcome=denied")).await;
    let rows = rows["items"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0]["user_id"], &rows[0]["resource_label"]), (&json!(1), &json!("wrong code")));

    let right = || async { confirm(&house, &app_code(&secret, 0)).await.status == 200 };
    house.app.until("the second is over", right).await;
    assert_eq!(confirm(&house, "000000").await.problem(), "conflict", "it is on");
    assert_eq!(house.app.count("SELECT count(*) FROM login_failures WHERE subject LIKE 'factor%'").await, 0);
}

#[tokio::test]
async fn a_secret_is_on_offer_for_ten_minutes() {
    let house = House::start(|_| {}).await;
    assert_eq!(confirm(&house, "000000").await.problem(), "not_found", "none was offered");

    let secret = offer(&house).await;
    house.app.alter("UPDATE totp SET created_at = created_at - 601000000").await;
    let late = confirm(&house, &app_code(&secret, 0)).await;
    assert_eq!((late.status, late.problem().as_str()), (404, "not_found"));
    assert!(late.json()["detail"].as_str().unwrap().contains("ten minutes"));

    let secret = offer(&house).await;
    house.app.alter("UPDATE totp SET created_at = created_at - 590000000").await;
    expect(&confirm(&house, &app_code(&secret, 0)).await, 200);
}

#[tokio::test]
async fn a_code_confirms_the_secret_that_it_was_made_of_and_no_other() {
    for meanwhile in ["UPDATE totp SET sealed = sealed || 'x'", "UPDATE sessions SET ended_at = 1"] {
        let house = House::start(|_| {}).await;
        let code = app_code(&offer(&house).await, 0);
        let mut database = database(house.app.data()).await;

        // The code has been compared, and what it confirms is written after this.
        sqlx::query("BEGIN IMMEDIATE").execute(&mut database).await.unwrap();
        let changing = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            for sql in [meanwhile, "COMMIT"] {
                sqlx::query(sql).execute(&mut database).await.unwrap();
            }
        };
        let (answer, ()) = tokio::join!(confirm(&house, &code), changing);

        assert!(matches!(answer.status, 401 | 404), "{meanwhile}: {}", answer.status);
        let on = house.app.count("SELECT count(*) FROM totp WHERE confirmed_at IS NOT NULL").await;
        assert_eq!(on, 0, "{meanwhile}");
        assert_eq!(house.app.count("SELECT count(*) FROM recovery_codes").await, 0, "{meanwhile}");
    }
}

#[tokio::test]
async fn a_login_with_a_wrong_code_says_so_in_the_audit() {
    let app = TestApp::start_with_admin(|_| {}).await;
    let house = House {
        admin: crate::accounts::sign_in(&app, ADMIN, PASSWORD).await,
        app,
    };
    crate::administration::second_factor(&house).await;

    let wrong = post(LOGIN, &json!({"name": ADMIN, "password": PASSWORD, "code": "000000"}));
    assert_eq!(house.app.send(wrong).await.problem(), "second_factor");

    let labels = house
        .app
        .texts("SELECT resource_label FROM audit WHERE action = 'session.open' AND outcome = 'denied'")
        .await;
    assert_eq!(labels, ["wrong code"]);
}

#[tokio::test]
async fn whoever_has_a_password_and_does_not_come_back_with_a_code_is_seen_by_its_owner() {
    let late = Late::start();
    let address = late.process.address;
    let token = setup_token(&late.process).await;
    let founded = post("/admin/v1/setup", &json!({"token": token, "name": ADMIN, "password": PASSWORD}));
    assert_eq!(founded.send(address).await.status, 201);
    let log_in = async |code: Option<&str>| {
        let mut body = json!({"name": ADMIN, "password": PASSWORD});
        if let Some(code) = code {
            body["code"] = json!(code);
        }
        post(LOGIN, &body).send(address).await
    };
    let access = log_in(None).await.json()["access_token"].as_str().unwrap().to_owned();
    let offered = with(post(FACTOR, &json!({"password": PASSWORD})), &access).send(address).await.json();
    let code = app_code(offered["secret"].as_str().unwrap(), 0);
    let confirmed = with(post(&format!("{FACTOR}/confirm"), &json!({"code": code})), &access).send(address).await;
    expect(&confirmed, 200);
    let codes: Value = confirmed.json();
    let mut database = database(late.process.data()).await;
    let mut rows = async || -> Vec<(Option<i64>, String, Option<String>)> {
        const SQL: &str = "
            SELECT user_id, resource_id, ip FROM audit
            WHERE action = 'session.open' AND outcome = 'denied' AND resource_label = 'code missing'";
        sqlx::query_as(SQL).fetch_all(&mut database).await.unwrap()
    };

    // As the page does it: the password first, and the code when it is asked for.
    assert_eq!(log_in(None).await.problem(), "second_factor");
    assert_eq!(log_in(codes["recovery_codes"][0].as_str()).await.status, 201);
    late.set_off("+70");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(rows().await, [], "it was the owner");

    for _ in 0..5 {
        assert_eq!(log_in(None).await.problem(), "second_factor");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(rows().await, [], "there is a minute to come back");
    late.set_off("+140");
    let begun = std::time::Instant::now();
    while rows().await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(15), "nothing is seen of it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(rows().await, [(None, "1".to_owned(), Some("127.0.0.1".to_owned()))], "once");
    assert!(late.process.counted("pipecast_logins_total{outcome=\"code_missing\"}").await >= 6.0);
}
