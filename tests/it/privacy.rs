//! Private pipelines of an internal project: whoever is signed in sees the project, and these they do not, wherever they look and however they
//! looked before.

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::live::run;
use crate::people::{House, expect, with};
use crate::socket::{Socket, Stream};

mod open;

const PRIVATE: &str = "/admin/v1/pipelines/3";

/// A run of another workflow in the same repository.
fn nightly(status: &str, conclusion: Option<&str>, second: u32) -> Value {
    let mut run = run(1003, status, conclusion, second);
    for place in ["workflow_run", "workflow"] {
        run[place]["name"] = json!("Nightly");
    }
    (run["workflow_run"]["workflow_id"], run["workflow"]["id"]) = (json!(7002), json!(7002));
    run
}

fn patch(path: &str, change: &Value) -> Request {
    Request::with_body("PATCH", path, &change.to_string())
        .header("Content-Type", "application/merge-patch+json")
        .header("If-Match", "*")
}

/// Project 1 is internal and has the pipelines 1 and 3, of which the latter is to be private; project 2 has pipeline 2.
struct Scene {
    house: House,
    /// Signed in, and a member of nothing.
    outsider: String,
    /// Reads project 1.
    member: String,
    /// Reads everywhere.
    reader: String,
}

impl Scene {
    async fn lay() -> Scene {
        let house = House::start(|config| {
            config.server.public_url = Some("https://ci.example.org".into());
            config.live.allowed_origins = vec!["https://ci.example.org".into()];
        })
        .await;
        house.app.deliver_github("workflow_run", &nightly("in_progress", None, 1)).await;
        house.app.until_status(3, "running").await;
        let job = json!({
            "action": "in_progress", "repository": {"id": 501, "full_name": "acme/rocket"},
            "workflow_job": {"id": 9003, "run_id": 1003, "run_attempt": 1, "name": "build", "workflow_name": "Nightly", "status": "in_progress",
                "created_at": "2026-11-21T10:00:00Z", "started_at": "2026-11-21T10:00:01Z"},
        });
        house.app.deliver_github("workflow_job", &job).await;
        house.app.until_done().await;
        house.done(patch("/admin/v1/projects/1", &json!({"visibility": "internal"}))).await;
        let (_, outsider) = house.person("outsider", None).await;
        let (_, reader) = house.person("reader", Some("viewer")).await;
        let (_, member) = house.member("member", 1, "viewer").await;
        house.until_answered(&outsider, "/api/v1/pipelines/3", 200).await;
        Scene {
            house,
            outsider,
            member,
            reader,
        }
    }

    async fn say(&self, visibility: &str) -> Value {
        self.house.done(patch(PRIVATE, &json!({"visibility": visibility}))).await
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.house.app.send(with(Request::get(path), token)).await
    }

    /// The ids that a list has for somebody.
    async fn listed(&self, token: &str, path: &str) -> Vec<i64> {
        let answer = self.get(token, path).await;
        expect(&answer, 200);
        let items = answer.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["id"].as_i64().unwrap()).collect()
    }

    async fn open(&self, path: &str, token: &str) -> Socket {
        self.open_as(path, &[("Authorization", &format!("Bearer {token}"))]).await
    }

    async fn open_as(&self, path: &str, headers: &[(&str, &str)]) -> Socket {
        let headers = [&[("Host", "ci.example.org")], headers].concat();
        Socket::open(self.house.app.address, path, &headers).await.expect("a handshake")
    }

    async fn watch(&self, token: &str, topics: &[&str]) -> Socket {
        let mut socket = self
            .open_as("/ws", &[("Sec-WebSocket-Protocol", &format!("pipecast.v1, bearer.{token}"))])
            .await;
        socket.say(&json!({"cmd": "sub", "cid": 1, "topics": topics})).await;
        socket
    }

    async fn stream(&self, path: &str, token: &str) -> Stream {
        let bearer = format!("Bearer {token}");
        Stream::open_with(self.house.app.address, path, &[("Authorization", &bearer)]).await
    }
}

/// The pipelines of the monitor's next snapshot.
async fn pictured(monitor: &mut Socket) -> Vec<String> {
    let snapshot = monitor.json_of("snapshot").await;
    topics(&snapshot)
}

