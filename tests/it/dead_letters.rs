//! What the queue has given up, as an operator meets it over HTTP: seen, looked into, tried again and dropped.

use serde_json::json;

use crate::app::{TestApp, github};
use crate::ledger::Operator;
use crate::split::drop_queues;

const REFUSES: &str = "CREATE TRIGGER refuses BEFORE INSERT ON deliveries WHEN NEW.event = 'ping' BEGIN SELECT RAISE(ABORT, 'not now'); END";

#[tokio::test]
async fn a_dead_letter_is_seen_retried_and_dropped() {
    let app = TestApp::start_with_admin(|config| {
        config.fabric.queue.max_failures = 1;
    })
    .await;
    let admin = Operator::admin(&app).await;
    assert!(admin.items("/admin/v1/dead-letters").await.is_empty());
    // The database refuses one kind of row until the trigger is gone.
    app.alter(REFUSES).await;
    for zen in ["a", "b"] {
        app.send(github("ping", json!({ "zen": zen }).to_string())).await;
    }
    app.until("both are buried", || async { admin.items("/admin/v1/dead-letters").await.len() == 2 })
        .await;

    let dead = admin.items("/admin/v1/dead-letters").await;
    let ids: Vec<&str> = dead.iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    assert_eq!((dead[0]["delivery"]["event"].as_str(), dead[0]["failures"].as_i64()), (Some("ping"), Some(1)));
    assert!(dead[0]["reason"].as_str().unwrap().contains("not now"), "{}", dead[0]);
    assert_eq!(admin.items("/admin/v1/dead-letters?limit=1").await.len(), 1);
    assert_eq!(
        admin.get(&format!("/admin/v1/dead-letters/{}", ids[0])).await.json()["delivery"],
        dead[0]["delivery"]
    );

    app.alter("DROP TRIGGER refuses").await;
    assert_eq!(admin.post(&format!("/admin/v1/dead-letters/{}/retry", ids[0]), &json!({})).await.status, 202);
    app.until("it is written now", || async { app.count("SELECT count(*) FROM deliveries").await == 1 })
        .await;
    assert_eq!(admin.post(&format!("/admin/v1/dead-letters/{}/retry", ids[0]), &json!({})).await.status, 404);
    assert_eq!(admin.delete(&format!("/admin/v1/dead-letters/{}", ids[1]), None).await.status, 204);
    assert!(admin.items("/admin/v1/dead-letters").await.is_empty());
    let many = admin.post("/admin/v1/dead-letters/retry", &json!({"ids": ids})).await;
    assert_eq!((many.status, many.json()), (202, json!({"settled": 0})));
    assert_eq!(admin.post("/admin/v1/dead-letters/drop", &json!({"ids": []})).await.status, 422);
    // What is not there is neither dropped nor audited.
    assert_eq!(admin.delete("/admin/v1/dead-letters/7000-7000", None).await.status, 404);
    let many = admin.post("/admin/v1/dead-letters/drop", &json!({"ids": ["7000-7000", ids[1]]})).await;
    assert_eq!((many.status, many.json()), (200, json!({"settled": 0})));
    let dropped = admin.audited("dead_letter.drop").await;
    assert_eq!((dropped.len(), &dropped[0]["resource_id"]), (1, &json!(ids[1])));
    assert_eq!(admin.audited("dead_letter.retry").await.len(), 1);
}

/// Nothing of it is in the ledger, because its transaction failed: the queue alone has what was sent.
#[tokio::test]
async fn a_dead_letter_is_looked_into_before_it_is_dropped_whichever_queue_has_it() {
    let broker = std::env::var("PIPECAST_TEST_RABBITMQ").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned());
    for broker in [None, Some(broker)] {
        let prefix = format!("it_{}", uuid::Uuid::new_v4().simple());
        let app = TestApp::start_with_admin(|config| {
            config.fabric.queue.max_failures = 1;
            config.fabric.amqp_url.clone_from(&broker);
            config.fabric.rabbitmq.prefix.clone_from(&prefix);
        })
        .await;
        let admin = Operator::admin(&app).await;
        app.alter(REFUSES).await;
        // Not as any writer of JSON would write it again.
        let sent = "{ \"zen\":\t\"Design for failure.\" }\n";
        app.send(github("ping", sent.to_owned()).header("X-GitHub-Hook-ID", "7")).await;
        app.until("it is buried", || async { admin.items("/admin/v1/dead-letters").await.len() == 1 })
            .await;
        let listed = admin.items("/admin/v1/dead-letters").await[0].clone();
        let one = format!("/admin/v1/dead-letters/{}", listed["id"].as_str().unwrap());
        assert_eq!(app.count("SELECT count(*) FROM deliveries").await, 0, "the ledger never had it");

        let found = admin.get(&one).await.json();
        let body = admin.get(&format!("{one}/body")).await;

        assert_eq!((&found["id"], &found["delivery"]), (&listed["id"], &listed["delivery"]));
        assert_eq!(
            (&found["headers"]["x-github-event"], &found["body_bytes"]),
            (&json!("ping"), &json!(sent.len()))
        );
        assert!(!found.to_string().contains("sha256="), "what proves a delivery is not shown: {found}");
        assert_eq!((body.status, String::from_utf8_lossy(&body.body).as_ref()), (200, sent));
        assert_eq!(body.header("content-type"), Some("application/octet-stream"));
        assert_eq!(body.header("content-security-policy"), Some("sandbox; default-src 'none'"));
        assert_eq!(body.header("content-disposition"), Some("attachment; filename=\"dead-letter.json\""));

        assert_eq!(admin.delete(&one, None).await.status, 204);
        assert_eq!(admin.get(&format!("{one}/body")).await.status, 404);
        drop(app);
        if broker.is_some() {
            drop_queues(&prefix).await;
        }
    }
}
