//! RabbitMQ as clients of the service meet it: where a delivery is safe, and what happens while the broker is away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{TestApp, github};
use crate::broker;
use crate::http::{Answer, Request};
use crate::live::run;

/// One run, in the status that it has at this second.
async fn deliver(app: &TestApp, status: &str, second: u32) -> Answer {
    let conclusion = Some("success").filter(|_| status == "completed");
    app.send(github("workflow_run", run(1001, status, conclusion, second).to_string())).await
}

fn durability(answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["durability"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_taken_while_the_broker_is_away_and_show_when_it_is_back() {
    let broker = broker::fragile().await;
    let url = broker.url();
    let app = TestApp::start_with(|config| {
        config.fabric.amqp_url = Some(url);
        config.fabric.spool.max_messages = 10;
    })
    .await;
    assert_eq!(durability(&deliver(&app, "queued", 0).await), "broker");
    app.until_status(1, "queued").await;
    assert_eq!(app.get("/health").await["dependencies"]["spool"]["state"], "ok");

    tokio::task::block_in_place(|| broker.kill());
    for number in 0..10 {
        let asked = Instant::now();
        assert_eq!(durability(&deliver(&app, "in_progress", 1 + number).await), "spool", "{number}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    let refused = deliver(&app, "in_progress", 20).await;
    assert_eq!(refused.status, 503, "{}", String::from_utf8_lossy(&refused.body));
    assert!(refused.header("retry-after").is_some());
    app.until("the report says how it is", async || {
        let seen = &app.get("/health").await["dependencies"];
        seen["queue"]["state"] == "down" && seen["spool"]["state"] == "full" && seen["spool"]["depth"] == json!({"urgent": 10, "bulk": 0})
    })
    .await;
    assert_eq!(app.send(Request::get("/health/ready")).await.status, 503);

    tokio::task::block_in_place(|| broker.begin());
    app.until_status(1, "running").await;
    app.until_done().await;
    app.until("the broker is used again", async || {
        durability(&deliver(&app, "completed", 30).await) == "broker"
    })
    .await;
    app.stop().await;
}
