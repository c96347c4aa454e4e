//! The service under test: the real one, with a directory and a port of its own, and secrets that the tests know.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use pipecast::config::{Config, Secret};
use pipecast::roles::{self, Role, Running};
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Answer, Request};
use crate::traces;

pub const GITHUB_SECRET: &str = "pl4nted: a secret of GitHub";
pub const GITLAB_SECRET: &str = "pl4nted: a token of GitLab";

/// The account that `start_with_admin` makes.
pub const ADMIN: &str = "ada";
pub const PASSWORD: &str = "correct horse battery staple";

/// Longest wait for something that must become so.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running service. Dropped, it ends like a crash.
pub struct TestApp {
    pub address: SocketAddr,
    running: Running,
    data: TempDir,
    /// Deliveries that were answered 202.
    accepted: AtomicI64,
}

impl TestApp {
    pub async fn start() -> TestApp {
        TestApp::start_with(|_| {}).await
    }

    /// Starts with the defaults as `change` leaves them.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> TestApp {
        let data = tempfile::tempdir().unwrap();
        let mut config = config_in(data.path());
        change(&mut config);
        let running = roles::start(config, &BTreeSet::from(Role::ALL)).await.expect("it starts");
        traces::plant_keys(&data.path().join("keys/keyring"));
        TestApp {
            address: running.address,
            running,
            data,
            accepted: AtomicI64::new(0),
        }
    }

    /// Starts with an account of everybody's superior, and the defaults as `change` leaves them.
    pub async fn start_with_admin(change: impl FnOnce(&mut Config)) -> TestApp {
        let data = tempfile::tempdir().unwrap();
        let mut config = config_in(data.path());
        change(&mut config);
        roles::create_admin(&config, ADMIN, PASSWORD).await.expect("an admin");
        let running = roles::start(config, &BTreeSet::from(Role::ALL)).await.expect("it starts");
        traces::plant_keys(&data.path().join("keys/keyring"));
        TestApp {
            address: running.address,
            running,
            data,
            accepted: AtomicI64::new(0),
        }
    }

    /// A column of text of every row, as another program would read them.
    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        let url = format!("sqlite:{}?mode=ro", self.data.path().join("pipecast.db").display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let rows = sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap();
        pool.close().await;
        rows
    }

    /// Changes the database behind the service's back.
    pub async fn alter(&self, sql: &'static str) {
        let url = format!("sqlite:{}", self.data.path().join("pipecast.db").display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        sqlx::query(sql).execute(&pool).await.unwrap();
        pool.close().await;
    }

    /// Stops in order and returns when all of it has ended.
    pub async fn stop(self) {
        self.running.stop().await.expect("it stops in time");
    }

    /// Stops in order and starts again on the same data.
    pub async fn restart(self) -> TestApp {
        let TestApp { running, data, accepted, .. } = self;
        running.stop().await.expect("it stops in time");
        let running = roles::start(config_in(data.path()), &BTreeSet::from(Role::ALL)).await.expect("it starts again");
        TestApp {
            address: running.address,
            running,
            data,
            accepted,
        }
    }

    /// Where it keeps everything.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    pub async fn send(&self, request: Request) -> Answer {
        let answer = request.send(self.address).await;
        if answer.status == 202 {
            self.accepted.fetch_add(1, Ordering::SeqCst);
        }
        answer
    }

    /// The JSON at `path`, which must be there.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.send(Request::get(path)).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Delivers a signed webhook of GitHub, which must be accepted.
    pub async fn deliver_github(&self, event: &str, body: &Value) {
        let answer = self.send(github(event, body.to_string())).await;
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    }

    /// Waits until `condition` holds.
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, mut condition: impl FnMut() -> F) {
        let began = Instant::now();
        while !condition().await {
            assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the pipeline has this status.
    pub async fn until_status(&self, pipeline: i64, word: &str) {
        let path = format!("/api/v1/pipelines/{pipeline}/status/realtime");
        self.until(&format!("pipeline {pipeline} is {word}"), || async { self.get(&path).await["status"] == word })
            .await;
    }

    /// Waits until every delivery that was accepted has been understood and written down.
    pub async fn until_done(&self) {
        let accepted = self.accepted.load(Ordering::SeqCst);
        const WRITTEN: &str = "SELECT count(*) + coalesce(sum(repeats), 0) FROM deliveries WHERE outcome <> 'refused'";
        self.until("what was accepted is written", || async { self.count(WRITTEN).await >= accepted })
            .await;
    }

    /// Rows of the database as another program would count them.
    pub async fn count(&self, sql: &'static str) -> i64 {
        let url = format!("sqlite:{}?mode=ro", self.data.path().join("pipecast.db").display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let (count,): (i64,) = sqlx::query_as(sql).fetch_one(&pool).await.unwrap();
        pool.close().await;
        count
    }
}

/// What services in this process say goes where whoever looks for leaks finds it. More than they say by default.
fn listen_to_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Some(file) = traces::log_of("in-process") {
            let filter = "info,pipecast=debug,actix_server=warn";
            let lines = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(Mutex::new(file));
            drop(lines.try_init());
        }
        for secret in [GITHUB_SECRET, GITLAB_SECRET] {
            traces::plant("webhook secret", secret);
        }
    });
}

/// The defaults with a directory, any free port, and secrets.
pub fn config_in(data: &Path) -> Config {
    listen_to_the_log();
    let mut config = Config::defaults();
    config.data_dir = data.to_owned();
    config.server.listen = "127.0.0.1:0".parse().unwrap();
    config.server.workers = 2;
    config.auth.password_memory = 8 << 10;
    config.auth.password_passes = 1;
    config.webhooks.github.secret = Secret::new(GITHUB_SECRET);
    config.webhooks.gitlab.secret = Secret::new(GITLAB_SECRET);
    config
}

/// A rightly signed delivery of GitHub under a fresh id.
pub fn github(event: &str, body: impl Into<Vec<u8>>) -> Request {
    let body = body.into();
    let signature = sign_github(GITHUB_SECRET, &body);
    Request::post("/webhooks/github", body)
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", event)
        .header("X-GitHub-Delivery", uuid::Uuid::new_v4())
        .header("X-Hub-Signature-256", signature)
}

/// A delivery of GitLab with the right token under a fresh id.
pub fn gitlab(event: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post("/webhooks/gitlab", body)
        .header("Content-Type", "application/json")
        .header("X-Gitlab-Event", event)
        .header("Idempotency-Key", uuid::Uuid::new_v4())
        .header("X-Gitlab-Token", GITLAB_SECRET)
}

/// The value of `X-Hub-Signature-256`.
pub fn sign_github(secret: &str, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}
