//! How to open the store.

use std::fmt;
use std::time::Duration;

/// Settings of the store; see `config.default.toml`, section `[store]`.
#[derive(Clone)]
pub struct Options {
    /// `sqlite:PATH` (created where it is missing) or `postgres://…`.
    pub url: String,
    /// Where lists are read; may be a replica. The same as `url` where it is not set.
    pub read_url: Option<String>,
    /// Most connections that read at once.
    pub read_connections: u32,
    /// Longest wait for a connection.
    pub acquire_timeout: Duration,
    /// Ids of pipelines, executions and jobs start here, so that another backend's ids can live beside ours.
    pub first_id: i64,
}

impl Options {
    /// Whether other processes can use the same database at the same time.
    pub fn is_shared(&self) -> bool {
        self.url.starts_with("postgres")
    }
}

/// Without the URLs, which have passwords in them.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("is_shared", &self.is_shared())
            .field("has_replica", &self.read_url.is_some())
            .field("read_connections", &self.read_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("first_id", &self.first_id)
            .finish()
    }
}