fn topics(snapshot: &Value) -> Vec<String> {
    let entries = snapshot["data"]["pipelines"].as_array().unwrap();
    let mut topics: Vec<String> = entries.iter().map(|entry| entry["topic"].as_str().unwrap().to_owned()).collect();
    topics.sort();
    topics
}

/// A refusal without what differs from one request to the next: the id that was asked for and that of the request.
fn bare(answer: &Answer, id: &str) -> (u16, String) {
    let mut problem = answer.json();
    problem.as_object_mut().unwrap().remove("request_id");
    (
        answer.status,
        problem.to_string().replace(&format!(" {id}"), " N").replace(&format!("/{id}"), "/N"),
    )
}

#[tokio::test]
async fn a_private_pipeline_is_there_for_members_and_for_whoever_reads_everywhere_alone() {
    let scene = Scene::lay().await;
    let readings = [
        "/api/v1/pipelines/ID",
        "/api/v1/pipelines/ID/executions",
        "/api/v1/executions/ID",
        "/api/v1/executions/ID/jobs",
        "/admin/v1/pipelines/ID",
        "/sse/pipeline/ID",
        "/sse/execution/ID",
    ];
    let job = scene.get(&scene.house.admin, "/api/v1/executions/3/jobs").await.json()["items"][0]["id"].to_string();
    let readings = readings.map(|path| (path, "3".to_owned())).into_iter().chain([("/api/v1/jobs/ID", job)]);
    for (path, id) in readings.clone().filter(|(path, _)| !path.starts_with("/sse")) {
        expect(&scene.get(&scene.outsider, &path.replace("ID", &id)).await, 200);
    }

    scene.say("private").await;
    scene.house.until_answered(&scene.outsider, "/api/v1/pipelines/3", 404).await;

    for (path, id) in readings {
        let asked = path.replace("ID", &id);
        let nothing = scene.get(&scene.outsider, &path.replace("ID", "999")).await;
        let refused = scene.get(&scene.outsider, &asked).await;
        assert_eq!(bare(&refused, &id), bare(&nothing, "999"), "{path}");
        if path.starts_with("/sse") {
            continue;
        }
        for token in [&scene.member, &scene.reader, &scene.house.admin] {
            expect(&scene.get(token, &asked).await, 200);
        }
        if path.starts_with("/api") {
            expect(&scene.house.app.send(Request::get(&asked)).await, 200);
        }
    }
    let status = async |token: &str| scene.get(token, "/api/v1/pipelines/3/status/realtime").await.json();
    let (hidden, unknown) = (
        status(&scene.outsider).await,
        scene.get(&scene.outsider, "/api/v1/pipelines/999/status/realtime").await.json(),
    );
    assert_eq!(hidden.to_string().replace(":3,", ":999,"), unknown.to_string());
    assert_eq!(status(&scene.member).await["status"], "running");
    assert_eq!(status(&scene.reader).await["status"], "running");
    assert_eq!(
        scene.house.app.get("/api/v1/pipelines/3/status/realtime").await["status"],
        "running",
        "nobody's on this machine"
    );
    expect(&scene.get(&scene.outsider, "/api/v1/executions/1").await, 200);
}

#[tokio::test]
async fn lists_and_counts_leave_a_private_pipeline_out() {
    let scene = Scene::lay().await;
    let (outsider, member) = (&scene.outsider, &scene.member);
    assert_eq!(scene.listed(outsider, "/api/v1/pipelines?sort=id").await, [1, 3]);

    scene.say("private").await;
    scene.house.until_answered(outsider, "/api/v1/pipelines/3", 404).await;

    let gone = || async { scene.listed(outsider, "/api/v1/pipelines?sort=id").await == [1] };
    scene.house.app.until("a page that was kept is read anew", gone).await;
    for list in [
        "/api/v1/pipelines?q=Nightly",
        "/admin/v1/pipelines?q=Nightly",
        "/admin/v1/pipelines?visibility=private",
    ] {
        assert_eq!(scene.listed(outsider, list).await, [0; 0], "{list}");
        assert_eq!(scene.listed(member, list).await, [3], "{list}");
    }
    assert_eq!(scene.listed(outsider, "/admin/v1/pipelines?project_id=1&sort=id").await, [1]);
    assert_eq!(scene.listed(&scene.reader, "/admin/v1/pipelines?sort=id").await, [1, 2, 3]);

    let counted = async |token: &str| {
        let (one, many) = (
            scene.get(token, "/admin/v1/projects/1").await.json(),
            scene.get(token, "/admin/v1/projects?sort=id").await.json(),
        );
        assert_eq!(one["pipelines"], many["items"][0]["pipelines"]);
        one["pipelines"].as_i64().unwrap()
    };
    assert_eq!((counted(outsider).await, counted(member).await, counted(&scene.house.admin).await), (1, 2, 2));
    // The ledger was never theirs.
    expect(&scene.get(outsider, "/admin/v1/deliveries").await, 403);
}

