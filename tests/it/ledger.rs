//! The ledger, the audit and the settings as an operator meets them over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use crate::accounts::{post, sign_in};
use crate::app::{ADMIN, GITHUB_SECRET, PASSWORD, TestApp};
use crate::http::{Answer, Request};
use crate::live::run;

/// Somebody who has logged in.
pub struct Operator<'a> {
    app: &'a TestApp,
    token: String,
}

impl<'a> Operator<'a> {
    pub async fn admin(app: &'a TestApp) -> Operator<'a> {
        Operator::named(app, ADMIN).await
    }

    async fn named(app: &'a TestApp, name: &str) -> Operator<'a> {
        let token = sign_in(app, name, PASSWORD).await;
        Operator { app, token }
    }

    async fn send(&self, request: Request) -> Answer {
        // What is accepted here is no delivery of a host.
        request.header("Authorization", format!("Bearer {}", self.token)).send(self.app.address).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path)).await
    }

    pub async fn items(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()["items"].as_array().unwrap().clone()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(post(path, body)).await
    }

    pub async fn patch(&self, path: &str, etag: Option<&str>, body: &Value) -> Answer {
        let request = Request::with_body("PATCH", path, &body.to_string()).header("Content-Type", "application/merge-patch+json");
        self.send(match etag {
            Some(etag) => request.header("If-Match", etag),
            None => request,
        })
        .await
    }

    pub async fn delete(&self, path: &str, etag: Option<&str>) -> Answer {
        let request = Request::new("DELETE", path);
        self.send(match etag {
            Some(etag) => request.header("If-Match", etag),
            None => request,
        })
        .await
    }

    /// Actions in the audit, the last first.
    pub async fn audited(&self, action: &str) -> Vec<Value> {
        self.items(&format!("/admin/v1/audit?action={action}")).await
    }

    /// Another account, which can do nothing everywhere unless it has this role.
    async fn make(&self, name: &str, role: Option<&str>) {
        let answer = self.post("/admin/v1/users", &json!({"name": name, "role": role, "password": PASSWORD})).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    }
}

async fn with_deliveries() -> TestApp {
    let app = TestApp::start_with_admin(|_| {}).await;
    app.deliver_github("workflow_run", &run(7, "queued", None, 1)).await;
    app.deliver_github("workflow_run", &run(7, "in_progress", None, 2)).await;
    app.deliver_github("ping", &json!({"zen": "x"})).await;
    app.until_done().await;
    app
}

