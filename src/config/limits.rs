//! How often somebody may ask: section `[limits]`. Knows nothing of how that is counted.

use pipecast_fabric::Quota;
use pipecast_http::limits::Rules;
use serde::Deserialize;

/// Rates with their bursts, for every kind of caller. Both are at least 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Whether requests of this machine are counted too.
    pub count_loopback: bool,
    /// Callers who are remembered.
    pub max_callers: usize,
    /// Requests a second without an account, of an address (an IPv6 network of 64 bits counts as one).
    pub address_per_second: u32,
    /// The same at once.
    pub address_burst: u32,
    /// Requests a second of an account in person.
    pub user_per_second: u32,
    /// The same at once.
    pub user_burst: u32,
    /// Requests a second with a token of a program.
    pub token_per_second: u32,
    /// The same at once.
    pub token_burst: u32,
    /// Requests a second under `/admin/v1` that change something, of an account in person or of a token.
    pub writes_per_second: u32,
    /// The same at once.
    pub writes_burst: u32,
    /// Authentic deliveries a second of a source.
    pub source_per_second: u32,
    /// The same at once.
    pub source_burst: u32,
    /// Tokens and deliveries a second that are no good, of an address.
    pub impostor_per_second: u32,
    /// The same at once.
    pub impostor_burst: u32,
}

impl Limits {
    /// The quota of every kind of caller.
    pub fn rules(&self) -> Rules {
        let quota = |per_second, burst| Quota { per_second, burst };
        Rules {
            address: quota(self.address_per_second, self.address_burst),
            user: quota(self.user_per_second, self.user_burst),
            token: quota(self.token_per_second, self.token_burst),
            writes: quota(self.writes_per_second, self.writes_burst),
            source: quota(self.source_per_second, self.source_burst),
            impostor: quota(self.impostor_per_second, self.impostor_burst),
        }
    }

    /// One of them that would let nobody in.
    pub fn closed(&self) -> Option<&'static str> {
        let all = [
            ("limits.address_per_second", self.address_per_second),
            ("limits.address_burst", self.address_burst),
            ("limits.user_per_second", self.user_per_second),
            ("limits.user_burst", self.user_burst),
            ("limits.token_per_second", self.token_per_second),
            ("limits.token_burst", self.token_burst),
            ("limits.writes_per_second", self.writes_per_second),
            ("limits.writes_burst", self.writes_burst),
            ("limits.source_per_second", self.source_per_second),
            ("limits.source_burst", self.source_burst),
            ("limits.impostor_per_second", self.impostor_per_second),
            ("limits.impostor_burst", self.impostor_burst),
        ];
        all.into_iter().find(|(_, number)| *number == 0).map(|(name, _)| name)
    }
}
