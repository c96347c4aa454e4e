//! Sources with secrets in the database, as hosts meet them: which of them are believed, from when on, and until when.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use pipecast::config::Config;
use pipecast::roles::{self, Role};
use pipecast_model::{Host, SecretId, SecretKind, SourceId, Timestamp};
use pipecast_store::sealed::Keys;
use pipecast_store::source::{NewSource, SourceChange};
use pipecast_store::{Reader, Writer};
use serde_json::{Value, json};

use crate::accounts::post;
use crate::app::{TestApp, config_in, github, sign_github};
use crate::http::{Answer, Request};
use crate::live::run;
use crate::people::{House, expect, with};
use crate::traces::MARK;

pub const SECRET: &str = "the first secret of the source";
const NEXT: &str = "the second secret of the source";

/// An operator's hand on the same database and the same keys.
pub struct Desk {
    pub reader: Reader,
    pub writer: Writer,
    pub keys: Keys,
}

impl Desk {
    pub async fn of(config: &Config) -> Desk {
        let (reader, writer) = pipecast_store::open(&config.store.options(&config.data_dir)).await.unwrap();
        Desk {
            reader,
            writer,
            keys: Keys::of_file(&config.keys.path(&config.data_dir)),
        }
    }

    pub async fn at(data: &Path) -> Desk {
        Desk::of(&config_in(data)).await
    }

