//! How to open the store.

use std::time::Duration;

/// Settings of the store; see `config.default.toml`, section `[store]`.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite:PATH` (created where it is missing) or `postgres://…`.
    pub url: String,
    /// Where reads go; may be a replica. The same as `url` where it is not set.
    pub read_url: Option<String>,
    /// Most connections that read at once.
    pub read_connections: u32,
    /// Longest wait for a connection.
    pub acquire_timeout: Duration,
    /// Ids of pipelines, executions and jobs start here, so that another backend's ids can live beside ours.
    pub first_id: i64,
}
