//! Whom the receivers believe: signatures and tokens on real requests, and the one answer to everybody else.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipecast::config::Secret;
use pipecast_model::Timestamp;
use serde_json::json;

use crate::app::{GITHUB_SECRET, GITLAB_SECRET, TestApp, github, gitlab, sign_github};
use crate::http::Request;

const SIGNING_TOKEN: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

#[tokio::test]
async fn whatever_is_wrong_with_the_signature_the_answer_is_the_same() {
    let app = TestApp::start_with(|config| {
        config.webhooks.github.sources.insert("acme".into(), Secret::new("of acme"));
    })
    .await;
    let body = r#"{"zen": "Design for failure."}"#;
    let unsigned = || github("ping", body).without("x-hub-signature-256");
    let wrong = [
        ("missing", unsigned()),
        ("empty", unsigned().header("X-Hub-Signature-256", "")),
        (
            "no prefix",
            unsigned().header("X-Hub-Signature-256", &sign_github(GITHUB_SECRET, body.as_bytes())[7..]),
        ),
        ("no hex", unsigned().header("X-Hub-Signature-256", "sha256=yo")),
        (
            "too short",
            unsigned().header("X-Hub-Signature-256", &sign_github(GITHUB_SECRET, body.as_bytes())[..69]),
        ),
        (
            "another secret",
            unsigned().header("X-Hub-Signature-256", sign_github("another", body.as_bytes())),
        ),
        ("another body", unsigned().header("X-Hub-Signature-256", sign_github(GITHUB_SECRET, b"another"))),
        (
            "twice",
            github("ping", body).header("X-Hub-Signature-256", sign_github(GITHUB_SECRET, body.as_bytes())),
        ),
        (
            "sha1 alone",
            unsigned().header("X-Hub-Signature", "sha1=355e155fc3d10c4e5f2c6086a01281d2e947d932"),
        ),
        ("of another source", post_to("/webhooks/github/acme", body, GITHUB_SECRET)),
        ("unknown source", post_to("/webhooks/github/nobody", body, GITHUB_SECRET)),
        ("no secret", gitlab_at("/webhooks/gitlab/nobody", body)),
    ];

    let mut bodies = Vec::new();
    for (what, request) in wrong {
        let answer = app.send(request).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "signature_refused"), "{what}");
        let mut body = answer.json();
        body["request_id"] = json!(null);
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "they differ: {bodies:?}");

    assert_eq!(app.send(post_to("/webhooks/github/acme", body, "of acme")).await.status, 202);
    assert_eq!(app.send(post_to("/webhooks/github/default", body, GITHUB_SECRET)).await.status, 202);
}

fn post_to(path: &str, body: &str, secret: &str) -> Request {
    Request::post(path, body)
        .header("X-GitHub-Event", "ping")
        .header("X-Hub-Signature-256", sign_github(secret, body.as_bytes()))
}

fn gitlab_at(path: &str, body: &str) -> Request {
    Request::post(path, body)
        .header("X-Gitlab-Event", "Push Hook")
        .header("X-Gitlab-Token", GITLAB_SECRET)
}

#[tokio::test]
async fn without_a_secret_nothing_is_believed() {
    let app = TestApp::start_with(|config| {
        config.webhooks.github.secret = Secret::default();
        config.webhooks.gitlab.secret = Secret::default();
    })
    .await;

    let empty_key = Request::post("/webhooks/github", "{}").header("X-Hub-Signature-256", sign_github("", b"{}"));
    let empty_token = Request::post("/webhooks/gitlab", "{}").header("X-Gitlab-Token", "");

    assert_eq!(app.send(empty_key).await.status, 401);
    assert_eq!(app.send(empty_token).await.status, 401);
    assert_eq!(app.send(Request::post("/webhooks/gitlab", "{}")).await.status, 401);
}

#[tokio::test]
async fn gitea_and_its_kin_are_told_apart_from_github() {
    let app = TestApp::start().await;

    for name in ["X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event"] {
        let answer = app.send(github("push", "{}").header(name, "push")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "wrong_host"), "{name}");
    }
}

#[tokio::test]
async fn gitlab_is_believed_by_its_token() {
    let app = TestApp::start().await;

    assert_eq!(app.send(gitlab("Push Hook", "{}")).await.status, 202);
    for token in ["", "pl4nted: a token of GitLa", "pl4nted: a token of GitLab ", "PL4NTED: A TOKEN OF GITLAB"] {
        let answer = app
            .send(gitlab("Push Hook", "{}").without("x-gitlab-token").header("X-Gitlab-Token", token))
            .await;
        // HTTP takes blanks at the ends of a header's value away.
        assert_eq!(answer.status, if token.trim() == GITLAB_SECRET { 202 } else { 401 }, "{token:?}");
    }
}

#[tokio::test]
async fn once_there_is_a_signing_token_the_plain_one_is_not_enough() {
    let app = TestApp::start_with(|config| {
        config.webhooks.gitlab.signing_token = Secret::new(SIGNING_TOKEN);
        config.webhooks.gitlab.sources.insert("signed".into(), Secret::new(SIGNING_TOKEN));
        config.webhooks.gitlab.sources.insert("plain".into(), Secret::new("plain"));
    })
    .await;
    let now = Timestamp::now().0 / 1_000_000;

    assert_eq!(app.send(gitlab("Push Hook", "{}")).await.status, 401);
    assert_eq!(app.send(signed("/webhooks/gitlab", "{}", now)).await.status, 202);
    assert_eq!(
        app.send(signed("/webhooks/gitlab", "{}", now).header("X-Gitlab-Token", GITLAB_SECRET))
            .await
            .status,
        202
    );
    assert_eq!(app.send(signed("/webhooks/gitlab/signed", "{}", now)).await.status, 202);
    assert_eq!(app.send(signed("/webhooks/gitlab", "{}", now - 400)).await.status, 401);
    assert_eq!(
        app.send(signed("/webhooks/gitlab", "{}", now).header("webhook-signature", "v1,")).await.status,
        401
    );
    assert_eq!(
        app.send(Request::post("/webhooks/gitlab/plain", "{}").header("X-Gitlab-Token", "plain"))
            .await
            .status,
        202
    );
}

fn signed(path: &str, body: &str, seconds: i64) -> Request {
    let key = STANDARD.decode(SIGNING_TOKEN.trim_start_matches("whsec_")).unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), format!("id-1.{seconds}.{body}").as_bytes());
    Request::post(path, body)
        .header("X-Gitlab-Event", "Push Hook")
        .header("webhook-id", "id-1")
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", format!("v1,{}", STANDARD.encode(tag)))
}
