//! What sockets and streams refuse, and how they end those that go too far.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::accounts::sign_in;
use crate::app::{ADMIN, PASSWORD, TestApp, gitlab};
use crate::http::Request;
use crate::live::app_with_a_run;
use crate::people::{House, with};
use crate::socket::{Frame, Socket, Stream};

#[tokio::test]
async fn a_parameter_that_would_do_nothing_is_refused() {
    let app = app_with_a_run(|_| {}).await;

    for path in [
        "/ws/monitor?topics=pipeline:1",
        "/ws?since=a-1",
        "/ws/pipeline/1?profile=v2",
        "/sse/monitor?profile=v1",
        "/sse",
        "/sse?topics=tractor:9",
    ] {
        let Err((status, problem)) = Socket::open(app.address, path, &[]).await else {
            panic!("{path} was let in")
        };
        assert!(status == 400 && problem.contains("invalid_query"), "{path}: {status} {problem}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_before_the_upgrade() {
    let app = app_with_a_run(|config| config.live.allowed_origins = vec!["https://board.example.org".into()]).await;
    let own = format!("http://{}", app.address);

    for (origin, allowed) in [
        (own.as_str(), true),
        ("https://board.example.org", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let opened = Socket::open(app.address, "/ws/pipeline/1", &[("Origin", origin)]).await;
        assert_eq!(opened.is_ok(), allowed, "{origin}");
        if let Err((status, problem)) = opened {
            assert_eq!(status, 403);
            assert!(problem.contains("origin_refused") && problem.contains("live.allowed_origins"), "{problem}");
        }
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_every_client_has_a_share_of_its_own() {
    let app = TestApp::start_with(|config| {
        config.server.anonymous_reading = pipecast_http::AnonymousReading::Everyone;
        config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
        config.live.max_sockets_per_ip = 1;
    })
    .await;
    let knock = async |client: &str| {
        Socket::open(app.address, "/ws/monitor", &[("X-Forwarded-For", client)])
            .await
            .expect("a handshake")
    };

    let mut first = knock("203.0.113.7").await;
    first.json_of("snapshot").await;
    // Whatever the client itself wrote stands to the left of what the proxy added.
    let mut second = knock("198.51.100.1, 203.0.113.7").await;
    let mut stranger = knock("203.0.113.8").await;

    assert_eq!(second.close_frame().await, (4505, "connection_limit".to_owned()));
    stranger.json_of("snapshot").await;
}

#[tokio::test]
async fn an_account_has_a_share_over_all_its_sessions_tokens_and_ways_in() {
    let house = House::start(|config| config.live.max_sockets_per_user = 3).await;
    let (_, program) = house.token("a program", &["pipelines:read"]).await;
    let again = sign_in(&house.app, ADMIN, PASSWORD).await;
    let (_, other) = house.person("other", Some("viewer")).await;
    let open = async |path: &str, token: &str| {
        let shown = format!("Bearer {token}");
        Socket::open(house.app.address, path, &[("Authorization", &shown)]).await.expect("a handshake")
    };
    let stream = async |token: &str| {
        let asked = house.app.send(with(Request::get("/sse/pipeline/1"), token));
        // Whoever is let in gets a stream without an end.
        tokio::time::timeout(Duration::from_millis(300), asked)
            .await
            .ok()
            .map(|answer| (answer.status, answer.problem()))
    };

    let mut inside = Vec::new();
    for token in [&house.admin, &again, &program] {
        let mut socket = open("/ws/pipeline/1", token).await;
        socket.json_of("snapshot").await;
        inside.push(socket);
    }

    for token in [&house.admin, &program] {
        assert_eq!(open("/ws/monitor", token).await.close_frame().await, (4505, "connection_limit".to_owned()));
        assert_eq!(stream(token).await, Some((429, "too_many".to_owned())));
    }
    open("/ws/monitor", &other).await.json_of("snapshot").await;
    Socket::plain(house.app.address, "/ws/monitor").await.json_of("snapshot").await;

    inside.pop();
    house
        .app
        .until("a place is free again", || async { stream(&house.admin).await.is_none() })
        .await;
}

#[tokio::test]
async fn who_says_later_who_they_are_counts_from_then_on() {
    let house = House::start(|config| config.live.max_sockets_per_user = 1).await;
    let open = async || {
        let mut socket = Socket::open(
            house.app.address,
            "/ws",
            &[("Host", "ci.example.org"), ("Sec-WebSocket-Protocol", "pipecast.v1")],
        )
        .await
        .expect("a handshake");
        socket.json_of("hello").await;
        socket.say(&json!({"cmd": "auth", "cid": 1, "token": house.admin})).await;
        socket
    };

    let mut first = open().await;
    assert_eq!(first.json_of("auth").await["state"], "ok");
    let mut second = open().await;

    assert_eq!(second.close_frame().await, (4505, "connection_limit".to_owned()));
    first.say(&json!({"cmd": "auth", "cid": 2, "token": house.admin})).await;
    assert_eq!(first.json_of("auth").await["state"], "ok", "showing it again is no second socket");
}

#[tokio::test]
async fn a_token_in_the_address_is_refused() {
    let app = TestApp::start().await;

    let Err((status, problem)) = Socket::open(app.address, "/ws/pipeline/1?token=eyJhbGciOi", &[]).await else {
        panic!("it was let in")
    };

    assert_eq!(status, 400);
    assert!(problem.contains("token") && !problem.contains("eyJhbGciOi"), "{problem}");
}

#[tokio::test]
async fn a_frame_header_that_declares_16_gib_closes_with_1009() {
    let app = app_with_a_run(|_| {}).await;
    for v1 in [false, true] {
        let mut socket = if v1 {
            Socket::v1(app.address, "/ws").await
        } else {
            Socket::plain(app.address, "/ws/pipeline/1").await
        };

        let header = [&[0x82, 0xFF][..], &(16u64 << 30).to_be_bytes(), &[0; 4]].concat();
        socket.raw(&header).await.expect("sent");

        assert_eq!(socket.close_frame().await, (1009, "too_big".to_owned()), "v1: {v1}");
    }
}

#[tokio::test]
async fn broken_frames_close_with_the_code_that_says_why() {
    let app = app_with_a_run(|_| {}).await;
    let open = || async {
        let mut socket = Socket::v1(app.address, "/ws/pipeline/1").await;
        socket.json_of("snapshot").await;
        socket
    };

    let mut socket = open().await;
    socket.send(0x81, &[0xC3, 0x28]).await;
    assert_eq!(socket.close_frame().await.0, 1007, "text that is not UTF-8");

    let mut socket = open().await;
    socket.raw(&[0x81, 0x02, b'{', b'}']).await.expect("sent");
    assert_eq!(socket.close_frame().await.0, 1002, "a frame without a mask");

    let mut socket = open().await;
    socket.send(0x89, b"there?").await;
    assert_eq!(socket.next().await, Frame::Pong(b"there?".to_vec()));
    socket.send(0x88, &1000u16.to_be_bytes()).await;
    assert_eq!(socket.close_frame().await.0, 1000);
    assert_eq!(socket.next().await, Frame::Gone);
}

#[tokio::test]
async fn a_command_that_names_too_many_topics_gets_one_answer() {
    let app = app_with_a_run(|_| {}).await;
    let mut socket = Socket::v1(app.address, "/ws").await;
    socket.json_of("hello").await;

    for cmd in ["sub", "unsub"] {
        socket.say(&json!({"cmd": cmd, "cid": 7, "topics": vec![""; 5_000]})).await;
        let answer = socket.json().await;
        assert_eq!(
            (&answer["type"], &answer["code"], &answer["cid"]),
            (&json!("error"), &json!("limit_exceeded"), &json!(7))
        );
    }
    socket.say(&json!({"cmd": "sub", "topics": ["pipeline:1"]})).await;
    assert_eq!(socket.json().await["type"], "subscribed", "nothing else was said");
}

#[tokio::test]
async fn a_socket_that_shouts_is_closed() {
    let app = app_with_a_run(|_| {}).await;
    let mut socket = Socket::v1(app.address, "/ws").await;

    for _ in 0..40 {
        socket.say(&json!({"cmd": "pong"})).await;
    }

    let (code, reason) = socket.close_frame().await;
    assert_eq!(code, 4429);
    assert!(reason.contains("retry_ms="), "{reason}");
}

#[tokio::test]
async fn a_socket_that_does_not_answer_pings_is_closed() {
    let app = app_with_a_run(|config| {
        config.live.ping = Duration::from_secs(1);
        config.live.pong = Duration::from_secs(1);
    })
    .await;
    let mut silent = Socket::plain(app.address, "/ws/pipeline/1").await;
    let mut answering = Socket::v1(app.address, "/ws/pipeline/1").await;

    let answers = async {
        for _ in 0..3 {
            answering.json_of("ping").await;
            answering.say(&json!({"cmd": "pong"})).await;
        }
    };
    let ((code, _), ()) = tokio::join!(silent.close_frame(), answers);

    assert_eq!(code, 4412);
}

#[tokio::test]
async fn a_socket_that_has_lived_long_is_asked_to_come_back() {
    let app = app_with_a_run(|config| {
        config.live.lifetime = Duration::from_secs(1);
        config.live.ping = Duration::from_secs(1);
    })
    .await;

    let mut socket = Socket::v1(app.address, "/ws/pipeline/1").await;
    let answers = async {
        loop {
            match socket.next().await {
                Frame::Text(frame) if frame["type"] == "ping" => socket.say(&json!({"cmd": "pong"})).await,
                Frame::Close(code, _) => return code,
                Frame::Gone => panic!("gone without a close frame"),
                _ => {}
            }
        }
    };

    assert_eq!(answers.await, 1001);
}

#[tokio::test]
async fn a_socket_that_takes_nothing_loses_its_place() {
    let app = TestApp::start_with(|config| {
        config.live.stall = Duration::from_secs(1);
        config.live.max_sockets = 1;
    })
    .await;
    let change = |second: usize| {
        let builds: Vec<_> = (1..=400)
            .map(|id| json!({"id": id, "name": format!("build {id} {}", "x".repeat(200)), "stage": "test", "status": "running"}))
            .collect();
        let at = format!("2026-11-21 10:00:{second:02} UTC");
        let told = json!({"object_kind": "pipeline", "project": {"id": 1, "path_with_namespace": "acme/rocket"},
            "object_attributes": {"id": 7, "iid": 7, "status": "running", "ref": format!("try-{second}"), "created_at": at, "updated_at": at},
            "builds": builds});
        gitlab("Pipeline Hook", told.to_string())
    };
    assert_eq!(app.send(change(0)).await.status, 202);
    app.until_done().await;

    let mut stuck = open_narrow(app.address, "/ws/execution/1");
    assert!(Socket::open(app.address, "/ws/execution/1", &[]).await.is_err(), "it has the only place");
    // Far more than the buffers of both ends hold: it stands before a full socket now.
    for second in 1..=30 {
        assert_eq!(app.send(change(second)).await.status, 202);
        app.until_done().await;
    }
    app.until("the place of the one that takes nothing becomes free", || async {
        Socket::open(app.address, "/ws/execution/1", &[]).await.is_ok()
    })
    .await;

    let mut rest = Vec::new();
    stuck.read_to_end(&mut rest).expect_err("the connection was reset, not ended");
}

/// A socket with as small a window as the kernel gives, after the first bytes of its handshake's answer.
fn open_narrow(address: SocketAddr, path: &str) -> std::net::TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2_048).expect("a size");
    socket.connect(&address.into()).expect("it listens");
    let mut stream = std::net::TcpStream::from(socket);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

#[tokio::test]
async fn a_full_node_refuses_and_lets_in_again_when_someone_leaves() {
    let app = app_with_a_run(|config| config.live.max_sockets = 2).await;
    let first = Socket::plain(app.address, "/ws/pipeline/1").await;
    let _second = Stream::open(app.address, "/sse/monitor").await;

    let Err((status, _)) = Socket::open(app.address, "/ws/pipeline/1", &[]).await else {
        panic!("one too many was let in")
    };
    assert_eq!(status, 503);
    drop(first);

    app.until("a place becomes free", || async {
        Socket::open(app.address, "/ws/pipeline/1", &[]).await.is_ok()
    })
    .await;
}
