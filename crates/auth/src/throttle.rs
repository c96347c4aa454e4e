//! How long an attempt to prove who one is has to wait after others failed. Nobody is ever locked out: whoever waits, may.
//! Knows nothing of where failures are counted.
//!
//! Failed logins make those of the same account from the same network wait, and those of the same address. What only somebody can try who has
//! passed something else before, a code after a right password and a password inside a session, is counted apart, wherever they come
//! from: so it cannot be tried from many networks at once, and no stranger elsewhere can make its owner wait. It counts for their address too.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use pipecast_model::{SessionId, Timestamp, UserId};
use pipecast_store::{Anew, LoginFailures};

/// The longest wait of one account from one network.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// So many failures of one address within `WINDOW`, whatever the account, and it waits for the rest of it.
const OF_AN_ADDRESS: i64 = 20;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// So many failures of one account in a day are worth a warning.
pub const ALARMING: i64 = 100;

/// What a failure is forgotten after.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What failures are counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An account as seen from a network.
    Pair(String),
    /// An address, or the network of 64 bits that an IPv6 customer holds.
    Address(String),
    /// An account. It makes nobody wait.
    Account(String),
    /// Codes of somebody whose password was right, and the first ones of an app that they turn on.
    Factor(UserId),
    /// Passwords inside a session.
    Confirmation(SessionId),
}

impl Subject {
    /// An account, by its name.
    pub fn account(name: &str) -> Subject {
        Subject::Account(folded(name))
    }

    /// Its name where failures are kept.
    pub fn key(&self) -> String {
        match self {
            Subject::Pair(pair) => format!("pair {pair}"),
            Subject::Address(address) => format!("address {address}"),
            Subject::Account(name) => format!("account {name}"),
            Subject::Factor(user) => format!("factor {user}"),
            Subject::Confirmation(session) => format!("confirmation {session}"),
        }
    }

    /// When its count begins anew.
    pub fn anew(&self, now: Timestamp) -> Anew {
        match self {
            Subject::Pair(_) | Subject::Factor(_) | Subject::Confirmation(_) => Anew::IfLastBefore(now.minus(FORGOTTEN_AFTER)),
            Subject::Address(_) => Anew::IfLastBefore(now.minus(WINDOW)),
            Subject::Account(_) => Anew::IfFirstBefore(now.minus(FORGOTTEN_AFTER)),
        }
    }

    /// How long the next attempt has to wait after these failures; `None`: not at all.
    pub fn wait(&self, failures: &LoginFailures, now: Timestamp) -> Option<Duration> {
        match self {
            Subject::Account(_) => None,
            Subject::Address(_) => left(failures.last_at, WINDOW, now).filter(|_| failures.failures >= OF_AN_ADDRESS),
            // The first two are free: a typo is no attack.
            Subject::Pair(_) | Subject::Factor(_) | Subject::Confirmation(_) => {
                let doubled = u32::try_from(failures.failures.saturating_sub(3)).ok()?;
                let pause = Duration::from_secs(1).saturating_mul(1 << doubled.min(20)).min(LONGEST);
                left(failures.last_at, pause, now).filter(|_| failures.failures >= 3)
            }
        }
    }
}

/// What the failures of one login are counted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    /// The account as seen from the network.
    pub pair: Subject,
    /// Where it comes from; `None` where nobody here knows.
    pub address: Option<Subject>,
    /// The account.
    pub account: Subject,
}

impl Subjects {
    /// For a name, whether there is such an account or not. `from` is `None` where all come over a proxy that hides them.
    pub fn of(name: &str, from: Option<IpAddr>) -> Subjects {
        let network = from.map_or_else(|| "unknown".to_owned(), network);
        Subjects {
            pair: Subject::Pair(format!("{network} {}", folded(name))),
            address: from.map(|from| Subject::Address(address(from))),
            account: Subject::account(name),
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<&Subject> {
        [Some(&self.pair), self.address.as_ref(), Some(&self.account)].into_iter().flatten().collect()
    }
}

/// How long the next attempt under these subjects has to wait; `None`: not at all.
pub fn wait(subjects: &[&Subject], failures: &[LoginFailures], now: Timestamp) -> Option<Duration> {
    let of = |subject: &Subject| {
        let key = subject.key();
        failures.iter().find(|one| one.subject == key).and_then(|found| subject.wait(found, now))
    };
    subjects.iter().filter_map(|subject| of(subject)).max()
}

fn left(since: Timestamp, pause: Duration, now: Timestamp) -> Option<Duration> {
    let gone = Duration::from_micros(u64::try_from(now.0.saturating_sub(since.0)).unwrap_or(0));
    pause.checked_sub(gone).filter(|left| !left.is_zero())
}

/// Names are compared without case, and nobody's is longer. None has a NUL in it, which not every database takes.
fn folded(name: &str) -> String {
    name.trim().to_lowercase().chars().filter(|letter| *letter != '\0').take(200).collect()
}

/// The 24 bits of an IPv4 and the 64 bits of an IPv6 network.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => network_of_64(address),
    }
}

/// The address itself, or the 64 bits of an IPv6 network.
fn address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => network_of_64(address),
    }
}

fn network_of_64(address: Ipv6Addr) -> String {
    let [a, b, c, d, ..] = address.segments();
    format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(subject: &Subject, failures: i64, last: i64) -> LoginFailures {
        LoginFailures {
            subject: subject.key(),
            failures,
            first_at: Timestamp(0),
            last_at: Timestamp(last * 1_000_000),
        }
    }

    #[test]
    fn the_pause_doubles_and_has_an_end() {
        let pair = Subjects::of(" Ada ", Some([10, 1, 2, 3].into())).pair;
        assert_eq!(pair.key(), "pair 10.1.2.0/24 ada");
        assert_eq!(Subject::account("a\0da"), Subject::account("Ada"));

        for subject in [pair, Subject::Factor(UserId(7)), Subject::Confirmation(SessionId::fresh())] {
            let wait = |failures| wait(&[&subject], &[failed(&subject, failures, 100)], Timestamp(100_000_000));
            assert_eq!((wait(1), wait(2)), (None, None));
            assert_eq!(wait(3), Some(Duration::from_secs(1)));
            assert_eq!(wait(6), Some(Duration::from_secs(8)));
            assert_eq!(wait(1_000_000), Some(LONGEST));
            assert_eq!(subject.wait(&failed(&subject, 6, 100), Timestamp(108_000_000)), None);
        }
    }

    #[test]
    fn an_address_that_tries_many_accounts_waits_and_its_neighbours_do_not() {
        let subjects = |from: &str| Subjects::of("ada", from.parse().ok());
        for (here, same, others) in [
            ("10.1.2.3", "::ffff:10.1.2.3", ["10.1.2.4", "10.1.3.3"]),
            ("2001:db8::1", "2001:db8::ffff:1", ["2001:db8:1::1", "2001:db8:0:1::1"]),
        ] {
            let here = subjects(here);
            let failures = [
                failed(here.address.as_ref().expect("it comes from there"), OF_AN_ADDRESS, 0),
                failed(&here.account, 5_000, 0),
            ];
            let wait = |subjects: &Subjects| wait(&subjects.all(), &failures, Timestamp(0));

            assert_eq!((wait(&here), wait(&subjects(same))), (Some(WINDOW), Some(WINDOW)));
            assert_eq!(others.map(|other| wait(&subjects(other))), [None, None]);
        }
        assert_eq!(Subjects::of("ada", None).address, None, "behind a proxy that hides them all are one");
    }
}
