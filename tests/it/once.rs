//! Requests under an `Idempotency-Key` that come while the first of them is still under way, on PostgreSQL, where two can write at once.

use aws_lc_rs::digest::{SHA256, digest};
use pipecast::roles::{self, Role};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::accounts::post;
use crate::app::{ADMIN, PASSWORD};
use crate::people::{expect, with};
use crate::split::{Deployment, postgres, until};

#[tokio::test]
async fn a_key_whose_first_request_is_under_way_is_answered_so_and_asked_again() {
    let deployment = Deployment::lay().await;
    let admin = deployment.start("admin", Role::Admin).await;
    until("the schema is there", || async {
        deployment.count("pg_tables WHERE tablename = 'idempotent_answers'").await > 0
    })
    .await;
    roles::create_admin(&deployment.config("admin"), ADMIN, PASSWORD).await.unwrap();
    let login = post("/admin/v1/sessions", &json!({"name": ADMIN, "password": PASSWORD}))
        .send(admin.address)
        .await;
    expect(&login, 201);
    let access = login.json()["access_token"].as_str().unwrap().to_owned();
    let make = || {
        let wanted = post("/admin/v1/tokens", &json!({"name": "ci", "scopes": ["pipelines:read"]}));
        with(wanted, &access).header("Idempotency-Key", "deploy-17").send(admin.address)
    };

    // As another request does that is in the middle of its transaction.
    let url = format!("{}?options[search_path]={}", postgres(), deployment.name);
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut first = other.begin().await.unwrap();
    let key: String = digest(&SHA256, b"9:deploy-17;").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    const TAKE: &str = "
        INSERT INTO idempotent_answers (caller, key_hash, request_hash, created_at, sealed)
        VALUES ('user:' || (SELECT min(id) FROM users), $1, '', 0, '')";
    sqlx::query(TAKE).bind(key).execute(&mut *first).await.unwrap();

    let waiting = make().await;
    assert_eq!(
        (waiting.status, waiting.problem().as_str(), waiting.header("retry-after")),
        (409, "conflict", Some("1")),
        "{}",
        waiting.json()
    );
    assert!(waiting.json()["detail"].as_str().unwrap().contains("still under way"));

    first.rollback().await.unwrap();
    let made = make().await;
    expect(&made, 201);
    let again = make().await;
    assert_eq!((again.json(), again.header("idempotent-replayed")), (made.json(), Some("true")));
    admin.stop().await.unwrap();
}
