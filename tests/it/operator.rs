//! Sources, projects and pipelines as an operator has them over the API: a secret to paste at the host, what came of it, and what is said of what
//! hosts tell.

use serde_json::{Value, json};

use crate::accounts::post;
use crate::http::{Answer, Request};
use crate::live::run;
use crate::people::{House, expect, with};
use crate::secrets::to_source;

const SOURCES: &str = "/admin/v1/sources";

fn patch(path: &str, body: &Value, version: &str) -> Request {
    Request::with_body("PATCH", path, &body.to_string())
        .header("Content-Type", "application/merge-patch+json")
        .header("If-Match", version)
}

struct Desk {
    house: House,
}

impl Desk {
    async fn open() -> Desk {
        let open = House::start(|config| config.server.public_url = Some("https://ci.example.org".into()));
        Desk { house: open.await }
    }

    async fn send(&self, request: Request) -> Answer {
        self.house.app.send(with(request, &self.house.admin)).await
    }

    async fn make(&self, name: &str) -> Value {
        let made = self.send(post(SOURCES, &json!({"host": "github", "name": name}))).await;
        expect(&made, 201);
        made.json()
    }

    async fn read(&self, id: &Value) -> (Value, String) {
        let found = self.send(Request::get(&format!("{SOURCES}/{id}"))).await;
        expect(&found, 200);
        (found.json(), found.header("etag").unwrap().to_owned())
    }
}

fn key_of(source: &Value) -> &str {
    source["path"].as_str().unwrap().rsplit('/').next().unwrap()
}

