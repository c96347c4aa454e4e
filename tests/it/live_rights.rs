//! What open sockets and streams show to whom, and what becomes of them when rights are taken away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::accounts::{log_in, post};
use crate::app::{ADMIN, PASSWORD};
use crate::http::Request;
use crate::live::run;
use crate::people::{House, expect, other_run, with};
use crate::socket::{Frame, Socket, Stream};

/// What is promised.
const AT_MOST: Duration = Duration::from_secs(5);

async fn open(house: &House, path: &str, headers: &[(&str, &str)]) -> Socket {
    let headers = [&[("Host", "ci.example.org")], headers].concat();
    Socket::open(house.app.address, path, &headers).await.expect("a handshake")
}

async fn open_with(house: &House, path: &str, token: &str) -> Socket {
    open(house, path, &[("Authorization", &format!("Bearer {token}"))]).await
}

async fn open_v1(house: &House, path: &str, token: &str) -> Socket {
    let mut socket = open(house, path, &[("Sec-WebSocket-Protocol", &format!("pipecast.v1, bearer.{token}"))]).await;
    assert_eq!(socket.protocol.as_deref(), Some("pipecast.v1"), "the token is not echoed");
    socket.json_of("hello").await;
    socket
}

/// Reads until the close frame and says how long that took.
async fn closed(socket: &mut Socket) -> ((u16, String), Duration) {
    let begun = Instant::now();
    loop {
        match socket.next().await {
            Frame::Close(code, reason) => return ((code, reason), begun.elapsed()),
            Frame::Gone => panic!("it is gone without a word"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_member_watches_their_project_and_sees_nothing_of_others() {
    let house = House::start(|_| {}).await;
    let (_, viewer) = house.member("viewer", 1, "viewer").await;

    let mut own = open_with(&house, "/ws/pipeline/1", &viewer).await;
    assert_eq!(own.json_of("snapshot").await["status"], "running");
    for path in ["/ws/pipeline/2", "/ws/execution/2", "/ws/pipeline/999"] {
        let mut refused = open_with(&house, path, &viewer).await;
        assert_eq!(refused.close_frame().await, (4503, "forbidden".to_owned()), "{path}");
    }

    let mut monitor = open_with(&house, "/ws/monitor", &viewer).await;
    let snapshot = monitor.json_of("snapshot").await;
    let shown: Vec<_> = snapshot["data"]["pipelines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["topic"].clone())
        .collect();
    assert_eq!(shown, ["pipeline:1"]);
    house.app.deliver_github("workflow_run", &other_run(2002, "queued", 5)).await;
    house.app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;
    let change = monitor.json_of("status_change").await;
    assert_eq!((change["topic"].as_str(), change["status"].as_str()), (Some("pipeline:1"), Some("success")));

    let mut many = open_v1(&house, "/ws", &viewer).await;
    many.say(&json!({"cmd": "sub", "cid": 1, "topics": ["pipeline:2", "pipeline:1"]})).await;
    let mut answers = [many.json().await, many.json().await];
    answers.sort_by_key(|answer| answer["type"].as_str().unwrap().to_owned());
    assert_eq!(
        (answers[0]["code"].as_str(), answers[1]["topic"].as_str()),
        (Some("forbidden"), Some("pipeline:1"))
    );
}

#[tokio::test]
async fn lists_and_statuses_show_what_one_sees() {
    let house = House::start(|_| {}).await;
    let (_, viewer) = house.member("viewer", 1, "viewer").await;
    let (_, nobody) = house.person("nobody", None).await;
    let get = async |token: &str, path: &str| house.app.send(with(Request::get(path), token)).await;
    let listed = async |token: &str| {
        let list = get(token, "/api/v1/pipelines?sort=id").await.json();
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };

    assert_eq!(
        (listed(&house.admin).await, listed(&viewer).await, listed(&nobody).await),
        (vec![1, 2], vec![1], vec![])
    );
    assert_eq!(get(&viewer, "/api/v1/pipelines/2/status/realtime").await.json()["status"], Value::Null);
    assert_eq!(get(&viewer, "/api/v1/pipelines/1/status/realtime").await.json()["status"], "running");

    house.app.alter("UPDATE projects SET visibility = 'internal' WHERE id = 2").await;
    house
        .app
        .until("what is internal is seen", || async {
            listed(&nobody).await == [2] && get(&nobody, "/api/v1/pipelines/2").await.status == 200
        })
        .await;
}

#[tokio::test]
async fn what_is_taken_away_ends_on_open_sockets_within_five_seconds() {
    let house = House::start(|_| {}).await;
    let (id, viewer) = house.member("viewer", 1, "viewer").await;
    let (token_id, token) = house.token("machine", &["pipelines:read"]).await;
    let mut one = open_with(&house, "/ws/pipeline/1", &viewer).await;
    let mut many = open_v1(&house, "/ws", &viewer).await;
    many.say(&json!({"cmd": "sub", "cid": 1, "topics": ["pipeline:1"]})).await;
    many.json_of("snapshot").await;
    let mut machine = open_with(&house, "/ws/monitor", &token).await;
    for socket in [&mut one, &mut machine] {
        socket.json_of("snapshot").await;
    }

    // The role in the project…
    let path = format!("/admin/v1/projects/1/members/{id}");
    house.done(Request::new("DELETE", &path).header("If-Match", "\"v1\"")).await;
    let (end, took) = closed(&mut one).await;
    assert_eq!(end, (4503, "forbidden".to_owned()));
    assert!(took < AT_MOST, "{took:?}");
    assert_eq!(many.json_of("error").await["code"], "forbidden");
    assert_eq!(many.json_of("unsubscribed").await["topic"], "pipeline:1");

    // …the token of a program…
    let path = format!("/admin/v1/tokens/{token_id}");
    house.done(Request::new("DELETE", &path).header("If-Match", "\"v1\"")).await;
    let (end, took) = closed(&mut machine).await;
    assert_eq!(end, (4501, "unauthorized".to_owned()));
    assert!(took < AT_MOST, "{took:?}");

    // …and the account.
    let path = format!("/admin/v1/users/{id}");
    let disable = Request::with_body("PATCH", &path, r#"{"disabled":true}"#);
    house
        .done(disable.header("Content-Type", "application/merge-patch+json").header("If-Match", "*"))
        .await;
    let (end, took) = closed(&mut many).await;
    assert_eq!(end, (4501, "unauthorized".to_owned()));
    assert!(took < AT_MOST, "{took:?}");
}

/// An event stream of whoever shows this, after its snapshot.
async fn stream(house: &House, path: &str, token: &str) -> Stream {
    let shown = format!("Bearer {token}");
    let mut stream = Stream::open_with(house.app.address, path, &[("Authorization", &shown)]).await;
    assert_eq!(stream.next().await.expect("a snapshot").kind, "snapshot");
    stream
}

#[tokio::test]
async fn what_is_taken_away_ends_event_streams_within_five_seconds() {
    let house = House::start(|_| {}).await;
    let (id, viewer) = house.member("viewer", 1, "viewer").await;
    let (token_id, token) = house.token("machine", &["pipelines:read"]).await;
    let mut one = stream(&house, "/sse/pipeline/1", &viewer).await;
    let mut several = stream(&house, "/sse?topics=pipeline:1,monitor", &viewer).await;
    let mut machine = stream(&house, "/sse/monitor", &token).await;
    let mut of_another = stream(&house, "/sse/monitor", &house.admin).await;

    let begun = Instant::now();
    let path = format!("/admin/v1/projects/1/members/{id}");
    house.done(Request::new("DELETE", &path).header("If-Match", "\"v1\"")).await;
    one.ended().await;
    several.ended().await;
    assert!(begun.elapsed() < AT_MOST, "{:?}", begun.elapsed());
    let again = house.app.send(with(Request::get("/sse/pipeline/1"), &viewer)).await;
    expect(&again, 404);

    let begun = Instant::now();
    let path = format!("/admin/v1/tokens/{token_id}");
    house.done(Request::new("DELETE", &path).header("If-Match", "\"v1\"")).await;
    machine.ended().await;
    assert!(begun.elapsed() < AT_MOST, "{:?}", begun.elapsed());
    expect(&house.app.send(with(Request::get("/sse/monitor"), &token)).await, 401);

    house.app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;
    let told = of_another.next().await.expect("nobody took anything away from them");
    assert_eq!((told.kind.as_str(), told.data["status"].as_str()), ("status_change", Some("success")));
}

#[tokio::test]
async fn an_event_stream_ends_with_its_token() {
    let house = House::start(|config| config.auth.access_lifetime = Duration::from_secs(4)).await;
    let token = log_in(&house.app, ADMIN, PASSWORD).await.json()["access_token"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    let mut stream = stream(&house, "/sse/pipeline/1", &token).await;

    stream.ended().await;

    let took = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(7)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_weaker_token_of_the_same_user_takes_topics_away() {
    let house = House::start(|_| {}).await;
    let issue = async |body: Value| house.done(post("/admin/v1/tokens", &body)).await["token"].clone();
    let of_one_project = issue(json!({"name": "one project", "scopes": ["pipelines:read"], "project_id": 1})).await;
    let of_sources = issue(json!({"name": "sources", "scopes": ["sources:manage"]})).await;
    let mut socket = open_v1(&house, "/ws", &house.admin).await;
    socket.say(&json!({"cmd": "sub", "cid": 1, "topics": ["pipeline:1", "pipeline:2"]})).await;
    for _ in 0..2 {
        socket.json_of("snapshot").await;
    }
    let mut alone = open_v1(&house, "/ws/pipeline/2", &house.admin).await;
    alone.json_of("snapshot").await;

    for socket in [&mut socket, &mut alone] {
        socket.say(&json!({"cmd": "auth", "cid": 2, "token": of_one_project})).await;
        assert_eq!(socket.json_of("auth").await["state"], "ok");
    }
    assert_eq!(closed(&mut alone).await.0, (4503, "forbidden".to_owned()));
    // Whoever sees all was asked for no project; the state of the other topic says that it is of this one.
    assert_eq!(socket.json_of("unsubscribed").await["topic"], "pipeline:2");
    house.app.deliver_github("workflow_run", &other_run(2001, "completed", 8)).await;
    house.app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;
    assert_eq!(socket.json_of("status_change").await["topic"], "pipeline:1", "the other one is told no more");
    socket.say(&json!({"cmd": "sub", "cid": 4, "topics": ["pipeline:2"]})).await;
    assert_eq!(socket.json_of("error").await["code"], "forbidden");

    socket.say(&json!({"cmd": "auth", "cid": 5, "token": of_sources})).await;
    assert_eq!(socket.json_of("auth").await["state"], "ok");
    assert_eq!(socket.json_of("unsubscribed").await["topic"], "pipeline:1");
}

#[tokio::test]
async fn a_socket_ends_with_its_token_unless_another_one_is_shown() {
    let house = House::start(|config| {
        config.auth.access_lifetime = Duration::from_secs(8);
    })
    .await;
    let session = log_in(&house.app, ADMIN, PASSWORD).await.json();
    let token = session["access_token"].as_str().unwrap();
    let mut plain = open_with(&house, "/ws/pipeline/1", token).await;
    let mut silent = open_v1(&house, "/ws/pipeline/1", token).await;
    let mut going_on = open_v1(&house, "/ws/pipeline/1", token).await;

    for socket in [&mut silent, &mut going_on] {
        assert_eq!(socket.json_of("auth").await["state"], "expiring");
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let next = post("/admin/v1/sessions/refresh", &json!({"refresh_token": session["refresh_token"]}));
    let next = house.app.send(next).await.json()["access_token"].clone();
    going_on.say(&json!({"cmd": "auth", "cid": 1, "token": next})).await;
    // The other one has eight seconds to live, so it is said to expire too.
    let shown = loop {
        let told = going_on.json_of("auth").await;
        if told["cid"] == 1 {
            break told;
        }
    };
    assert_eq!(shown["state"], "ok");

    for socket in [&mut plain, &mut silent] {
        assert_eq!(closed(socket).await.0, (4401, "token_expired".to_owned()));
    }
    house.app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), 9)).await;
    assert_eq!(going_on.json_of("status_change").await["status"], "success", "it outlives the first token");
    assert_eq!(closed(&mut going_on).await.0, (4401, "token_expired".to_owned()), "and ends with the other one");
}

#[tokio::test]
async fn a_token_may_be_shown_after_the_handshake_and_again_by_the_same_user_alone() {
    let house = House::start(|_| {}).await;
    let (_, viewer) = house.member("viewer", 1, "viewer").await;
    let mut socket = open(&house, "/ws", &[("Sec-WebSocket-Protocol", "pipecast.v1")]).await;
    assert_eq!(socket.json_of("hello").await["token_exp"], Value::Null);

    socket.say(&json!({"cmd": "sub", "cid": 1, "topics": ["pipeline:1"]})).await;
    assert_eq!(socket.json_of("error").await["code"], "unauthorized");
    socket.say(&json!({"cmd": "auth", "cid": 2, "token": "nonsense"})).await;
    assert_eq!(socket.json_of("error").await["code"], "unauthorized");
    socket.say(&json!({"cmd": "auth", "cid": 3, "token": viewer})).await;
    let known = socket.json_of("auth").await;
    assert_eq!((known["cid"].as_i64(), known["state"].as_str()), (Some(3), Some("ok")));
    socket.say(&json!({"cmd": "sub", "cid": 4, "topics": ["pipeline:1"]})).await;
    assert_eq!(socket.json_of("snapshot").await["topic"], "pipeline:1");
    socket.say(&json!({"cmd": "auth", "cid": 5, "token": house.admin})).await;
    assert_eq!(socket.json_of("error").await["code"], "forbidden");

    let mut silent = open(&house, "/ws", &[("Sec-WebSocket-Protocol", "pipecast.v1")]).await;
    let (end, took) = closed(&mut silent).await;
    assert_eq!(end, (4501, "unauthorized".to_owned()));
    assert!((Duration::from_secs(4)..Duration::from_secs(8)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_ticket_opens_one_socket_of_one_origin() {
    let house = House::start(|config| {
        config.server.public_url = Some("https://ci.example.org".into());
        config.live.allowed_origins = vec!["https://ci.example.org".into()];
    })
    .await;
    const OWN: (&str, &str) = ("Origin", "https://ci.example.org");
    let ticket = async || {
        let asking = post("/api/ws-tickets", &json!({})).header("Origin", "https://ci.example.org");
        house.done(asking).await["ticket"].as_str().unwrap().to_owned()
    };

    let first = ticket().await;
    let mut socket = open(&house, &format!("/ws/pipeline/1?ticket={first}"), &[OWN]).await;
    assert_eq!(socket.json_of("snapshot").await["status"], "running");
    let mut again = open(&house, &format!("/ws/pipeline/1?ticket={first}"), &[OWN]).await;
    assert_eq!(again.close_frame().await, (4501, "unauthorized".to_owned()));
    let mut elsewhere = open(&house, &format!("/ws/pipeline/1?ticket={}", ticket().await), &[]).await;
    assert_eq!(elsewhere.close_frame().await, (4501, "unauthorized".to_owned()));
    let beside = format!("pipecast.v1, ticket.{}", ticket().await);
    open(&house, "/ws", &[OWN, ("Sec-WebSocket-Protocol", &beside)]).await.json_of("hello").await;

    let access = open(&house, &format!("/ws/pipeline/1?ticket={}", house.admin), &[OWN])
        .await
        .close_frame()
        .await;
    assert_eq!(access, (4501, "unauthorized".to_owned()), "an access token is no ticket");
    let as_token = house.app.send(with(Request::get("/admin/v1/me"), &ticket().await)).await;
    expect(&as_token, 401);
}

#[tokio::test]
async fn a_cookie_opens_sockets_for_our_own_page_alone() {
    let house = House::start(|_| {}).await;
    let own = format!("http://{}", house.app.address);
    let body = json!({"name": ADMIN, "password": PASSWORD});
    let login = house
        .app
        .send(post("/admin/v1/sessions", &body).header("Origin", &own).header("X-Pipecast", "1"))
        .await;
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let handshake = async |headers: &[(&str, &str)]| {
        let headers = [&[("Cookie", cookie.as_str())], headers].concat();
        Socket::open(house.app.address, "/ws/pipeline/1", &headers).await
    };

    let mut socket = handshake(&[("Origin", &own)]).await.expect("a socket");
    assert_eq!(socket.json_of("snapshot").await["status"], "running");
    for origin in [None, Some("http://evil.example"), Some("null")] {
        let headers: Vec<_> = origin.iter().map(|origin| ("Origin", *origin)).collect();
        let (status, _) = handshake(&headers).await.err().expect("refused before the upgrade");
        assert_eq!(status, 403, "{origin:?}");
        // A name and a password for the proxy in front are not what it comes in by.
        let beside = [&headers[..], &[("Authorization", "Basic eDp5")]].concat();
        let (status, _) = handshake(&beside).await.err().expect("refused before the upgrade");
        assert_eq!(status, 403, "{origin:?} with Basic");
    }
    let (own, beside) = (("Origin", own.as_str()), ("Authorization", "Basic eDp5"));
    assert_eq!(
        handshake(&[own, beside]).await.expect("a socket").json_of("snapshot").await["status"],
        "running"
    );

    // Logging out ends the socket that the cookie opened.
    let session = login.json();
    let token = session["access_token"].as_str().unwrap();
    expect(&house.app.send(with(Request::new("DELETE", "/admin/v1/sessions/current"), token)).await, 204);
    let (end, took) = closed(&mut socket).await;
    assert_eq!(end, (4501, "unauthorized".to_owned()));
    assert!(took < AT_MOST, "{took:?}");
}
