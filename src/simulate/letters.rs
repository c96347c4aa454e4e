//! What the way does to webhooks: some come twice, some come late.
//! Pure; knows nothing of HTTP or of clocks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use crate::simulate::chance::Chance;
use crate::simulate::forge::Event;

/// How bad the way is.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The share of events that are sent a second time with the same id and the same bytes.
    pub duplicates: f64,
    /// A delivery comes at most this much later than its event; so those within it may overtake each other.
    pub reorder: Duration,
    /// The dice for both.
    pub seed: u64,
}

/// A delivery on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    /// When it is to be sent, since the start of the simulation.
    pub due: Duration,
    /// What it carries.
    pub event: Arc<Event>,
    /// Whether the same event was put on the way before.
    pub repeated: bool,
}

/// The deliveries of a row of events, ordered by when they are due.
#[derive(Debug)]
pub struct Letters<I: Iterator<Item = Event>> {
    events: Peekable<I>,
    way: Way,
    chance: Chance,
    count: u64,
    // Holds what is due within `reorder` and the repetitions of the last few times that; bounded by the rate of the events.
    heap: BinaryHeap<Reverse<Queued>>,
}

#[derive(Debug)]
struct Queued(u64, Letter);

impl<I: Iterator<Item = Event>> Letters<I> {
    /// Puts `events`, which come in the order of their times, on their way.
    pub fn new(events: I, way: Way) -> Self {
        Letters {
            events: events.peekable(),
            chance: Chance::new(way.seed),
            way,
            count: 0,
            heap: BinaryHeap::new(),
        }
    }

    fn post(&mut self, event: Event) {
        let event = Arc::new(event);
        // The square lets most come nearly at once and a few really late.
        let lateness = self.chance.share().powi(2);
        self.put(Duration::mul_f64(self.way.reorder, lateness), &event, false);
        if self.chance.happens(self.way.duplicates) {
            let lateness = lateness + self.chance.between(0.0, 3.0);
            self.put(Duration::mul_f64(self.way.reorder, lateness), &event, true);
        }
    }

    fn put(&mut self, late: Duration, event: &Arc<Event>, repeated: bool) {
        self.count += 1;
        let letter = Letter {
            due: event.at + late,
            event: Arc::clone(event),
            repeated,
        };
        self.heap.push(Reverse(Queued(self.count, letter)));
    }
}

impl<I: Iterator<Item = Event>> Iterator for Letters<I> {
    type Item = Letter;

    fn next(&mut self) -> Option<Letter> {
        loop {
            let due = self.heap.peek().map(|Reverse(Queued(_, letter))| letter.due);
            // Whatever is told before the first letter is due could still overtake it.
            match self.events.next_if(|event| due.is_none_or(|due| event.at <= due)) {
                Some(event) => self.post(event),
                None => return self.heap.pop().map(|Reverse(Queued(_, letter))| letter),
            }
        }
    }
}

impl Queued {
    fn key(&self) -> (Duration, u64) {
        (self.1.due, self.0)
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::simulate::forge::{Forge, Options};

    const WAY: Way = Way {
        duplicates: 0.2,
        reorder: Duration::from_secs(2),
        seed: 4,
    };

    fn letters(way: Way) -> Vec<Letter> {
        Letters::new(Forge::new(Options::default()).take(3_000), way).collect()
    }

    #[test]
    fn a_repeated_letter_has_the_same_id_and_the_same_bytes() {
        let letters = letters(WAY);
        let mut first: HashMap<&str, &Letter> = HashMap::new();
        let mut repeated = 0;
        for letter in &letters {
            match first.insert(&letter.event.id, letter) {
                None => assert!(!letter.repeated),
                Some(before) => {
                    assert_eq!(before.event.body, letter.event.body);
                    repeated += 1;
                }
            }
        }

        assert_eq!(first.len(), 3_000);
        assert!((480..720).contains(&repeated), "{repeated} of 3000 were repeated");
    }

    #[test]
    fn letters_overtake_each_other_but_not_by_more_than_they_may() {
        let letters = letters(WAY);
        let firsts: Vec<&Letter> = letters.iter().filter(|letter| !letter.repeated).collect();
        let overtaken = firsts.windows(2).filter(|pair| pair[0].event.at > pair[1].event.at).count();

        assert!(letters.is_sorted_by_key(|letter| letter.due));
        assert!(overtaken > 300, "{overtaken} of 3000 were overtaken");
        assert!(firsts.iter().all(|letter| letter.due - letter.event.at <= WAY.reorder));
        let of_one_run = firsts
            .windows(2)
            .any(|pair| pair[0].event.at > pair[1].event.at && pair[0].event.execution == pair[1].event.execution);
        assert!(of_one_run, "tellings of one run overtake each other too");
    }

    #[test]
    fn a_good_way_changes_nothing() {
        let letters = letters(Way {
            duplicates: 0.0,
            reorder: Duration::ZERO,
            seed: 4,
        });

        assert!(
            letters
                .iter()
                .map(|letter| &letter.event.id)
                .eq(Forge::new(Options::default()).take(3_000).collect::<Vec<_>>().iter().map(|event| &event.id))
        );
    }
}
