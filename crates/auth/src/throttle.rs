//! How long a login has to wait after others failed. Nobody is ever locked out: whoever waits, may.
//! Knows nothing of where failures are counted.

use std::net::IpAddr;
use std::time::Duration;

use pipecast_model::Timestamp;
use pipecast_store::LoginFailures;

/// The longest wait of one account from one network.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// So many failures of one network within `WINDOW`, whatever the account, and it waits for the rest of it.
const OF_A_NETWORK: i64 = 20;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// So many failures of one account in a day are worth a warning.
pub const ALARMING: i64 = 100;

/// What a failure is forgotten after.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What the failures of one login are counted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    /// The account as seen from the network.
    pub pair: String,
    /// The network.
    pub network: String,
    /// The account.
    pub account: String,
}

impl Subjects {
    /// For a name, whether there is such an account or not.
    pub fn of(name: &str, address: Option<IpAddr>) -> Subjects {
        let network = address.map_or_else(|| "unknown".to_owned(), network);
        let name: String = name.trim().to_lowercase().chars().take(200).collect();
        Subjects {
            pair: format!("pair {network} {name}"),
            network: format!("network {network}"),
            account: format!("account {name}"),
        }
    }

    /// All of them.
    pub fn all(&self) -> [String; 3] {
        [self.pair.clone(), self.network.clone(), self.account.clone()]
    }

    /// How long this login has to wait; `None`: not at all.
    pub fn wait(&self, failures: &[LoginFailures], now: Timestamp) -> Option<Duration> {
        let of = |subject: &str| failures.iter().find(|one| one.subject == subject);
        let pair = of(&self.pair).and_then(|pair| {
            // The first two are free: a typo is no attack.
            let doubled = u32::try_from(pair.failures.saturating_sub(3)).ok()?;
            let pause = Duration::from_secs(1).saturating_mul(1 << doubled.min(20)).min(LONGEST);
            left(pair.last_at, pause, now).filter(|_| pair.failures >= 3)
        });
        let network = of(&self.network)
            .filter(|network| network.failures >= OF_A_NETWORK)
            .and_then(|network| left(network.last_at, WINDOW, now));
        pair.max(network)
    }
}

fn left(since: Timestamp, pause: Duration, now: Timestamp) -> Option<Duration> {
    let gone = Duration::from_micros(u64::try_from(now.0.saturating_sub(since.0)).unwrap_or(0));
    pause.checked_sub(gone).filter(|left| !left.is_zero())
}

/// The 24 bits of an IPv4 and the 64 bits of an IPv6 network.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// How long failures of a network are looked back for.
pub const fn window() -> Duration {
    WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(subject: &str, failures: i64, last: i64) -> LoginFailures {
        LoginFailures {
            subject: subject.to_owned(),
            failures,
            first_at: Timestamp(0),
            last_at: Timestamp(last * 1_000_000),
        }
    }

    #[test]
    fn the_pause_doubles_and_has_an_end() {
        let subjects = Subjects::of(" Ada ", Some([10, 1, 2, 3].into()));
        let wait = |failures| subjects.wait(&[failed("pair 10.1.2.0/24 ada", failures, 100)], Timestamp(100_000_000));

        assert_eq!((wait(1), wait(2)), (None, None));
        assert_eq!(wait(3), Some(Duration::from_secs(1)));
        assert_eq!(wait(6), Some(Duration::from_secs(8)));
        assert_eq!(wait(1_000_000), Some(LONGEST));
        assert_eq!(subjects.wait(&[failed(&subjects.pair, 6, 100)], Timestamp(108_000_000)), None);
    }

    #[test]
    fn a_network_that_tries_many_accounts_waits_and_others_do_not() {
        let here = Subjects::of("ada", "2001:db8::1".parse().ok());
        let there = Subjects::of("ada", "2001:db8:1::1".parse().ok());
        let failures = [failed(&here.network, OF_A_NETWORK, 0), failed(&here.account, 5_000, 0)];

        assert_eq!(here.wait(&failures, Timestamp(0)), Some(WINDOW));
        assert_eq!(there.wait(&failures, Timestamp(0)), None);
    }
}
