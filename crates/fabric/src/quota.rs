//! Quotas: how often somebody may do something. The port's contract, and the memory of this process.
//! Knows nothing of requests, nor of which quota holds for whom.
//!
//! A quota is a burst at once and then so many a second (the generic cell rate algorithm). What a spender has taken is a *debt* of time that
//! passes by itself; whoever owes more than the burst is worth has to wait. The promises:
//!
//! - **Nobody waits.** [`Quotas::take`] looks into the memory of this process alone.
//! - **One budget.** With [`shared::Sharing`] every process tells Redis within some ten milliseconds what was taken here, and learns what
//!   everybody took. Between two tellings a process may let through what another one has taken already; it stays owed and is waited for, so over
//!   seconds all of them together let through what one would.
//! - **Bounded.** So many spenders are remembered. Who owes nothing is forgotten first, and then who owes little.
//! - **Never less than nothing.** Without Redis each process goes on with what it knows and has taken itself.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pipecast_model::{TokenId, UserId};
use tokio::sync::Notify;

use self::shard::Shard;

mod shard;
pub mod shared;

/// Parts of the memory that are locked apart.
const SHARDS: usize = 16;

/// So many at once, and so many a second from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// A second; at least 1.
    pub per_second: u32,
    /// At once; at least 1.
    pub burst: u32,
}

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spender {
    /// Whoever comes from there without an account: an address, or the first one of a network.
    Address(IpAddr),
    /// An account, in person.
    User(UserId),
    /// A token of a program.
    Token(TokenId),
    /// A source of deliveries, by the number that [`Spender::source`] makes of its name.
    Source(u64),
    /// Whoever shows something from there that nobody believes.
    Impostor(IpAddr),
    /// An account that asks for tickets.
    Tickets(UserId),
    /// An account that changes something, in person.
    UserWrites(UserId),
    /// A token that changes something.
    TokenWrites(TokenId),
}

impl Spender {
    /// A source by the name of its host and its key: the same number in every process.
    pub fn source(host: &str, key: &str) -> Spender {
        // FNV-1a. Keys come from whoever may make sources; two that share a number would share a budget and nothing else.
        let bytes = host.bytes().chain([b'/']).chain(key.bytes());
        Spender::Source(bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }
}

impl Quota {
    /// What one costs, in nanoseconds of debt.
    fn price(self) -> u64 {
        1_000_000_000 / u64::from(self.per_second.max(1))
    }