    pub async fn make(&self, host: Host, key: &str, secret: &str) -> (SourceId, SecretId) {
        let new = NewSource {
            host,
            key: key.to_owned(),
            name: key.to_owned(),
            enabled: true,
            silent_after: None,
            created_by: None,
        };
        let ring = self.keys.ring().unwrap();
        let mut tx = self.writer.begin().await.unwrap();
        let source = tx.make_source(&new, Timestamp::now()).await.unwrap().unwrap();
        let secret = tx
            .add_secret(source, SecretKind::of(host, secret), secret, &ring, Timestamp::now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        (source, secret)
    }

    /// Another secret; those before it end at a time.
    pub async fn rotate(&self, source: SourceId, host: Host, secret: &str, end: Timestamp) -> SecretId {
        let ring = self.keys.ring().unwrap();
        let mut tx = self.writer.begin().await.unwrap();
        let id = tx
            .add_secret(source, SecretKind::of(host, secret), secret, &ring, Timestamp::now())
            .await
            .unwrap();
        tx.end_secrets_before(source, id, end, Timestamp::now()).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn disable(&self, id: SourceId) {
        let source = self.reader.find_source(id).await.unwrap().unwrap();
        let change = SourceChange {
            name: source.name.clone(),
            enabled: false,
            silent_after: None,
        };
        let mut tx = self.writer.begin().await.unwrap();
        tx.change_source(id, source.version, &change, Timestamp::now()).await.unwrap().unwrap();
        tx.commit().await.unwrap();
    }

    async fn delete(&self, id: SourceId) {
        let version = self.reader.find_source(id).await.unwrap().unwrap().version;
        let mut tx = self.writer.begin().await.unwrap();
        tx.delete_source(id, version, Timestamp::now()).await.unwrap().unwrap();
        tx.commit().await.unwrap();
    }
}

fn in_seconds(seconds: i64) -> Timestamp {
    Timestamp(Timestamp::now().0 + seconds * 1_000_000)
}

/// A delivery of GitHub to a source of its own.
pub fn to_source(key: &str, secret: &str, body: &str) -> Request {
    github("workflow_run", body).redirected(&format!("/webhooks/github/{key}"), sign_github(secret, body.as_bytes()))
}

async fn ping(app: &TestApp, key: &str, secret: &str) -> u16 {
    app.send(to_source(key, secret, "{}")).await.status
}

/// An answer without what names this one request.
fn shape_of(answer: &Answer) -> (u16, String) {
    let mut body = answer.json();
    body["request_id"].take();
    (answer.status, body.to_string())
}

#[tokio::test]
async fn a_source_made_this_moment_is_believed_with_its_first_delivery() {
    let app = TestApp::start().await;
    let desk = Desk::at(app.data()).await;
    desk.make(Host::Github, "k", SECRET).await;

    assert_eq!(
        app.send(to_source("k", SECRET, &run(1001, "in_progress", None, 1).to_string())).await.status,
        202
    );

    app.until_status(1, "running").await;
    assert_eq!(ping(&app, "k", "another secret").await, 401);
    assert_eq!(app.send(github("ping", "{}")).await.status, 202, "the configured one works beside it");
}

#[tokio::test]
async fn two_secrets_are_believed_until_the_overlap_ends_and_what_matched_last_shows() {
    let app = TestApp::start().await;
    let desk = Desk::at(app.data()).await;
    let (source, first) = desk.make(Host::Github, "k", SECRET).await;
    assert_eq!(ping(&app, "k", SECRET).await, 202);

    let end = in_seconds(4);
    let second = desk.rotate(source, Host::Github, NEXT, end).await;
    assert_eq!((ping(&app, "k", NEXT).await, ping(&app, "k", SECRET).await), (202, 202));

    let found = || async { desk.reader.find_source(source).await.unwrap().unwrap() };
    app.until("both are heard", || async {
        found().await.secrets.iter().all(|secret| secret.last_matched_at.is_some())
    })
    .await;
    assert!(found().await.last_delivery_at.is_some());
    assert_eq!(found().await.secrets.iter().map(|secret| secret.id).collect::<Vec<_>>(), [second, first]);
    assert_eq!(app.count("SELECT count(*) FROM deliveries WHERE secret_id IS NOT NULL").await, 2 + 1);

    // Nobody tells the edge that it is over: it knows the end.
    app.until("the old one is over", || async { ping(&app, "k", SECRET).await == 401 }).await;
    assert!(Timestamp::now() >= end, "not sooner");
    assert_eq!(ping(&app, "k", NEXT).await, 202);
}

#[tokio::test]
async fn what_is_disabled_or_deleted_is_answered_as_what_never_was() {
    let app = TestApp::start().await;
    let desk = Desk::at(app.data()).await;
    let (disabled, _) = desk.make(Host::Github, "disabled", SECRET).await;
    let (deleted, _) = desk.make(Host::Github, "deleted", SECRET).await;
    let keys = ["disabled", "deleted"];
    for key in keys {
        assert_eq!(ping(&app, key, SECRET).await, 202);
    }

    desk.disable(disabled).await;
    desk.delete(deleted).await;
    let began = Instant::now();
    for key in keys {
        app.until("it is refused", || async { ping(&app, key, SECRET).await == 401 }).await;
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    desk.make(Host::Github, "other", SECRET).await;
    let wrong = shape_of(&app.send(to_source("other", "another secret", "{}")).await);
    for key in ["disabled", "deleted", "never was"] {
        let key = key.replace(' ', "-");
        assert_eq!(shape_of(&app.send(to_source(&key, SECRET, "{}")).await), wrong, "{key}");
    }
}

#[tokio::test]
async fn a_gitlab_source_moves_from_its_token_to_a_signing_token() {
    const SIGNING: &str = "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3ISE=";
    let app = TestApp::start().await;
    let desk = Desk::at(app.data()).await;
    let (source, _) = desk.make(Host::Gitlab, "k", SECRET).await;
    let with_token = |token: &str| {
        Request::post("/webhooks/gitlab/k", "{}")
            .header("X-Gitlab-Event", "Pipeline Hook")
            .header("X-Gitlab-Token", token)
    };
    let signed = || {
        let key = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &SIGNING[6..]).unwrap();
        let seconds = Timestamp::now().0 / 1_000_000;
        let tag = aws_lc_rs::hmac::sign(
            &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key),
            format!("m1.{seconds}.{{}}").as_bytes(),
        );
        Request::post("/webhooks/gitlab/k", "{}")
            .header("X-Gitlab-Event", "Pipeline Hook")
            .header("webhook-id", "m1")
            .header("webhook-timestamp", seconds)
            .header(
                "webhook-signature",
                format!("v1,{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag)),
            )
    };
    assert_eq!(app.send(with_token(SECRET)).await.status, 202);
    assert_eq!(app.send(signed()).await.status, 401);

    desk.rotate(source, Host::Gitlab, SIGNING, in_seconds(3)).await;

    assert_eq!((app.send(signed()).await.status, app.send(with_token(SECRET)).await.status), (202, 202));
    app.until("the token is over", || async { app.send(with_token(SECRET)).await.status == 401 })
        .await;
    assert_eq!(app.send(with_token(SIGNING)).await.status, 401, "a signing token is never a token");
    assert_eq!(app.send(signed()).await.status, 202);
}

#[tokio::test]
async fn an_edge_that_never_read_its_sources_asks_to_come_again() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config_in(data.path());
    // Nobody listens there; the queue is the broker's or the spool's.
    config.store.url = Some("postgres://nobody@127.0.0.1:1/none".to_owned());
    config.fabric.redis_url = Some("redis://127.0.0.1:1".to_owned());
    config.fabric.amqp_url = Some("amqp://guest:guest@127.0.0.1:1".to_owned());
    config.keys.file = Some(data.path().join("keyring").display().to_string());
    let edge = roles::start(config, &BTreeSet::from([Role::Realtime])).await.unwrap();

    let unknown = to_source("k", SECRET, "{}").send(edge.address).await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (503, "unavailable"));
    assert!(unknown.header("retry-after").is_some());
    assert_eq!(github("ping", "{}").send(edge.address).await.status, 202, "what is configured is believed");
}

