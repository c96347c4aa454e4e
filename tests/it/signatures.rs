//! Every published signature vector that the project knows of, positive and negative, judged by the table of schemes.

use std::path::PathBuf;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use pipecast::config::Secret;
use pipecast::webhooks::signature::{Distrust, GITHUB, SCHEMES, STANDARD_WEBHOOKS, Scheme};
use pipecast_model::Timestamp;
use serde::Deserialize;

use crate::app::{TestApp, github};

#[derive(Deserialize)]
struct Vectors {
    positive: Vec<Vector>,
    negative: Vec<Vector>,
}

#[derive(Clone, Deserialize)]
struct Vector {
    source: String,
    scheme: Option<String>,
    algorithm: Option<String>,
    header: String,
    header_value: String,
    secret: String,
    body: Option<String>,
    body_file: Option<String>,
    webhook_id: Option<String>,
    timestamp: Option<String>,
}

/// The folder of real payloads, which lies beside the project and not in it.
pub fn payloads() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/payloads");
    let folder = std::env::var_os("PIPECAST_PAYLOADS").map_or(beside, PathBuf::from);
    Some(folder).filter(|folder| folder.is_dir())
}

fn vectors() -> Option<Vectors> {
    let Some(folder) = payloads() else {
        println!("LEFT OUT: the folder of payloads is absent; set PIPECAST_PAYLOADS to it");
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(folder.join("signature_vectors.json")).unwrap()).unwrap())
}

impl Vector {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: &str, value: &str| headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        set(&self.header, &self.header_value);
        if let Some(id) = &self.webhook_id {
            set("webhook-id", id);
            set("webhook-timestamp", self.timestamp.as_deref().unwrap_or("1649367553"));
        }
        headers
    }

    /// The time at which it was signed.
    fn now(&self) -> Timestamp {
        Timestamp(self.timestamp.as_ref().map_or(1_649_367_553, |seconds| seconds.parse().unwrap()) * 1_000_000)
    }

    fn judge(&self, scheme: &Scheme, body: &[u8]) -> Result<(), Distrust> {
        scheme.verify(&Secret::new(self.secret.clone()), &self.headers(), body, self.now())
    }

    /// Rows of the table for its header.
    fn rows(&self) -> impl Iterator<Item = &'static Scheme> {
        let header = self.header.to_lowercase();
        SCHEMES.into_iter().filter(move |scheme| scheme.header == header)
    }

    /// The row that its scheme and algorithm name.
    fn row(&self) -> &'static Scheme {
        let algorithm = self.algorithm.as_deref().unwrap().trim_start_matches("hmac-");
        let word = match self.scheme.as_deref().unwrap() {
            "github" | "github-form" if algorithm == "sha256" => "github".to_owned(),
            "github" | "github-form" => format!("github-{algorithm}"),
            "generic-hex" => format!("generic-{algorithm}"),
            "generic-hex-multi" => "generic-several".to_owned(),
            "generic-b64" => "generic-base64".to_owned(),
            "bitbucket-server" => "bitbucket".to_owned(),
            word => word.to_owned(),
        };
        SCHEMES
            .into_iter()
            .find(|scheme| scheme.word == word)
            .unwrap_or_else(|| panic!("no row {word}"))
    }
}

#[test]
fn every_positive_vector_is_believed_by_its_row_and_by_no_change_of_it() {
    let Some(Vectors { positive, .. }) = vectors() else { return };
    let mut judged = 0;
    for vector in &positive {
        let Some(body) = body_of(vector) else { continue };
        let row = vector.row();

        assert_eq!(vector.judge(row, &body), Ok(()), "{}", vector.source);

        let mut changed = body.clone();
        changed.push(b' ');
        assert!(vector.rows().all(|row| vector.judge(row, &changed).is_err()), "another body: {}", vector.source);
        let other = Vector {
            secret: format!("{}x", vector.secret),
            ..vector.clone()
        };
        assert!(other.rows().all(|row| other.judge(row, &body).is_err()), "another secret: {}", vector.source);
        let none = Vector {
            secret: String::new(),
            ..vector.clone()
        };
        assert!(
            none.rows().all(|row| none.judge(row, &body) == Err(Distrust::NoSecret)),
            "no secret: {}",
            vector.source
        );
        judged += 1;
    }
    println!("judged {judged} of {} positive vectors", positive.len());
    assert!(judged >= 20, "{judged}");
}

fn body_of(vector: &Vector) -> Option<Vec<u8>> {
    if let Some(body) = &vector.body {
        return Some(body.clone().into_bytes());
    }
    let file = payloads()?.join(vector.body_file.as_ref().unwrap());
    let body = std::fs::read(&file).ok();
    if body.is_none() {
        println!("LEFT OUT: {} is not among the payloads ({})", vector.body_file.as_ref().unwrap(), vector.source);
    }
    body
}

