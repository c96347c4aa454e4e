//! Imports and exports as lines, however many they are, and names however they are written.

use serde_json::{Value, json};

use crate::accounts::post;
use crate::http::{Answer, Request};
use crate::people::{House, expect};
use crate::transfers::{export, import, send, steps};

#[tokio::test]
async fn lines_keep_their_numbers_and_an_export_of_many_pages_has_them_all() {
    let house = House::start(|_| {}).await;
    let users = "/admin/v1/users";
    let with_gaps = "\n{\"name\":\"bob\"}\n\n{\"name\":\"eve\",\"email\":\"nowhere\"}\n";
    let asked = |path: &str, text: &str| Request::post(path, text.to_owned()).header("Content-Type", "application/x-ndjson");
    let wrong = send(&house, asked(&format!("{users}/import"), with_gaps)).await;
    assert_eq!(wrong.json()["errors"][0]["pointer"], "#/3/email", "as many lines as an editor counts");
    let unread = send(&house, asked(&format!("{users}/import"), "\n\n{\"nam\":1}\n")).await;
    assert_eq!(unread.json()["errors"][0]["pointer"], "#/2/nam");
    let planned = send(
        &house,
        asked(&format!("{users}/import?dry_run=true"), "\n{\"name\":\"bob\"}\n\n{\"name\":\"eve\"}\n"),
    )
    .await;
    assert_eq!(steps(&planned).iter().map(|step| step[0].clone()).collect::<Vec<_>>(), [json!(2), json!(4)]);

    // More than one page of an export, more than 1 MiB, and as many lines as there may be.
    let display = "x".repeat(200);
    let line = |number: usize| json!({"name": format!("user {number:04}"), "display_name": display, "email": format!("{number}@{}.example", "y".repeat(40))});
    let lines: Vec<Value> = (0..5_000).map(line).collect();
    let done = import(&house, users, "", &lines).await;
    assert_eq!(
        (done.status, &done.json()["create"]),
        (200, &json!(5_000)),
        "{}",
        String::from_utf8_lossy(&done.body)
    );
    let exported = export(&house, &format!("{users}/export")).await;
    let names: Vec<&str> = exported
        .iter()
        .filter_map(|line| line["name"].as_str())
        .filter(|name| name.starts_with("user "))
        .collect();
    assert_eq!((names.len(), names[0], names[4_999]), (5_000, "user 0000", "user 4999"));
    let more: Vec<Value> = (0..5_001).map(line).collect();
    assert_eq!(import(&house, users, "?dry_run=true", &more).await.json()["errors"][0]["code"], "too_many");
}

#[tokio::test]
async fn a_name_is_kept_without_what_surrounds_it_whichever_way_it_comes() {
    let house = House::start(|_| {}).await;
    let named = async |answer: Answer, status: u16, name: &str| {
        expect(&answer, status);
        assert_eq!(answer.json()["name"], name);
        answer.json()["id"].clone()
    };
    let patch = |path: String, body: Value| {
        let request = Request::with_body("PATCH", &path, &body.to_string()).header("Content-Type", "application/merge-patch+json");
        send(&house, request.header("If-Match", "*"))
    };
    for (path, rest) in [
        ("/admin/v1/users", json!({})),
        ("/admin/v1/sources", json!({"host": "github"})),
        ("/admin/v1/tokens", json!({"scopes": ["pipelines:read"]})),
        ("/admin/v1/notification-targets", json!({"kind": "slack", "statuses": ["failure"]})),
    ] {
        let mut new = rest;
        new["name"] = json!(" first ");
        let id = named(send(&house, post(path, &new)).await, 201, "first").await;
        let one = format!("{path}/{}", id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        named(patch(one.clone(), json!({"name": "\tsecond  name\n"})).await, 200, "second  name").await;
        let nothing = patch(one, json!({"name": "  "})).await;
        assert_eq!((nothing.status, &nothing.json()["errors"][0]["pointer"]), (422, &json!("#/name")), "{path}");
    }
    let lines = [json!({"host": "github", "key": "from-elsewhere", "name": " brought over "})];
    expect(&import(&house, "/admin/v1/sources", "", &lines).await, 200);
    expect(&import(&house, "/admin/v1/users", "", &[json!({"name": " zoe "})]).await, 200);
    let ends = "2099-01-01T00:00:00Z";
    let tokens = [json!({"user_name": " ada ", "name": " ci ", "scopes": ["pipelines:read"], "expires_at": ends})];
    expect(&import(&house, "/admin/v1/tokens", "", &tokens).await, 200);
    for sql in [
        "SELECT count(*) FROM sources WHERE name = 'brought over'",
        "SELECT count(*) FROM users WHERE name = 'zoe'",
        "SELECT count(*) FROM api_tokens WHERE name = 'ci'",
    ] {
        assert_eq!(house.app.count(sql).await, 1, "{sql}");
    }
}
