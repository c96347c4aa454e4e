//! What a socket and an event stream have in common: a seat at the hub, the topics that it watches, and its end.

use std::time::Duration;

use bytes::Bytes;
use pipecast_model::Topic;

use super::admission::Pass;
use super::hub::Seat;
use super::watching::Watching;

/// An open connection. What it holds is given back when it is dropped.
pub struct Connection {
    /// Its place at the hub.
    pub seat: Seat,
    watched: Vec<Watching>,
    /// The topic that is asked first next time, so that a busy one does not starve the others.
    turn: usize,
    _pass: Pass,
}

impl Connection {
    /// A connection that watches nothing yet.
    pub fn new(seat: Seat, pass: Pass) -> Self {
        Connection {
            seat,
            watched: Vec::new(),
            turn: 0,
            _pass: pass,
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

    /// The next state to send.
    pub fn take(&mut self) -> Option<Bytes> {
        for _ in 0..self.watched.len() {
            self.turn = (self.turn + 1) % self.watched.len();
            if let Some(bytes) = self.watched[self.turn].take(self.seat.runs()) {
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