#[tokio::test]
async fn a_delivery_is_found_looked_into_and_replayed() {
    let app = with_deliveries().await;
    let admin = Operator::admin(&app).await;

    let all = admin.items("/admin/v1/deliveries").await;
    let runs = admin
        .items("/admin/v1/deliveries?event=workflow_run&outcome=applied&host=github&source=default")
        .await;
    assert_eq!((all.len(), runs.len()), (3, 2));
    assert_eq!(all[0]["outcome"], "ping");
    let project = runs[0]["project_id"].as_i64().unwrap();
    assert_eq!(admin.items(&format!("/admin/v1/deliveries?project_id={project}")).await.len(), 2);
    assert_eq!(admin.get("/admin/v1/deliveries?evnt=x").await.problem(), "invalid_query");
    let first = runs[1]["id"].as_str().unwrap().to_owned();

    let whole = admin.get(&format!("/admin/v1/deliveries/{first}")).await.json();
    assert_eq!((whole["verification"].as_str(), whole["attempts"].as_i64()), (Some("verified"), Some(1)));
    assert_eq!(whole["headers"]["x-github-event"], "workflow_run");
    assert!(!whole.to_string().contains(GITHUB_SECRET) && whole["headers"]["x-hub-signature-256"].is_null());
    let topics: Vec<_> = whole["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["topic"].as_str().unwrap())
        .collect();
    assert!(topics.contains(&"execution:1") && topics.contains(&"pipeline:1"), "{topics:?}");
    let body = admin.get(&format!("/admin/v1/deliveries/{first}/body")).await;
    assert_eq!((body.status, body.header("content-type")), (200, Some("application/octet-stream")));
    assert_eq!(body.json(), run(7, "queued", None, 1));

    let answer = admin.post(&format!("/admin/v1/deliveries/{first}/replay"), &json!({})).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let replay = answer.json()["replay_id"].as_str().unwrap().to_owned();
    let path = format!("/admin/v1/deliveries/{replay}");
    app.until("the replay is in the ledger", || async { admin.get(&path).await.status == 200 })
        .await;
    let replayed = admin.get(&path).await.json();
    assert_eq!(
        (replayed["replay_of"].as_str(), replayed["outcome"].as_str()),
        (Some(first.as_str()), Some("applied"))
    );
    let whole = admin.get(&format!("/admin/v1/deliveries/{first}")).await.json();
    assert_eq!(whole["replays"][0]["id"], replay.as_str());
    // What is older than what is known changes nothing.
    assert_eq!(app.get("/api/v1/pipelines/1/status/realtime").await["status"], "running");
    let audited = admin.audited("delivery.replay").await;
    assert_eq!(
        (audited[0]["resource_id"].as_str(), audited[0]["after"]["replay_id"].as_str()),
        (Some(first.as_str()), Some(replay.as_str()))
    );
    assert_eq!((audited[0]["actor"].as_str(), audited[0]["user_id"].as_i64()), (Some("user"), Some(1)));
}

#[tokio::test]
async fn many_are_counted_before_they_are_replayed() {
    let app = with_deliveries().await;
    let admin = Operator::admin(&app).await;
    let path = "/admin/v1/deliveries/replay";
    let filter = json!({"event": "workflow_run"});

    let counted = admin.post(path, &json!({ "filter": filter })).await;
    assert_eq!(counted.status, 200);
    assert_eq!(counted.json(), json!({"found": 2, "replayable": 2, "most": 1000}));
    assert_eq!(admin.post(path, &json!({"filter": filter, "expected": 3})).await.status, 409);
    assert_eq!(admin.post(path, &json!({"filter": {}})).await.problem(), "invalid");
    for expected in [0, 1_001] {
        let answer = admin.post(path, &json!({"filter": filter, "expected": expected})).await;
        assert_eq!((answer.status, answer.json()["errors"][0]["pointer"].as_str()), (422, Some("#/expected")));
    }
    assert_eq!(app.count("SELECT count(*) FROM deliveries").await, 3, "nothing was replayed yet");

    let replayed = admin.post(path, &json!({"filter": filter, "expected": 2})).await;
    assert_eq!((replayed.status, replayed.json()), (202, json!({"replayed": 2})));
    app.until("both are in the ledger", || async {
        app.count("SELECT count(*) FROM deliveries WHERE replay_of IS NOT NULL").await == 2
    })
    .await;
    let audited = admin.audited("delivery.replay_many").await;
    assert_eq!(audited[0]["after"], json!({"filter": {"event": "workflow_run"}, "count": 2}));
}

/// More than are counted, all of them older and none of them to be replayed.
const OLD: &str = "
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100100)
    INSERT INTO deliveries (id, host, source, event, received_at, headers, outcome, repeats, recorded_at)
    SELECT randomblob(16), 'github', 'default', 'workflow_run', hour + n, '[]', 'ignored', 0, hour + n
    FROM numbers, (SELECT (strftime('%s', 'now') - 3600) * 1000000 AS hour)";

#[tokio::test]
async fn what_is_counted_to_be_replayed_is_what_is_replayed_however_much_is_older() {
    let app = with_deliveries().await;
    let admin = Operator::admin(&app).await;
    let path = "/admin/v1/deliveries/replay";
    let filter = json!({"event": "workflow_run"});
    app.alter(OLD).await;

    let counted = admin.post(path, &json!({ "filter": filter })).await;
    assert_eq!(counted.json(), json!({"found": 100_000, "replayable": 2, "most": 1000}));
    let replayed = admin.post(path, &json!({"filter": filter, "expected": 2})).await;
    assert_eq!((replayed.status, replayed.json()), (202, json!({"replayed": 2})));
}

#[tokio::test]
async fn what_somebody_may_not_see_does_not_exist_for_them() {
    let app = with_deliveries().await;
    let admin = Operator::admin(&app).await;
    let runs = admin.items("/admin/v1/deliveries?event=workflow_run").await;
    let project = runs[0]["project_id"].as_i64().unwrap();
    let of_project = format!("/admin/v1/deliveries/{}", runs[0]["id"].as_str().unwrap());
    let ping = &admin.items("/admin/v1/deliveries?outcome=ping").await[0];
    let of_none = format!("/admin/v1/deliveries/{}", ping["id"].as_str().unwrap());
    for (name, role) in [("victor", Some("viewer")), ("mina", None), ("sam", None)] {
        admin.make(name, role).await;
    }
    let members = format!("/admin/v1/projects/{project}/members");
    let joined = admin.post(&members, &json!({"user_name": "mina", "role": "maintainer"})).await;
    assert_eq!(joined.status, 201, "{}", String::from_utf8_lossy(&joined.body));

    let mina = Operator::named(&app, "mina").await;
    let seen = mina.items("/admin/v1/deliveries").await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().all(|delivery| delivery["project_id"] == project));
    assert_eq!(mina.get(&of_project).await.status, 200);
    assert_eq!(mina.get(&of_none).await.status, 404, "it is about no project");
    assert_eq!(mina.post(&format!("{of_none}/replay"), &json!({})).await.status, 404);
    assert_eq!(mina.post(&format!("{of_project}/replay"), &json!({})).await.status, 202);
    for path in [
        "/admin/v1/audit",
        "/admin/v1/audit/export",
        "/admin/v1/dead-letters",
        "/admin/v1/settings",
        "/admin/v1/deliveries/silent-sources",
    ] {
        assert_eq!(mina.get(path).await.status, 403, "{path}");
    }
    for name in ["victor", "sam"] {
        let other = Operator::named(&app, name).await;
        for path in ["/admin/v1/deliveries", &of_project, "/admin/v1/audit"] {
            assert_eq!(other.get(path).await.status, 403, "{name}: {path}");
        }
        assert_eq!(other.post(&format!("{of_project}/replay"), &json!({})).await.status, 403);
    }
    assert_eq!(app.send(Request::get("/admin/v1/deliveries")).await.problem(), "unauthenticated");
}