    /// The most that somebody may owe and still take one.
    fn credit(self) -> u64 {
        self.price() * u64::from(self.burst.max(1) - 1)
    }
}

/// What everybody has taken in this process, and what is known of other processes.
#[derive(Debug)]
pub struct Quotas {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    born: Instant,
    /// Rings when there is something to tell others.
    news: Arc<Notify>,
}

/// What somebody has taken here that others have not been told yet.
#[derive(Clone, Copy, Debug)]
struct News {
    spender: Spender,
    /// Microseconds of debt.
    taken: u64,
}

impl Quotas {
    /// Nobody owes anything. So many spenders are remembered, about 80 bytes each once there are so many.
    pub fn new(most: usize) -> Quotas {
        Quotas {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new(most.div_ceil(SHARDS)))),
            hasher: RandomState::new(),
            born: Instant::now(),
            news: Arc::new(Notify::new()),
        }
    }

    /// Takes one out of a budget.
    ///
    /// # Errors
    /// How long until there is one again; nothing was taken then.
    pub fn take(&self, spender: Spender, quota: Quota, now: Instant) -> Result<(), Duration> {
        let now = self.since_birth(now);
        let taken = self.shard(&spender).take(spender, quota.price(), quota.credit(), now)?;
        if taken.is_news {
            self.news.notify_one();
        }
        Ok(())
    }

    /// Whether there is one to take; takes nothing.
    ///
    /// # Errors
    /// How long until there is one again.
    pub fn check(&self, spender: Spender, quota: Quota, now: Instant) -> Result<(), Duration> {
        let now = self.since_birth(now);
        self.shard(&spender).check(&spender, quota.credit(), now)
    }

    /// How many spenders are remembered.
    pub fn remembered(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// What others have not been told yet, of at most so many spenders. From now on it counts as told.
    fn collect(&self, most: usize) -> Vec<News> {
        let mut news = Vec::new();
        for shard in &self.shards {
            lock(shard).collect(most, &mut news);
        }
        if news.len() >= most {
            self.news.notify_one();
        }
        news
    }

    /// All together, somebody owed so many microseconds at `asked`.
    fn learn(&self, spender: Spender, owed: u64, asked: Instant) {
        let until = self.since_birth(asked).saturating_add(owed.saturating_mul(1_000));
        self.shard(&spender).learn(&spender, until);
    }

    fn since_birth(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX)
    }

    fn shard(&self, spender: &Spender) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.hasher.hash_one(spender) as usize % SHARDS])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Quota = Quota { per_second: 10, burst: 3 };
    const ADA: Spender = Spender::User(UserId(1));
    const BOB: Spender = Spender::User(UserId(2));

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds_and_a_refusal_says_how_long() {
        let quotas = Quotas::new(100);
        let start = Instant::now();

        let at_once = (0..3).all(|_| quotas.take(ADA, TEN, start).is_ok());
        let refused = quotas.take(ADA, TEN, start).expect_err("the burst is used up");
        let later = (1..=20).all(|tenth| quotas.take(ADA, TEN, start + millis(100 * tenth)).is_ok());

        assert!(at_once && later);
        assert_eq!(refused, millis(100));
        assert!(quotas.take(BOB, TEN, start).is_ok(), "somebody else has a budget of their own");
    }

    #[test]
    fn a_look_takes_nothing() {
        let quotas = Quotas::new(100);
        let now = Instant::now();

        assert!((0..50).all(|_| quotas.check(ADA, TEN, now).is_ok()));
        assert!((0..3).all(|_| quotas.take(ADA, TEN, now).is_ok()));
        assert!(quotas.check(ADA, TEN, now).is_err() && quotas.check(BOB, TEN, now).is_ok());
    }

    #[test]
    fn another_quota_holds_at_once_and_forgives_nothing() {
        let quotas = Quotas::new(100);
        let now = Instant::now();
        (0..3).for_each(|_| quotas.take(ADA, TEN, now).expect("within the burst"));

        assert!(quotas.take(ADA, Quota { burst: 4, ..TEN }, now).is_ok());
        assert!(quotas.take(ADA, Quota { burst: 1, ..TEN }, now + millis(300)).is_err());
        assert!(quotas.take(ADA, Quota { burst: 1, ..TEN }, now + millis(400)).is_ok());
    }

    #[test]
    fn what_others_took_counts_here_and_what_was_taken_meanwhile_stays() {
        let quotas = Quotas::new(100);
        let now = Instant::now();
        quotas.take(ADA, TEN, now).expect("within the burst");
        let news = quotas.collect(10);
        assert_eq!((news.len(), news[0].spender, news[0].taken), (1, ADA, 100_000));
        assert!(quotas.collect(10).is_empty(), "it is told once");

        quotas.take(ADA, TEN, now).expect("within the burst");
        quotas.learn(ADA, 200_000, now);

        // Two elsewhere and here were told, one was taken since.
        assert_eq!(quotas.take(ADA, TEN, now), Err(millis(100)));
        quotas.learn(ADA, 0, now);
        assert!(quotas.take(ADA, TEN, now).is_err(), "an emptied server forgives nothing");
        quotas.learn(ADA, u64::MAX, now);
        assert!(quotas.take(ADA, TEN, now + millis(100)).is_ok(), "nonsense is not believed");
    }

    #[test]
    fn memory_is_bounded_and_who_owes_most_is_remembered() {
        let quotas = Quotas::new(1_600);
        let now = Instant::now();
        (0..3).for_each(|_| quotas.take(ADA, TEN, now).expect("within the burst"));

        for stranger in 0..100_000_u32 {
            let _ = quotas.take(Spender::Address(IpAddr::from(stranger.to_be_bytes())), TEN, now);
        }

        assert!(quotas.remembered() <= 1_600, "{}", quotas.remembered());
        assert!(quotas.take(ADA, TEN, now).is_err(), "a flood of others is no way to be forgotten");
        assert!(quotas.collect(usize::MAX).len() <= 1_600);
    }

    #[test]
    fn a_source_has_the_same_number_everywhere() {
        assert_eq!(Spender::source("github", "default"), Spender::Source(0x7159_89a9_bef7_dbf0));
        assert_ne!(Spender::source("github", "default"), Spender::source("gitlab", "default"));
    }
}
