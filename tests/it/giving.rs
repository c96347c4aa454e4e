//! What a program hands out with its token: no role that permits more than the token, no password, and no secret a second time unnoticed.

use serde_json::{Value, json};

use crate::accounts::post;
use crate::app::PASSWORD;
use crate::http::{Answer, Request};
use crate::people::{House, expect, with};

const USERS: &str = "/admin/v1/users";
const MEMBERS: &str = "/admin/v1/projects/1/members";

fn patch(path: &str, body: &Value) -> Request {
    Request::with_body("PATCH", path, &body.to_string())
        .header("Content-Type", "application/merge-patch+json")
        .header("If-Match", "*")
}

fn import(line: &Value) -> Request {
    Request::post(&format!("{USERS}/import"), format!("{line}\n")).header("Content-Type", "application/x-ndjson")
}

fn batch(operation: &Value) -> Request {
    post(&format!("{USERS}/batch"), &json!({ "operations": [operation] }))
}

/// The status and code, also of the one operation of a batch.
fn outcome(answer: &Answer) -> (u16, Value) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match answer.status {
        207 => {
            let result = &body["results"][0];
            (u16::try_from(result["status"].as_u64().unwrap()).unwrap(), result["code"].clone())
        }
        status => (status, body["code"].clone()),
    }
}

#[tokio::test]
async fn a_token_that_manages_users_gives_no_role_that_permits_more_than_it() {
    let house = House::start(|_| {}).await;
    let (_, token) = house.token("accounts", &["users:manage"]).await;
    let (_, reading) = house.token("readers", &["users:manage", "pipelines:read"]).await;
    let (bob, _) = house.person("bob", None).await;
    let (eve, _) = house.person("eve", Some("admin")).await;
    house.done(Request::new("DELETE", &format!("{USERS}/{eve}")).header("If-Match", "*")).await;
    let (zoe, _) = house.person("zoe", Some("admin")).await;
    house.done(patch(&format!("{USERS}/{zoe}"), &json!({"disabled": true}))).await;
    let ask = async |request: Request, shown: &str| outcome(&house.app.send(with(request, shown)).await);
    let forbidden = (403, json!("forbidden"));

    for role in ["admin", "maintainer", "viewer", "wallboard", "runner"] {
        let giving = [
            post(USERS, &json!({"name": "new", "role": role})),
            patch(&format!("{USERS}/{bob}"), &json!({"role": role})),
            batch(&json!({"op": "update", "id": bob, "if_match": "*", "body": {"role": role}})),
            import(&json!({"name": "bob", "role": role})),
            import(&json!({"name": "new", "role": role})),
        ];
        for (at, request) in giving.into_iter().enumerate() {
            assert_eq!(ask(request, &token).await, forbidden, "{role}, {at}");
        }
    }
    // Who is let in again gets the role back.
    for request in [
        Request::new("POST", &format!("{USERS}/{eve}/restore")),
        batch(&json!({"op": "restore", "id": eve})),
        patch(&format!("{USERS}/{zoe}"), &json!({"disabled": false})),
        import(&json!({"name": "zoe", "role": "admin", "disabled": false})),
    ] {
        assert_eq!(ask(request, &token).await, forbidden);
    }
    let with_password = post(USERS, &json!({"name": "new", "password": PASSWORD}));
    assert_eq!(ask(with_password, &token).await, forbidden, "and no password");
    assert_eq!(
        house
            .app
            .count("SELECT count(*) FROM users WHERE name = 'new' OR (name = 'bob' AND role IS NOT NULL)")
            .await,
        0
    );
    assert_eq!(
        house
            .app
            .count("SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL AND deleted_at IS NULL")
            .await,
        1
    );

    // What it has it gives, and the rest of an account is its to change.
    assert_eq!(ask(patch(&format!("{USERS}/{bob}"), &json!({"role": "wallboard"})), &reading).await.0, 200);
    assert_eq!(ask(patch(&format!("{USERS}/{bob}"), &json!({"display_name": "Bob"})), &token).await.0, 200);
    assert_eq!(
        ask(import(&json!({"name": "bob", "role": "wallboard", "email": "bob@example.org"})), &token)
            .await
            .0,
        200
    );
    assert_eq!(ask(patch(&format!("{USERS}/{bob}"), &json!({"role": null})), &token).await.0, 200);
    assert_eq!(ask(post(USERS, &json!({"name": "new"})), &token).await.0, 201);
    // An admin in person does all of it.
    expect(
        &house
            .app
            .send(with(Request::new("POST", &format!("{USERS}/{eve}/restore")), &house.admin))
            .await,
        200,
    );
    house.done(import(&json!({"name": "zoe", "role": "admin"}))).await;
}

#[tokio::test]
async fn a_token_that_manages_members_gives_no_role_that_permits_more_than_it() {
    let house = House::start(|_| {}).await;
    let (_, token) = house.token("members", &["members:manage"]).await;
    let (_, maintainer) = house.member("mina", 1, "maintainer").await;
    let (bob, _) = house.member("bob", 1, "wallboard").await;
    house.person("eve", None).await;
    let ask = async |request: Request, shown: &str| outcome(&house.app.send(with(request, shown)).await);

    for role in ["maintainer", "viewer", "runner"] {
        let (add, change) = (
            post(MEMBERS, &json!({"user_name": "eve", "role": role})),
            patch(&format!("{MEMBERS}/{bob}"), &json!({"role": role})),
        );
        for request in [add.clone(), change.clone()] {
            assert_eq!(ask(request, &token).await, (403, json!("forbidden")), "{role}");
        }
        // Whoever manages them in person gives every role that there is in a project.
        assert_eq!(ask(change, &maintainer).await.0, 200, "{role}");
    }
    assert_eq!(house.app.count("SELECT count(*) FROM memberships WHERE project_id = 1").await, 2);
    assert_eq!(
        ask(patch(&format!("{MEMBERS}/{bob}"), &json!({"role": "runner"})), &token).await.0,
        200,
        "it is that already"
    );
    assert_eq!(
        ask(Request::new("DELETE", &format!("{MEMBERS}/{bob}")).header("If-Match", "*"), &token).await.0,
        204
    );
}

#[tokio::test]
async fn a_secret_that_is_shown_again_stands_in_the_audit() {
    let house = House::start(|_| {}).await;
    let source = json!({"host": "github", "name": "acme"});
    let asked = [
        ("/admin/v1/tokens", json!({"name": "ci", "scopes": ["pipelines:read"]})),
        ("/admin/v1/sources", source),
        ("/admin/v1/users", json!({"name": "bob"})),
    ];
    let mut locations = Vec::new();
    for (path, body) in &asked {
        let request = || with(post(path, body), &house.admin).header("Idempotency-Key", path.replace('/', "-"));
        let (first, again) = (house.app.send(request()).await, house.app.send(request()).await);
        assert_eq!((first.status, again.status, again.json()), (201, 201, first.json()), "{path}");
        locations.push(again.header("location").unwrap().to_owned());
    }

    let rows = house.done(Request::get("/admin/v1/audit?action=secret.read&sort=seq")).await;
    let told: Vec<Value> = rows["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["resource_id"], row["user_id"], row["outcome"], row["ip"]]))
        .collect();
    // An account has nothing secret in it.
    assert_eq!(told, [json!([locations[0], 1, "ok", "127.0.0.1"]), json!([locations[1], 1, "ok", "127.0.0.1"])]);
}
