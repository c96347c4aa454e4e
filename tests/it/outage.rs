//! Redis away, paused, emptied or back with an old memory: statuses are read from the database, sockets stay, and everything heals.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::accounts::post;
use crate::app::TestApp;
use crate::binary::Process;
use crate::live::{app_with_a_run, run};
use crate::people::House;
use crate::redis::RedisServer;
use crate::socket::Socket;

const PATH: &str = "/api/v1/pipelines/1/status/realtime";

async fn app_on(redis: &RedisServer) -> TestApp {
    let url = redis.url();
    app_with_a_run(|config| config.fabric.redis_url = Some(url)).await
}

async fn watchers(app: &TestApp) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for topic in ["pipeline/1", "execution/1", "monitor"] {
        let mut socket = Socket::plain(app.address, &format!("/ws/{topic}")).await;
        socket.json_of("snapshot").await;
        sockets.push(socket);
    }
    sockets
}

/// Every watcher sees the status within five seconds.
async fn all_see(sockets: &mut [Socket], word: &str) {
    let began = Instant::now();
    for socket in sockets {
        while socket.json_of("status_change").await["status"] != word {}
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Waits until the newest state is in Redis again, which it is once the announcer has told it.
async fn told_again(app: &TestApp, redis: &RedisServer, word: &str) {
    app.until("it is told again", || async {
        serde_json::from_str(&redis.type_in(&["GET", "pipeline:1:status"])).is_ok_and(|value: Value| value["status"] == word)
    })
    .await;
}

#[tokio::test]
async fn while_redis_is_down_sockets_stay_and_see_what_the_database_says() {
    let mut redis = RedisServer::start();
    let app = app_on(&redis).await;
    let mut sockets = watchers(&app).await;

    redis.kill();
    app.deliver_github("workflow_run", &run(1001, "completed", Some("failure"), 9)).await;

    all_see(&mut sockets, "failure").await;
    let began = Instant::now();
    assert_eq!(app.get(PATH).await["status"], "failure");
    assert_eq!(app.get("/api/v1/pipelines/4/status/realtime").await["status"], Value::Null);
    assert!(began.elapsed() < Duration::from_secs(2), "nobody waits for Redis: {:?}", began.elapsed());
    let mut late = Socket::plain(app.address, "/ws/execution/1").await;
    assert_eq!(late.json_of("snapshot").await["status"], "failure");
    sockets.push(late);

    redis.again();

    told_again(&app, &redis, "failure").await;
    app.deliver_github("workflow_run", &run(1001, "in_progress", None, 20)).await;
    let mut rerun = run(1001, "in_progress", None, 30);
    rerun["workflow_run"]["run_attempt"] = json!(2);
    app.deliver_github("workflow_run", &rerun).await;
    for at in [0, 2] {
        all_see(&mut sockets[at..=at], "running").await;
    }
}

#[tokio::test]
async fn a_redis_that_stands_still_holds_nobody_up() {
    let redis = RedisServer::start();
    let app = app_on(&redis).await;
    let mut sockets = watchers(&app).await;

    redis.pause();
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;

    all_see(&mut sockets, "success").await;
    for pipeline in 10..20 {
        let began = Instant::now();
        let status = app.get(&format!("/api/v1/pipelines/{pipeline}/status/realtime")).await;
        assert_eq!(status["status"], Value::Null);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }

    redis.resume();

    told_again(&app, &redis, "success").await;
}

#[tokio::test]
async fn what_an_old_memory_brings_back_is_shown_to_nobody() {
    let mut redis = RedisServer::start();
    let url = redis.url();
    let app = app_with_a_run(|config| {
        config.fabric.redis_url = Some(url);
        config.watch.linger = Duration::ZERO;
    })
    .await;
    let mut socket = Socket::plain(app.address, "/ws/pipeline/1").await;
    socket.json_of("snapshot").await;
    redis.type_in(&["SAVE"]);
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;
    all_see(std::slice::from_mut(&mut socket), "success").await;

    redis.kill();
    redis.again();

    // The execution's topic is watched by nobody, so each of these goes to Redis first.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let mut fresh = Socket::plain(app.address, "/ws/execution/1").await;
        assert_eq!(fresh.json_of("snapshot").await["status"], "success");
        assert_eq!(app.get(PATH).await["status"], "success");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis.type_in(&["PUBLISH", "pipeline:1:events", "after"]);
    let next = socket.json_of("status_change").await;
    assert_eq!(next["status"], "after", "the socket was shown nothing else");
}

#[tokio::test]
async fn an_emptied_redis_changes_nothing_for_anyone() {
    let redis = RedisServer::start();
    let app = app_on(&redis).await;
    let mut sockets = watchers(&app).await;

    redis.type_in(&["FLUSHALL"]);
    assert_eq!(app.get(PATH).await["status"], "running");
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;

    all_see(&mut sockets, "success").await;
}

#[tokio::test]
async fn what_passed_while_the_subscription_was_cut_is_read_again() {
    let redis = RedisServer::start();
    let app = app_on(&redis).await;
    let mut sockets = watchers(&app).await;

    redis.type_in(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;

    all_see(&mut sockets, "success").await;
}

#[tokio::test]
async fn a_service_starts_without_redis_and_uses_it_once_it_is_there() {
    let mut redis = RedisServer::start();
    redis.kill();
    let app = app_on(&redis).await;
    let mut sockets = watchers(&app).await;

    redis.again();

    told_again(&app, &redis, "running").await;
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;
    all_see(&mut sockets, "success").await;
}

#[tokio::test]
async fn each_layer_that_is_asked_for_a_status_is_counted() {
    let redis = RedisServer::start();
    // All tests of this process count together.
    let process = Process::start(&[("PIPECAST_FABRIC__REDIS_URL", &redis.url())]);
    process.deliver(&run(1001, "in_progress", None, 1)).await;
    let began = Instant::now();
    while process.get(PATH).await.json()["status"] != "running" {
        assert!(began.elapsed() < Duration::from_secs(20), "it never shows");
    }
    assert_eq!(process.get(PATH).await.json()["status"], "running");
    assert_eq!(process.get("/api/v1/pipelines/99/status/realtime").await.json()["status"], Value::Null);

    for (layer, result) in [("node", "hit"), ("node", "miss"), ("shared", "miss"), ("database", "miss")] {
        let name = format!(r#"pipecast_cache_requests_total{{cache="status",layer="{layer}",result="{result}"}}"#);
        assert!(process.counted(&name).await > 0.0, "{name}");
    }
}

#[tokio::test]
async fn while_redis_is_down_tickets_are_503_and_other_ways_in_go_on() {
    const OWN: (&str, &str) = ("Origin", "https://ci.example.org");
    let mut redis = RedisServer::start();
    let url = redis.url();
    let house = House::start(|config| {
        config.fabric.redis_url = Some(url);
        config.server.public_url = Some("https://ci.example.org".into());
        config.live.allowed_origins = vec!["https://ci.example.org".into()];
    })
    .await;
    let ticket = house.done(post("/api/ws-tickets", &json!({})).header("Origin", OWN.1)).await;
    let path = format!("/ws/pipeline/1?ticket={}", ticket["ticket"].as_str().unwrap());

    redis.kill();

    let Err((status, problem)) = Socket::open(house.app.address, &path, &[OWN]).await else {
        panic!("nobody can know whether it was used")
    };
    assert!(
        status == 503 && problem.contains("retry-after: ") && problem.contains("tickets"),
        "{status} {problem}"
    );
    let shown = format!("Bearer {}", house.admin);
    let mut by_header = Socket::open(house.app.address, "/ws/pipeline/1", &[("Authorization", &shown)])
        .await
        .expect("a socket");
    assert_eq!(by_header.json_of("snapshot").await["status"], "running");
}
