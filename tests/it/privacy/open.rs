//! What becomes of sockets and streams that are open on a pipeline when it is made private, and when it is not any more: at one node, and at the
//! others.

use std::time::{Duration, Instant};

use pipecast::roles::{self, Role};
use serde_json::json;

use super::{Scene, nightly, patch, pictured, topics};
use crate::accounts::post;
use crate::app::{ADMIN, PASSWORD, github};
use crate::http::Request;
use crate::live::run;
use crate::people::with;
use crate::socket::{Frame, Socket};
use crate::split::{Deployment, is_ready, until};

/// What is promised.
const AT_MOST: Duration = Duration::from_secs(5);

/// Reads until the close frame.
async fn closed(socket: &mut Socket) -> (u16, String) {
    loop {
        match socket.next().await {
            Frame::Close(code, reason) => return (code, reason),
            Frame::Gone => panic!("it is gone without a word"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_is_made_private_ends_on_open_sockets_within_five_seconds_and_comes_back() {
    let scene = Scene::lay().await;
    let (outsider, member) = (&scene.outsider, &scene.member);
    let mut pipeline = scene.open("/ws/pipeline/3", outsider).await;
    let mut execution = scene.open("/ws/execution/3", outsider).await;
    let mut other = scene.open("/ws/pipeline/1", outsider).await;
    let mut own = scene.open("/ws/execution/3", member).await;
    for socket in [&mut pipeline, &mut execution, &mut other, &mut own] {
        assert_eq!(socket.json_of("snapshot").await["status"], "running");
    }
    let mut many = scene.watch(outsider, &["pipeline:3", "execution:3", "execution:1"]).await;
    for _ in 0..3 {
        many.json_of("snapshot").await;
    }
    let mut stream = scene.stream("/sse/pipeline/3", outsider).await;
    assert_eq!(stream.next().await.expect("an event").data["status"], "running");
    let mut monitor = scene.open("/ws/monitor", outsider).await;
    let mut events = scene.stream("/sse/monitor", outsider).await;
    assert_eq!(pictured(&mut monitor).await, ["pipeline:1", "pipeline:3"]);
    assert_eq!(topics(&events.next().await.expect("an event").data), ["pipeline:1", "pipeline:3"]);
    let mut theirs = scene.open("/ws/monitor", member).await;
    assert_eq!(pictured(&mut theirs).await, ["pipeline:1", "pipeline:3"]);

    let begun = Instant::now();
    scene.say("private").await;
    // A request that is the first to find it out keeps nobody from being told.
    scene.house.until_answered(outsider, "/api/v1/pipelines/3", 404).await;
    assert_eq!(closed(&mut pipeline).await, (4503, "forbidden".to_owned()));
    assert_eq!(closed(&mut execution).await, (4503, "forbidden".to_owned()));
    let mut lost = [many.json_of("unsubscribed").await, many.json_of("unsubscribed").await].map(|frame| frame["topic"].to_string());
    lost.sort();
    assert_eq!(lost, ["\"execution:3\"", "\"pipeline:3\""]);
    while stream.next().await.is_some() {}
    assert_eq!(pictured(&mut monitor).await, ["pipeline:1"]);
    loop {
        let event = events.next().await.expect("the monitor goes on");
        if event.kind == "snapshot" {
            break assert_eq!(topics(&event.data), ["pipeline:1"]);
        }
    }
    assert!(begun.elapsed() < AT_MOST, "{:?}", begun.elapsed());

    // Nor does it open again, by whatever way.
    for path in ["/ws/pipeline/3", "/ws/execution/3"] {
        assert_eq!(scene.open(path, outsider).await.close_frame().await, (4503, "forbidden".to_owned()), "{path}");
    }
    let asking = post("/api/ws-tickets", &json!({})).header("Origin", "https://ci.example.org");
    let ticket = scene.house.app.send(with(asking, outsider)).await.json()["ticket"].as_str().unwrap().to_owned();
    let mut by_ticket = scene
        .open_as(&format!("/ws/pipeline/3?ticket={ticket}"), &[("Origin", "https://ci.example.org")])
        .await;
    assert_eq!(by_ticket.close_frame().await, (4503, "forbidden".to_owned()));
    many.say(&json!({"cmd": "sub", "cid": 2, "topics": ["execution:3"]})).await;
    assert_eq!(many.json_of("error").await["code"], "forbidden");

    // Those who may see it go on, and the others hear nothing of it.
    scene.house.app.deliver_github("workflow_run", &nightly("completed", Some("success"), 9)).await;
    assert_eq!(own.json_of("status_change").await["status"], "success");
    loop {
        let change = theirs.json_of("status_change").await;
        if change["status"] == "success" {
            break assert_eq!(change["topic"], "pipeline:3");
        }
    }
    scene
        .house
        .app
        .deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9))
        .await;
    for socket in [&mut monitor, &mut other] {
        let change = socket.json_of("status_change").await;
        assert_eq!((&change["topic"], &change["status"]), (&json!("pipeline:1"), &json!("success")));
    }
    assert_eq!(many.json_of("status_change").await["topic"], "execution:1");

    let begun = Instant::now();
    scene.say("project").await;
    assert_eq!(pictured(&mut monitor).await, ["pipeline:1", "pipeline:3"]);
    assert!(begun.elapsed() < AT_MOST, "{:?}", begun.elapsed());
    let mut again = scene.open("/ws/execution/3", outsider).await;
    assert_eq!(again.json_of("snapshot").await["status"], "success");
}

#[tokio::test]
async fn what_is_made_private_at_one_node_is_gone_at_another_within_five_seconds() {
    let deployment = Deployment::lay().await;
    roles::create_admin(&deployment.config("admin"), ADMIN, PASSWORD).await.unwrap();
    let admin = deployment.start("admin", Role::Admin).await;
    let edges = [
        deployment.start("edge 1", Role::Realtime).await,
        deployment.start("edge 2", Role::Realtime).await,
    ];
    let worker = deployment.start("worker", Role::Worker).await;
    for process in edges.iter().chain([&admin, &worker]) {
        until("everyone is ready", || is_ready(process)).await;
    }
    let log_in = async |name: &str| {
        let body = json!({"name": name, "password": PASSWORD});
        let session = post("/admin/v1/sessions", &body).send(admin.address).await;
        session.json()["access_token"].as_str().unwrap().to_owned()
    };
    let root = log_in(ADMIN).await;
    let done = async |request: Request| {
        let answer = with(request, &root).send(admin.address).await;
        assert!((200..300).contains(&answer.status), "{}", String::from_utf8_lossy(&answer.body));
    };
    done(post("/admin/v1/users", &json!({"name": "outsider", "password": PASSWORD}))).await;
    let outsider = log_in("outsider").await;
    let answer = github("workflow_run", run(1001, "in_progress", None, 1).to_string())
        .send(edges[0].address)
        .await;
    assert_eq!(answer.status, 202);
    let answered = async |status: u16| {
        for edge in &edges {
            let asked = || async { with(Request::get("/api/v1/executions/1"), &outsider).send(edge.address).await.status == status };
            until("both edges say the same", asked).await;
        }
    };
    until("the run is written", || async { deployment.count("pipelines").await == 1 }).await;
    done(patch("/admin/v1/projects/1", &json!({"visibility": "internal"}))).await;
    answered(200).await;
    let mut sockets = Vec::new();
    for edge in &edges {
        let bearer = format!("Bearer {outsider}");
        let mut socket = Socket::open(edge.address, "/ws/pipeline/1", &[("Authorization", &bearer)])
            .await
            .expect("a handshake");
        socket.json_of("snapshot").await;
        sockets.push(socket);
    }

    let begun = Instant::now();
    done(patch("/admin/v1/pipelines/1", &json!({"visibility": "private"}))).await;
    for socket in &mut sockets {
        assert_eq!(closed(socket).await, (4503, "forbidden".to_owned()));
    }
    answered(404).await;
    assert!(begun.elapsed() < AT_MOST, "{:?}", begun.elapsed());

    done(patch("/admin/v1/pipelines/1", &json!({"visibility": "project"}))).await;
    answered(200).await;
    drop(sockets);
    for process in edges.into_iter().chain([worker, admin]) {
        process.stop().await.expect("it stops in time");
    }
}
