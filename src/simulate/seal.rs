//! Signs a webhook the way its host does and writes it as an HTTP request.
//! Knows nothing of connections.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pipecast_model::{Host, hexadecimal};

use crate::simulate::forge::Event;

/// What the service and its hosts share.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// GitHub's webhook secret.
    pub github: String,
    /// GitLab's secret token, sent as it is; one that begins with `whsec_` is a signing token and signs instead.
    pub gitlab: String,
}

/// The keys of both hosts, ready for use.
pub struct Seal {
    github: hmac::Key,
    gitlab: GitlabKey,
    authority: String,
    prefix: String,
    /// The source that alone is told.
    source: Option<SourcePath>,
}

/// The path of a source: `/webhooks/HOST/KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePath {
    /// Its host.
    pub host: Host,
    /// The end of the path.
    pub key: String,
}

/// A text that is no path of a source.
#[derive(Debug, thiserror::Error)]
#[error("write the path of a source, as in /webhooks/github/KEY")]
pub struct BadSourcePath;

impl FromStr for SourcePath {
    type Err = BadSourcePath;

    fn from_str(text: &str) -> Result<Self, BadSourcePath> {
        let (host, key) = text.strip_prefix("/webhooks/").and_then(|rest| rest.split_once('/')).ok_or(BadSourcePath)?;
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        match host.parse() {
            Ok(host) if is_key => Ok(SourcePath { host, key: key.to_owned() }),
            _ => Err(BadSourcePath),
        }
    }
}

impl fmt::Display for SourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/webhooks/{}/{}", self.host, self.key)
    }
}

enum GitlabKey {
    Token(String),
    Signing(Box<hmac::Key>),
}

/// A signing token is not `whsec_` and base64.
#[derive(Debug, thiserror::Error)]
#[error("the GitLab signing token is not `whsec_` followed by base64")]
pub struct BadSigningToken;

impl Seal {
    /// For requests to `authority` (host and port) under the path `prefix`, which is empty or begins with a slash.
    ///
    /// # Errors
    /// [`BadSigningToken`] for a GitLab secret that begins with `whsec_` and goes on otherwise than in base64.
    pub fn new(secrets: &Secrets, authority: &str, prefix: &str) -> Result<Self, BadSigningToken> {
        let gitlab = match secrets.gitlab.strip_prefix("whsec_") {
            Some(key) => GitlabKey::Signing(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).map_err(|_| BadSigningToken)?))),
            None => GitlabKey::Token(secrets.gitlab.clone()),
        };
        Ok(Seal {
            github: hmac::Key::new(hmac::HMAC_SHA256, secrets.github.as_bytes()),
            gitlab,
            authority: authority.to_owned(),
            prefix: prefix.to_owned(),
            source: None,
        })
    }

    /// The same to one source, where there is one to name.
    pub fn at(self, source: Option<&SourcePath>) -> Self {
        Seal {
            source: source.cloned(),
            ..self
        }
    }

    /// The whole request, head and body. The clock is in the signature of a signing token, so a request is made when it is sent.
    pub fn request(&self, event: &Event) -> Bytes {
        let path = match &self.source {
            Some(source) => source.to_string(),
            None => format!("/webhooks/{}", event.host),
        };
        let mut head = format!(
            "POST {}{path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            self.prefix,
            self.authority,
            event.body.len()
        );
        match event.host {
            Host::Github => self.github_headers(event, &mut head),
            Host::Gitlab => self.gitlab_headers(event, &mut head),
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(&event.body);
        request.into()
    }

    fn github_headers(&self, event: &Event, head: &mut String) {
        let signature = hexadecimal::write(hmac::sign(&self.github, &event.body).as_ref());
        for (name, value) in [
            ("user-agent", "GitHub-Hookshot/044aadd"),
            ("accept", "*/*"),
            ("x-github-event", event.name),
            ("x-github-delivery", &event.id),
            ("x-github-hook-id", "700600501"),
            ("x-github-hook-installation-target-type", "repository"),
            ("x-hub-signature-256", &format!("sha256={signature}")),
        ] {
            header(head, name, value);
        }
    }

    fn gitlab_headers(&self, event: &Event, head: &mut String) {
        for (name, value) in [
            ("user-agent", "GitLab/19.1.0"),
            ("x-gitlab-event", event.name),
            ("x-gitlab-instance", "https://gitlab.example.com"),
            ("x-gitlab-webhook-uuid", &uuid::Uuid::new_v4().to_string()),
            ("x-gitlab-event-uuid", &event.id),
            ("idempotency-key", &event.id),
        ] {
            header(head, name, value);
        }
        match &self.gitlab {
            GitlabKey::Token(token) => header(head, "x-gitlab-token", token),
            GitlabKey::Signing(key) => {
                let seconds = SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs())
                    .to_string();
                let mut signed = hmac::Context::with_key(key);
                for part in [event.id.as_bytes(), b".", seconds.as_bytes(), b".", &event.body] {
                    signed.update(part);
                }
                header(head, "webhook-id", &event.id);
                header(head, "webhook-timestamp", &seconds);
                header(head, "webhook-signature", &format!("v1,{}", STANDARD.encode(signed.sign())));
            }
        }
    }
}

