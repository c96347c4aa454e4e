//! Settings of the HTTP listener and of the shutdown: section `[server]`. Knows nothing of routes.

use std::time::Duration;

use pipecast_http::{AnonymousReading, Site, TrustedProxies};
use serde::Deserialize;

use super::{Listen, value};

/// Where and how to listen, and how to end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port; without a port the usual one of the roles, and port 0 takes any free one.
    pub listen: Listen,
    /// Threads that serve HTTP; 0 is one for each core.
    pub workers: usize,
    /// Connections that may wait to be accepted; the kernel refuses more.
    pub backlog: u32,
    /// Connections that one worker holds; further ones wait in the backlog.
    pub connections_per_worker: usize,
    /// Longest wait for the headers of a request.
    #[serde(deserialize_with = "value::duration")]
    pub header_timeout: Duration,
    /// Longest line and headers of a request together, in bytes.
    #[serde(deserialize_with = "value::size")]
    pub max_head: u64,
    /// How long an idle connection is kept.
    #[serde(deserialize_with = "value::duration")]
    pub keep_alive: Duration,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Where browsers reach the page, as in `https://ci.example.org`.
    #[serde(deserialize_with = "value::optional_text")]
    pub public_url: Option<String>,
    /// Whether browsers reach it without TLS, on a private network.
    pub plain_http: bool,
    /// Origins of pages, besides our own, that may read answers: `https://dash.example.org`, compared exactly.
    pub cors_origins: Vec<String>,
    /// Who may read without an account.
    pub anonymous_reading: AnonymousReading,
    /// How long a shutdown keeps serving, not ready.
    #[serde(deserialize_with = "value::duration")]
    pub drain_grace: Duration,
    /// How long a shutdown may take in all.
    #[serde(deserialize_with = "value::duration")]
    pub drain_deadline: Duration,
}

impl Server {
    /// The site as browsers know it.
    pub fn site(&self) -> Site {
        Site {
            origin: self.public_url.clone(),
            plain_http: self.plain_http,
        }
    }

    /// Whether browsers reach it by https, as far as it has been told.
    pub fn is_behind_tls(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }

    /// The first of `cors_origins` that no browser would ever send as the origin of a page.
    pub fn unfit_origin(&self) -> Option<&str> {
        self.cors_origins.iter().map(String::as_str).find(|origin| !is_sent_by_browsers(origin))
    }

    /// Whose access tokens are good here.
    pub fn issuer(&self) -> &str {
        self.public_url.as_deref().unwrap_or("pipecast")
    }
}

/// Whether text is scheme and host (RFC 6454, section 6.2), with neither path nor usual port, in the letters that browsers use.
fn is_sent_by_browsers(origin: &str) -> bool {
    let (host, usual_port) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(host), _) => (host, ":443"),
        (_, Some(host)) => (host, ":80"),
        _ => return false,
    };
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || ".-:[]".contains(letter);
    !host.is_empty() && host.chars().all(is_letter) && !host.ends_with(usual_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for origin in [
            "https://dash.example.org",
            "http://localhost:3000",
            "https://[::1]:8443",
            "https://x.example:80",
        ] {
            assert!(is_sent_by_browsers(origin), "{origin}");
        }
        for other in [
            "*",
            "null",
            "",
            "https://",
            "dash.example.org",
            "https://*.example.org",
            "https://dash.example.org/",
            "https://Dash.example.org",
            "https://dash.example.org:443",
            "http://localhost:80",
            "https://a@dash.example.org",
            "ftp://dash.example.org",
        ] {
            assert!(!is_sent_by_browsers(other), "{other}");
        }
    }
}
