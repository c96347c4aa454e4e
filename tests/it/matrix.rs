//! Who gets which answer where: every operation of the document has a row, and every row is asked by everybody.

use std::collections::{BTreeMap, BTreeSet};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::app::TestApp;
use crate::http::Request;
use crate::people::{House, with};

/// Who asks, in the order of the answers of a row. Viewer, wallboard and maintainer are members of project 1, `other` maintains project 2.
const WHO: [&str; 9] = [
    "anonymous",
    "expired",
    "revoked",
    "wallboard",
    "viewer",
    "maintainer",
    "admin",
    "other",
    "runner",
];

pub type Answers = [u16; 9];

/// The place of an admin among those who ask.
pub const ADMIN: usize = 6;

/// The same for everybody.
const fn open(status: u16) -> Answers {
    [status; 9]
}

/// Something of project 1.
const fn seen(status: u16) -> Answers {
    [403, 401, 401, status, status, status, status, 404, 403]
}

/// A list, or what is told of whatever one sees.
const fn listed(status: u16) -> Answers {
    [403, 401, 401, status, status, status, status, status, 403]
}

/// Whoever is signed in, in person or as a program.
const fn signed_in(status: u16) -> Answers {
    [401, 401, 401, status, status, status, status, status, status]
}

/// Whoever is signed in in person.
const fn in_person(status: u16) -> Answers {
    [401, 401, 401, status, status, status, status, status, 403]
}

/// Admins alone.
const fn admin(status: u16) -> Answers {
    [401, 401, 401, 403, 403, 403, status, 403, 403]
}

/// Members of project 1 who manage it: what the maintainer, the admin and another project's maintainer get.
const fn managed(own: u16, all: u16, other: u16) -> Answers {
    [401, 401, 401, 403, 403, own, all, other, 403]
}

/// Whoever reads pipelines, with what a maintainer of another project gets.
const fn read(status: u16, other: u16) -> Answers {
    [401, 401, 401, status, status, status, status, other, 403]
}

/// Whoever may have tokens of their own.
const fn tokens(status: u16) -> Answers {
    [401, 401, 401, 403, status, status, status, status, 403]
}

