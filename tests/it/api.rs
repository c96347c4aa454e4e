//! Lists, details and the status endpoint as programs read them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::http::Request;
use crate::live::run;

/// The service with `count` pipelines, the later ones with the higher ids, each with one execution.
async fn app_with(count: i64) -> TestApp {
    let app = TestApp::start().await;
    for number in 1..=count {
        app.deliver_github("workflow_run", &numbered(number)).await;
        app.until_status(number, if number % 2 == 0 { "success" } else { "running" }).await;
    }
    app
}

/// A run of a workflow of its own; every second one has succeeded.
fn numbered(number: i64) -> Value {
    let mut body = if number % 2 == 0 {
        run(1000 + number, "completed", Some("success"), 9)
    } else {
        run(1000 + number, "in_progress", None, 1)
    };
    body["workflow_run"]["workflow_id"] = json!(7000 + number);
    body["workflow"]["id"] = json!(7000 + number);
    body["workflow_run"]["name"] = json!(format!("Pipeline {number}"));
    body["workflow"]["name"] = json!(format!("Pipeline {number}"));
    body
}

/// Follows `next_cursor` to the end and returns the ids.
async fn walk(app: &TestApp, path: &str) -> Vec<i64> {
    let mut ids = Vec::new();
    let mut next = path.to_owned();
    loop {
        let answer = app.send(Request::get(&next)).await;
        assert_eq!(answer.status, 200, "{next}");
        let body = answer.json();
        ids.extend(body["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()));
        let Some(cursor) = body["next_cursor"].as_str() else {
            assert_eq!(answer.header("link"), None);
            return ids;
        };
        let link = answer.header("link").expect("a link to the next page");
        assert!(link.ends_with("; rel=\"next\"") && link.contains(cursor), "{link}");
        next = link[1..link.find('>').unwrap()].to_owned();
    }
}

#[tokio::test]
async fn pages_of_any_size_hold_everything_once() {
    let app = app_with(7).await;

    let newest = walk(&app, "/api/v1/pipelines").await;
    assert_eq!(newest, [7, 6, 5, 4, 3, 2, 1]);
    for limit in [1, 2, 3, 6, 7, 8, 200] {
        assert_eq!(walk(&app, &format!("/api/v1/pipelines?limit={limit}")).await, newest, "{limit}");
        assert_eq!(
            walk(&app, &format!("/api/v1/pipelines?sort=id&limit={limit}")).await,
            [1, 2, 3, 4, 5, 6, 7],
            "{limit}"
        );
    }
}

#[tokio::test]
async fn filters_take_what_they_name() {
    let app = app_with(4).await;

    assert_eq!(walk(&app, "/api/v1/pipelines?status=running&limit=1").await, [3, 1]);
    assert_eq!(walk(&app, "/api/v1/pipelines?status=running,success&sort=id").await, [1, 2, 3, 4]);
    assert_eq!(walk(&app, "/api/v1/pipelines?q=PIPELINE%202").await, [2]);
    assert_eq!(walk(&app, "/api/v1/pipelines?q=acme").await.len(), 4);
    assert_eq!(walk(&app, "/api/v1/pipelines?host=gitlab").await, [0_i64; 0]);
    assert_eq!(walk(&app, "/api/v1/pipelines/2/executions?branch=main&status=success").await, [2]);
    assert_eq!(walk(&app, "/api/v1/pipelines/2/executions?branch=other").await, [0_i64; 0]);
}

#[tokio::test]
async fn executions_are_listed_by_number_and_attempt() {
    let app = TestApp::start().await;
    for (id, number, attempt) in [(11, 1, 1), (12, 2, 1), (12, 2, 2), (13, 3, 1)] {
        let mut body = run(id, "in_progress", None, 1);
        body["workflow_run"]["run_number"] = json!(number);
        body["workflow_run"]["run_attempt"] = json!(attempt);
        app.deliver_github("workflow_run", &body).await;
        app.until_done().await;
    }

    let list = app.get("/api/v1/pipelines/1/executions").await;
    let order: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["number"].clone(), item["attempt"].clone()))
        .collect();

    assert_eq!(order, [(json!(3), json!(1)), (json!(2), json!(2)), (json!(2), json!(1)), (json!(1), json!(1))]);
    let ids = walk(&app, "/api/v1/pipelines/1/executions?limit=1").await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4);
}

