//! What is somebody else's is not there: asked of tokens and deliveries that exist, by people and by tokens that are not to reach them.

use serde_json::{Value, json};

use crate::accounts::post;
use crate::http::{Answer, Request};
use crate::people::{House, expect, with};

const TOKENS: &str = "/admin/v1/tokens";

fn patch(path: &str, body: &Value) -> Request {
    Request::with_body("PATCH", path, &body.to_string())
        .header("Content-Type", "application/merge-patch+json")
        .header("If-Match", "*")
}

fn delete(path: &str) -> Request {
    Request::new("DELETE", path).header("If-Match", "*")
}

/// A token of somebody's; its id and text.
async fn issue(house: &House, whose: &str, body: &Value) -> (String, String) {
    let issued = house.app.send(with(post(TOKENS, body), whose)).await;
    expect(&issued, 201);
    let issued = issued.json();
    (issued["id"].as_str().unwrap().to_owned(), issued["token"].as_str().unwrap().to_owned())
}

/// Every way to one token, as `shown` is answered.
async fn every_way(house: &House, shown: &str, id: &str) -> Vec<(&'static str, Answer)> {
    let path = format!("{TOKENS}/{id}");
    let batch = |operation: Value| post(&format!("{TOKENS}/batch"), &json!({ "operations": [operation] }));
    let ways = [
        ("read", Request::get(&path)),
        ("change", patch(&path, &json!({"name": "taken"}))),
        ("rotate", post(&format!("{path}/rotate"), &json!({}))),
        (
            "change in a batch",
            batch(json!({"op": "update", "id": id, "if_match": "*", "body": {"name": "taken"}})),
        ),
        ("delete in a batch", batch(json!({"op": "delete", "id": id, "if_match": "*"}))),
        ("delete", delete(&path)),
    ];
    let mut answers = Vec::new();
    for (way, request) in ways {
        answers.push((way, house.app.send(with(request, shown)).await));
    }
    answers
}

/// That none of the ways leads to it.
fn are_closed(answers: &[(&str, Answer)], rotating: u16) {
    for (way, answer) in answers {
        let status = match answer.status {
            207 => u16::try_from(answer.json()["results"][0]["status"].as_u64().unwrap()).unwrap(),
            status => status,
        };
        let expected = if *way == "rotate" { rotating } else { 404 };
        assert_eq!(status, expected, "{way}: {}", String::from_utf8_lossy(&answer.body));
    }
}

#[tokio::test]
async fn anothers_token_is_not_there_whichever_way_it_is_asked_for() {
    let house = House::start(|_| {}).await;
    let (_, owner) = house.person("owner", Some("viewer")).await;
    let (_, other) = house.member("other", 1, "maintainer").await;
    let (id, text) = issue(&house, &owner, &json!({"name": "ci", "scopes": ["pipelines:read"]})).await;
    let path = format!("{TOKENS}/{id}");

    are_closed(&every_way(&house, &other, &id).await, 404);

    let listed = house.app.send(with(Request::get(TOKENS), &other)).await.json();
    assert_eq!(listed["items"], json!([]));
    let found = house.app.send(with(Request::get(&path), &owner)).await;
    assert_eq!((found.status, &found.json()["name"]), (200, &json!("ci")), "it is as it was");
    house.until_answered(&text, "/admin/v1/me", 200).await;
    // Whoever manages users sees and ends it, and takes its place neither.
    expect(&house.app.send(with(Request::get(&path), &house.admin)).await, 200);
    expect(&house.app.send(with(post(&format!("{path}/rotate"), &json!({})), &house.admin)).await, 403);
    expect(&house.app.send(with(delete(&path), &house.admin)).await, 204);
}

