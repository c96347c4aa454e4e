//! Badges: one for each session or token that this node has let in, shared by everything that its bearer has open here.
//! Knows nothing of how it is found out how a bearer stands.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pipecast_model::{Timestamp, UserId};
use pipecast_store::{Bearer, Credential};

use crate::Grants;

/// Who somebody is, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearing {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// What they may do.
    pub grants: Grants,
    /// When what they came in with ends by itself.
    pub expires_at: Timestamp,
}

impl From<Bearer> for Bearing {
    fn from(bearer: Bearer) -> Self {
        Bearing {
            user: bearer.user,
            grants: Grants::of(&bearer),
            name: bearer.name,
            expires_at: bearer.expires_at,
        }
    }
}

/// What this node knows of a credential.
#[derive(Debug)]
pub struct Badge {
    credential: Credential,
    known: Mutex<Option<Known>>,
    /// Counts changes, so that whoever holds the badge sees that there was one.
    changes: AtomicU32,
    /// Somebody holds it for long, so it is looked after.
    is_held: AtomicBool,
    /// When it was noted that it was used.
    noted: AtomicI64,
    /// One reading at a time.
    pub(crate) reading: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Known {
    /// `None`: the credential is no good any more.
    bearing: Option<Arc<Bearing>>,
    read: Instant,
}

impl Badge {
    pub(crate) fn new(credential: Credential) -> Badge {
        Badge {
            credential,
            known: Mutex::default(),
            changes: AtomicU32::new(0),
            is_held: AtomicBool::new(false),
            noted: AtomicI64::new(0),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// What they came in with.
    pub fn credential(&self) -> Credential {
        self.credential
    }

    /// How its bearer stood when that was looked at last; `None` where they may not be here any more.
    pub fn bearing(&self) -> Option<Arc<Bearing>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let bearing = known.as_ref()?.bearing.as_ref()?;
        (bearing.expires_at > Timestamp::now()).then(|| Arc::clone(bearing))
    }

    /// How often it has changed.
    pub fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// The same, where it was looked at within `age`.
    pub(crate) fn fresh(&self, age: Duration) -> Option<Option<Arc<Bearing>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|known| known.read.elapsed() < age)?;
        let good = known.bearing.as_ref().filter(|bearing| bearing.expires_at > Timestamp::now());
        Some(good.map(Arc::clone))
    }

    /// Notes how its bearer stands as of `read`, and says whether that is news.
    pub(crate) fn note(&self, bearing: Option<Bearing>, read: Instant) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = known.as_ref().is_some_and(|known| known.bearing.as_deref() != bearing.as_ref());
        let bearing = match known.take() {
            Some(before) if !is_news => before.bearing,
            _ => bearing.map(Arc::new),
        };
        *known = Some(Known { bearing, read });
        if is_news {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        is_news
    }

    /// Says that something else changed what its bearer may see.
    pub(crate) fn stir(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Makes the next look go to the database.
    pub(crate) fn forget(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_mut() {
            known.read = Instant::now().checked_sub(Duration::from_secs(3600)).unwrap_or(known.read);
        }
    }

    /// Whether it is to be noted that it was used: for one caller each time that `every` has passed since the last.
    pub fn takes_note(&self, now: Timestamp, every: Duration) -> bool {
        let last = self.noted.load(Ordering::Relaxed);
        now.minus(every).0 >= last && self.noted.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether nobody has held it before.
    pub(crate) fn hold(&self) -> bool {
        !self.is_held.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn let_go(&self) {
        self.is_held.store(false, Ordering::Release);
    }
}
