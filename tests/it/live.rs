//! Sockets and event streams as a client meets them: snapshots, changes, commands, farewells.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::socket::{Frame, Socket, Stream};

/// A workflow run of GitHub as its webhook tells it; `second` orders the tellings.
pub fn run(id: i64, status: &str, conclusion: Option<&str>, second: u32) -> Value {
    let updated_at = format!("2026-11-21T10:{:02}:{:02}Z", second / 60, second % 60);
    json!({
        "action": status,
        "workflow_run": {
            "id": id, "name": "CI", "workflow_id": 7001, "run_number": 12, "run_attempt": 1, "event": "push", "status": status, "conclusion": conclusion,
            "head_branch": "main", "head_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e", "display_title": "Bring the valve back",
            "html_url": format!("https://github.example/acme/rocket/actions/runs/{id}"),
            "created_at": "2026-11-21T10:00:00Z", "run_started_at": "2026-11-21T10:00:00Z", "updated_at": updated_at,
            "actor": {"login": "ada"}, "triggering_actor": {"login": "ada"},
        },
        "workflow": {"id": 7001, "name": "CI", "path": ".github/workflows/ci.yml"},
        "repository": {"id": 501, "full_name": "acme/rocket", "html_url": "https://github.example/acme/rocket", "default_branch": "main"},
        "sender": {"login": "ada"},
    })
}

/// The service with one pipeline, id 1, whose execution, id 1, is running.
pub async fn app_with_a_run(change: impl FnOnce(&mut pipecast::config::Config)) -> TestApp {
    let app = TestApp::start_with(change).await;
    app.deliver_github("workflow_run", &run(1001, "in_progress", None, 1)).await;
    app.until_status(1, "running").await;
    app
}

#[tokio::test]
async fn a_change_reaches_every_kind_of_watcher() {
    let app = app_with_a_run(|_| {}).await;
    let mut sockets = Vec::new();
    let mut streams = Vec::new();
    for topic in ["pipeline/1", "execution/1", "monitor"] {
        sockets.push(Socket::plain(app.address, &format!("/ws/{topic}")).await);
        sockets.push(Socket::v1(app.address, &format!("/ws/{topic}")).await);
        streams.push(Stream::open(app.address, &format!("/sse/{topic}")).await);
    }
    for socket in &mut sockets {
        assert_eq!(socket.json_of("snapshot").await["type"], "snapshot");
    }
    for stream in &mut streams {
        assert_eq!(stream.next().await.expect("an event").kind, "snapshot");
    }

    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;

    for socket in &mut sockets {
        let change = socket.json_of("status_change").await;
        assert_eq!(
            (&change["status"], &change["previous_status"], &change["terminal"]),
            (&json!("success"), &json!("running"), &json!(true))
        );
        assert!(change["timestamp"].is_string() && change["id"].is_string() && change["seq"].is_i64());
    }
    for stream in &mut streams {
        let event = stream.next().await.expect("an event");
        assert_eq!((event.kind.as_str(), &event.data["status"]), ("status_change", &json!("success")));
        assert_eq!(event.id.as_deref(), event.data["id"].as_str());
    }
}

#[tokio::test]
async fn frames_carry_what_the_api_answers() {
    let app = app_with_a_run(|_| {}).await;

    let pipeline = Socket::plain(app.address, "/ws/pipeline/1").await.json().await;
    let execution = Socket::plain(app.address, "/ws/execution/1").await.json().await;
    let monitor = Socket::plain(app.address, "/ws/monitor").await.json().await;

    assert_eq!(pipeline["data"], app.get("/api/v1/pipelines/1").await);
    assert_eq!(monitor["data"]["pipelines"][0]["data"], pipeline["data"]);
    assert_eq!(monitor["complete"], true);
    let mut shown = app.get("/api/v1/executions/1").await;
    shown["jobs"] = json!([]);
    assert_eq!(execution["data"], shown);
}

#[tokio::test]
async fn a_plain_socket_hears_states_and_nothing_else() {
    let app = app_with_a_run(|config| config.live.ping = Duration::from_millis(300)).await;
    let mut socket = Socket::plain(app.address, "/ws/pipeline/1").await;

    assert_eq!(socket.protocol, None);
    assert!(matches!(socket.next().await, Frame::Text(snapshot) if snapshot["type"] == "snapshot"));
    assert_eq!(socket.next().await, Frame::Ping);
}

