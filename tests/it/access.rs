//! Who may read what: the document is walked, so that a route without a lock is found.

use crate::app::TestApp;
use crate::http::Request;
use crate::socket::Socket;

/// Open to everyone: they say nothing of anybody's work.
const OPEN: [&str; 4] = ["/", "/health", "/health/live", "/health/ready"];

#[tokio::test]
async fn under_a_foreign_name_or_behind_a_proxy_nothing_is_read() {
    let app = TestApp::start().await;
    let document = app.get("/api/openapi.json").await;
    let mut locked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        // What needs an account in any case is looked at in `matrix`.
        if operations.get("get").is_none() || OPEN.contains(&path.as_str()) || path.starts_with("/admin/") {
            continue;
        }
        let path = path.replace("{pipeline_id}", "1").replace("{execution_id}", "1").replace("{job_id}", "1");
        for (name, value) in [
            ("Host", "evil.example"),
            ("X-Forwarded-For", "10.1.2.3"),
            ("Forwarded", "for=10.1.2.3"),
            ("X-Real-IP", "10.1.2.3"),
        ] {
            let answer = app.send(Request::get(&path).header(name, value)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (403, "anonymous_refused"), "{path} with {name}");
        }
        locked += 1;
    }
    assert!(locked >= 16, "{locked}");
}

#[tokio::test]
async fn sockets_are_locked_like_everything_else() {
    let app = TestApp::start().await;

    for path in ["/ws/pipeline/1", "/ws/execution/1", "/ws/monitor", "/ws"] {
        let mut refused = Socket::open(app.address, path, &[("Host", "evil.example")])
            .await
            .expect("a handshake that a page can see the end of");
        assert_eq!(refused.close_frame().await, (4503, "forbidden".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn everyone_may_read_where_that_is_said() {
    let app = TestApp::start_with(|config| config.server.anonymous_reading = pipecast_http::AnonymousReading::Everyone).await;

    let answer = app
        .send(
            Request::get("/api/v1/pipelines")
                .header("Host", "ci.example.org")
                .header("X-Forwarded-For", "10.1.2.3"),
        )
        .await;

    assert_eq!(answer.status, 200);
}
