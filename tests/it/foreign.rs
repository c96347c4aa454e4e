//! Another backend that writes pipelines' statuses into Redis, in the seeds' words: SET alone, PUBLISH alone, and both.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::http::Request;
use crate::live::{app_with_a_run, run};
use crate::redis::RedisServer;
use crate::socket::{Socket, Stream};

const STATUS: &str = "/api/v1/pipelines/7/status/realtime";

fn on(redis: &RedisServer) -> impl FnOnce(&mut pipecast::config::Config) {
    let url = redis.url();
    move |config| config.fabric.redis_url = Some(url)
}

/// Frames until the status is `word`.
async fn shows(socket: &mut Socket, word: &str) -> Value {
    loop {
        let frame = socket.json().await;
        if frame["status"] == word {
            return frame;
        }
    }
}

#[tokio::test]
async fn set_alone_shows_at_the_endpoint_and_on_sockets_of_every_edge() {
    let redis = RedisServer::start();
    let edges = [TestApp::start_with(on(&redis)).await, TestApp::start_with(on(&redis)).await];
    let mut sockets = Vec::new();
    for edge in &edges {
        let nothing = edge.get(STATUS).await;
        assert_eq!((&nothing["pipeline_id"], &nothing["status"]), (&json!(7), &Value::Null));
        let mut socket = Socket::plain(edge.address, "/ws/pipeline/7").await;
        assert_eq!(socket.json_of("snapshot").await["status"], "unknown");
        sockets.push(socket);
    }

    for word in ["running", "deploying to mars"] {
        redis.type_in(&["SET", "pipeline:7:status", word]);

        for (edge, socket) in edges.iter().zip(&mut sockets) {
            let frame = socket.json_of("status_change").await;
            assert_eq!((&frame["status"], &frame["id"], &frame["seq"]), (&json!(word), &Value::Null, &Value::Null));
            let status = edge.get(STATUS).await;
            assert_eq!((&status["status"], &status["id"], &status["seq"]), (&json!(word), &Value::Null, &Value::Null));
        }
    }

    redis.type_in(&["DEL", "pipeline:7:status"]);

    for (edge, socket) in edges.iter().zip(&mut sockets) {
        assert_eq!(socket.json_of("status_change").await["status"], "unknown");
        assert_eq!(edge.get(STATUS).await["status"], Value::Null);
    }
}

