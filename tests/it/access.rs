//! Who may read what: the document is walked, so that a route without a lock is found.

use std::net::{IpAddr, SocketAddr, UdpSocket};

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

/// The address of this machine that others would see, where it has one: what the kernel would send from. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    Some(address).filter(|address| !address.is_loopback() && !address.is_unspecified())
}

#[tokio::test]
async fn on_any_listener_only_this_machine_reads_whatever_host_is_written() {
    let Some(own) = own_address() else {
        println!("NOT TESTED: this machine has no address but loopback");
        return;
    };
    let app = TestApp::start_with(|config| config.server.listen = "0.0.0.0:0".parse().unwrap()).await;
    let (here, elsewhere) = (SocketAddr::from(([127, 0, 0, 1], app.address.port())), SocketAddr::new(own, app.address.port()));
    let local = |path: &str| Request::get(path).header("Host", "localhost");

    for path in ["/api/v1/pipelines", "/api/v1/pipelines/1/status/realtime", "/metrics"] {
        assert_eq!(local(path).send(here).await.status, 200, "{path}");
    }
    for path in ["/api/v1/pipelines", "/api/v1/pipelines/1/status/realtime", "/metrics", "/sse/monitor"] {
        let answer = local(path).send(elsewhere).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "anonymous_refused"), "{path}");
    }
    let mut refused = Socket::open(elsewhere, "/ws/monitor", &[("Host", "localhost")]).await.unwrap();
    assert_eq!(refused.close_frame().await, (4503, "forbidden".to_owned()));
}