#[tokio::test]
async fn a_setting_holds_within_seconds_and_says_where_it_comes_from() {
    let app = TestApp::start_with_admin(|config| config.live.max_sockets = 100).await;
    let admin = Operator::admin(&app).await;
    let path = "/admin/v1/settings/live.max_sockets";

    let all = admin.items("/admin/v1/settings").await;
    assert!(
        all.iter()
            .all(|setting| setting["from"] == "configuration" && setting["about"].as_str().unwrap().len() > 20)
    );
    let kind = |key: &str| all.iter().find(|setting| setting["key"] == key).unwrap()["kind"].clone();
    let keys = ["retention.bodies", "retention.bodies_size", "live.max_sockets", "log.filter"];
    assert_eq!(keys.map(kind), ["duration", "size", "number", "text"]);
    let before = admin.get(path).await;
    assert_eq!(
        (before.header("etag").map(|tag| tag.starts_with("\"v0-")), before.json()["value"].as_str()),
        (Some(true), Some("100"))
    );
    assert_eq!(admin.patch(path, None, &json!({"value": "0"})).await.status, 428);
    assert_eq!(admin.patch(path, Some("\"v3\""), &json!({"value": "0"})).await.status, 412);
    let unfit = admin.patch(path, Some("\"v0\""), &json!({"value": "many"})).await;
    assert_eq!((unfit.status, unfit.json()["errors"][0]["pointer"].as_str()), (422, Some("#/value")));
    assert_eq!(admin.get("/admin/v1/settings/server.listen").await.status, 404);

    let changed = admin.patch(path, Some("\"v0\""), &json!({"value": "0"})).await;
    assert_eq!((changed.status, changed.header("etag").map(|tag| tag.starts_with("\"v1-"))), (200, Some(true)));
    assert_eq!(
        (changed.json()["from"].as_str(), changed.json()["configured"].as_str()),
        (Some("database"), Some("100"))
    );
    // Whoever is let in gets a stream without an end.
    let refused = || async {
        let answer = tokio::time::timeout(Duration::from_millis(200), app.send(Request::get("/sse/monitor"))).await;
        answer.is_ok_and(|answer| answer.status == 503)
    };
    app.until("nobody is let in", refused).await;

    let back = admin.patch(path, Some("\"v1\""), &json!({"value": null})).await;
    assert_eq!((back.json()["value"].as_str(), back.json()["version"].as_i64()), (Some("100"), Some(2)));
    let audited = admin.audited("setting.update").await;
    assert_eq!((&audited[0]["before"], &audited[0]["after"]), (&json!({"value": "0"}), &json!({"value": null})));
    assert_eq!(audited.len(), 2);
}