#[test]
fn no_row_believes_a_negative_vector() {
    let Some(Vectors { negative, .. }) = vectors() else { return };
    for vector in &negative {
        assert!(vector.rows().next().is_some(), "no row looks at {}", vector.header);
        for row in SCHEMES {
            assert!(
                vector.judge(row, vector.body.as_deref().unwrap_or("").as_bytes()).is_err(),
                "{} by {}",
                vector.source,
                row.word
            );
        }
    }
    println!("judged {} negative vectors", negative.len());
}

#[test]
fn a_signed_time_must_be_near() {
    let Some(Vectors { positive, .. }) = vectors() else { return };
    let timed: Vec<_> = positive.iter().filter(|vector| vector.timestamp.is_some()).collect();
    assert_eq!(timed.len(), 3);
    for vector in timed {
        let body = vector.body.as_deref().unwrap().as_bytes();
        let at = |offset: i64| {
            let now = Timestamp(vector.now().0 + offset * 1_000_000);
            vector.row().verify(&Secret::new(vector.secret.clone()), &vector.headers(), body, now)
        };
        for near in [-300, 0, 300] {
            assert_eq!(at(near), Ok(()), "{near} s: {}", vector.source);
        }
        for far in [-301, 301, 86_400] {
            assert_eq!(at(far), Err(Distrust::Stale), "{far} s: {}", vector.source);
        }
    }
}

#[tokio::test]
async fn the_path_of_github_believes_sha256_and_nothing_older() {
    let Some(Vectors { positive, .. }) = vectors() else { return };
    for vector in positive
        .iter()
        .filter(|vector| vector.scheme.as_deref().is_some_and(|scheme| scheme.starts_with("github")))
    {
        let app = TestApp::start_with(|config| config.webhooks.github.secret = Secret::new(vector.secret.clone())).await;
        let body = vector.body.clone().unwrap();
        let request = github("ping", body).without("x-hub-signature-256").header(&vector.header, &vector.header_value);

        let answer = app.send(request).await;

        let expected = if vector.algorithm.as_deref() == Some("hmac-sha256") { 202 } else { 401 };
        assert_eq!(answer.status, expected, "{} {}", vector.source, vector.header_value);
    }
}

#[test]
fn a_header_that_comes_twice_is_not_believed() {
    let mut headers = HeaderMap::new();
    let right = crate::app::sign_github("secret", b"body");
    headers.append(HeaderName::from_static("x-hub-signature-256"), HeaderValue::from_str(&right).unwrap());
    assert_eq!(GITHUB.verify(&Secret::new("secret"), &headers, b"body", Timestamp(0)), Ok(()));

    headers.append(HeaderName::from_static("x-hub-signature-256"), HeaderValue::from_str(&right).unwrap());

    assert_eq!(GITHUB.verify(&Secret::new("secret"), &headers, b"body", Timestamp(0)), Err(Distrust::Malformed));
}

#[test]
fn capitals_in_hex_and_keys_without_their_prefix_are_not_believed() {
    let mut headers = HeaderMap::new();
    let capitals = crate::app::sign_github("secret", b"body").to_uppercase().replace("SHA256", "sha256");
    headers.append(HeaderName::from_static("x-hub-signature-256"), HeaderValue::from_str(&capitals).unwrap());
    assert_eq!(GITHUB.verify(&Secret::new("secret"), &headers, b"body", Timestamp(0)), Err(Distrust::Malformed));

    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("webhook-id", "1"),
        ("webhook-timestamp", "0"),
        ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
    ] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let bare = Secret::new("C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    assert_eq!(STANDARD_WEBHOOKS.verify(&bare, &headers, b"", Timestamp(0)), Err(Distrust::NoSecret));
}

#[test]
fn base64_is_judged_like_hex() {
    // The public vector's body is not among the payloads, so this one is computed here.
    let row = SCHEMES.into_iter().find(|scheme| scheme.word == "generic-base64").unwrap();
    let tag = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret"), b"body");
    let judge = |signature: String| {
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_static("x-hub-signature"), HeaderValue::from_str(&signature).unwrap());
        row.verify(&Secret::new("secret"), &headers, b"body", Timestamp(0))
    };
    let right = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag);

    assert_eq!(judge(format!("sha256={right}")), Ok(()));
    assert_eq!(judge(format!("sha256={}", right.trim_end_matches('='))), Err(Distrust::Malformed));
    assert!(judge(format!("sha256={}", right.to_lowercase())).is_err());
}
