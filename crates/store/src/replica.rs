//! Where lists are read: on a replica as long as it answers and keeps up, else on the primary.
//! Knows nothing of who reads. States of topics are never read here, because nobody could tell an old one from the newest.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::engine::{On, answers, in_time, place, postgres_pool, reading};
use crate::error::Attempt;
use crate::{Error, Options, Reader, Result};

/// A replica that has not replayed within this time what the primary had written is left until it has caught up: the most that a list
/// can lag, give or take one look.
const MOST_LAG: Duration = Duration::from_secs(1);

/// How often the replica is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A look that takes longer has failed.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// Looks that have to fail, and that have to succeed, one after the other, before lists move: one lost packet moves nothing.
const LOOKS: u32 = 2;

/// How a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// It answers and keeps up: lists are read there.
    Serving,
    /// It answers, but lags behind; lists are read on the primary.
    Behind,
    /// It does not answer; lists are read on the primary.
    Down,
}

/// Watches a replica and says where lists are read. Clones watch the same one.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The pool that lists are read from: its next connections go wherever the last look said.
    lists: PgPool,
    /// One connection to the replica, for looking at it.
    probe: PgPool,
    primary: Reader,
    to_replica: Box<PgConnectOptions>,
    to_primary: Box<PgConnectOptions>,
    moved: Arc<Moved>,
    standing: Arc<AtomicU8>,
}

/// When lists last moved between replica and primary.
#[derive(Debug, Default)]
struct Moved(Mutex<Option<Instant>>);

impl Moved {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age may still lead to where lists were read before: it was opened before they moved, or was being
    /// opened then, which takes `opening` at most.
    fn has_outdated(&self, age: Duration, opening: Duration) -> bool {
        let moved = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moved.is_some_and(|moved| age + opening > moved.elapsed())
    }
}

/// What the last looks saw.
#[derive(Debug, Default)]
struct Looks {
    /// A position of the primary that the replica has not been seen to have reached, and when the primary was there.
    awaited: Option<(String, Instant)>,
    good: u32,
    bad: u32,
}

impl Replica {
    /// The replica that `Options::read_url` names, with the reader of lists that follows it; `None` where there is none. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// `BadUrl`.
    pub fn connect(options: &Options, primary: &Reader) -> Result<Option<(Reader, Replica)>> {
        let Some(read_url) = options.read_url.as_deref() else { return Ok(None) };
        let (On::Postgres(to_replica), On::Postgres(to_primary)) = (reading(place(read_url)?), reading(place(&options.url)?)) else {
            return Err(Error::BadUrl("store.read_url without PostgreSQL".to_owned()));
        };
        let moved = Arc::new(Moved::default());
        let opening = options.acquire_timeout;
        let lists = postgres_pool(options.read_connections, opening)
            .before_acquire({
                let moved = Arc::clone(&moved);
                move |connection, meta| {
                    let is_outdated = moved.has_outdated(meta.age, opening);
                    Box::pin(async move { Ok(!is_outdated && (meta.idle_for < LOOK_EVERY || answers(connection).await)) })
                }
            })
            .connect_lazy_with(to_replica.clone());
        let probe = postgres_pool(1, LOOK_WITHIN).connect_lazy_with(to_replica.clone());
        let reader = Reader {
            on: On::Postgres(lists.clone()),
            epoch: Arc::clone(&primary.epoch),
        };
        let replica = Replica {
            lists,
            probe,
            primary: primary.clone(),
            to_replica: Box::new(to_replica),
            to_primary: Box::new(to_primary),
            moved,
            standing: Arc::new(AtomicU8::new(Standing::Serving as u8)),
        };
        Ok(Some((reader, replica)))
    }