fn header(head: &mut String, name: &str, value: &str) {
    head.push_str(name);
    head.push_str(": ");
    head.push_str(value);
    head.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

    use std::collections::HashMap;
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    fn event(host: Host, body: &'static [u8]) -> Event {
        Event {
            at: Duration::ZERO,
            host,
            name: "push",
            id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk".into(),
            body: Bytes::from_static(body),
            execution: None,
        }
    }

    fn headers(seal: &Seal, event: &Event) -> HashMap<String, String> {
        let request = seal.request(event);
        let text = String::from_utf8(request.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.as_bytes(), &event.body[..]);
        head.lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn seal(gitlab: &str) -> Seal {
        let secrets = Secrets {
            github: "It's a Secret to Everybody".into(),
            gitlab: gitlab.into(),
        };
        Seal::new(&secrets, "127.0.0.1:8080", "").unwrap()
    }

    #[test]
    fn a_github_request_carries_the_signature_of_githubs_own_documentation() {
        let headers = headers(&seal("token"), &event(Host::Github, b"Hello, World!"));

        assert_eq!(
            headers["x-hub-signature-256"],
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
        assert_eq!(headers["content-length"], "13");
    }

    #[test]
    fn a_gitlab_request_carries_its_token_and_a_stable_key() {
        let event = event(Host::Gitlab, b"{}");
        let headers = headers(&seal("a token"), &event);

        assert_eq!(headers["x-gitlab-token"], "a token");
        assert_eq!(headers["idempotency-key"], event.id);
    }

    /// Checked by openssl, which shares no code with us; left out where it is not installed.
    #[test]
    fn a_gitlab_signing_token_signs_id_time_and_body() {
        let key = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let event = event(Host::Gitlab, b"{\"object_kind\":\"push\"}");
        let headers = headers(&seal(&format!("whsec_{key}")), &event);
        assert!(!headers.contains_key("x-gitlab-token"));

        let message = [format!("{}.{}.", headers["webhook-id"], headers["webhook-timestamp"]).as_bytes(), &event.body].concat();
        let key_hex = hexadecimal::write(&STANDARD.decode(key).unwrap());
        let openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-mac", "HMAC", "-macopt"])
            .arg(format!("hexkey:{key_hex}"))
            .arg("-binary")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut openssl) = openssl else {
            eprintln!("left out: openssl is not installed");
            return;
        };
        openssl.stdin.take().unwrap().write_all(&message).unwrap();
        let digest = openssl.wait_with_output().unwrap().stdout;
        assert_eq!(headers["webhook-signature"], format!("v1,{}", STANDARD.encode(digest)));
    }

    #[test]
    fn a_broken_signing_token_is_refused() {
        let secrets = Secrets {
            github: String::new(),
            gitlab: "whsec_???".into(),
        };

        assert!(Seal::new(&secrets, "127.0.0.1", "").is_err());
    }

    #[test]
    fn one_source_is_told_at_its_path() {
        let source: SourcePath = "/webhooks/github/abc".parse().unwrap();
        let seal = seal("token").at(Some(&source));

        let request = seal.request(&event(Host::Github, b"{}"));

        assert!(request.starts_with(b"POST /webhooks/github/abc HTTP/1.1\r\n"));
        for wrong in [
            "",
            "/webhooks/github",
            "/webhooks/github/",
            "/webhooks/svn/k",
            "/webhooks/github/a b",
            "/webhooks/github/a/b",
        ] {
            assert!(wrong.parse::<SourcePath>().is_err(), "{wrong}");
        }
    }
}