#[tokio::test]
async fn what_an_edge_has_read_it_keeps_while_the_database_is_away() {
    let app = TestApp::start().await;
    let desk = Desk::at(app.data()).await;
    desk.make(Host::Github, "k", SECRET).await;
    assert_eq!(ping(&app, "k", SECRET).await, 202);
    let config = config_in(app.data());

    // Every table that it reads sources from is away.
    let url = format!("sqlite:{}", config.data_dir.join("pipecast.db").display());
    let mut database = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::query("ALTER TABLE source_secrets RENAME TO taken_away")
        .execute(&mut database)
        .await
        .unwrap();

    // Longer than until it reads again.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        assert_eq!(ping(&app, "k", SECRET).await, 202);
        assert_eq!(ping(&app, "k", "another secret").await, 401);
    }
}

/// Whoever knows the address of a webhook can write to it.
#[tokio::test]
async fn where_a_target_is_reached_is_said_once_and_never_shown_again() {
    let house = House::start(|_| {}).await;
    let targets = "/admin/v1/notification-targets";
    let send = async |request: Request| house.app.send(with(request, &house.admin)).await;
    let (first, second) = (
        format!("https://hooks.example.org/services/{MARK}-first"),
        format!("https://other.example.org:8443/{MARK}-second"),
    );
    let new = |kind: &str, url: &str| json!({"name": "ops", "kind": kind, "statuses": ["failure"], "url": url});
    for (kind, wrong) in [
        ("slack", format!("http://hooks.example.org/{MARK}")),
        ("slack", format!("hooks.example.org/{MARK}")),
        ("webhook", format!("https:///{MARK}")),
        ("webhook", format!("https://example.org/{MARK}{}", "x".repeat(2_048))),
        ("email", first.clone()),
    ] {
        let refused = send(post(targets, &new(kind, &wrong))).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("#/url")), "{wrong}");
        assert!(!String::from_utf8_lossy(&refused.body).contains(MARK), "what is wrong is said without it");
    }

    let made = send(post(targets, &new("slack", &first))).await;
    expect(&made, 201);
    let one = made.header("location").unwrap().to_owned();
    assert_eq!((&made.json()["url_host"], &made.json()["url"]), (&json!("hooks.example.org"), &Value::Null));
    let patch = |body: Value| {
        let request = Request::with_body("PATCH", &one, &body.to_string()).header("Content-Type", "application/merge-patch+json");
        send(request.header("If-Match", "*"))
    };
    assert_eq!(patch(json!({"name": "devs"})).await.json()["url_host"], "hooks.example.org", "it stays");
    assert_eq!(patch(json!({"url": second})).await.json()["url_host"], "other.example.org");
    for path in [one.as_str(), targets, "/admin/v1/audit?limit=200"] {
        let shown = send(Request::get(path)).await;
        assert!(shown.status == 200 && !String::from_utf8_lossy(&shown.body).contains(MARK), "{path}");
    }
    let kept = house.app.texts("SELECT sealed_url FROM notification_targets").await;
    assert!(kept[0].starts_with("v1|a256gcm|") && !kept[0].contains(MARK), "{kept:?}");
    let none = patch(json!({"url": null})).await;
    assert_eq!((none.status, &none.json()["url_host"]), (200, &Value::Null));
    assert_eq!(
        house.app.count("SELECT count(*) FROM notification_targets WHERE sealed_url IS NOT NULL").await,
        0
    );
}
