//! Users, tokens and projects many at a time: once for each key, in batches, and brought over as lines with a plan before.

use serde_json::{Value, json};

use crate::accounts::{post, sign_in};
use crate::app::{ADMIN, PASSWORD};
use crate::http::{Answer, Request};
use crate::people::{House, expect, with};

pub async fn send(house: &House, request: Request) -> Answer {
    house.app.send(with(request, &house.admin)).await
}

/// Imports lines; the plan.
pub async fn import(house: &House, path: &str, query: &str, lines: &[Value]) -> Answer {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = Request::post(&format!("{path}/import{query}"), text);
    send(house, request.header("Content-Type", "application/x-ndjson")).await
}

pub async fn export(house: &House, path: &str) -> Vec<Value> {
    let answer = send(house, Request::get(path)).await;
    expect(&answer, 200);
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment; filename="));
    let text = String::from_utf8(answer.body).unwrap();
    // Between the pages stand the sizes of chunks.
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Line, action, changes and need of each step.
pub fn steps(plan: &Answer) -> Vec<Value> {
    expect(plan, 200);
    let plan = plan.json();
    let told = |step: &Value| json!([step["line"], step["action"], step["changes"], step["needs"]]);
    plan["steps"].as_array().unwrap().iter().map(told).collect()
}

async fn batch(house: &House, path: &str, operations: Value) -> Vec<Value> {
    let answer = send(house, post(&format!("{path}/batch"), &json!({ "operations": operations }))).await;
    expect(&answer, 207);
    let results = answer.json();
    results["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| json!([result["status"], result["code"]]))
        .collect()
}

async fn tag(house: &House, path: &str) -> String {
    send(house, Request::get(path)).await.header("etag").unwrap().to_owned()
}

#[tokio::test]
async fn what_is_asked_for_twice_under_one_key_is_made_once() {
    let house = House::start(|_| {}).await;
    let user = json!({"name": "bob", "password": PASSWORD});
    let token = json!({"name": "ci", "scopes": ["pipelines:read"]});
    for (path, body, other) in [
        ("/admin/v1/users", &user, json!({"name": "bob", "password": "another long enough password"})),
        ("/admin/v1/tokens", &token, json!({"name": "cd", "scopes": ["pipelines:read"]})),
    ] {
        let under = |key: &str, body: &Value| post(path, body).header("Idempotency-Key", key);
        let first = send(&house, under(&format!("key-of-{path}"), body)).await;
        let again = send(&house, under(&format!("key-of-{path}"), body)).await;
        expect(&first, 201);
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
        assert_eq!((first.json(), first.header("location")), (again.json(), again.header("location")));
        assert_eq!(
            send(&house, under(&format!("key-of-{path}"), &other)).await.problem(),
            "invalid",
            "{path}: another request"
        );
    }
    let id = send(&house, Request::get("/admin/v1/tokens")).await.json()["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let rotate = || post(&format!("/admin/v1/tokens/{id}/rotate"), &json!({})).header("Idempotency-Key", "9");
    let (one, two) = (send(&house, rotate()).await, send(&house, rotate()).await);
    assert_eq!(
        (one.status, one.json()),
        (201, two.json()),
        "a token that is shown once is shown again to whoever lost the answer"
    );
    assert_eq!(house.app.count("SELECT count(*) FROM users WHERE name = 'bob'").await, 1);
    assert_eq!(house.app.count("SELECT count(*) FROM api_tokens").await, 2);

    // The secret of a source too; the version that the request names is the one before it.
    let source = house.done(post("/admin/v1/sources", &json!({"host": "github", "name": "one"}))).await;
    let secrets = format!("/admin/v1/sources/{}/secrets", source["id"]);
    let of_source = tag(&house, &format!("/admin/v1/sources/{}", source["id"])).await;
    let rotate = |body: &Value| post(&secrets, body).header("Idempotency-Key", "10").header("If-Match", &of_source);
    let (one, two) = (send(&house, rotate(&json!({}))).await, send(&house, rotate(&json!({}))).await);
    assert_eq!((one.status, one.json()["secret"].is_string(), one.json()), (201, true, two.json()));
    assert_eq!(two.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        house.app.count("SELECT count(*) FROM source_secrets").await,
        2,
        "the first, and one in its place"
    );
    assert_eq!(send(&house, rotate(&json!({"overlap_hours": 1}))).await.problem(), "invalid", "another request");

    // A password is no more to be guessed by what is kept for the key than by its own hash.
    let kept = house.app.texts("SELECT request_hash || sealed FROM idempotent_answers").await.concat();
    assert!(!kept.contains(PASSWORD) && !kept.contains("pcst_"));
    assert_eq!(house.app.count("SELECT count(*) FROM idempotent_answers WHERE request_hash <> ''").await, 0);

    // Two at once: one makes it, the other waits and is answered the same.
    let both = || send(&house, post("/admin/v1/users", &json!({"name": "eve"})).header("Idempotency-Key", "at-once"));
    let (one, two) = futures_util::future::join(both(), both()).await;
    assert_eq!((one.status, two.status, one.json()), (201, 201, two.json()));
}

#[tokio::test]
async fn accounts_are_brought_over_by_name_without_their_passwords() {
    let house = House::start(|_| {}).await;
    house.person("bob", Some("viewer")).await;
    let lines = export(&house, "/admin/v1/users/export").await;
    assert_eq!(
        lines[1],
        json!({"name": "bob", "display_name": null, "email": null, "role": "viewer", "disabled": false, "has_password": true})
    );
    let users = "/admin/v1/users";
    let wanted = [
        json!({"name": "ada", "role": "admin"}),
        json!({"name": "BOB", "email": "bob@example.org", "role": "maintainer", "disabled": true}),
        json!({"name": "eve", "role": "viewer"}),
    ];
    let expected = [
        json!([1, "keep", [], null]),
        json!([2, "update", ["name", "email", "role", "disabled"], null]),
        json!([3, "create", [], "password"]),
    ];

    let planned = import(&house, users, "?dry_run=true", &wanted).await;
    assert_eq!((steps(&planned), &planned.json()["dry_run"]), (expected.to_vec(), &json!(true)));
    assert_eq!(house.app.count("SELECT count(*) FROM users").await, 2, "nothing is done");
    assert_eq!(steps(&import(&house, users, "", &wanted).await), expected);
    let again = import(&house, users, "", &wanted).await;
    assert_eq!((&again.json()["keep"], &again.json()["create"]), (&json!(3), &json!(0)));
    let shown = send(&house, Request::get(&format!("{users}?q=bob&fields=name,role,disabled"))).await.json();
    assert_eq!(shown["items"], json!([{"name": "BOB", "role": "maintainer", "disabled": true}]));

    let last = import(&house, users, "", &[json!({"name": "zoe"}), json!({"name": "ada", "role": "viewer"})]).await;
    assert_eq!(last.problem(), "conflict", "there is always an admin left");
    assert_eq!(house.app.count("SELECT count(*) FROM users WHERE name = 'zoe'").await, 0, "all or none");
    let without_password = [json!({"name": "zoe", "role": "admin"}), json!({"name": "ada", "role": "viewer"})];
    assert_eq!(
        import(&house, users, "", &without_password).await.problem(),
        "conflict",
        "who cannot come in is no admin"
    );
    let wrong = import(&house, users, "", &[json!({"name": "x", "email": "nowhere"})]).await;
    assert_eq!(wrong.json()["errors"][0]["pointer"], "#/0/email");
    assert_eq!(import(&house, users, "", &[json!({"nam": "x"})]).await.problem(), "invalid");
}

#[tokio::test]
async fn an_import_gives_the_admin_s_place_to_another_in_any_order_of_its_lines() {
    let house = House::start(|_| {}).await;
    house.person("bob", Some("viewer")).await;

    let lines = [json!({"name": "ada", "role": "viewer"}), json!({"name": "bob", "role": "admin"})];
    let done = import(&house, "/admin/v1/users", "", &lines).await;

    assert_eq!(steps(&done), [json!([1, "update", ["role"], null]), json!([2, "update", ["role"], null])]);
    assert_eq!(house.app.texts("SELECT name FROM users WHERE role = 'admin'").await, ["bob"]);
}

#[tokio::test]
async fn a_batch_of_accounts_says_of_each_what_became_of_it() {
    let house = House::start(|_| {}).await;
    let users = "/admin/v1/users";
    let (bob, token) = house.person("bob", Some("viewer")).await;
    let (eve, _) = house.person("eve", Some("viewer")).await;
    let (of_bob, of_eve) = (tag(&house, &format!("{users}/{bob}")).await, tag(&house, &format!("{users}/{eve}")).await);

    let done = batch(
        &house,
        users,
        json!([
            {"op": "update", "id": bob, "if_match": of_bob, "body": {"disabled": true}},
            {"op": "delete", "id": eve, "if_match": of_eve},
            {"op": "delete", "id": 1, "if_match": "\"v1\""},
            {"op": "delete", "id": eve, "if_match": of_eve},
            {"op": "restore", "id": eve},
            {"op": "restore", "id": eve},
            {"op": "update", "id": bob, "if_match": of_bob, "body": {"disabled": false}},
            {"op": "update", "id": bob},
            {"op": "update", "id": 99, "if_match": "\"v1\"", "body": {}},
        ]),
    )
    .await;

    let expected = [
        json!([200, null]),
        json!([204, null]),
        json!([409, "conflict"]),
        json!([404, "not_found"]),
        json!([200, null]),
        json!([409, "conflict"]),
        json!([412, "stale"]),
        json!([428, "precondition_required"]),
        json!([404, "not_found"]),
    ];
    assert_eq!(done, expected);
    house.until_answered(&token, "/admin/v1/me", 401).await;
    let many: Vec<Value> = (0..101).map(|id| json!({"op": "restore", "id": id})).collect();
    let refused = send(&house, post(&format!("{users}/batch"), &json!({ "operations": many }))).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("#/operations")));
}

#[tokio::test]
async fn tokens_are_brought_over_as_new_ones_of_ones_own() {
    let house = House::start(|_| {}).await;
    let tokens = "/admin/v1/tokens";
    let (id, secret) = house.token("ci", &["pipelines:read"]).await;
    house
        .done(post(tokens, &json!({"name": "one", "scopes": ["pipelines:read"], "project_id": 1})))
        .await;
    let (_, bob) = house.person("bob", Some("viewer")).await;
    let made = house
        .app
        .send(with(post(tokens, &json!({"name": "his", "scopes": ["pipelines:read"]})), &bob))
        .await;
    expect(&made, 201);
    let lines = export(&house, "/admin/v1/tokens/export?of=all").await;
    assert_eq!(
        lines.iter().map(|line| line["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["his", "one", "ci"]
    );
    assert!(
        !serde_json::to_string(&lines).unwrap().contains(&secret[..20]),
        "what is secret in them is nowhere"
    );
    assert_eq!(lines[1]["project"], json!({"host": "github", "source": "default", "external_id": "501"}));
    assert_eq!(export(&house, "/admin/v1/tokens/export").await.len(), 2, "one's own");

    // As in another installation: one of them is not there.
    house.done(Request::new("DELETE", &format!("{tokens}/{id}")).header("If-Match", "*")).await;
    let planned = import(&house, tokens, "?dry_run=true", &lines).await;
    let expected = [json!([1, "skip", [], null]), json!([2, "keep", [], null]), json!([3, "create", [], null])];
    assert_eq!((steps(&planned), &planned.json()["made"]), (expected.to_vec(), &json!([])));
    let done = import(&house, tokens, "", &lines).await;
    assert_eq!(steps(&done), expected);
    let issued = done.json()["made"][0].clone();
    let (line, fresh) = (&issued["line"], issued["token"].as_str().unwrap());
    assert_eq!((line, fresh == secret), (&json!(3), false));
    let reads = |token: &str| house.app.send(with(Request::get("/api/v1/pipelines").header("Host", "ci.example.org"), token));
    assert_eq!(reads(fresh).await.status, 200);
    house
        .app
        .until("the one before has ended", || async { reads(&secret).await.status == 401 })
        .await;

    house.app.alter("UPDATE api_tokens SET expires_at = 1 WHERE name = 'ci'").await;
    let expected = [json!([1, "skip", [], null]), json!([2, "keep", [], null]), json!([3, "create", [], null])];
    assert_eq!(steps(&import(&house, tokens, "", &lines).await), expected, "one that has ended is not there");

    let beyond = [json!({"user_name": "bob", "name": "x", "scopes": ["users:manage"], "expires_at": "2099-01-01T00:00:00Z"})];
    let text = format!("{}\n", beyond[0]);
    let asked = Request::post(&format!("{tokens}/import"), text).header("Content-Type", "application/x-ndjson");
    assert_eq!(
        house.app.send(with(asked, &bob)).await.problem(),
        "invalid",
        "nobody gives a token what they do not have"
    );
    assert_eq!(house.app.send(with(Request::get("/admin/v1/tokens/export?of=all"), &bob)).await.status, 403);
}

#[tokio::test]
async fn a_token_that_was_ended_does_not_come_back_by_a_batch_either() {
    let house = House::start(|_| {}).await;
    let tokens = "/admin/v1/tokens";
    let (one, _) = house.token("one", &["pipelines:read"]).await;
    let (two, secret) = house.token("two", &["pipelines:read"]).await;
    let (_, bob) = house.person("bob", Some("viewer")).await;

    let done = batch(
        &house,
        tokens,
        json!([
            {"op": "update", "id": one, "if_match": "\"v1\"", "body": {"name": "first"}},
            {"op": "delete", "id": two, "if_match": "\"v1\""},
            {"op": "restore", "id": one},
            {"op": "restore", "id": two},
        ]),
    )
    .await;

    assert_eq!(
        done,
        [json!([200, null]), json!([204, null]), json!([409, "conflict"]), json!([404, "not_found"])]
    );
    house.until_answered(&secret, "/admin/v1/me", 401).await;
    let others = json!({"operations": [{"op": "delete", "id": one, "if_match": "\"v2\""}]});
    let by_bob = house.app.send(with(post(&format!("{tokens}/batch"), &others), &bob)).await;
    assert_eq!(by_bob.json()["results"][0]["status"], 404, "others' tokens are not there");
}

#[tokio::test]
async fn projects_are_archived_many_at_a_time_and_brought_over_by_where_they_live() {
    let house = House::start(|_| {}).await;
    let projects = "/admin/v1/projects";
    let (one, two) = (tag(&house, &format!("{projects}/1")).await, tag(&house, &format!("{projects}/2")).await);
    let done = batch(
        &house,
        projects,
        json!([
            {"op": "update", "id": 1, "if_match": one, "body": {"archived": true}},
            {"op": "update", "id": 2, "if_match": "\"v99\"", "body": {"archived": true}},
            {"op": "delete", "id": 2, "if_match": two},
            {"op": "update", "id": 99, "if_match": two, "body": {}},
        ]),
    )
    .await;
    assert_eq!(
        done,
        [json!([200, null]), json!([412, "stale"]), json!([422, "invalid"]), json!([404, "not_found"])]
    );

    let mut lines = export(&house, "/admin/v1/projects/export").await;
    let place = json!({"host": "github", "source": "default", "external_id": "501"});
    assert_eq!(
        lines[0],
        json!({"place": place, "name": "acme/rocket", "visibility": "private", "archived": true})
    );
    lines[0]["archived"] = json!(false);
    lines[1]["visibility"] = json!("internal");
    lines.push(json!({"place": {"host": "gitlab", "source": "default", "external_id": "9"}, "visibility": "private"}));
    let expected = [
        json!([1, "update", ["archived"], null]),
        json!([2, "update", ["visibility"], null]),
        json!([3, "skip", [], null]),
    ];
    assert_eq!(steps(&import(&house, projects, "?dry_run=true", &lines).await), expected);
    assert_eq!(
        send(&house, Request::get(&format!("{projects}/1"))).await.json()["archived"],
        true,
        "nothing is done"
    );
    assert_eq!(steps(&import(&house, projects, "", &lines).await), expected);
    assert_eq!(send(&house, Request::get(&format!("{projects}/1"))).await.json()["archived"], false);
    assert_eq!(send(&house, Request::get(&format!("{projects}/2"))).await.json()["visibility"], "internal");

    sign_in(&house.app, ADMIN, PASSWORD).await;
    let actions = house
        .app
        .texts("SELECT action FROM audit WHERE action LIKE '%.import' OR action = 'project.update' ORDER BY seq")
        .await;
    assert_eq!(actions, ["project.update", "project.import", "project.import"]);
}
