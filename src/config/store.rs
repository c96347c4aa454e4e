//! Settings of the database: section `[store]`. Knows nothing of SQL.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Where the database is and how hard it may be used.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite:PATH` or `postgres://…`; not set: a file in the data directory.
    #[serde(deserialize_with = "value::optional_text")]
    pub url: Option<String>,
    /// Where lists are read; not set: the same as `url`.
    #[serde(deserialize_with = "value::optional_text")]
    pub read_url: Option<String>,
    /// Most connections that read at once.
    pub read_connections: u32,
    /// Longest wait for a connection.
    #[serde(deserialize_with = "value::duration")]
    pub acquire_timeout: Duration,
    /// Ids of pipelines, executions and jobs start here.
    pub first_id: i64,
}

/// Without the URLs, which have passwords in them.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Store {
            url,
            read_url,
            read_connections,
            acquire_timeout,
            first_id,
        } = self;
        f.debug_struct("Store")
            .field("has_url", &url.is_some())
            .field("has_read_url", &read_url.is_some())
            .field("read_connections", read_connections)
            .field("acquire_timeout", acquire_timeout)
            .field("first_id", first_id)
            .finish()
    }
}

impl Store {
    /// What the store crate wants to know.
    pub fn options(&self, data_dir: &Path) -> pipecast_store::Options {
        pipecast_store::Options {
            url: self.url.clone().unwrap_or_else(|| format!("sqlite:{}", data_dir.join("pipecast.db").display())),
            read_url: self.read_url.clone(),
            read_connections: self.read_connections,
            acquire_timeout: self.acquire_timeout,
            first_id: self.first_id,
        }
    }
}