fn codes(source: &Value) -> Vec<&str> {
    source["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning["code"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_new_source_is_pasted_at_the_host_and_its_first_delivery_shows() {
    let desk = Desk::open().await;
    let made = desk.make("acme on GitHub").await;
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(made["url"], format!("https://ci.example.org{}", made["path"].as_str().unwrap()));
    assert_eq!((secret.len(), &made["last_delivery_at"]), (64, &Value::Null));

    let body = run(77, "in_progress", None, 1).to_string();
    assert_eq!(to_source(key_of(&made), secret, &body).send(desk.house.app.address).await.status, 202);

    let heard = || async { !desk.read(&made["id"]).await.0["last_delivery_at"].is_null() };
    desk.house.app.until("its delivery is heard of", heard).await;
    let (source, _) = desk.read(&made["id"]).await;
    assert_eq!(
        (&source["secrets"][0]["matched_last"], &source["secret"]),
        (&json!(true), &Value::Null),
        "it is shown once"
    );
    assert_eq!(codes(&source), [""; 0]);
    let shown = desk.send(Request::get(&format!("{SOURCES}?fields=id,name&q=ACME"))).await.json();
    assert_eq!(shown["items"], json!([{"id": made["id"], "name": "acme on GitHub"}]));
    assert_eq!(desk.send(Request::get(&format!("{SOURCES}?host=gitlab"))).await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_secret_is_rotated_with_time_to_paste_it_and_the_old_one_is_warned_of() {
    let desk = Desk::open().await;
    let made = desk.make("acme").await;
    let (old, key) = (made["secret"].as_str().unwrap(), key_of(&made).to_owned());
    let (_, version) = desk.read(&made["id"]).await;
    let path = format!("{SOURCES}/{}/secrets", made["id"]);
    let rotate = |body: Value, version: &str| desk.send(post(&path, &body).header("If-Match", version));

    assert_eq!(rotate(json!({"overlap_hours": 169}), &version).await.status, 422);
    assert_eq!(rotate(json!({"secret": "too short"}), &version).await.status, 422);
    assert_eq!(rotate(json!({}), "\"v99\"").await.status, 412);
    let rotated = rotate(json!({}), &version).await;
    expect(&rotated, 201);
    let new = rotated.json()["secret"].as_str().unwrap().to_owned();

    assert_eq!(to_source(&key, &new, "{}").send(desk.house.app.address).await.status, 202);
    assert_eq!(to_source(&key, old, "{\"a\":1}").send(desk.house.app.address).await.status, 202);
    let warned = || async { codes(&desk.read(&made["id"]).await.0).contains(&"old_secret_in_use") };
    desk.house.app.until("the old one is warned of", warned).await;
    let (source, version) = desk.read(&made["id"]).await;
    assert_eq!(source["secrets"].as_array().unwrap().len(), 2);
    assert_eq!(rotate(json!({}), &version).await.status, 409, "two are live");

    let end = Request::new("DELETE", &format!("{path}/{}", source["secrets"][1]["id"])).header("If-Match", &version);
    expect(&desk.send(end).await, 204);
    let refused = || async { to_source(&key, old, "{}").send(desk.house.app.address).await.status == 401 };
    desk.house.app.until("the old one is over", refused).await;
    assert_eq!(to_source(&key, &new, "{}").send(desk.house.app.address).await.status, 202);
}

#[tokio::test]
async fn a_source_is_made_once_changed_by_version_deleted_and_brought_back() {
    let desk = Desk::open().await;
    let body = json!({"host": "gitlab", "name": "inhouse", "silent_after_hours": 6});
    let once = |body: &Value| post(SOURCES, body).header("Idempotency-Key", "8e03978e-40d5");
    let (first, again) = (desk.send(once(&body)).await, desk.send(once(&body)).await);
    assert_eq!((first.status, again.status, again.header("idempotent-replayed")), (201, 201, Some("true")));
    assert_eq!(first.json(), again.json());
    assert_eq!(desk.send(once(&json!({"host": "gitlab", "name": "other"}))).await.status, 422);
    let (path, version) = (first.header("location").unwrap(), first.header("etag").unwrap());
    assert!(codes(&first.json()).contains(&"weak_secret"));

    let without = Request::with_body("PATCH", path, "{}").header("Content-Type", "application/merge-patch+json");
    assert_eq!(desk.send(without).await.status, 428);
    let changed = desk.send(patch(path, &json!({"name": "moved", "silent_after_hours": null}), version)).await;
    expect(&changed, 200);
    assert_eq!(
        (&changed.json()["name"], &changed.json()["silent_after_hours"]),
        (&json!("moved"), &Value::Null)
    );
    assert_eq!(desk.send(patch(path, &json!({"name": "late"}), version)).await.status, 412);
    let version = changed.header("etag").unwrap();
    expect(&desk.send(Request::new("DELETE", path).header("If-Match", version)).await, 204);
    assert_eq!(desk.send(patch(path, &json!({}), "*")).await.status, 404);
    let deleted = desk.send(Request::get(&format!("{SOURCES}?deleted=only&fields=name"))).await.json();
    assert_eq!(deleted["items"], json!([{"name": "moved"}]));
    let back = desk.send(Request::new("POST", &format!("{path}/restore"))).await;
    expect(&back, 200);
    assert_eq!(back.json()["secrets"].as_array().unwrap().len(), 1, "with its secret");
    assert_eq!(desk.send(Request::new("POST", &format!("{path}/restore"))).await.status, 409);
}

#[tokio::test]
async fn many_are_changed_at_once_and_moved_as_lines() {
    let desk = Desk::open().await;
    let (one, two) = (desk.make("one").await, desk.make("two").await);
    let (_, version) = desk.read(&one["id"]).await;
    let batch = json!({"operations": [
        {"op": "update", "id": one["id"], "if_match": version, "body": {"enabled": false}},
        {"op": "delete", "id": two["id"], "if_match": "\"v99\""},
        {"op": "delete", "id": 999, "if_match": "\"v1\""},
    ]});
    let results = desk.send(post(&format!("{SOURCES}/batch"), &batch)).await;
    assert_eq!(results.status, 207);
    let statuses: Vec<_> = results.json()["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["status"].clone())
        .collect();
    assert_eq!(statuses, [json!(200), json!(412), json!(404)]);

    let exported = desk.send(Request::get(&format!("{SOURCES}/export"))).await;
    // Between the pages stand the sizes of chunks.
    let text = String::from_utf8(exported.body).unwrap();
    let lines: String = text.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    assert!(lines.lines().count() == 2 && !lines.contains(one["secret"].as_str().unwrap()));
    let import = |query: &str, lines: &str| {
        let request = Request::post(&format!("{SOURCES}/import{query}"), lines);
        desk.send(request.header("Content-Type", "application/x-ndjson"))
    };
    let changed = lines.replace("\"enabled\":false", "\"enabled\":true");
    let planned = import("?dry_run=true", &changed).await.json();
    assert_eq!(
        (&planned["update"], &planned["create"], &planned["dry_run"]),
        (&json!(1), &json!(0), &json!(true))
    );
    assert_eq!(desk.read(&one["id"]).await.0["enabled"], false, "nothing is done");
    assert_eq!(import("", &changed).await.json()["update"], 1);
    assert_eq!(desk.read(&one["id"]).await.0["enabled"], true);
    assert_eq!(import("", "{\"host\":\"svn\"}").await.status, 422);
}

#[tokio::test]
async fn a_pipeline_keeps_the_name_that_an_operator_gave_it_whatever_the_host_tells() {
    let desk = Desk::open().await;
    let path = "/admin/v1/pipelines/1";
    let (found, shown) = (desk.send(Request::get(path)).await, "/api/v1/pipelines/1");
    let told = found.json()["told_name"].clone();

    let named = desk.send(patch(path, &json!({"given_name": " Nightly "}), found.header("etag").unwrap())).await;
    expect(&named, 200);
    desk.house.app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;
    desk.house.app.until_status(1, "success").await;

    assert_eq!(desk.house.app.get(shown).await["name"], "Nightly");
    let list = desk.send(Request::get("/admin/v1/pipelines?q=night&fields=given_name,told_name")).await.json();
    assert_eq!(list["items"], json!([{"given_name": "Nightly", "told_name": told}]));
    let archived = desk
        .send(patch(path, &json!({"archived": true, "given_name": null}), named.header("etag").unwrap()))
        .await;
    expect(&archived, 200);
    let listed = || async {
        desk.house.app.get("/api/v1/pipelines").await["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["id"] == 1)
    };
    desk.house.app.until("it is in no list", || async { !listed().await }).await;
    assert_eq!(desk.house.app.get(shown).await["name"], told);
}

#[tokio::test]
async fn a_project_is_shown_to_whoever_is_signed_in_and_archived_with_its_pipelines() {
    let desk = Desk::open().await;
    let path = "/admin/v1/projects/1";
    let (_, stranger) = desk.house.member("stranger", 2, "viewer").await;
    let seen = || async { desk.house.app.send(with(Request::get(path), &stranger)).await.status };
    let found = desk.send(Request::get(path)).await;
    assert_eq!((seen().await, &found.json()["visibility"]), (404, &json!("private")));

    let opened = desk.send(patch(path, &json!({"visibility": "internal"}), found.header("etag").unwrap())).await;
    expect(&opened, 200);
    desk.house.app.until("everybody sees it", || async { seen().await == 200 }).await;
    let archived = desk.send(patch(path, &json!({"archived": true}), opened.header("etag").unwrap())).await;
    expect(&archived, 200);

    let gone = || async {
        desk.house.app.get("/api/v1/pipelines").await["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["id"] != 1)
    };
    desk.house.app.until("its pipelines are in no list", gone).await;
    assert_eq!(
        desk.send(Request::get("/admin/v1/projects?archived=true&fields=id")).await.json()["items"],
        json!([{"id": 1}])
    );
}