#[tokio::test]
async fn policies_and_targets_are_made_changed_and_taken_away_by_version() {
    let app = with_deliveries().await;
    let admin = Operator::admin(&app).await;
    let project = admin.items("/admin/v1/deliveries?event=workflow_run").await[0]["project_id"].as_i64().unwrap();
    let bodies = [
        (
            "/admin/v1/retention-policies",
            json!({"project_id": project, "bodies": "90d"}),
            json!({"bodies": null, "deliveries": "365d"}),
        ),
        (
            "/admin/v1/notification-targets",
            json!({"name": "ops", "kind": "slack", "project_id": project, "statuses": ["failure", "error"]}),
            json!({"enabled": false, "project_id": null}),
        ),
    ];
    for (path, new, change) in bodies {
        let made = admin.post(path, &new).await;
        assert_eq!(
            (made.status, made.header("etag")),
            (201, Some("\"v1\"")),
            "{}",
            String::from_utf8_lossy(&made.body)
        );
        let one = made.header("location").unwrap().to_owned();
        assert_eq!(admin.items(path).await, [made.json()]);

        assert_eq!(admin.patch(&one, None, &change).await.status, 428);
        let changed = admin.patch(&one, Some("\"v1\""), &change).await;
        assert_eq!(
            (changed.status, changed.header("etag").map(|tag| tag.starts_with("\"v2-"))),
            (200, Some(true)),
            "{}",
            String::from_utf8_lossy(&changed.body)
        );
        for (name, value) in change.as_object().unwrap() {
            assert_eq!(&changed.json()[name], value);
        }
        assert_eq!(admin.get(&one).await.json(), changed.json());
        assert_eq!(admin.delete(&one, Some("\"v1\"")).await.status, 412);
        assert_eq!(admin.delete(&one, Some("\"v2\"")).await.status, 204);
        assert_eq!(admin.get(&one).await.status, 404);
    }
    for (path, wrong) in [
        ("/admin/v1/retention-policies", json!({"project_id": 99})),
        ("/admin/v1/retention-policies", json!({"project_id": project, "deliveries": "1h"})),
        ("/admin/v1/notification-targets", json!({"name": "", "kind": "slack", "statuses": ["failure"]})),
        (
            "/admin/v1/notification-targets",
            json!({"name": "x", "kind": "slack", "project_id": 99, "statuses": ["failure"]}),
        ),
        (
            "/admin/v1/notification-targets",
            json!({"name": "x", "kind": "pigeon", "statuses": ["failure"]}),
        ),
        ("/admin/v1/notification-targets", json!({"name": "x", "kind": "slack", "statuses": []})),
    ] {
        assert_eq!(admin.post(path, &wrong).await.status, 422, "{path} {wrong}");
    }
    let actions: Vec<Value> = admin.items("/admin/v1/audit?limit=200").await;
    let of = |kind: &str| actions.iter().filter(|row| row["resource_type"] == kind).count();
    assert_eq!((of("retention_policy"), of("notification_target")), (3, 3));
    // What was made and what was changed are told in the same words.
    let told = |action: &str, side: &str| actions.iter().find(|row| row["action"] == action).unwrap()[side].clone();
    assert_eq!(told("retention_policy.create", "after"), json!({"bodies": "90d", "deliveries": null}));
    assert_eq!(told("retention_policy.update", "before"), told("retention_policy.create", "after"));
}

#[tokio::test]
async fn the_audit_is_listed_exported_and_sound() {
    let app = with_deliveries().await;
    let admin = Operator::admin(&app).await;
    for value in ["3d", "4d", "5d"] {
        let path = "/admin/v1/settings/retention.bodies";
        let etag = admin.get(path).await.header("etag").unwrap().to_owned();
        assert_eq!(admin.patch(path, Some(&etag), &json!({ "value": value })).await.status, 200);
    }

    let page = admin.get("/admin/v1/audit?action=setting.update&limit=2").await.json();
    let next = page["next_cursor"].as_str().unwrap();
    let rest = admin.items(&format!("/admin/v1/audit?action=setting.update&limit=2&cursor={next}")).await;
    assert_eq!((page["items"].as_array().unwrap().len(), rest.len()), (2, 1));
    let seq = rest[0]["seq"].as_i64().unwrap();
    assert_eq!(admin.get(&format!("/admin/v1/audit/{seq}")).await.json(), rest[0]);
    assert_eq!(admin.get("/admin/v1/audit/9999").await.status, 404);

    let export = admin.get("/admin/v1/audit/export").await;
    assert_eq!(export.header("content-type"), Some("application/x-ndjson"));
    let text = String::from_utf8(export.body).unwrap();
    // Between the pages stand the sizes of chunks.
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<i64> = lines.iter().map(|line| line["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
    // The export has what was written, and not what things are called today.
    let mut written = rest[0].clone();
    assert!(written.as_object_mut().unwrap().remove("names").is_some());
    assert!(lines.contains(&written));
}

#[tokio::test]
async fn a_source_that_is_silent_is_named() {
    let app = with_deliveries().await;
    let admin = Operator::admin(&app).await;
    assert!(admin.items("/admin/v1/deliveries/silent-sources?hours=2").await.is_empty());

    app.alter("UPDATE deliveries SET received_at = received_at - 3 * 3600000000").await;

    let silent = admin.items("/admin/v1/deliveries/silent-sources?hours=2").await;
    assert_eq!((silent.len(), silent[0]["host"].as_str()), (1, Some("github")));
    assert_eq!(admin.get("/admin/v1/deliveries/silent-sources?hours=0").await.problem(), "invalid_query");
}
