//! Who is let in to watch: how many sockets and streams, and how fast they may come.

use std::time::Duration;

use serde_json::json;

use crate::accounts::sign_in;
use crate::app::{ADMIN, PASSWORD, TestApp};
use crate::http::Request;
use crate::live::app_with_a_run;
use crate::people::{House, with};
use crate::socket::{Socket, Stream};

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
async fn who_opens_and_closes_sockets_all_the_time_is_refused_and_takes_nothing_from_the_others() {
    let app = TestApp::start_with(|config| {
        config.server.anonymous_reading = pipecast_http::AnonymousReading::Everyone;
        config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
        config.live.handshakes_per_second = 30;
    })
    .await;
    let knock = async |client: &str, path: &str| Socket::open(app.address, path, &[("X-Forwarded-For", client)]).await;

    let mut refused = 0;
    for turn in 0..40 {
        let path = if turn % 2 == 0 { "/ws" } else { "/ws/monitor" };
        match knock("203.0.113.7", path).await {
            Ok(_) => {}
            Err((status, answer)) => {
                assert!(status == 429 && answer.contains("too_many"), "{status} {answer}");
                assert!(answer.contains("retry-after: "), "{answer}");
                refused += 1;
            }
        }
    }

    assert!(refused > 8, "{refused} of 40");
    knock("203.0.113.8", "/ws/monitor")
        .await
        .expect("the node has handshakes left")
        .json_of("snapshot")
        .await;
    let metrics = String::from_utf8(app.send(Request::get("/metrics")).await.body).unwrap();
    assert!(metrics.contains(r#"pipecast_connections_refused_total{reason="caller_too_fast"}"#), "{metrics}");
}

#[tokio::test]
async fn an_office_behind_one_address_has_room_for_those_who_are_known() {
    let house = House::start(|config| {
        config.server.anonymous_reading = pipecast_http::AnonymousReading::Everyone;
        config.server.trusted_proxies = pipecast_http::TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
        config.live.max_sockets_per_ip = 1;
        config.live.max_signed_in_sockets_per_ip = 2;
    })
    .await;
    let shown = format!("Bearer {}", house.admin);
    let open = async |headers: &[(&str, &str)]| {
        let headers = [&[("X-Forwarded-For", "203.0.113.7")][..], headers].concat();
        Socket::open(house.app.address, "/ws/monitor", &headers).await.expect("a handshake")
    };

    let mut inside = Vec::new();
    for headers in [&[][..], &[("Authorization", shown.as_str())], &[("Authorization", shown.as_str())]] {
        let mut socket = open(headers).await;
        socket.json_of("snapshot").await;
        inside.push(socket);
    }

    for headers in [&[][..], &[("Authorization", shown.as_str())]] {
        assert_eq!(open(headers).await.close_frame().await, (4505, "connection_limit".to_owned()));
    }
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
