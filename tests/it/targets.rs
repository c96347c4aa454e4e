//! Notification targets that are told by mail: who gets it is checked, sealed, shown to operators alone and masked in the audit.

use serde_json::{Value, json};

use crate::accounts::post;
use crate::http::{Answer, Request};
use crate::people::{House, expect, with};

const TARGETS: &str = "/admin/v1/notification-targets";

async fn send(house: &House, request: Request) -> Answer {
    house.app.send(with(request, &house.admin)).await
}

async fn patch(house: &House, path: &str, body: Value) -> Answer {
    let request = Request::with_body("PATCH", path, &body.to_string()).header("Content-Type", "application/merge-patch+json");
    send(house, request.header("If-Match", "*")).await
}

fn new(kind: &str, recipients: &Value) -> Value {
    json!({"name": "ops", "kind": kind, "statuses": ["failure"], "recipients": recipients})
}

#[tokio::test]
async fn who_gets_mail_is_kept_sealed_and_shown_to_operators() {
    let house = House::start(|_| {}).await;

    let made = send(
        &house,
        post(TARGETS, &new("email", &json!([" ada@example.org", "bob@example.org", "ADA@example.org"]))),
    )
    .await;
    expect(&made, 201);
    let one = made.header("location").unwrap().to_owned();
    let both = json!(["ada@example.org", "bob@example.org"]);
    assert_eq!((&made.json()["recipients"], &made.json()["url_host"]), (&both, &Value::Null));
    assert_eq!(send(&house, Request::get(&one)).await.json()["recipients"], both);
    assert_eq!(send(&house, Request::get(TARGETS)).await.json()["items"][0]["recipients"], both);

    assert_eq!(
        patch(&house, &one, json!({"name": "devs", "url": null})).await.json()["recipients"],
        both,
        "they stay"
    );
    let other = patch(&house, &one, json!({"recipients": ["eve@example.org"]})).await;
    assert_eq!((other.status, &other.json()["recipients"]), (200, &json!(["eve@example.org"])));
    let kept = house.app.texts("SELECT sealed_url FROM notification_targets").await;
    assert!(kept[0].starts_with("v1|a256gcm|") && !kept[0].contains("eve"), "{kept:?}");

    let audit = send(&house, Request::get("/admin/v1/audit?limit=200")).await;
    assert!(
        !String::from_utf8_lossy(&audit.body).contains("eve@example.org"),
        "rows of the audit stay for ever"
    );
    let rows = audit.json()["items"].clone();
    let changed = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| !row["after"]["recipients"].is_null())
        .unwrap()
        .clone();
    assert_eq!(changed["before"]["recipients"], json!(["a…@example.org", "b…@example.org"]));
    assert_eq!(changed["after"]["recipients"], json!(["e…@example.org"]));

    let none = patch(&house, &one, json!({"recipients": null})).await;
    assert_eq!((none.status, &none.json()["recipients"]), (200, &json!([])));
    let left = "SELECT count(*) FROM notification_targets WHERE sealed_url IS NOT NULL";
    assert_eq!(house.app.count(left).await, 0);
}

#[tokio::test]
async fn addresses_that_are_none_or_too_many_or_of_another_kind_are_refused_by_their_place() {
    let house = House::start(|_| {}).await;
    let many: Vec<String> = (0..51).map(|number| format!("ada{number}@example.org")).collect();
    let long = format!("ada@{}.org", ["x".repeat(60), "y".repeat(60), "z".repeat(60), "w".repeat(70)].join("."));
    for (kind, recipients, pointer, code) in [
        ("email", json!([]), "#/recipients", "empty"),
        ("email", json!(many), "#/recipients", "too_many"),
        ("email", json!(["ada@example.org", "bob"]), "#/recipients/1", "no_address"),
        ("email", json!(["ada@example.org\r\nBcc: eve@example.org"]), "#/recipients/0", "no_address"),
        ("email", json!([long]), "#/recipients/0", "too_long"),
        ("slack", json!(["ada@example.org"]), "#/recipients", "unfit"),
        ("webhook", json!(["ada@example.org"]), "#/recipients", "unfit"),
    ] {
        let refused = send(&house, post(TARGETS, &new(kind, &recipients))).await;
        let fault = refused.json()["errors"][0].clone();
        assert_eq!(
            (refused.status, &fault["pointer"], &fault["code"]),
            (422, &json!(pointer), &json!(code)),
            "{kind} {recipients}"
        );
    }

    let made = send(&house, post(TARGETS, &new("email", &json!(many[..50])))).await;
    expect(&made, 201);
    let one = made.header("location").unwrap().to_owned();
    assert_eq!(patch(&house, &one, json!({"recipients": ["nobody"]})).await.status, 422);
    let slack = send(&house, post(TARGETS, &new("slack", &Value::Null))).await;
    assert_eq!((slack.status, &slack.json()["recipients"]), (201, &Value::Null));
    let one = slack.header("location").unwrap().to_owned();
    assert_eq!(patch(&house, &one, json!({"recipients": ["ada@example.org"]})).await.status, 422);
}
