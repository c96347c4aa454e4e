//! Every setting: one documented struct a section, the defaults of `config.default.toml`, a file over them, the environment on top.
//! Knows nothing of what the settings do, and nothing else in the project reads the environment.

mod auth;
pub mod fabric;
pub mod hot;
mod keys;
mod limits;
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
use std::time::Duration;

use pipecast_model::source::{SHORTEST_SECRET, Unfit};
use serde::Deserialize;

pub use auth::Auth;
pub use fabric::Fabric;
pub use keys::{FOLDER as KEYS_FOLDER, Keys};
pub use limits::Limits;
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
    /// Accounts.
    pub auth: Auth,
    /// The database.
    pub store: Store,
    /// What seals secrets in the database.
    pub keys: Keys,
    /// Bus, cache and queue.
    pub fabric: Fabric,
    /// Receivers of deliveries.
    pub webhooks: Webhooks,
    /// Topics that this node keeps current.
    pub watch: Watch,
    /// How often somebody may ask.
    pub limits: Limits,
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

    /// Sentences for the log: settings that work, and could be better.
    pub fn doubts(&self) -> Vec<String> {
        let short = self.webhooks.short();
        let doubt = |setting: String| {
            format!("{setting} has fewer than {SHORTEST_SECRET} characters, so whoever sees a delivery may guess it; set a longer one here and at the host")
        };
        short.into_iter().map(doubt).collect()
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
        if let Some(url) = &self.server.public_url {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['/', '?', '#', '@', ' '])) {
                return impossible(
                    "server.public_url is no origin; write scheme and host as browsers show them, as in \"https://ci.example.org\", with no path and no slash at the end",
                );
            }
            if url.starts_with("http://") && !self.server.plain_http {
                return impossible(
                    "server.public_url begins with http://, where browsers keep no session cookie; put TLS in front of it, or set server.plain_http to true on a private network",
                );
            }
        }
        if let Some(origin) = self.server.unfit_origin() {
            return Err(Error::Impossible(format!(
                "{origin:?} in server.cors_origins is no origin that a browser would send; write scheme and host alone, as in \"https://dash.example.org\": no *, no path, no usual port, no capitals"
            )));
        }
        if self.auth.access_lifetime.is_zero()
            || self.auth.refresh_lifetime < self.auth.access_lifetime
            || self.auth.session_lifetime < self.auth.refresh_lifetime
        {
            return impossible("auth.access_lifetime, auth.refresh_lifetime and auth.session_lifetime have to grow in this order");
        }
        if !(Duration::from_secs(60)..=Duration::from_secs(3600)).contains(&self.auth.confirmed_for) {
            return impossible("auth.confirmed_for is not between 1m and 1h");
        }
        if self.auth.cost().memory_kib < 8 || self.auth.password_passes == 0 {
            return impossible("auth.password_memory is less than 8KiB or auth.password_passes is 0, which is no hash");
        }
        if self.keys.file.is_some() && !self.keys.ring.is_empty() {
            return impossible("keys.file and keys.ring are both set; keys come from one of them");
        }
        if self.webhooks.in_flight_bodies < self.webhooks.max_body {
            return impossible("webhooks.in_flight_bodies is smaller than webhooks.max_body, so the largest body could never be received");
        }
        if self.webhooks.github.sources.contains_key(DEFAULT_SOURCE) || self.webhooks.gitlab.sources.contains_key(DEFAULT_SOURCE) {
            return impossible("a source may not be called \"default\"; that is the one whose secret is webhooks.github.secret or webhooks.gitlab.secret");
        }
        if let Some((setting, unfit)) = self.webhooks.unfit() {
            let instead = match unfit {
                Unfit::Placeholder => "set one of your own, as `openssl rand -hex 32` makes it, and paste it at the host",
                Unfit::NoSigningToken => "copy it whole from the webhook's page at GitLab",
            };
            return Err(Error::Impossible(format!("{setting} is not fit to be a secret: {unfit}; {instead}")));
        }
        if let Some(event) = self.webhooks.lanes.in_two() {
            return Err(Error::Impossible(format!(
                "the event {event:?} is in webhooks.lanes.urgent and in webhooks.lanes.bulk; leave it in one of them"
            )));
        }
        if let Some(setting) = self.limits.closed() {
            return Err(Error::Impossible(format!("{setting} is 0, which would let nobody in; it is at least 1")));
        }
        if self.server.max_head < 1024 || self.server.max_head > 128 << 10 {
            return impossible("server.max_head is not between 1KiB and 128KiB; more is never read");
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
