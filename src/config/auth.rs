//! Settings of accounts: section `[auth]`. Knows nothing of who has one.

use std::time::Duration;

use pipecast_auth::Cost;
use serde::Deserialize;

use super::value;

/// Passwords that are checked at once where the configuration leaves it to the cores: as each takes `password_memory`, a machine with many cores would
/// need more memory than a small container has.
const MOST_AT_ONCE: usize = 4;

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
    /// Passwords that are checked at once; 0 is one for each core, `MOST_AT_ONCE` at most.
    pub passwords_at_once: usize,
    /// Passwords that wait for that; beyond it logins are answered 503.
    pub passwords_waiting: usize,
    /// Whether failed logins make further ones wait, and whoever carries a session on too often.
    pub login_throttle: bool,
}

impl Auth {
    /// What a password costs.
    pub fn cost(&self) -> Cost {
        self.cost_on(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn cost_on(&self, cores: usize) -> Cost {
        Cost {
            memory_kib: u32::try_from(self.password_memory >> 10).unwrap_or(u32::MAX),
            passes: self.password_passes,
            at_once: match self.passwords_at_once {
                0 => cores.min(MOST_AT_ONCE),
                set => set,
            },
            waiting: self.passwords_waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_shipped_takes_64_mib_three_passes_and_four_passwords_at_once_however_many_cores_there_are() {
        let shipped = Config::defaults().auth;
        for (cores, at_once) in [(1, 1), (2, 2), (4, 4), (8, 4), (256, 4)] {
            let cost = Cost {
                memory_kib: 64 << 10,
                passes: 3,
                at_once,
                waiting: 32,
            };
            assert_eq!(shipped.cost_on(cores), cost, "{cores} cores");
        }
        let set = Auth {
            passwords_at_once: 8,
            ..shipped
        };
        assert_eq!(set.cost_on(2).at_once, 8, "what is set is meant");
    }
}
