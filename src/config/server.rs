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

    /// Whose access tokens are good here.
    pub fn issuer(&self) -> &str {
        self.public_url.as_deref().unwrap_or("pipecast")
    }
}