/// One operation: how it is asked, so that nothing is changed by it, and what everybody gets.
pub fn rows() -> BTreeMap<(&'static str, &'static str), (Option<&'static str>, &'static str, Answers)> {
    let member = r#"{"user_name":"nobody","role":"viewer"}"#;
    let rows = [
        // Reading: what is beyond one's sight is as if it were not there.
        ("get", "/", None, "", open(200)),
        ("get", "/health", None, "", open(200)),
        ("get", "/health/live", None, "", open(200)),
        ("get", "/health/ready", None, "", open(200)),
        ("get", "/metrics", None, "", [403, 401, 401, 403, 200, 200, 200, 200, 403]),
        ("get", "/api/v1/pipelines", None, "", listed(200)),
        ("get", "/api/v1/pipelines/{pipeline_id}", None, "", seen(200)),
        ("get", "/api/v1/pipelines/{pipeline_id}/status/realtime", None, "", listed(200)),
        ("get", "/api/v1/pipelines/{pipeline_id}/executions", None, "", seen(200)),
        ("get", "/api/v1/executions/{execution_id}", None, "", seen(200)),
        ("get", "/api/v1/executions/{execution_id}/jobs", None, "", seen(200)),
        ("get", "/api/v1/jobs/{job_id}", None, "", seen(200)),
        // Without an upgrade whoever passes is told that this is a socket.
        ("get", "/ws", None, "", listed(400)),
        ("get", "/ws/monitor", None, "", listed(400)),
        ("get", "/ws/pipeline/{pipeline_id}", None, "", seen(400)),
        ("get", "/ws/execution/{execution_id}", None, "", seen(400)),
        ("get", "/sse", None, "?topics=pipeline:1", seen(200)),
        ("get", "/sse/monitor", None, "", listed(200)),
        ("get", "/sse/pipeline/{pipeline_id}", None, "", seen(200)),
        ("get", "/sse/execution/{execution_id}", None, "", seen(200)),
        // Deliveries prove themselves.
        ("post", "/webhooks/{host}", Some("{}"), "", open(401)),
        ("post", "/webhooks/{host}/{source_key}", Some("{}"), "", open(401)),
        // The way in.
        ("get", "/admin/v1/setup", None, "", open(404)),
        ("post", "/admin/v1/setup", Some(r#"{"token":"x","name":"x","password":"x"}"#), "", open(404)),
        ("post", "/admin/v1/sessions", Some("{}"), "", open(422)),
        ("post", "/admin/v1/sessions/refresh", Some("{}"), "", open(401)),
        ("get", "/admin/v1/jwks.json", None, "", open(200)),
        // Oneself.
        ("get", "/admin/v1/sessions", None, "", in_person(200)),
        ("delete", "/admin/v1/sessions/current", None, "?not=now", signed_in(400)),
        ("delete", "/admin/v1/sessions/{session_id}", None, "", in_person(404)),
        ("get", "/admin/v1/me", None, "", signed_in(200)),
        ("post", "/admin/v1/me/confirmation", Some("{}"), "", signed_in(422)),
        ("put", "/admin/v1/me/password", Some("{}"), "", signed_in(422)),
        ("post", "/admin/v1/me/second-factor", Some("{}"), "", signed_in(422)),
        ("post", "/admin/v1/me/second-factor/confirm", Some(r#"{"code":"0"}"#), "", in_person(404)),
        ("delete", "/admin/v1/me/second-factor", Some("{}"), "", signed_in(422)),
        ("post", "/api/ws-tickets", None, "", in_person(201)),
        // Users.
        ("get", "/admin/v1/users", None, "", admin(200)),
        ("post", "/admin/v1/users", Some("{}"), "", admin(422)),
        ("get", "/admin/v1/users/export", None, "", admin(200)),
        ("post", "/admin/v1/users/import", Some("{}"), "", admin(415)),
        ("post", "/admin/v1/users/batch", Some("{}"), "", admin(422)),
        ("get", "/admin/v1/users/{user_id}", None, "", admin(200)),
        ("patch", "/admin/v1/users/{user_id}", Some("{}"), "", admin(412)),
        ("delete", "/admin/v1/users/{user_id}", None, "", admin(412)),
        ("post", "/admin/v1/users/{user_id}/restore", None, "", admin(409)),
        ("put", "/admin/v1/users/{user_id}/password", Some("{}"), "", admin(422)),
        ("delete", "/admin/v1/users/{user_id}/second-factor", None, "", admin(404)),
        ("delete", "/admin/v1/users/{user_id}/sessions", None, "?not=now", admin(400)),
        // Members of project 1.
        ("get", "/admin/v1/projects/{project_id}/members", None, "", managed(200, 200, 404)),
        ("post", "/admin/v1/projects/{project_id}/members", Some(member), "", managed(422, 422, 404)),
        ("get", "/admin/v1/projects/{project_id}/members/{user_id}", None, "", managed(200, 200, 404)),
        (
            "patch",
            "/admin/v1/projects/{project_id}/members/{user_id}",
            Some(r#"{"role":"viewer"}"#),
            "",
            managed(412, 412, 404),
        ),
        ("delete", "/admin/v1/projects/{project_id}/members/{user_id}", None, "", managed(412, 412, 404)),
        // Sources; the first one stands in the configuration.
        ("get", "/admin/v1/sources", None, "", admin(200)),
        ("post", "/admin/v1/sources", Some("{}"), "", admin(422)),
        ("get", "/admin/v1/sources/export", None, "", admin(200)),
        ("post", "/admin/v1/sources/import", Some("{}"), "", admin(415)),
        ("post", "/admin/v1/sources/batch", Some("{}"), "", admin(422)),
        ("get", "/admin/v1/sources/{source_id}", None, "", admin(200)),
        ("patch", "/admin/v1/sources/{source_id}", Some("{}"), "", admin(409)),
        ("delete", "/admin/v1/sources/{source_id}", None, "", admin(409)),
        ("post", "/admin/v1/sources/{source_id}/restore", None, "", admin(409)),
        ("post", "/admin/v1/sources/{source_id}/secrets", Some("{}"), "", admin(409)),
        ("delete", "/admin/v1/sources/{source_id}/secrets/{secret_id}", None, "", admin(409)),
        // Projects and pipelines: their members read them, and whoever runs them names them.
        ("get", "/admin/v1/projects", None, "", read(200, 200)),
        ("get", "/admin/v1/projects/export", None, "", admin(200)),
        ("post", "/admin/v1/projects/import", Some("{}"), "", admin(415)),
        ("post", "/admin/v1/projects/batch", Some("{}"), "", admin(422)),
        ("get", "/admin/v1/projects/{project_id}", None, "", read(200, 404)),
        ("patch", "/admin/v1/projects/{project_id}", Some("{}"), "", admin(412)),
        ("get", "/admin/v1/pipelines", None, "", read(200, 200)),
        ("get", "/admin/v1/pipelines/{pipeline_id}", None, "", read(200, 404)),
        ("patch", "/admin/v1/pipelines/{pipeline_id}", Some("{}"), "", managed(412, 412, 404)),
        // Tokens.
        ("get", "/admin/v1/tokens", None, "", tokens(200)),
        ("post", "/admin/v1/tokens", Some("{}"), "", tokens(422)),
        ("get", "/admin/v1/tokens/export", None, "", tokens(200)),
        ("post", "/admin/v1/tokens/import", Some("{}"), "", tokens(415)),
        ("post", "/admin/v1/tokens/batch", Some("{}"), "", tokens(422)),
        ("get", "/admin/v1/tokens/{token_id}", None, "", tokens(404)),
        ("patch", "/admin/v1/tokens/{token_id}", Some("{}"), "", tokens(404)),
        ("delete", "/admin/v1/tokens/{token_id}", None, "", tokens(404)),
        ("post", "/admin/v1/tokens/{token_id}/rotate", Some("{}"), "", tokens(404)),
        // Deliveries: of one's projects; this one does not exist.
        ("get", "/admin/v1/deliveries", None, "", managed(200, 200, 200)),
        ("get", "/admin/v1/deliveries/{delivery_id}", None, "", managed(404, 404, 404)),
        ("get", "/admin/v1/deliveries/{delivery_id}/body", None, "", managed(404, 404, 404)),
        ("post", "/admin/v1/deliveries/{delivery_id}/replay", None, "", managed(404, 404, 404)),
        ("post", "/admin/v1/deliveries/replay", Some(r#"{"filter":{}}"#), "", managed(422, 422, 422)),
        ("get", "/admin/v1/deliveries/silent-sources", None, "", admin(200)),
        // What belongs to no project.
        ("get", "/admin/v1/dead-letters", None, "", admin(200)),
        ("get", "/admin/v1/dead-letters/{dead_letter_id}", None, "", admin(404)),
        ("get", "/admin/v1/dead-letters/{dead_letter_id}/body", None, "", admin(404)),
        ("post", "/admin/v1/dead-letters/{dead_letter_id}/retry", None, "", admin(404)),
        ("delete", "/admin/v1/dead-letters/{dead_letter_id}", None, "", admin(404)),
        ("post", "/admin/v1/dead-letters/retry", Some(r#"{"ids":[]}"#), "", admin(422)),
        ("post", "/admin/v1/dead-letters/drop", Some(r#"{"ids":[]}"#), "", admin(422)),
        ("get", "/admin/v1/audit", None, "", admin(200)),
        ("get", "/admin/v1/audit/export", None, "", admin(200)),
        ("get", "/admin/v1/audit/{seq}", None, "", admin(404)),
        ("get", "/admin/v1/settings", None, "", admin(200)),
        ("get", "/admin/v1/settings/{key}", None, "", admin(404)),
        ("patch", "/admin/v1/settings/{key}", Some("{}"), "", admin(404)),
        // The document says the same to everybody.
        ("get", "/api/v1/settings/api-endpoints", None, "", [403, 401, 401, 200, 200, 200, 200, 200, 200]),
        ("get", "/admin/v1/retention-policies", None, "", admin(200)),
        ("post", "/admin/v1/retention-policies", Some("{}"), "", admin(422)),
        ("get", "/admin/v1/retention-policies/{project_id}", None, "", admin(404)),
        ("patch", "/admin/v1/retention-policies/{project_id}", Some("{}"), "", admin(404)),
        ("delete", "/admin/v1/retention-policies/{project_id}", None, "", admin(404)),
        ("get", "/admin/v1/notification-targets", None, "", admin(200)),
        ("post", "/admin/v1/notification-targets", Some("{}"), "", admin(422)),
        ("get", "/admin/v1/notification-targets/{target_id}", None, "", admin(404)),
        ("patch", "/admin/v1/notification-targets/{target_id}", Some("{}"), "", admin(404)),
        ("delete", "/admin/v1/notification-targets/{target_id}", None, "", admin(404)),
    ];
    rows.into_iter()
        .map(|(method, path, body, query, answers)| ((method, path), (body, query, answers)))
        .collect()
}

/// A job of the first run, so that there is something of everything.
pub async fn deliver_job(app: &TestApp) {
    let run = crate::live::run(1001, "in_progress", None, 1);
    let job = serde_json::json!({
        "action": "queued",
        "workflow_job": {"id": 9001, "run_id": 1001, "run_attempt": 1, "name": "build", "workflow_name": "CI", "status": "queued",
            "created_at": "2026-11-21T10:00:00Z"},
        "repository": run["repository"],
    });
    app.deliver_github("workflow_job", &job).await;
    app.until_done().await;
}

/// Who asks, with what they show.
async fn callers(house: &House) -> BTreeMap<&'static str, Option<String>> {
    let (_, expired) = house.token("expired", &["pipelines:read"]).await;
    let (_, runner) = house.token("runner", &["ingest:write"]).await;
    let (revoked_id, revoked) = house.person("revoked", Some("admin")).await;
    house.app.alter("UPDATE api_tokens SET expires_at = 1 WHERE name = 'expired'").await;
    house.done(Request::new("DELETE", &format!("/admin/v1/users/{revoked_id}/sessions"))).await;
    let (_, viewer) = house.member("viewer", 1, "viewer").await;
    let (_, wallboard) = house.member("wallboard", 1, "wallboard").await;
    let (_, maintainer) = house.member("maintainer", 1, "maintainer").await;
    let (_, other) = house.member("other", 2, "maintainer").await;
    house.until_answered(&revoked, "/admin/v1/me", 401).await;
    BTreeMap::from([
        ("anonymous", None),
        ("expired", Some(expired)),
        ("revoked", Some(revoked)),
        ("wallboard", Some(wallboard)),
        ("viewer", Some(viewer)),
        ("maintainer", Some(maintainer)),
        ("admin", Some(house.admin.clone())),
        ("other", Some(other)),
        ("runner", Some(runner)),
    ])
}

/// The status alone: an event stream has no end.
pub async fn status_of(app: &TestApp, request: Request) -> u16 {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(request.head(app.address).as_bytes()).await.unwrap();
    stream.write_all(request.body()).await.unwrap();
    let (mut reader, mut line) = (BufReader::new(stream), String::new());
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), reader.read_line(&mut line));
    read.await.expect("an answer in time").expect("a line");
    line.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no status in {line:?}"))
}

pub fn request(method: &str, path: &str, body: Option<&str>) -> Request {
    let method = match method {
        "get" => "GET",
        "put" => "PUT",
        "post" => "POST",
        "patch" => "PATCH",
        _ => "DELETE",
    };
    let request = match body {
        Some(body) => Request::with_body(method, path, body).header("Content-Type", "application/json"),
        None => Request::new(method, path),
    };
    // Nobody reads this machine's names for free, and no version is the one that is there.
    request.header("Host", "ci.example.org").header("If-Match", "\"v999\"")
}

/// A path of the document with something in the place of each parameter, of which the user is there.
pub fn filled(path: &str, user: &str) -> String {
    let real = path
        .replace("{user_id}", user)
        .replace("{host}", "github")
        .replace("{source_key}", "none")
        .replace("{session_id}", "00000000-0000-7000-8000-000000000000")
        .replace("{token_id}", "00000000-0000-7000-8000-000000000000")
        .replace("{delivery_id}", "00000000-0000-7000-8000-000000000000")
        .replace("{dead_letter_id}", "0-0")
        .replace("{seq}", "999999")
        .replace("{key}", "no.such")
        .replace("{target_id}", "999");
    let real = ["pipeline_id", "execution_id", "job_id", "project_id", "source_id", "secret_id"]
        .iter()
        .fold(real, |real, name| real.replace(&format!("{{{name}}}"), "1"));
    assert!(!real.contains('{'), "say what stands for the parameters of {path}");
    real
}

#[tokio::test]
async fn every_operation_answers_everybody_as_its_row_says() {
    let house = House::start(|_| {}).await;
    deliver_job(&house.app).await;
    let callers = callers(&house).await;
    let viewer = house.done(Request::get("/admin/v1/users?q=viewer")).await["items"][0]["id"].to_string();
    let document: serde_json::Value = serde_json::from_str(&pipecast::openapi::text()).unwrap();
    let rows = rows();
    let mut asked = BTreeSet::new();
    let mut wrong = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let Some((body, query, answers)) = rows.get(&(method.as_str(), path.as_str())) else {
                wrong.push(format!("{method} {path} has no row"));
                continue;
            };
            asked.insert((method.clone(), path.clone()));
            let real = filled(path, &viewer);
            for (who, expected) in WHO.iter().zip(answers) {
                let request = request(method, &format!("{real}{query}"), *body);
                let request = match &callers[who] {
                    Some(token) => with(request, token),
                    None => request,
                };
                let status = status_of(&house.app, request).await;
                if status != *expected {
                    wrong.push(format!("{method} {path} as {who}: {status}, and the row says {expected}"));
                }
            }
        }
    }
    let known: BTreeSet<_> = rows.keys().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    let gone: Vec<_> = known.difference(&asked).collect();

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(gone.is_empty(), "rows without an operation: {gone:?}");
}
