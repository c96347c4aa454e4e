//! Requests that are longer, deeper or of another kind than anybody reads: each is a problem of its own kind, except where the library
//! answers before us.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::accounts::post;
use crate::app::TestApp;
use crate::http::{Answer, Request};
use crate::people::{House, with};

const USERS: &str = "/admin/v1/users";

#[tokio::test]
async fn a_head_over_the_limit_is_431_and_an_address_over_its_own_414() {
    let app = TestApp::start().await;
    let with_header = |bytes: usize| Request::get("/health").header("X-Long", "x".repeat(bytes));
    let with_query = |bytes: usize| Request::get(&format!("/health?q={}", "x".repeat(bytes)));

    assert_eq!(app.send(with_header(31 << 10)).await.status, 200);
    assert_eq!(app.send(with_query(8 << 10)).await.problem(), "address_too_long");
    assert_ne!(app.send(with_query(8_000)).await.status, 414);
    for bytes in [33 << 10, 100 << 10] {
        let answer = app.send(with_header(bytes)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (431, "head_too_large"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("32768"), "it says what would be read");
    }
    let many = (0..90).fold(Request::get("/health"), |request, number| request.header(&format!("X-{number}"), "x"));
    assert_eq!(app.send(many).await.status, 200);
}

#[tokio::test]
async fn what_the_library_does_not_read_is_refused_without_a_body() {
    let app = TestApp::start().await;
    let longer = Request::get("/health").header("X-Long", "x".repeat(200 << 10));
    let more = (0..120).fold(Request::get("/health"), |request, number| request.header(&format!("X-{number}"), "x"));

    for request in [longer, more] {
        let answer = app.send(request).await;
        assert_eq!((answer.status, answer.body.len()), (431, 0));
    }
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n").await.unwrap();
    let answer = Answer::read(stream).await;
    assert_eq!((answer.status, answer.body.len()), (400, 0));
    assert_eq!(app.send(Request::get("/health")).await.status, 200);
}

#[tokio::test]
async fn a_body_of_the_admin_that_is_too_long_is_413_whether_it_says_so_or_not() {
    let house = House::start(|_| {}).await;
    let long = json!({"name": "x".repeat(1 << 20)}).to_string();
    let request = || {
        let request = Request::post(USERS, long.clone()).header("Content-Type", "application/json");
        with(request, &house.admin)
    };

    for request in [request(), request().chunked(64 << 10)] {
        let answer = house.app.send(request).await;
        assert_eq!((answer.status, answer.problem().as_str()), (413, "too_large"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("1048576"));
    }
    // It is refused by what it declares: nothing else was sent.
    let declared = request().without("content-length").header("Content-Length", 1_usize << 40);
    assert_eq!(house.app.send(declared).await.problem(), "too_large");
}

#[tokio::test]
async fn what_whoever_wants_to_come_in_sends_is_short() {
    let house = House::start(|_| {}).await;
    let confirmation = "/admin/v1/me/second-factor";
    for (path, body) in [
        ("/admin/v1/sessions", json!({"name": "ada", "password": "x".repeat(4 << 10)})),
        ("/admin/v1/sessions/refresh", json!({"refresh_token": "x".repeat(4 << 10)})),
        ("/admin/v1/setup", json!({"token": "x", "name": "ada", "password": "x".repeat(4 << 10)})),
        (confirmation, json!({"password": "x".repeat(4 << 10)})),
    ] {
        let request = || {
            let request = post(path, &body);
            if path == confirmation { with(request, &house.admin) } else { request }
        };
        for request in [request(), request().chunked(1 << 10)] {
            let answer = house.app.send(request).await;
            assert_eq!((answer.status, answer.problem().as_str()), (413, "too_large"), "{path}");
            assert!(answer.json()["detail"].as_str().unwrap().contains("4096"), "{path}");
        }
    }
    let long = json!({"name": "ada", "password": "x".repeat(3_900)});
    assert_eq!(house.app.send(post("/admin/v1/sessions", &long)).await.problem(), "login_refused");
}

#[tokio::test]
async fn a_body_that_is_too_deep_or_too_long_in_a_field_is_refused() {
    let house = House::start(|_| {}).await;
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let send = async |path: &str, body: String| {
        let request = Request::post(path, body).header("Content-Type", "application/json");
        house.app.send(with(request, &house.admin)).await
    };

    for body in [
        format!(r#"{{"name":{}}}"#, deep(100_000)),
        format!(r#"{{"nonsense":{}}}"#, deep(100_000)),
        format!(r#"{{"name":"x","role":{}}}"#, "{\"a\":".repeat(100_000)),
        deep(100_000),
    ] {
        let answer = send(USERS, body).await;
        assert!(
            [("malformed", 400), ("invalid", 422)].contains(&(answer.problem().as_str(), answer.status)),
            "{}",
            answer.status
        );
    }
    let long = send(USERS, json!({"name": "x".repeat(100_000)}).to_string()).await;
    assert_eq!((long.status, long.problem().as_str()), (422, "invalid"));
    let many = json!({"ids": vec!["0-0"; 100_000]}).to_string();
    assert_eq!(send("/admin/v1/dead-letters/drop", many).await.status, 422);
}

#[tokio::test]
async fn a_body_of_another_type_is_415() {
    let house = House::start(|_| {}).await;
    let of_type = |kind: &str| {
        let request = Request::post(USERS, r#"{"name":"x"}"#).header("Content-Type", kind);
        with(request, &house.admin)
    };

    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "",
    ] {
        let answer = house.app.send(of_type(kind)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (415, "unsupported_type"), "{kind}");
    }
    let without = house.app.send(of_type("").without("content-type")).await;
    assert_eq!(without.problem(), "unsupported_type");
    let packed = house.app.send(of_type("application/json").header("Content-Encoding", "gzip")).await;
    assert_eq!((packed.status, packed.problem().as_str()), (415, "unsupported_encoding"));
    assert_ne!(house.app.send(of_type("application/json; charset=utf-8")).await.status, 415);
    let patch = Request::with_body("PATCH", &format!("{USERS}/1"), "{}")
        .header("Content-Type", "text/plain")
        .header("If-Match", "\"v1\"");
    assert_eq!(house.app.send(with(patch, &house.admin)).await.problem(), "unsupported_type");
    // A stranger learns nothing of any of this.
    let stranger = post(USERS, &json!({})).without("content-type").header("Host", "ci.example.org");
    assert_eq!(house.app.send(stranger).await.status, 401);
}