#[tokio::test]
async fn an_unknown_pipeline_is_unknown_until_it_appears() {
    let app = TestApp::start().await;
    let mut socket = Socket::plain(app.address, "/ws/pipeline/1").await;

    let first = socket.json().await;
    app.deliver_github("workflow_run", &run(1001, "in_progress", None, 1)).await;
    let second = socket.json().await;

    assert_eq!(
        (&first["type"], &first["status"], &first["seq"]),
        (&json!("snapshot"), &json!("unknown"), &json!(0))
    );
    assert_eq!((&second["status"], &second["seq"]), (&json!("running"), &json!(1)));
}

#[tokio::test]
async fn a_v1_socket_is_greeted_and_resumes_where_it_was() {
    let app = app_with_a_run(|_| {}).await;
    let mut first = Socket::v1(app.address, "/ws/pipeline/1").await;
    let hello = first.json().await;
    let subscribed = first.json().await;
    let snapshot = first.json().await;
    assert_eq!(first.protocol.as_deref(), Some("pipecast.v1"));
    assert_eq!(
        (&hello["type"], &hello["ping_ms"], &hello["max_topics"]),
        (&json!("hello"), &json!(25_000), &json!(128))
    );
    assert_eq!((&subscribed["resumed"], &subscribed["id"]), (&json!(false), &snapshot["id"]));

    let since = snapshot["id"].as_str().expect("a cursor");
    let mut current = Socket::v1(app.address, &format!("/ws/pipeline/1?since={since}")).await;
    assert_eq!(current.json_of("subscribed").await["resumed"], true);
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;
    assert_eq!(current.json().await["type"], "status_change", "no snapshot between");

    let mut outdated = Socket::v1(app.address, &format!("/ws/pipeline/1?since={since}")).await;
    assert_eq!(outdated.json_of("subscribed").await["resumed"], false);
    assert_eq!(outdated.json().await["status"], "success");
}

#[tokio::test]
async fn one_socket_watches_many_topics_by_command() {
    let app = app_with_a_run(|config| config.live.max_topics = 3).await;
    let mut socket = Socket::v1(app.address, "/ws").await;
    socket.json_of("hello").await;

    socket
        .say(&json!({"cmd": "sub", "cid": 1, "topics": ["pipeline:1", {"topic": "execution:1"}]}))
        .await;
    let mut seen: Vec<_> = Vec::new();
    for _ in 0..4 {
        let frame = socket.json().await;
        seen.push(format!(
            "{} {}",
            frame["type"].as_str().expect("a type"),
            frame["topic"].as_str().expect("a topic")
        ));
    }
    seen.sort();
    assert_eq!(
        seen,
        ["snapshot execution:1", "snapshot pipeline:1", "subscribed execution:1", "subscribed pipeline:1"]
    );

    for (topics, code) in [
        (json!(["pipeline:1"]), "already_subscribed"),
        (json!(["tractor:9"]), "unknown_topic"),
        (json!(["pipeline:2", "pipeline:3"]), "limit_exceeded"),
    ] {
        socket.say(&json!({"cmd": "sub", "cid": 2, "topics": topics})).await;
        let error = socket.json_of("error").await;
        assert_eq!((&error["code"], &error["cid"], &error["retryable"]), (&json!(code), &json!(2), &json!(false)));
    }

    socket.say(&json!({"cmd": "unsub", "cid": 3, "topics": ["pipeline:1"]})).await;
    assert_eq!(socket.json_of("unsubscribed").await["topic"], "pipeline:1");
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;
    assert_eq!(socket.json_of("status_change").await["topic"], "execution:1");

    for (said, code) in [
        ("{\"cmd\":\"dance\",\"cid\":4}", "unknown_command"),
        ("[]", "bad_request"),
        ("{\"cmd\":\"sub\",\"cid\":4}", "bad_request"),
    ] {
        socket.send(0x81, said.as_bytes()).await;
        assert_eq!(socket.json_of("error").await["code"], code, "{said}");
    }
}

#[tokio::test]
async fn a_topic_that_is_left_and_joined_again_while_it_is_read_answers_the_later_command() {
    let app = app_with_a_run(|_| {}).await;
    let mut socket = Socket::v1(app.address, "/ws").await;
    socket.json_of("hello").await;
    // Each of them is read for the first time.
    for topic in (100..110).map(|number| format!("pipeline:{number}")) {
        let commands = [
            json!({"cmd": "sub", "cid": 1, "topics": [topic]}),
            json!({"cmd": "unsub", "cid": 2, "topics": [topic]}),
            json!({"cmd": "sub", "cid": 3, "topics": [topic]}),
        ];
        // All in one segment, under a mask of zeros.
        let frames = commands.map(|command| {
            let text = command.to_string();
            [&[0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0][..], text.as_bytes()].concat()
        });
        socket.raw(&frames.concat()).await.unwrap();

        assert_eq!(socket.json_of("unsubscribed").await["cid"], 2, "{topic}");
        assert_eq!(socket.json_of("subscribed").await["cid"], 3, "{topic}");
    }
}

