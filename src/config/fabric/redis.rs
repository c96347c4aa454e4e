//! Settings of Redis: section `[fabric.redis]`. Knows nothing of what goes there.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use pipecast_fabric::redis::RedisOptions;
use serde::Deserialize;

use super::value;

/// How Redis is reached, where `fabric.redis_url` is set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Authorities in PEM that the certificate of a `rediss://` server may come from; not set: those that the system trusts.
    #[serde(deserialize_with = "value::optional_text")]
    pub ca_file: Option<String>,
    /// Most connections for commands.
    pub connections: usize,
    /// Longest wait for one command.
    #[serde(deserialize_with = "value::duration")]
    pub command_timeout: Duration,
    /// Longest wait for a new connection.
    #[serde(deserialize_with = "value::duration")]
    pub connect_timeout: Duration,
    /// Silence after which the connection of the bus is probed.
    #[serde(deserialize_with = "value::duration")]
    pub probe_every: Duration,
}

impl Redis {
    /// What the fabric wants to know, for the server at `url` and a tap with room for `bus_backlog` messages.
    ///
    /// # Errors
    /// The file of the authorities cannot be read.
    pub fn options(&self, url: &str, bus_backlog: usize) -> anyhow::Result<RedisOptions> {
        let Redis {
            ca_file,
            connections,
            command_timeout,
            connect_timeout,
            probe_every,
        } = self;
        let ca = match ca_file {
            Some(path) => Some(std::fs::read(PathBuf::from(path)).with_context(|| format!("cannot read fabric.redis.ca_file {path}"))?),
            None => None,
        };
        Ok(RedisOptions {
            url: url.to_owned(),
            ca,
            connections: *connections,
            command_timeout: *command_timeout,
            connect_timeout: *connect_timeout,
            probe_every: *probe_every,
            bus_backlog,
        })
    }
}
