//! What every answer wears, whoever gives it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{TestApp, github};
use crate::http::{Answer, Request};
use crate::live::run;

/// On every answer, exactly so and once.
const EVERY: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "geolocation=(), camera=(), microphone=(), payment=(), usb=()"),
];
/// Where there is nothing for a browser to load.
const OF_PROGRAMS: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const OF_THE_PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
                           manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'; \
                           require-trusted-types-for 'script'; trusted-types svelte-trusted-html";
const OF_THE_DOCS: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
                           connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TLS_ALONE: &str = "max-age=63072000; includeSubDomains";

/// What is wrong with the headers of an answer.
fn faults(answer: &Answer, policy: &str, is_behind_tls: bool) -> Vec<String> {
    let mut expected = EVERY.to_vec();
    expected.push(("content-security-policy", policy));
    if is_behind_tls {
        expected.push(("strict-transport-security", TLS_ALONE));
    }
    let mut faults: Vec<_> = expected
        .into_iter()
        .filter(|(name, value)| answer.headers(name) != [*value])
        .map(|(name, _)| format!("{name}: {:?}", answer.headers(name)))
        .collect();
    if answer.headers("cache-control").len() != 1 {
        faults.push(format!("cache-control: {:?}", answer.headers("cache-control")));
    }
    if !is_behind_tls && answer.header("strict-transport-security").is_some() {
        faults.push("strict-transport-security without TLS".into());
    }
    for absent in ["server", "x-powered-by", "x-xss-protection"] {
        faults.extend(answer.header(absent).map(|value| format!("{absent}: {value}")));
    }
    faults
}

#[tokio::test]
async fn every_answer_wears_the_same_whoever_gives_it() {
    for public_url in [None, Some("https://ci.example.org".to_owned())] {
        let is_behind_tls = public_url.is_some();
        let app = TestApp::start_with(|config| config.server.public_url = public_url).await;
        app.deliver_github("workflow_run", &run(1001, "in_progress", None, 1)).await;
        app.until_status(1, "running").await;
        let known = app.send(Request::get("/api/v1/pipelines/1/status/realtime")).await;
        let known = known.header("etag").unwrap().to_owned();
        let page = |path: &str| Request::get(path).header("Accept", "text/html");
        let preflight = Request::new("OPTIONS", "/api/v1/pipelines")
            .header("Origin", "https://dash.example.org")
            .header("Access-Control-Request-Method", "GET");
        let asked = [
            (200, OF_PROGRAMS, Request::get("/")),
            (200, OF_PROGRAMS, Request::get("/health")),
            (200, OF_PROGRAMS, Request::get("/metrics")),
            (200, OF_PROGRAMS, Request::get("/api/openapi.json")),
            (200, OF_PROGRAMS, Request::get("/api/v1/pipelines")),
            (200, OF_PROGRAMS, Request::get("/api/v1/pipelines/1/status/realtime")),
            (
                304,
                OF_PROGRAMS,
                Request::get("/api/v1/pipelines/1/status/realtime").header("If-None-Match", known),
            ),
            (200, OF_PROGRAMS, Request::new("HEAD", "/api/v1/pipelines/1/status/realtime")),
            (200, OF_PROGRAMS, Request::get("/sse/pipeline/1")),
            (200, OF_PROGRAMS, Request::get("/docs/swagger-ui-bundle.js")),
            (200, OF_PROGRAMS, Request::get("/admin/v1/jwks.json")),
            (202, OF_PROGRAMS, github("ping", "{}")),
            (400, OF_PROGRAMS, Request::get("/api/v1/pipelines?colour=red")),
            (400, OF_PROGRAMS, Request::get("/api/v1/pipelines/one")),
            (400, OF_PROGRAMS, Request::get("/ws/monitor")),
            (401, OF_PROGRAMS, Request::get("/admin/v1/me")),
            (401, OF_PROGRAMS, Request::post("/webhooks/github", "{}")),
            (403, OF_PROGRAMS, Request::get("/api/v1/pipelines").header("Host", "evil.example")),
            (404, OF_PROGRAMS, Request::get("/api/v1/pipelines/999")),
            (404, OF_PROGRAMS, Request::get("/api/v1/no-such-path")),
            (404, OF_PROGRAMS, Request::get("/admin/v1/no-such-path")),
            (404, OF_PROGRAMS, Request::get("/no-such-path")),
            (405, OF_PROGRAMS, Request::new("DELETE", "/health")),
            (405, OF_PROGRAMS, preflight),
            (200, OF_THE_PAGE, page("/")),
            (200, OF_THE_PAGE, page("/executions/91")),
            (200, OF_THE_DOCS, page("/docs")),
            (200, OF_THE_DOCS, page("/redoc/")),
        ];

        let mut wrong = Vec::new();
        for (status, policy, request) in asked {
            let line = request.head(app.address).lines().next().unwrap_or_default().to_owned();
            let answer = request.send_for_head(app.address).await;
            if answer.status != status {
                wrong.push(format!("{line}: {} and not {status}", answer.status));
            }
            wrong.extend(faults(&answer, policy, is_behind_tls).into_iter().map(|fault| format!("{line}: {fault}")));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[tokio::test]
async fn a_handshake_wears_nothing() {
    let app = TestApp::start().await;
    let handshake = format!(
        "GET /ws/monitor HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n",
        app.address
    );
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }

    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && !head.contains("x-frame-options"), "{head}");
}
