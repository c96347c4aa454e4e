//! "Rotating everything" of docs/operations.md, done as it stands there: what was good before is good no more, and what is new is.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use pipecast_auth::random_text;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::accounts::post;
use crate::administration::app_code;
use crate::app::{ADMIN, PASSWORD};
use crate::archive::good;
use crate::binary::Process;
use crate::http::{Answer, Request};
use crate::logins::{database, setup_token};
use crate::people::{expect, with};
use crate::secrets::to_source;
use crate::traces;

const CHEAP: [(&str, &str); 2] = [("PIPECAST_AUTH__PASSWORD_MEMORY", "8MiB"), ("PIPECAST_AUTH__PASSWORD_PASSES", "1")];
const FACTOR: &str = "/admin/v1/me/second-factor";

/// The statements that the documentation has run while everything is stopped.
fn statements() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let section = page.split("\n## ").flat_map(|chapter| chapter.split("\n### "));
    let section = section
        .into_iter()
        .find(|section| section.starts_with("Rotating everything"))
        .expect("its section");
    let line = section
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("$ sqlite3 "))
        .expect("its statements");
    let statements = line.split('"').nth(1).unwrap().split(';').map(str::trim);
    statements.filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

fn command(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipecast"));
    command.current_dir(data).env("PIPECAST_DATA_DIR", data).args(arguments);
    command.output().unwrap()
}

/// An installation that somebody may have looked into.
struct Installation {
    process: Process,
}

impl Installation {
    async fn send(&self, request: Request) -> Answer {
        request.send(self.process.address).await
    }

    async fn log_in(&self, name: &str, password: &str) -> Answer {
        self.send(post("/admin/v1/sessions", &json!({"name": name, "password": password}))).await
    }

