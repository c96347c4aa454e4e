//! Every setting: one documented struct a section, the defaults of `config.default.toml`, a file over them, the environment on top.
//! Knows nothing of what the settings do, and nothing else in the project reads the environment.

pub mod fabric;
mod listen;
pub mod live;
mod log;
mod retention;
mod server;
mod sources;
mod store;
pub mod value;
mod watch;
pub mod webhooks;

use std::path::PathBuf;

use serde::Deserialize;

pub use fabric::Fabric;
pub use listen::Listen;
pub use live::Live;
pub use log::{Format, Log};
pub use retention::Retention;
pub use server::Server;
pub use sources::{Error, Loaded};
pub use store::Store;
pub use value::Secret;
pub use watch::Watch;
pub use webhooks::{DEFAULT_SOURCE, Webhooks};

/// The commented defaults, which are also the reference of all settings.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where everything lives that is kept on this machine.
    pub data_dir: PathBuf,
    /// The HTTP listener.
    pub server: Server,
    /// The database.
    pub store: Store,
    /// Bus, cache and queue.
    pub fabric: Fabric,
    /// Receivers of deliveries.
    pub webhooks: Webhooks,
    /// Topics that this node keeps current.
    pub watch: Watch,
    /// Sockets and streams.
    pub live: Live,
    /// How long what is kept.
    pub retention: Retention,
    /// Logging.
    pub log: Log,
}

impl Config {
    /// The defaults alone, for tests and tools.
    pub fn defaults() -> Config {
        Config::load(None, []).expect("the defaults are compiled in and tested").config
    }

    /// Refuses settings that cannot work together.
    ///
    /// # Errors
    /// `Impossible` with a sentence that names the settings.
    pub fn check(&self) -> Result<(), Error> {
        let impossible = |why: &str| Err(Error::Impossible(why.to_owned()));
        if self.store.read_url.is_some() && !self.store.url.as_deref().is_some_and(|url| url.starts_with("postgres")) {
            return impossible("store.read_url is set, but store.url is no PostgreSQL; only a PostgreSQL has replicas");
        }
        if !self.server.listen.ip().is_loopback() && self.server.anonymous_reading == pipecast_http::AnonymousReading::Loopback {
            return impossible(
                "server.listen is no loopback address while server.anonymous_reading is \"loopback\", so nobody could read; \
                 set server.anonymous_reading to \"everyone\" if whoever reaches the listener may read, or listen on 127.0.0.1",
            );
        }
        if self.webhooks.in_flight_bodies < self.webhooks.max_body {
            return impossible("webhooks.in_flight_bodies is smaller than webhooks.max_body, so the largest body could never be received");
        }
        if self.webhooks.github.sources.contains_key(DEFAULT_SOURCE) || self.webhooks.gitlab.sources.contains_key(DEFAULT_SOURCE) {
            return impossible("a source may not be called \"default\"; that is the one whose secret is webhooks.github.secret or webhooks.gitlab.secret");
        }
        if let Some(event) = self.webhooks.lanes.in_two() {
            return Err(Error::Impossible(format!(
                "the event {event:?} is in webhooks.lanes.urgent and in webhooks.lanes.bulk; leave it in one of them"
            )));
        }
        if self.watch.foreign_every.is_zero() {
            return impossible("watch.foreign_every is 0, which would ask Redis without a pause");
        }
        if self.live.inbound_frame_plain > self.live.inbound_frame {
            return impossible("live.inbound_frame_plain is larger than live.inbound_frame");
        }
        Ok(())
    }
}
