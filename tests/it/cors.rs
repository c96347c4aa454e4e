//! Pages of other origins: which of them a browser lets read what, by the answers that it decides by.

use pipecast::config::Config;

use crate::app::{TestApp, github};
use crate::http::{Answer, Request};
use crate::people::{expect, with};

const LISTED: &str = "https://dash.example.org";
/// Each differs from the listed one in one thing.
const OTHERS: [&str; 9] = [
    "null",
    "http://dash.example.org",
    "https://dash.example.org:8443",
    "https://a.dash.example.org",
    "https://example.org",
    "https://dash.example.org.evil.example",
    "https://DASH.example.org",
    "https://dash.example.org/",
    "*",
];
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const HEADERS: [&str; 7] = [
    "accept",
    "authorization",
    "content-type",
    "if-match",
    "if-none-match",
    "idempotency-key",
    "last-event-id",
];

fn preflight(origin: &str, method: &str, headers: &str) -> Request {
    let request = Request::new("OPTIONS", "/api/v1/pipelines")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method);
    match headers {
        "" => request,
        headers => request.header("Access-Control-Request-Headers", headers),
    }
}

/// Whether a browser would go on after this answer with a request of that kind, with cookies or without.
fn allows(answer: &Answer, origin: &str, method: &str, headers: &[&str], with_credentials: bool) -> bool {
    let listed = |name: &str| {
        let values = answer.headers(name).join(",").to_lowercase();
        values.split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>()
    };
    let (methods, allowed) = (listed("access-control-allow-methods"), listed("access-control-allow-headers"));
    assert!(
        !methods.contains(&"*".to_owned()) && !allowed.contains(&"*".to_owned()),
        "everything is never allowed"
    );
    answer.status < 300
        && answer.headers("access-control-allow-origin") == [origin]
        && methods.contains(&method.to_lowercase())
        && headers.iter().all(|header| allowed.contains(&header.to_lowercase()))
        && (!with_credentials || answer.headers("access-control-allow-credentials") == ["true"])
}

fn varies_by_origin(answer: &Answer) -> bool {
    answer.headers("vary").join(",").to_lowercase().split(',').any(|word| word.trim() == "origin")
}

async fn with_a_listed_origin() -> TestApp {
    TestApp::start_with_admin(|config| {
        config.server.cors_origins = vec![LISTED.into(), "http://localhost:3000".into()];
        config.server.public_url = Some("https://ci.example.org".into());
    })
    .await
}

#[tokio::test]
async fn by_default_no_other_page_may_read_anything() {
    let app = TestApp::start().await;

    for origin in [LISTED, "null", "*"] {
        for method in METHODS {
            let answer = app.send(preflight(origin, method, "authorization")).await;
            assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None), "{origin} {method}");
        }
        let answer = app.send(Request::get("/api/v1/pipelines").header("Origin", origin)).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None), "{origin}");
    }
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_very_origin_the_method_and_each_header() {
    let app = with_a_listed_origin().await;
    let mut wrong = Vec::new();

    for origin in [LISTED, "http://localhost:3000"].into_iter().chain(OTHERS) {
        let is_listed = !OTHERS.contains(&origin);
        for method in METHODS.into_iter().chain(["TRACE", "CONNECT", "PROPFIND"]) {
            for headers in [
                &[][..],
                &HEADERS[..1],
                &HEADERS[..],
                &["x-pipecast"],
                &["authorization", "x-forwarded-for"],
                &["cookie"],
            ] {
                let answer = app.send(preflight(origin, method, &headers.join(", "))).await;
                let expected = is_listed && METHODS.contains(&method) && headers.iter().all(|header| HEADERS.contains(header));
                for with_credentials in [false, true] {
                    if allows(&answer, origin, method, headers, with_credentials) != expected {
                        wrong.push(format!("{origin} {method} {headers:?}, credentials {with_credentials}: not {expected}"));
                    }
                }
                if answer
                    .headers("access-control-allow-origin")
                    .iter()
                    .any(|allowed| *allowed == "*" || OTHERS.contains(allowed))
                {
                    wrong.push(format!("{origin} is let in"));
                }
                // A refusal is kept by nobody anyway.
                if answer.status < 300 && !varies_by_origin(&answer) {
                    wrong.push(format!("{origin} {method}: kept for other origins too"));
                }
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn answers_are_readable_to_listed_pages_alone_whatever_they_say() {
    let app = with_a_listed_origin().await;

    for (path, status) in [("/health", 200), ("/api/v1/pipelines", 403), ("/admin/v1/me", 401), ("/no-such-path", 404)] {
        for (origin, expected) in [(LISTED, Some(LISTED))].into_iter().chain(OTHERS.map(|other| (other, None))) {
            let answer = app.send(Request::get(path).header("Host", "ci.example.org").header("Origin", origin)).await;
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (status, expected),
                "{path} for {origin}"
            );
            assert!(varies_by_origin(&answer), "{path} for {origin}");
        }
    }
    let shown = app.send(Request::get("/health").header("Origin", LISTED)).await;
    let shown = shown.header("access-control-expose-headers").unwrap().to_lowercase();
    for header in ["etag", "link", "location", "retry-after", "x-request-id"] {
        assert!(shown.contains(header), "{header} in {shown}");
    }
    // A host's delivery has no origin, and one with a strange one is judged by its signature alone.
    let delivery = github("ping", "{}").header("Origin", "https://evil.example");
    assert_eq!(app.send(delivery).await.status, 202);
}

#[tokio::test]
async fn a_listed_page_changes_nothing_by_its_visitors_cookie_and_anything_by_a_token() {
    let app = with_a_listed_origin().await;
    let log_in = || {
        let body = format!(r#"{{"name":"{}","password":"{}"}}"#, crate::app::ADMIN, crate::app::PASSWORD);
        Request::with_body("POST", "/admin/v1/sessions", &body).header("Content-Type", "application/json")
    };
    let own = |request: Request| request.header("Origin", "https://ci.example.org").header("X-Pipecast", "1");
    let listed = |request: Request| request.header("Origin", LISTED);
    let signed_in = app.send(own(log_in())).await;
    expect(&signed_in, 201);
    let token = signed_in.json()["access_token"].as_str().unwrap().to_owned();
    let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let user = || Request::with_body("POST", "/admin/v1/users", r#"{"name":"bob"}"#).header("Content-Type", "application/json");

    assert_eq!(app.send(listed(log_in())).await.problem(), "cross_site", "it is no place to sign in");
    let read = app.send(listed(Request::get("/admin/v1/me").header("Cookie", &cookie))).await;
    expect(&read, 200);
    assert_eq!(read.header("access-control-allow-credentials"), Some("true"));
    for forged in [user(), user().header("X-Pipecast", "1")] {
        assert_eq!(app.send(listed(forged.header("Cookie", &cookie))).await.problem(), "cross_site");
    }
    expect(&app.send(listed(with(user(), &token))).await, 201);
}

#[test]
fn an_origin_that_is_none_is_refused_at_the_start() {
    for origin in [
        "*",
        "null",
        "https://*.example.org",
        "https://dash.example.org/",
        "https://dash.example.org:443",
        "dash.example.org",
    ] {
        let mut config = Config::defaults();
        config.server.cors_origins = vec![origin.to_owned()];

        let told = config.check().unwrap_err().to_string();

        assert!(told.contains(&format!("{origin:?} in server.cors_origins")), "{told}");
    }
}