    /// Sends it with a token and expects success; the answer's JSON.
    async fn done(&self, token: &str, request: Request) -> Value {
        let answer = self.send(with(request, token)).await;
        assert!(answer.status < 300, "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    async fn asked_with(&self, token: &str) -> u16 {
        self.send(with(Request::get("/admin/v1/me"), token)).await.status
    }

    async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !condition().await {
            assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the script says, run by the admin with this password.
    fn script(&self, password: &str, arguments: &[&str], input: &str) -> String {
        let mut script = Command::new("bash");
        script
            .arg("-c")
            .arg("exec bash \"$0\" \"$@\" <<<\"$TYPED\"")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rotate-everything.sh"))
            .args(arguments)
            .env("URL", format!("http://{}", self.process.address))
            .env("ADMIN_NAME", ADMIN)
            .env("ADMIN_PASSWORD", password)
            .env("TYPED", input);
        let output = script.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        good(&output)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_rotated_as_the_documentation_says() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().display().to_string();
    let settings = [&CHEAP[..], &[("PIPECAST_DATA_DIR", directory.as_str())]].concat();
    let mut old = Installation {
        process: Process::start(&settings),
    };
    let setup = setup_token(&old.process).await;
    let founded = post("/admin/v1/setup", &json!({"token": setup, "name": ADMIN, "password": PASSWORD}));
    expect(&old.send(founded).await, 201);
    let admin = text(&old.log_in(ADMIN, PASSWORD).await.json()["access_token"]);
    let source = old
        .done(&admin, post("/admin/v1/sources", &json!({"host": "github", "name": "acme, Inc."})))
        .await;
    let (key, secret) = (text(&source["path"]).rsplit('/').next().unwrap().to_owned(), text(&source["secret"]));
    let target = json!({"name": "ops", "kind": "slack", "statuses": ["failure"], "url": "https://hooks.example.org/services/pl4nted-one"});
    let target = old.done(&admin, post("/admin/v1/notification-targets", &target)).await["id"].to_string();
    old.done(
        &admin,
        post("/admin/v1/users", &json!({"name": "grace", "role": "viewer", "password": PASSWORD})),
    )
    .await;
    let session = old.log_in("grace", PASSWORD).await.json();
    let grace = text(&session["access_token"]);
    let wanted = post("/admin/v1/tokens", &json!({"name": "ci", "scopes": ["pipelines:read"]}));
    let machine = text(&old.done(&grace, wanted.header("Idempotency-Key", "once")).await["token"]);
    let offered = old.done(&grace, post(FACTOR, &json!({"password": PASSWORD}))).await;
    let code = app_code(offered["secret"].as_str().unwrap(), 0);
    old.done(&grace, post(&format!("{FACTOR}/confirm"), &json!({"code": code}))).await;
    assert_eq!((old.asked_with(&grace).await, old.asked_with(&machine).await), (200, 200));
    old.until("the source is known", async || old.send(to_source(&key, &secret, "{}")).await.status == 202)
        .await;

    // What seals.
    let said = good(&command(data.path(), &["keys", "rotate"]));
    traces::plant_keys(&data.path().join("keys/keyring"));
    let kid = said.split("keys remove ").nth(1).unwrap().split('`').next().unwrap().to_owned();
    good(&command(data.path(), &["keys", "remove", &kid]));

    // What signs, and what was answered, while everything is stopped.
    old.process.signal("-TERM");
    assert!(old.process.ended(Duration::from_secs(20)).1);
    let mut database = database(data.path()).await;
    let count = "SELECT (SELECT count(*) FROM signing_keys) + (SELECT count(*) FROM idempotent_answers)";
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut database).await.unwrap(), 2);
    for statement in statements() {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut database).await.unwrap();
    }
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut database).await.unwrap(), 0);
    drop(database);
    let new = Installation {
        process: Process::start(&settings),
    };
    assert_eq!(
        (new.asked_with(&grace).await, new.asked_with(&machine).await),
        (401, 200),
        "nothing that was signed is good"
    );

    // What lets in.
    let password = random_text(20);
    let admin = text(&new.log_in(ADMIN, PASSWORD).await.json()["access_token"]);
    let own = Request::with_body("PUT", "/admin/v1/me/password", &json!({"current": PASSWORD, "password": password}).to_string());
    new.done(&admin, own.header("Content-Type", "application/json")).await;
    let script = |arguments: &[&str], input: &str| new.script(&password, arguments, input);
    assert_eq!(new.log_in("grace", PASSWORD).await.problem(), "second_factor");
    assert_eq!(script(&["factors"], ""), "user 2 has none any more\n");
    let back = new.log_in("grace", PASSWORD).await.json();
    assert_eq!(script(&["tokens"], ""), "ended: 1\n");
    new.until("the token has ended", async || new.asked_with(&machine).await == 401).await;
    assert_eq!(script(&["sessions"], ""), "ended: those of 2 users\n");
    for ended in [admin.as_str(), back["access_token"].as_str().unwrap()] {
        new.until("all have ended", async || new.asked_with(ended).await == 401).await;
    }
    for ended in [&session, &back] {
        let refresh = post("/admin/v1/sessions/refresh", &json!({"refresh_token": ended["refresh_token"]}));
        assert_eq!(new.send(refresh).await.problem(), "token_refused");
    }

    // What comes in, and where what goes out arrives.
    let said = script(&["sources"], "");
    let (address, fresh) = said.trim().split_once(' ').unwrap();
    traces::plant("source secret", fresh);
    assert_eq!(address, format!("http://{}/webhooks/github/{key}", new.process.address));
    new.until("the new one is believed", async || new.send(to_source(&key, fresh, "{}")).await.status == 202)
        .await;
    new.until("the old one is not", async || new.send(to_source(&key, &secret, "{}")).await.status == 401)
        .await;
    assert!(script(&["target"], "").contains("\"url_host\":\"hooks.example.org\""));
    assert_eq!(
        script(&["target", &target], "https://other.example.org/services/pl4nted-two"),
        "other.example.org\n"
    );

    assert!(good(&command(data.path(), &["audit", "verify"])).starts_with("the audit is as it was written"));
    assert!(!good(&command(data.path(), &["keys", "list"])).contains(&kid));
}