#[tokio::test]
async fn publish_alone_shows_at_once_with_whatever_else_it_says() {
    let redis = RedisServer::start();
    let app = TestApp::start_with(on(&redis)).await;
    let mut socket = Socket::plain(app.address, "/ws/pipeline/7").await;
    assert_eq!(socket.json_of("snapshot").await["status"], "unknown");
    let mut stream = Stream::open(app.address, "/sse/pipeline/7").await;
    assert_eq!(stream.next().await.unwrap().kind, "snapshot");

    let told = r#"{"type":"status_change","status":"canceled","timestamp":"2026-11-21T10:00:00.250000","progress":50}"#;
    redis.type_in(&["PUBLISH", "pipeline:7:events", told]);

    let frame = socket.json_of("status_change").await;
    assert_eq!(
        frame,
        json!({"type": "status_change", "topic": "pipeline:7", "status": "canceled", "state": "completed", "outcome": "cancelled",
            "timestamp": "2026-11-21T10:00:00.250Z", "epoch": null, "seq": null, "id": null, "terminal": true, "progress": 50, "data": null})
    );
    let event = stream.next().await.unwrap();
    assert_eq!((event.id, event.kind.as_str(), event.data), (None, "status_change", frame));
    assert_eq!(
        app.get(STATUS).await,
        json!({"pipeline_id": 7, "status": "canceled", "state": "completed", "outcome": "cancelled", "last_updated": "2026-11-21T10:00:00.250Z",
            "execution_id": null, "seq": null, "id": null, "progress": 50})
    );

    for bare in ["failed", "\"pending\""] {
        redis.type_in(&["PUBLISH", "pipeline:7:events", bare]);
        assert_eq!(socket.json_of("status_change").await["status"], bare.trim_matches('"'));
    }
    redis.type_in(&["PUBLISH", "pipeline:7:events", r#"{"type":"log","line":"no status in it"}"#]);
    redis.type_in(&["PUBLISH", "pipeline:7:events", "timeout"]);
    assert_eq!(socket.json_of("status_change").await["status"], "timeout");
}

#[tokio::test]
async fn both_show_once_and_the_answer_has_an_etag_of_its_own() {
    let redis = RedisServer::start();
    let app = TestApp::start_with(on(&redis)).await;
    let mut socket = Socket::plain(app.address, "/ws/pipeline/7").await;
    socket.json_of("snapshot").await;

    for (word, second) in [("running", 1), ("success", 2)] {
        let told = json!({"type": "status_change", "status": word, "timestamp": format!("2026-11-21T10:00:0{second}Z")}).to_string();
        redis.type_in(&["SET", "pipeline:7:status", word, "EX", "3600"]);
        redis.type_in(&["PUBLISH", "pipeline:7:events", &told]);
        shows(&mut socket, word).await;
        app.until("its time shows", || async {
            app.get(STATUS).await["last_updated"] == format!("2026-11-21T10:00:0{second}Z")
        })
        .await;
    }

    let answer = app.send(Request::get(STATUS)).await;
    let tag = answer.header("etag").unwrap().to_owned();
    assert_eq!(app.send(Request::get(STATUS).header("If-None-Match", &tag)).await.status, 304);
    redis.type_in(&["PUBLISH", "pipeline:7:events", "failed"]);
    shows(&mut socket, "failed").await;
    assert_eq!(app.send(Request::get(STATUS).header("If-None-Match", &tag)).await.status, 200);
}

#[tokio::test]
async fn a_foreign_word_lies_over_ours_until_our_next_sequence() {
    let redis = RedisServer::start();
    let app = app_with_a_run(on(&redis)).await;
    let mut socket = Socket::v1(app.address, "/ws/pipeline/1").await;
    let snapshot = socket.json_of("snapshot").await;
    let cursor = snapshot["id"].as_str().unwrap().to_owned();

    redis.type_in(&["SET", "pipeline:1:status", "failed"]);

    let over = socket.json_of("status_change").await;
    assert_eq!((&over["status"], &over["id"]), (&json!("failed"), &Value::Null));
    assert_eq!((&over["data"]["id"], &over["data"]["status"]), (&json!(1), &json!("failed")));
    let mut returning = Socket::v1(app.address, &format!("/ws/pipeline/1?since={cursor}")).await;
    assert_eq!(returning.json_of("subscribed").await["id"], cursor, "the cursor survives it");
    assert_eq!(returning.json_of("snapshot").await["status"], "failed");

    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;

    for socket in [&mut socket, &mut returning] {
        let ours = socket.json_of("status_change").await;
        assert_eq!(
            (&ours["status"], ours["seq"].as_i64()),
            (&json!("success"), snapshot["seq"].as_i64().map(|seq| seq + 1))
        );
    }
    let kept: Value = serde_json::from_str(&redis.type_in(&["GET", "pipeline:1:status"])).unwrap();
    assert_eq!(kept["status"], "success", "ours has taken the key back");
    redis.type_in(&["SET", "pipeline:1:status", "failed"]);
    shows(&mut socket, "failed").await;
}

#[tokio::test]
async fn what_lay_over_ours_and_is_taken_away_uncovers_it_for_those_who_left_too() {
    let redis = RedisServer::start();
    let app = app_with_a_run(on(&redis)).await;
    let mut socket = Socket::v1(app.address, "/ws/pipeline/1").await;
    let cursor = socket.json_of("snapshot").await["id"].as_str().unwrap().to_owned();
    redis.type_in(&["SET", "pipeline:1:status", "failed"]);
    shows(&mut socket, "failed").await;

    redis.type_in(&["DEL", "pipeline:1:status"]);

    let ours = shows(&mut socket, "running").await;
    assert_eq!(ours["id"], cursor);
    let mut returning = Socket::v1(app.address, &format!("/ws/pipeline/1?since={cursor}")).await;
    assert_eq!(returning.json_of("snapshot").await["status"], "running", "it may still show the foreign word");
}

#[tokio::test]
async fn a_foreign_event_ends_when_its_time_is_over() {
    let redis = RedisServer::start();
    let url = redis.url();
    let app = app_with_a_run(|config| {
        config.fabric.redis_url = Some(url);
        config.watch.foreign_for = Duration::from_millis(300);
        config.watch.foreign_every = Duration::from_millis(50);
    })
    .await;
    let mut socket = Socket::plain(app.address, "/ws/pipeline/1").await;
    socket.json_of("snapshot").await;

    redis.type_in(&["PUBLISH", "pipeline:1:events", "failed"]);

    shows(&mut socket, "failed").await;
    shows(&mut socket, "running").await;
    // One that says itself that it is older never comes to lie there.
    redis.type_in(&["SET", "pipeline:1:status", r#"{"status":"failed","timestamp":"2020-01-01T00:00:00Z"}"#]);
    redis.type_in(&["SET", "pipeline:1:status", "queued"]);
    assert_eq!(socket.json_of("status_change").await["status"], "queued");
}

#[tokio::test]
async fn what_we_write_is_what_other_programs_read() {
    let redis = RedisServer::start();
    let mut listener = redis.cli(&["SUBSCRIBE", "pipeline:1:events"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut heard = BufReader::new(listener.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .skip_while(|line| line != "message");

    let app = app_with_a_run(on(&redis)).await;

    // On a thread of its own: this one runs the service.
    let message = tokio::task::spawn_blocking(move || heard.nth(2).unwrap()).await.unwrap();
    let message: Value = serde_json::from_str(&message).unwrap();
    listener.kill().unwrap();
    listener.wait().unwrap();
    assert_eq!((&message["type"], &message["status"]), (&json!("status_change"), &json!("running")));
    let value: Value = serde_json::from_str(&redis.type_in(&["GET", "pipeline:1:status"])).unwrap();
    let status = app.get("/api/v1/pipelines/1/status/realtime").await;
    assert_eq!(
        (&value["status"], &value["seq"], &value["id"]),
        (&json!("running"), &status["seq"], &status["id"])
    );
    assert_eq!(value["timestamp"], status["last_updated"]);
    assert!(value["epoch"].is_string() && value["generation"].is_string());
    let left: u64 = redis.type_in(&["TTL", "pipeline:1:status"]).parse().unwrap();
    assert!((3200..=3960).contains(&left), "{left}");
}

#[tokio::test]
async fn one_of_ours_from_another_time_is_not_believed() {
    let redis = RedisServer::start();
    let url = redis.url();
    let app = app_with_a_run(|config| {
        config.fabric.redis_url = Some(url);
        config.watch.linger = Duration::ZERO;
    })
    .await;
    let path = "/api/v1/pipelines/1/status/realtime";
    let ours: Value = serde_json::from_str(&redis.type_in(&["GET", "pipeline:1:status"])).unwrap();

    for (name, other) in [("generation", "an older one"), ("epoch", "elsewhen")] {
        let mut stale = ours.clone();
        stale[name] = json!(other);
        stale["status"] = json!("failure");
        stale["seq"] = json!(99);
        app.until("the node forgets", || async {
            redis.type_in(&["PUBSUB", "NUMSUB", "pipeline:1:events"]).ends_with('0')
        })
        .await;
        redis.type_in(&["SET", "pipeline:1:status", &stale.to_string()]);

        let status = app.get(path).await;
        assert_eq!((&status["status"], &status["seq"]), (&json!("running"), &ours["seq"]), "{name}");
    }
}

#[tokio::test]
async fn a_status_read_holds_the_subscription_also_where_nothing_is_known() {
    let redis = RedisServer::start();
    let app = TestApp::start_with(on(&redis)).await;
    assert_eq!(app.get(STATUS).await["status"], Value::Null);

    // Longer than the watch takes to let go of what nobody wants.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    redis.type_in(&["PUBLISH", "pipeline:7:events", "running"]);

    app.until_status(7, "running").await;
}
