//! A defect that panics: whoever asked is told that it is ours, nobody else notices, and whoever runs the service does.

use std::net::SocketAddr;
use std::panic;
use std::sync::Once;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use pipecast::config::Config;
use pipecast::server::{self, panics};
use pipecast::telemetry;

use crate::http::Request;

/// The service's own listener, with a route that panics. It lives as long as the test's runtime.
fn listen() -> SocketAddr {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Tests that fail panic too, and theirs is still told as usual.
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            panics::report(info);
            usual(info);
        }));
    });
    let mut settings = Config::defaults().server;
    settings.workers = 1;
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let bound = server::bind(&settings, any, Duration::from_secs(10), |app| {
        app.route("/at-once", web::get().to(async || -> HttpResponse { panic!("on purpose: at once") }))
            .route(
                "/later",
                web::get().to(async || -> HttpResponse {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    panic!("on purpose: later")
                }),
            )
            .route("/fine", web::get().to(async || HttpResponse::Ok().body("fine")));
    })
    .expect("it listens");
    tokio::spawn(bound.server);
    bound.address
}

fn counted() -> u64 {
    let text = telemetry::start_metrics().render();
    let line = text.lines().find_map(|line| line.strip_prefix("pipecast_panics_total "));
    line.expect("it is there from the start on").parse().unwrap()
}

#[tokio::test]
async fn a_panic_below_a_handler_is_an_answer_like_any_other_and_harms_nobody_else() {
    telemetry::start_metrics();
    let address = listen();
    let before = counted();

    for path in ["/at-once", "/later"] {
        let answer = Request::get(path).send(address).await;

        assert_eq!((answer.status, answer.header("content-type")), (500, Some("application/problem+json")));
        let problem = answer.json();
        assert_eq!(problem["code"], "internal");
        assert_eq!(answer.header("x-request-id"), problem["request_id"].as_str());
        assert!(!String::from_utf8_lossy(&answer.body).contains("on purpose"), "what it says is for us alone");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        // There is one worker, and it is the one that panicked.
        assert_eq!(Request::get("/fine").send(address).await.body, b"fine");
    }
    assert!(counted() >= before + 2, "{} after {before}", counted());
}

#[tokio::test]
async fn a_panic_of_a_task_is_counted_too() {
    telemetry::start_metrics();
    listen();
    let before = counted();

    let ended = tokio::spawn(async { panic!("on purpose: in a task") }).await;

    assert!(ended.is_err_and(|error: tokio::task::JoinError| error.is_panic()));
    assert!(counted() > before);
}
