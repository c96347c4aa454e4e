//! Tokens of programs: how long one is good, and what takes its place.

use serde_json::{Value, json};

use crate::accounts::post;
use crate::http::{Answer, Request};
use crate::people::{House, expect, with};

const TOKENS: &str = "/admin/v1/tokens";
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

async fn send(house: &House, request: Request) -> Answer {
    house.app.send(with(request, &house.admin)).await
}

async fn make(house: &House, lifetime: Value) -> Answer {
    let mut body = json!({"name": "ci", "scopes": ["pipelines:read"]});
    if !lifetime.is_null() {
        body["expires_in_days"] = lifetime;
    }
    send(house, post(TOKENS, &body)).await
}

async fn rotate(house: &House, id: &str, overlap: Value) -> Answer {
    let body = if overlap.is_null() { json!({}) } else { json!({"overlap_hours": overlap}) };
    send(house, post(&format!("{TOKENS}/{id}/rotate"), &body)).await
}

fn id_of(answer: &Answer) -> String {
    expect(answer, 201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Microseconds from the first instant to the second.
fn between(from: &Value, until: &Value) -> i64 {
    let at = |text: &Value| pipecast_model::Timestamp::parse(text.as_str().unwrap()).unwrap().0;
    at(until) - at(from)
}

/// How long a token was made for; what lies between two readings of the clock does not count.
fn lifetime(answer: &Answer) -> i64 {
    let token = answer.json();
    let exactly = between(&token["created_at"], &token["expires_at"]);
    (exactly + HOUR / 2) / HOUR * HOUR
}

fn is_fault(answer: &Answer, pointer: &str) {
    assert_eq!((answer.status, &answer.json()["errors"][0]["pointer"]), (422, &json!(pointer)));
}

async fn end(house: &House, id: &str) {
    expect(
        &send(house, Request::new("DELETE", &format!("{TOKENS}/{id}")).header("If-Match", "*")).await,
        204,
    );
}

#[tokio::test]
async fn a_token_is_good_for_90_days_unless_it_is_said_and_for_365_at_most() {
    let house = House::start(|_| {}).await;

    for (wanted, days) in [(Value::Null, 90), (json!(1), 1), (json!(365), 365)] {
        let made = make(&house, wanted).await;
        expect(&made, 201);
        assert_eq!(lifetime(&made), days * DAY);
    }
    for refused in [0, 366] {
        is_fault(&make(&house, json!(refused)).await, "#/expires_in_days");
    }
}

#[tokio::test]
async fn the_one_before_is_good_for_24_hours_unless_it_is_said_and_for_a_week_at_most() {
    let house = House::start(|_| {}).await;

    for (wanted, hours) in [(Value::Null, 24), (json!(168), 168), (json!(0), 0)] {
        let before = id_of(&make(&house, Value::Null).await);
        let next = rotate(&house, &before, wanted).await;
        expect(&next, 201);
        let shown = send(&house, Request::get(&format!("{TOKENS}/{before}"))).await.json();
        let left = between(&next.json()["created_at"], &shown["expires_at"]);
        assert!((left - hours * HOUR).abs() < 10_000_000, "{left}");
    }
    let before = id_of(&make(&house, Value::Null).await);
    is_fault(&rotate(&house, &before, json!(169)).await, "#/overlap_hours");
}

#[tokio::test]
async fn a_token_has_one_that_takes_its_place_and_that_is_good_for_as_long_as_it_was() {
    let house = House::start(|_| {}).await;
    let first = id_of(&make(&house, json!(30)).await);

    let next = rotate(&house, &first, json!(168)).await;
    let second = id_of(&next);
    assert_eq!(lifetime(&next), 30 * DAY);
    let again = rotate(&house, &first, json!(0)).await;
    assert_eq!((again.status, again.problem().as_str()), (409, "conflict"));
    let detail = again.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains(next.json()["prefix"].as_str().unwrap()) && detail.contains("end it first"),
        "{detail}"
    );

    // Without the second there is room for another, and the first has not lost by it that it ends sooner now.
    end(&house, &second).await;
    let next = rotate(&house, &first, json!(168)).await;
    let third = id_of(&next);
    assert_eq!(lifetime(&next), 30 * DAY);

    // Nor is there room while one is good that has taken the place of the third.
    let fourth = id_of(&rotate(&house, &third, json!(0)).await);
    assert_eq!(rotate(&house, &first, json!(0)).await.status, 409);
    assert_eq!(house.app.count("SELECT count(*) FROM api_tokens").await, 4);
    end(&house, &fourth).await;
    let next = rotate(&house, &first, json!(0)).await;
    assert_eq!((next.status, lifetime(&next)), (201, 30 * DAY));
}

#[tokio::test]
async fn the_secret_of_a_source_before_is_believed_for_24_hours_unless_it_is_said() {
    let house = House::start(|_| {}).await;
    for (body, hours) in [(json!({}), 24), (json!({"overlap_hours": 168}), 168)] {
        let made = send(&house, post("/admin/v1/sources", &json!({"host": "github", "name": format!("source {hours}")}))).await;
        expect(&made, 201);
        let source = format!("/admin/v1/sources/{}", made.json()["id"]);

        expect(&send(&house, post(&format!("{source}/secrets"), &body).header("If-Match", "*")).await, 201);

        let secrets = send(&house, Request::get(&source)).await.json()["secrets"].clone();
        let secrets = secrets.as_array().unwrap();
        let (new, old) = (&secrets[0], &secrets[1]);
        assert_eq!(new["not_after"], Value::Null, "{secrets:?}");
        let left = between(&new["created_at"], &old["not_after"]);
        assert!((left - hours * HOUR).abs() < 10_000_000, "{left}");
    }
    let long = post("/admin/v1/sources/1/secrets", &json!({"overlap_hours": 169})).header("If-Match", "*");
    is_fault(&send(&house, long).await, "#/overlap_hours");
}