#[tokio::test]
async fn jobs_belong_to_their_execution() {
    let app = TestApp::start().await;
    app.deliver_github("workflow_run", &run(1001, "in_progress", None, 1)).await;
    app.until_status(1, "running").await;
    for job in [1, 2, 3] {
        let body = json!({
            "action": "in_progress",
            "workflow_job": {
                "id": 9000 + job, "run_id": 1001, "run_attempt": 1, "name": format!("job {job}"), "status": "in_progress", "conclusion": null,
                "workflow_name": "CI", "head_branch": "main", "head_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
                "created_at": "2026-11-21T10:00:00Z", "started_at": "2026-11-21T10:00:01Z", "completed_at": null,
                "steps": [{"name": "Set up job", "number": 1, "status": "completed", "conclusion": "success"}],
            },
            "repository": {"id": 501, "full_name": "acme/rocket", "html_url": "https://github.example/acme/rocket", "default_branch": "main"},
        });
        app.deliver_github("workflow_job", &body).await;
    }
    app.until("all jobs are there", || async {
        app.get("/api/v1/executions/1/jobs").await["items"].as_array().unwrap().len() == 3
    })
    .await;

    let ids = walk(&app, "/api/v1/executions/1/jobs?limit=2").await;
    assert_eq!(ids.len(), 3);
    let job = app.get(&format!("/api/v1/jobs/{}", ids[0])).await;
    assert_eq!((&job["execution_id"], &job["steps"][0]["status"]), (&json!(1), &json!("success")));
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_is_no_id_is_malformed() {
    let app = TestApp::start().await;

    for path in [
        "/api/v1/pipelines/9",
        "/api/v1/pipelines/9/executions",
        "/api/v1/executions/9",
        "/api/v1/executions/9/jobs",
        "/api/v1/jobs/9",
        "/nothing",
    ] {
        let answer = app.send(Request::get(path)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"), "{path}");
    }
    for path in [
        "/api/v1/pipelines/x",
        "/api/v1/executions/1.5",
        "/api/v1/jobs/99999999999999999999",
        "/api/v1/pipelines/x/status/realtime",
    ] {
        let answer = app.send(Request::get(path)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "malformed"), "{path}");
    }
    let delete = app.send(Request::new("DELETE", "/api/v1/pipelines/1")).await;
    assert_eq!((delete.status, delete.header("allow")), (405, Some("GET")));
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_body() {
    let app = app_with(1).await;

    for path in [
        "/",
        "/health",
        "/metrics",
        "/api/v1/pipelines",
        "/api/v1/pipelines/1/status/realtime",
        "/nothing",
    ] {
        let get = app.send(Request::get(path)).await;
        let head = app.send(Request::new("HEAD", path)).await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    assert_eq!(app.send(Request::new("HEAD", "/sse/monitor")).await.status, 405);
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_by_name() {
    let app = app_with(1).await;

    for path in [
        "/api/v1/pipelines?statsu=running",
        "/api/v1/pipelines/1?statsu=1",
        "/api/v1/pipelines/1/executions?statsu=1",
        "/api/v1/executions/1?statsu=1",
        "/api/v1/executions/1/jobs?statsu=1",
        "/api/v1/pipelines/1/status/realtime?statsu=1",
    ] {
        let answer = app.send(Request::get(path)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_query"), "{path}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("`statsu`"), "{path}");
    }
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=x",
        "limit=5&limit=6",
        "cursor=nonsense",
        "status=passed",
        "sort=best",
        "host=svn",
    ] {
        let answer = app.send(Request::get(&format!("/api/v1/pipelines?{query}"))).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_query"), "{query}");
    }
}

#[tokio::test]
async fn a_slash_at_the_end_changes_nothing() {
    let app = app_with(1).await;

    for path in [
        "/api/v1/pipelines",
        "/api/v1/pipelines/1",
        "/api/v1/executions/1/jobs",
        "/api/v1/pipelines/1/status/realtime",
    ] {
        assert_eq!(app.get(&format!("{path}/")).await, app.get(path).await, "{path}");
    }
    assert_eq!(app.get("/api/v1/pipelines/?limit=1").await, app.get("/api/v1/pipelines?limit=1").await);
    assert_eq!(app.send(Request::get("/health/live/")).await.status, 200);
}

#[tokio::test]
async fn the_status_is_what_the_contract_says_and_not_sent_twice() {
    let app = app_with(1).await;
    let path = "/api/v1/pipelines/1/status/realtime";

    let first = app.send(Request::get(path)).await;
    let body = first.json();
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", body["id"].as_str().unwrap()));
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    assert_eq!(
        (&body["pipeline_id"], &body["status"], &body["execution_id"]),
        (&json!(1), &json!("running"), &json!(1))
    );
    assert!(body["id"].as_str().unwrap().ends_with(&format!("-{}", body["seq"])));

    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let answer = app.send(Request::get(path).header("If-None-Match", &known)).await;
        assert_eq!(
            (answer.status, answer.body.len(), answer.header("etag")),
            (304, 0, Some(tag.as_str())),
            "{known}"
        );
    }
    assert_eq!(app.send(Request::get(path).header("If-None-Match", "\"x\"")).await.status, 200);

    app.deliver_github("workflow_run", &{
        let mut done = numbered(1);
        done["workflow_run"]["status"] = json!("completed");
        done["workflow_run"]["conclusion"] = json!("failure");
        done["workflow_run"]["updated_at"] = json!("2026-11-21T10:05:00Z");
        done
    })
    .await;
    app.until_status(1, "failure").await;
    assert_eq!(app.send(Request::get(path).header("If-None-Match", &tag)).await.status, 200);
}

#[tokio::test]
async fn a_pipeline_that_nobody_knows_has_a_status_of_null() {
    let app = TestApp::start().await;

    let body = app.get("/api/v1/pipelines/404/status/realtime").await;

    assert_eq!(
        body,
        json!({"pipeline_id": 404, "status": null, "state": null, "outcome": null, "last_updated": null, "execution_id": null, "seq": null, "id": null})
    );
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_restart() {
    let app = app_with(3).await;
    app.until_done().await;
    let before = app.get("/api/v1/pipelines").await;

    let app = app.restart().await;

    assert_eq!(app.get("/api/v1/pipelines").await, before);
    app.until_status(2, "success").await;
}

#[tokio::test]
async fn a_list_is_kept_until_a_pipeline_changes_and_never_behind_a_status() {
    let process = crate::binary::Process::start(&[]);
    process.deliver(&run(1001, "in_progress", None, 1)).await;
    process.until_status("running").await;
    let reads = async || {
        process
            .counted(r#"pipecast_cache_requests_total{cache="pipelines",layer="database",result="hit"}"#)
            .await
    };
    let listed = async || process.get("/api/v1/pipelines").await.json()["items"][0]["status"].clone();

    assert_eq!(listed().await, "running");
    let began = std::time::Instant::now();
    let before = reads().await;
    for _ in 0..50 {
        assert_eq!(listed().await, "running");
    }
    let allowed = 1.0 + began.elapsed().as_secs_f64() / 0.5;
    assert!(reads().await - before <= allowed, "{} reads for 50 asks", reads().await - before);

    for second in 2..30 {
        let (told, word) = [("queued", "queued"), ("in_progress", "running")][second as usize % 2];
        let mut newer = run(1000 + i64::from(second), told, None, second);
        newer["workflow_run"]["run_number"] = json!(10 + second);
        process.deliver(&newer).await;
        process.until_status(word).await;
        assert_eq!(listed().await, word, "the status was seen before");
    }
}