    /// How the replica was doing at the last look; `Serving` before the first.
    pub fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            behind if behind == Standing::Behind as u8 => Standing::Behind,
            down if down == Standing::Down as u8 => Standing::Down,
            _ => Standing::Serving,
        }
    }

    /// Looks at the replica for ever, moves lists to the primary and back, and tells `moved` each time.
    pub async fn watch_over(self, mut moved: impl FnMut(Standing)) {
        let mut looks = Looks::default();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(seen) = self.look(&mut looks).await else { continue };
            if let Some(standing) = looks.judge(self.standing(), seen) {
                self.standing.store(standing as u8, Ordering::Relaxed);
                self.lists.set_connect_options(if standing == Standing::Serving {
                    PgConnectOptions::clone(&self.to_replica)
                } else {
                    PgConnectOptions::clone(&self.to_primary)
                });
                self.moved.now();
                moved(standing);
            }
        }
    }

    /// How it is doing; `None` where it is too early to say.
    async fn look(&self, looks: &mut Looks) -> Option<Standing> {
        if looks.awaited.is_none() {
            // While the primary is down nothing is written that the replica could lack.
            looks.awaited = self.position_of_primary().await.map(|position| (position, Instant::now()));
        }
        let position = looks.awaited.as_ref().map(|(position, _)| position.as_str());
        match tokio::time::timeout(LOOK_WITHIN, self.has_replayed(position)).await {
            Ok(Ok(has_replayed)) => {
                let is_late = looks.awaited.as_ref().is_some_and(|(_, at)| at.elapsed() > MOST_LAG);
                if has_replayed {
                    looks.awaited = None;
                }
                match (has_replayed, is_late) {
                    (true, false) => Some(Standing::Serving),
                    (false, true) => Some(Standing::Behind),
                    // Not there yet and not late, or there at last: the next position tells whether it keeps up.
                    (false, false) | (true, true) => None,
                }
            }
            Ok(Err(_)) | Err(_) => Some(Standing::Down),
        }
    }

    async fn position_of_primary(&self) -> Option<String> {
        let On::Postgres(primary) = &self.primary.on else { return None };
        const POSITION: &str = "SELECT CAST(pg_current_wal_lsn() AS TEXT)";
        let position = tokio::time::timeout(LOOK_WITHIN, sqlx::query_scalar(POSITION).fetch_one(primary)).await;
        position.ok().and_then(|position| position.ok())
    }

    /// A server that replays nothing is the primary itself and lacks nothing.
    async fn has_replayed(&self, position: Option<&str>) -> Result<bool> {
        const REPLAYED: &str = "SELECT coalesce(pg_last_wal_replay_lsn() >= CAST($1 AS PG_LSN), TRUE)";
        in_time(sqlx::query_scalar(REPLAYED).bind(position).fetch_one(&self.probe))
            .await
            .attempted("look at the replica")
    }
}

impl Looks {
    /// The new standing, where enough looks agree on one. From one kind of not serving to the other nothing moves, but it is told.
    fn judge(&mut self, standing: Standing, seen: Standing) -> Option<Standing> {
        if seen == Standing::Serving {
            (self.good, self.bad) = (self.good + 1, 0);
        } else {
            (self.good, self.bad) = (0, self.bad + 1);
        }
        let is_sure = self.good.max(self.bad) >= LOOKS;
        (seen != standing && is_sure).then_some(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_look_moves_nothing_and_two_do() {
        let mut looks = Looks::default();

        assert_eq!(looks.judge(Standing::Serving, Standing::Down), None);
        assert_eq!(looks.judge(Standing::Serving, Standing::Serving), None);
        assert_eq!(looks.judge(Standing::Serving, Standing::Down), None);
        assert_eq!(looks.judge(Standing::Serving, Standing::Down), Some(Standing::Down));
        assert_eq!(looks.judge(Standing::Down, Standing::Serving), None);
        assert_eq!(looks.judge(Standing::Down, Standing::Serving), Some(Standing::Serving));
    }

    #[test]
    fn connections_from_before_a_move_are_outdated_and_later_ones_are_not() {
        let moved = Moved::default();
        assert!(!moved.has_outdated(Duration::from_secs(3600), Duration::from_secs(2)), "nothing has moved");

        *moved.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now().checked_sub(Duration::from_secs(60));

        assert!(moved.has_outdated(Duration::from_secs(61), Duration::from_secs(2)));
        assert!(moved.has_outdated(Duration::from_secs(59), Duration::from_secs(2)), "it was being opened");
        assert!(!moved.has_outdated(Duration::from_secs(50), Duration::from_secs(2)));
    }
}
