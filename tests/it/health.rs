//! What probes and people see of the service itself.

use std::time::Duration;

use serde_json::json;

use crate::app::TestApp;
use crate::binary::Process;
use crate::http::Request;
use crate::live::run;

#[tokio::test]
async fn each_dependency_is_named_with_its_state() {
    let app = TestApp::start().await;

    let report = app.get("/health").await;

    assert_eq!((&report["status"], &report["service"]), (&json!("ok"), &json!("pipecast")));
    for name in ["store", "queue"] {
        assert_eq!(report["dependencies"][name]["state"], "ok", "{name}");
        assert!(report["dependencies"][name]["latency_ms"].is_number(), "{name}");
    }
    assert_eq!(report["dependencies"]["queue"]["depth"], json!({"urgent": 0, "bulk": 0}));
}

#[tokio::test]
async fn probes_are_answered_tersely_and_to_everyone() {
    let app = TestApp::start().await;

    for path in ["/health", "/health/live", "/health/ready"] {
        let answer = app.send(Request::get(path).header("Host", "10.1.2.3")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{path}");
        assert_eq!(answer.json()["status"], "ok");
        assert!(answer.json().get("dependencies").is_none(), "{path}");
    }
}

#[tokio::test]
async fn while_it_drains_it_serves_and_is_not_ready() {
    let app = TestApp::start_with(|config| config.server.drain_grace = Duration::from_secs(2)).await;
    let address = app.address;
    assert_eq!(Request::get("/health/ready").send(address).await.status, 200);

    let stopping = tokio::spawn(app.stop());

    let status = loop {
        let answer = Request::get("/health/ready").send(address).await;
        if answer.status != 200 {
            break (answer.status, answer.json()["status"].clone());
        }
    };
    assert_eq!(status, (503, json!("draining")));
    assert_eq!(Request::get("/api/v1/pipelines").send(address).await.status, 200);
    stopping.await.expect("a clean stop");
}

#[tokio::test]
async fn a_delivery_that_is_under_way_is_finished_before_the_end() {
    use tokio::io::AsyncWriteExt;
    let app = TestApp::start().await;
    let body = vec![b' '; 1000];
    let mut stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
    stream
        .write_all(crate::app::github("ping", body.clone()).head(app.address).as_bytes())
        .await
        .unwrap();
    stream.write_all(&body[..500]).await.unwrap();
    // The request has been read once a later one, on either worker, has been answered.
    for _ in 0..8 {
        app.get("/health/live").await;
    }

    let stopping = tokio::spawn(app.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(&body[500..]).await.unwrap();

    assert_eq!(crate::http::Answer::read(stream).await.status, 202);
    stopping.await.expect("a clean stop");
}

#[tokio::test]
async fn metrics_are_counted_by_kind() {
    // All tests of this process count together.
    let process = Process::start(&[]);
    process.deliver(&run(1001, "queued", None, 0)).await;

    let answer = process.get("/metrics").await;

    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(process.counted(r#"pipecast_webhooks_total{host="github",outcome="accepted"}"#).await, 1.0);
    assert!(process.counted("pipecast_webhook_seconds_bucket").await > 0.0);
}

#[tokio::test]
async fn the_front_door_says_where_to_go() {
    let app = TestApp::start().await;

    let service = app.get("/").await;

    assert_eq!(service["service"], "pipecast");
    for path in ["docs", "openapi", "health", "metrics", "pipelines"] {
        let path = service["links"][path].as_str().unwrap().to_owned();
        assert_eq!(app.send(Request::get(&path)).await.status, 200, "{path}");
    }
}