#[tokio::test]
async fn a_project_that_becomes_internal_does_not_show_what_is_private_in_it() {
    let scene = Scene::lay().await;
    scene.house.done(patch("/admin/v1/projects/1", &json!({"visibility": "private"}))).await;
    scene.house.until_answered(&scene.outsider, "/api/v1/pipelines/1", 404).await;
    let shown = scene.say("private").await;
    assert_eq!((&shown["visibility"], &shown["effective_visibility"]), (&json!("private"), &json!("private")));

    scene.house.done(patch("/admin/v1/projects/1", &json!({"visibility": "internal"}))).await;
    scene.house.until_answered(&scene.outsider, "/api/v1/pipelines/1", 200).await;

    for path in ["/api/v1/pipelines/3", "/api/v1/executions/3", "/admin/v1/pipelines/3"] {
        expect(&scene.get(&scene.outsider, path).await, 404);
    }
    assert_eq!(pictured(&mut scene.open("/ws/monitor", &scene.outsider).await).await, ["pipeline:1"]);
}

#[tokio::test]
async fn who_runs_the_project_changes_it_by_version_and_the_audit_has_it() {
    let scene = Scene::lay().await;
    let (_, maintainer) = scene.house.member("maintainer", 1, "maintainer").await;
    let (_, elsewhere) = scene.house.member("elsewhere", 2, "maintainer").await;
    let found = scene.get(&maintainer, PRIVATE).await;
    assert_eq!(found.json()["visibility"], "project");
    assert_eq!(found.json()["effective_visibility"], "internal");
    let tag = found.header("etag").unwrap().to_owned();
    let change = |token: &str, body: Value, tag: Option<&str>| {
        let request = Request::with_body("PATCH", PRIVATE, &body.to_string()).header("Content-Type", "application/merge-patch+json");
        let request = match tag {
            Some(tag) => request.header("If-Match", tag),
            None => request,
        };
        scene.house.app.send(with(request, token))
    };
    let private = || json!({"visibility": "private"});

    expect(&change(&maintainer, private(), None).await, 428);
    expect(&change(&maintainer, private(), Some("\"v9\"")).await, 412);
    for wrong in [json!("internal"), json!("public"), Value::Null] {
        let refused = change(&maintainer, json!({"visibility": wrong}), Some(&tag)).await;
        expect(&refused, 422);
    }
    expect(&change(&scene.member, private(), Some(&tag)).await, 403);
    expect(&change(&elsewhere, private(), Some(&tag)).await, 403);
    let changed = change(&maintainer, private(), Some(&tag)).await;
    expect(&changed, 200);
    assert_eq!(changed.json()["visibility"], "private");
    scene.house.until_answered(&elsewhere, PRIVATE, 404).await;
    expect(&change(&elsewhere, private(), Some("*")).await, 404);
    // Its name is another matter, and leaves it as private as it was.
    let tag = changed.header("etag").unwrap().to_owned();
    assert_eq!(
        change(&maintainer, json!({"given_name": "Moon"}), Some(&tag)).await.json()["visibility"],
        "private"
    );

    let rows = scene
        .get(&scene.house.admin, "/admin/v1/audit?action=pipeline.update&outcome=ok&sort=seq")
        .await
        .json();
    let told: Vec<_> = rows["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["before"]["visibility"].clone(), row["after"]["visibility"].clone()))
        .collect();
    assert_eq!(told[0], (json!("project"), json!("private")));
}