#[tokio::test]
async fn a_token_of_one_project_reaches_no_token_that_is_not_of_it_too() {
    let house = House::start(|_| {}).await;
    let (everywhere, _) = house.token("everywhere", &["pipelines:read"]).await;
    let make = async |name: &str, scopes: &[&str], project: i64| {
        let body = json!({"name": name, "scopes": scopes, "project_id": project});
        issue(&house, &house.admin, &body).await
    };
    let (of_two, _) = make("of two", &["pipelines:read"], 2).await;
    let (own, bound) = make("of one", &["tokens:manage", "pipelines:read"], 1).await;

    for id in [&everywhere, &of_two] {
        // A program rotates none at all.
        are_closed(&every_way(&house, &bound, id).await, 403);
    }

    let names = async |path: &str| {
        let answer = house.app.send(with(Request::get(path), &bound)).await;
        expect(&answer, 200);
        let items = answer.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(TOKENS).await, ["of one"]);
    assert_eq!(names(&format!("{TOKENS}?project_id=2")).await, [""; 0]);
    let export = house.app.send(with(Request::get(&format!("{TOKENS}/export")), &bound)).await;
    expect(&export, 200);
    let export = String::from_utf8(export.body).unwrap();
    // Between the pages stand the sizes of chunks.
    let exported: Vec<&str> = export.lines().filter(|line| line.starts_with('{')).collect();
    assert!(exported.len() == 1 && exported[0].contains("of one"), "{export}");
    let renamed = house.app.send(with(patch(&format!("{TOKENS}/{own}"), &json!({"name": "mine"})), &bound)).await;
    expect(&renamed, 200);
}

#[tokio::test]
async fn an_import_of_tokens_does_not_tell_which_projects_there_are() {
    let house = House::start(|_| {}).await;
    let (_, other) = house.member("other", 1, "maintainer").await;
    let line = |external_id: &str| {
        let place = json!({"host": "github", "source": "default", "external_id": external_id});
        json!({"user_name": "other", "name": "x", "scopes": ["pipelines:read"], "project": place, "expires_at": "2099-01-01T00:00:00Z"})
    };
    let import = async |external_id: &str| {
        let request = Request::post(&format!("{TOKENS}/import?dry_run=true"), format!("{}\n", line(external_id)));
        let answer = house.app.send(with(request.header("Content-Type", "application/x-ndjson"), &other)).await;
        (answer.status, answer.json()["steps"][0]["action"].clone())
    };

    assert_eq!(import("501").await, (200, json!("create")), "their own");
    let nowhere = import("999").await;
    assert_eq!(nowhere, (200, json!("skip")));
    assert_eq!(import("502").await, nowhere, "it is there, and nobody's who asks");
}

#[tokio::test]
async fn a_delivery_of_another_project_is_not_there_whichever_way_it_is_asked_for() {
    let house = House::start(|_| {}).await;
    let (_, own) = house.member("own", 1, "maintainer").await;
    let (_, other) = house.member("other", 2, "maintainer").await;
    house.app.until_done().await;
    let found = house.done(Request::get("/admin/v1/deliveries?project_id=1")).await;
    let path = format!("/admin/v1/deliveries/{}", found["items"][0]["id"].as_str().unwrap());
    let ways = || {
        [
            Request::get(&path),
            Request::get(&format!("{path}/body")),
            post(&format!("{path}/replay"), &json!({})),
        ]
    };

    for way in ways() {
        assert_eq!(house.app.send(with(way, &other)).await.problem(), "not_found");
    }
    let listed = house.app.send(with(Request::get("/admin/v1/deliveries?project_id=1"), &other)).await.json();
    assert_eq!(listed["items"], json!([]));
    let many = post("/admin/v1/deliveries/replay", &json!({"filter": {"project_id": 1}}));
    assert_eq!(house.app.send(with(many, &other)).await.json()["found"], 0);

    for (way, status) in ways().into_iter().zip([200, 200, 202]) {
        // What is accepted here is no delivery of a host.
        expect(&with(way, &own).send(house.app.address).await, status);
    }
}