#[tokio::test]
async fn a_pipeline_that_is_merged_into_another_leaves_its_watchers() {
    let app = TestApp::start().await;
    let mut monitor = Socket::v1(app.address, "/ws/monitor").await;
    monitor.json_of("snapshot").await;
    // A job knows only its workflow's name; the run that comes later knows the workflow.
    let job = json!({
        "action": "queued", "repository": {"id": 501, "full_name": "acme/rocket"},
        "workflow_job": {"id": 9001, "run_id": 1001, "run_attempt": 1, "name": "build", "workflow_name": "Build", "status": "queued", "created_at": "2026-11-21T10:00:00Z"},
    });
    app.deliver_github("workflow_job", &job).await;
    assert_eq!(monitor.json_of("status_change").await["topic"], "pipeline:1");
    let mut single = Socket::v1(app.address, "/ws/pipeline/1").await;
    single.json_of("snapshot").await;

    app.deliver_github("workflow_run", &run(1001, "in_progress", None, 1)).await;

    let gone = single.json_of("status_change").await;
    assert_eq!((&gone["status"], &gone["data"]), (&json!("unknown"), &Value::Null));
    app.until_status(2, "running").await;
    let shown = Socket::plain(app.address, "/ws/monitor").await.json().await;
    let topics: Vec<_> = shown["data"]["pipelines"]
        .as_array()
        .expect("a page")
        .iter()
        .map(|entry| entry["topic"].clone())
        .collect();
    assert_eq!(topics, ["pipeline:2"]);
    assert_eq!(app.get("/api/v1/pipelines/1/status/realtime").await["status"], Value::Null);
}

#[tokio::test]
async fn the_mux_needs_its_subprotocol() {
    let app = TestApp::start().await;

    let mut socket = Socket::plain(app.address, "/ws").await;

    assert_eq!(socket.close_frame().await.0, 4500);
}

#[tokio::test]
async fn one_stream_carries_many_topics() {
    let app = app_with_a_run(|_| {}).await;

    let mut stream = Stream::open(app.address, "/sse?topics=pipeline:1,execution:1").await;

    let mut topics = [
        stream.next().await.expect("one").data["topic"].clone(),
        stream.next().await.expect("another").data["topic"].clone(),
    ];
    topics.sort_by_key(Value::to_string);
    assert_eq!(topics, [json!("execution:1"), json!("pipeline:1")]);
}

#[tokio::test]
async fn a_stream_goes_on_where_its_reader_was() {
    let app = app_with_a_run(|_| {}).await;
    let cursor = Stream::open(app.address, "/sse/pipeline/1")
        .await
        .next()
        .await
        .expect("a snapshot")
        .id
        .expect("a cursor");

    let mut current = Stream::open(app.address, &format!("/sse/pipeline/1?since={cursor}")).await;
    let mut outdated = Stream::open(app.address, "/sse/pipeline/1?since=elsewhen-1").await;
    assert_eq!(outdated.next().await.expect("an event").kind, "snapshot");
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;

    assert_eq!(current.next().await.expect("an event").kind, "status_change");
}

#[tokio::test]
async fn a_shutdown_says_goodbye_to_everyone_and_lets_nobody_in() {
    let app = app_with_a_run(|config| config.live.drain_window = Duration::from_secs(2)).await;
    let mut plain = Socket::plain(app.address, "/ws/pipeline/1").await;
    let mut v1 = Socket::v1(app.address, "/ws/monitor").await;
    let mut stream = Stream::open(app.address, "/sse/execution/1").await;
    v1.json_of("snapshot").await;
    stream.next().await.expect("a snapshot");
    let address = app.address;

    let stopping = tokio::spawn(app.stop());

    let farewell = v1.json_of("reconnect").await;
    let (code, reason) = v1.close_frame().await;
    assert_eq!((code, reason), (1012, format!("restart;retry_ms={}", farewell["after_ms"])));
    assert_eq!(plain.close_frame().await.0, 1012);
    assert!(stream.next().await.is_none());
    stopping.await.expect("a clean stop");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
