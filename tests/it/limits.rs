//! What sockets and streams refuse, and how they end those that go too far.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::app::{TestApp, gitlab};
use crate::live::app_with_a_run;
use crate::socket::{Frame, Socket};

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
async fn a_socket_that_watches_nothing_is_closed_and_one_that_does_is_not() {
    let app = app_with_a_run(|config| {
        config.live.idle = Duration::from_secs(1);
        // So often it looks at the clock.
        config.live.ping = Duration::from_secs(1);
    })
    .await;
    let mut idle = Socket::v1(app.address, "/ws").await;
    let mut busy = Socket::v1(app.address, "/ws").await;
    busy.say(&json!({"cmd": "sub", "cid": 1, "topics": ["pipeline:1"]})).await;
    busy.json_of("snapshot").await;

    let begun = std::time::Instant::now();
    assert_eq!(idle.close_frame().await, (4506, "no_topic".to_owned()));
    let took = begun.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(4)).contains(&took), "{took:?}");

    tokio::time::sleep(Duration::from_secs(2)).await;
    busy.say(&json!({"cmd": "unsub", "cid": 2, "topics": ["pipeline:1"]})).await;
    busy.json_of("unsubscribed").await;
    busy.say(&json!({"cmd": "sub", "cid": 3, "topics": ["pipeline:1"]})).await;
    busy.json_of("snapshot").await;
    busy.say(&json!({"cmd": "unsub", "cid": 4, "topics": ["pipeline:1"]})).await;
    assert_eq!(busy.close_frame().await, (4506, "no_topic".to_owned()), "whoever stops watching is idle too");
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
