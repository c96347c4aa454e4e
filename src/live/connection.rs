//! What a socket and an event stream have in common: a seat at the hub, the topics that it watches, and its end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pipecast_model::{Timestamp, Topic};
use pipecast_store::audit::Actor;

use super::admission::{Pass, Refused};
use super::hub::Seat;
use super::rights::{News, Rights};
use super::watching::Watching;

/// An open connection. What it holds is given back when it is dropped.
pub struct Connection {
    /// Its place at the hub.
    pub seat: Seat,
    watched: Vec<Watching>,
    /// The topic that is asked first next time, so that a busy one does not starve the others.
    turn: usize,
    /// What its caller may see; `None` for an anonymous one, who may see everything where those may see anything.
    rights: Option<Box<Rights>>,
    pass: Pass,
}

impl Connection {
    /// A connection that watches nothing yet.
    pub fn new(seat: Seat, pass: Pass, rights: Option<Rights>) -> Self {
        if rights.is_some() {
            seat.heed_rights();
        }
        Connection {
            rights: rights.map(Box::new),
            seat,
            watched: Vec::new(),
            turn: 0,
            pass,
        }
    }

    /// Begins to watch.
    pub fn watch(&mut self, watching: Watching) {
        self.seat.follow(watching.topic());
        self.watched.push(watching);
    }

    /// Stops watching; false where it did not.
    pub fn unwatch(&mut self, topic: Topic) -> bool {
        let before = self.watched.len();
        self.watched.retain(|watching| watching.topic() != topic);
        if self.watched.len() == before {
            return false;
        }
        self.seat.unfollow(topic);
        true
    }

    /// Whether it watches the topic.
    pub fn watches(&self, topic: Topic) -> bool {
        self.watched.iter().any(|watching| watching.topic() == topic)
    }

    /// How many topics it watches.
    pub fn topics(&self) -> usize {
        self.watched.len()
    }

    /// What its caller may see; `None` for an anonymous one.
    pub fn rights(&self) -> Option<&Rights> {
        self.rights.as_deref()
    }

    /// Who its caller is, for the audit.
    pub fn actor(&self) -> Actor {
        self.rights().map_or(Actor::Anonymous, Rights::actor)
    }

    /// Other rights from now on, as after another token was shown.
    ///
    /// # Errors
    /// `UserFull` where it was nobody's so far and its account has as many as it may.
    pub fn set_rights(&mut self, rights: Rights) -> Result<(), Refused> {
        self.pass.belongs_to(rights.user())?;
        self.seat.heed_rights();
        let is_other = self.rights().is_some_and(|before| !before.sees_like(&rights));
        self.rights = Some(Box::new(rights));
        if is_other {
            self.show_anew();
        }
        Ok(())
    }

    /// When it ends: after `lifetime`, or with the token that was shown.
    pub fn end(&self, lifetime: Duration) -> Instant {
        let left = self.rights().and_then(Rights::ends).map(|ends| ends.0.saturating_sub(Timestamp::now().0));
        let left = left.map(|left| Duration::from_micros(u64::try_from(left).unwrap_or(0)));
        Instant::now() + left.map_or(lifetime, |left| left.min(lifetime))
    }

    /// What has become of the caller's rights since the last look.
    pub fn news(&mut self) -> Option<News> {
        self.rights.as_mut()?.news()
    }

    /// Stops watching what the caller may not watch any more, and says what that was.
    pub fn withdraw(&mut self) -> Vec<Topic> {
        let Some(rights) = &self.rights else { return Vec::new() };
        let may_stay = |watching: &Watching| rights.may_watch(watching.topic(), watching.last().as_deref());
        let lost: Vec<Topic> = self.watched.iter().filter(|watching| !may_stay(watching)).map(Watching::topic).collect();
        lost.iter().for_each(|topic| {
            self.unwatch(*topic);
        });
        lost
    }

    /// Shows the monitor anew: its caller sees other pipelines than before.
    pub fn show_anew(&mut self) {
        let monitors = self.watched.iter_mut().filter(|watching| watching.topic() == Topic::Monitor);
        monitors.for_each(Watching::begin_anew);
    }

    /// The next state to send.
    pub fn take(&mut self) -> Option<Bytes> {
        for _ in 0..self.watched.len() {
            self.turn = (self.turn + 1) % self.watched.len();
            let limited = self.rights.as_deref().filter(|rights| !rights.sees_all());
            if let Some(bytes) = self.watched[self.turn].take(self.seat.runs(), limited) {
                return Some(bytes);
            }
        }
        None
    }
}

/// `around` give or take a fifth, so that what began together does not end together.
pub fn jittered(around: Duration) -> Duration {
    around.mul_f64(rand::random_range(0.8..1.2))
}
