//! Settings of accounts: section `[auth]`. Knows nothing of who has one.

use std::time::Duration;

use pipecast_auth::Cost;
use serde::Deserialize;

use super::value;

/// How long what is good, what a password costs, and whether failed logins make others wait.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How long an access token is good.
    #[serde(deserialize_with = "value::duration")]
    pub access_lifetime: Duration,
    /// How long a session may rest before it ends.
    #[serde(deserialize_with = "value::duration")]
    pub refresh_lifetime: Duration,
    /// When a session ends in any case.
    #[serde(deserialize_with = "value::duration")]
    pub session_lifetime: Duration,
    /// How long after a login, or after having proved anew who they are, somebody may touch keys, roles and secrets.
    #[serde(deserialize_with = "value::duration")]
    pub confirmed_for: Duration,
    /// Memory that one password takes to check.
    #[serde(deserialize_with = "value::size")]
    pub password_memory: u64,
    /// Passes over that memory.
    pub password_passes: u32,
    /// Passwords that are checked at once; 0 is one for each core.
    pub passwords_at_once: usize,
    /// Passwords that wait for that; beyond it logins are answered 503.
    pub passwords_waiting: usize,
    /// Whether failed logins make further ones wait, and whoever carries a session on too often.
    pub login_throttle: bool,
}

impl Auth {
    /// What a password costs.
    pub fn cost(&self) -> Cost {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Cost {
            memory_kib: u32::try_from(self.password_memory >> 10).unwrap_or(u32::MAX),
            passes: self.password_passes,
            at_once: if self.passwords_at_once == 0 { cores() } else { self.passwords_at_once },
            waiting: self.passwords_waiting,
        }
    }
}
