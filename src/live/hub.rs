//! The watchers of one worker thread: who is to be woken by which topic, and at which second.
//! One wake-up comes in from other threads per change; everything after that happens on this thread without locks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use pipecast_model::Topic;
use pipecast_watch::Bell;
use slab::Slab;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::runs::Runs;

/// Seconds that the wheel can look ahead; what is due later is looked at once a turn.
const WHEEL: usize = 64;

/// How often a slice of the watchers is told to leave while the service drains.
const SLICE: Duration = Duration::from_millis(50);

/// One per worker thread.
pub struct Hub {
    bell: Arc<Bell>,
    seats: RefCell<Slab<Taken>>,
    by_topic: RefCell<HashMap<Topic, Vec<usize>>>,
    wheel: RefCell<Wheel>,
    seated: Cell<u64>,
    runs: Runs,
}

struct Taken {
    /// Tells who sits here from who sat here before.
    generation: u64,
    /// Set by its first poll. Waking it twice before it runs costs nothing: the runtime knows that it is awake.
    waker: Option<Waker>,
    /// When it next wants to look at the clock.
    due: Instant,
    /// That moment has come.
    is_due: bool,
    /// It belongs to somebody whose rights may change.
    heeds_rights: bool,
    /// Set once the service drains: it is to leave, and to come back after so many milliseconds.
    leave: Option<u64>,
}

/// Seats by the second at which they want to be woken. An entry of a seat that has been left is skipped by its generation.
struct Wheel {
    slots: Vec<Vec<(usize, u64)>>,
    at: usize,
}

impl Hub {
    /// The hub of the calling worker thread, with its tasks on that thread. When `draining` is cancelled, every seat is asked to
    /// leave within `window`, at random moments. Each time that `rights` change, those are woken who heed them.
    pub fn start(draining: CancellationToken, window: Duration, rights: watch::Receiver<u64>) -> Rc<Self> {
        let hub = Rc::new(Hub {
            bell: Arc::new(Bell::default()),
            seats: RefCell::default(),
            by_topic: RefCell::default(),
            wheel: RefCell::new(Wheel {
                slots: vec![Vec::new(); WHEEL],
                at: 0,
            }),
            seated: Cell::new(0),
            runs: Runs::default(),
        });
        actix_web::rt::spawn(wake_by_topic(Rc::clone(&hub)));
        actix_web::rt::spawn(wake_by_time(Rc::clone(&hub)));
        actix_web::rt::spawn(drain(Rc::clone(&hub), draining, window));
        actix_web::rt::spawn(wake_by_rights(Rc::clone(&hub), rights));
        hub
    }

    /// What feeds ring to reach this thread.
    pub fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// A place for a watcher, who first looks at the clock in `first`.
    pub fn sit(self: &Rc<Self>, first: Duration) -> Seat {
        let generation = self.seated.replace(self.seated.get() + 1);
        let number = self.seats.borrow_mut().insert(Taken {
            generation,
            waker: None,
            due: Instant::now() + first,
            is_due: false,
            heeds_rights: false,
            leave: None,
        });
        self.wheel.borrow_mut().add((number, generation), first);
        Seat {
            hub: Rc::clone(self),
            number,
            generation,
            topics: RefCell::default(),
            leaves: Cell::new(false),
        }
    }

    /// Asks seats to leave and to come back at a random moment of `window`.
    fn send_away(&self, numbers: &[usize], window: Duration) {
        let spread = window.as_millis().max(500) as u64;
        for number in numbers {
            if let Some(taken) = self.seats.borrow_mut().get_mut(*number) {
                taken.leave = Some(rand::random_range(0..=spread));
            }
            self.wake(*number);
        }
    }

    fn wake(&self, number: usize) {
        if let Some(waker) = self.seats.borrow().get(number).and_then(|taken| taken.waker.as_ref()) {
            waker.wake_by_ref();
        }
    }
}

impl Wheel {
    fn add(&mut self, seat: (usize, u64), after: Duration) {
        let seconds = (after.as_secs() as usize + 1).min(WHEEL - 1);
        let slot = (self.at + seconds) % WHEEL;
        self.slots[slot].push(seat);
    }

    fn turn(&mut self) -> Vec<(usize, u64)> {
        self.at = (self.at + 1) % WHEEL;
        std::mem::take(&mut self.slots[self.at])
    }
}

/// What calls a watcher besides new states.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// The moment that was asked for with `wait` has come.
    pub clock: bool,
    /// Once, after the service has begun to drain: leave now, and tell the client to come back after so many milliseconds.
    pub leave: Option<u64>,
}

/// A watcher's place in the hub; dropping it leaves.
pub struct Seat {
    hub: Rc<Hub>,
    number: usize,
    generation: u64,
    topics: RefCell<Vec<Topic>>,
    leaves: Cell<bool>,
}

impl Seat {
    /// The runs of this thread.
    pub fn runs(&self) -> &Runs {
        &self.hub.runs
    }

    /// To be woken by the topic from now on.
    pub fn follow(&self, topic: Topic) {
        self.hub.by_topic.borrow_mut().entry(topic).or_default().push(self.number);
        self.topics.borrow_mut().push(topic);
    }

    /// Not to be woken by the topic any more.
    pub fn unfollow(&self, topic: Topic) {
        self.topics.borrow_mut().retain(|known| *known != topic);
        self.forget(topic);
    }

    /// Keeps the waker until something happens, and says what has happened besides new states. Call before going to sleep.
    pub fn sleep(&self, waker: &Waker) -> Calls {
        let mut seats = self.hub.seats.borrow_mut();
        let taken = &mut seats[self.number];
        if !taken.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            taken.waker = Some(waker.clone());
        }
        let leave = taken.leave.filter(|_| !self.leaves.replace(taken.leave.is_some()));
        Calls {
            clock: std::mem::take(&mut taken.is_due),
            leave,
        }
    }

    /// To be woken when rights have changed.
    pub fn heed_rights(&self) {
        self.hub.seats.borrow_mut()[self.number].heeds_rights = true;
    }

    /// To be woken once more after `after`, to the second.
    pub fn wait(&self, after: Duration) {
        self.hub.seats.borrow_mut()[self.number].due = Instant::now() + after;
        self.hub.wheel.borrow_mut().add((self.number, self.generation), after);
    }

    fn forget(&self, topic: Topic) {
        let mut by_topic = self.hub.by_topic.borrow_mut();
        if let Some(numbers) = by_topic.get_mut(&topic) {
            if let Some(at) = numbers.iter().position(|number| *number == self.number) {
                numbers.swap_remove(at);
            }
            if numbers.is_empty() {
                by_topic.remove(&topic);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for topic in self.topics.take() {
            self.forget(topic);
        }
        self.hub.seats.borrow_mut().remove(self.number);
    }
}

async fn wake_by_topic(hub: Rc<Hub>) {
    let mut topics = Vec::new();
    loop {
        hub.bell.answer(&mut topics).await;
        for topic in topics.drain(..) {
            let by_topic = hub.by_topic.borrow();
            let seats = hub.seats.borrow();
            for number in by_topic.get(&topic).into_iter().flatten() {
                if let Some(waker) = seats.get(*number).and_then(|taken| taken.waker.as_ref()) {
                    waker.wake_by_ref();
                }
            }
        }
    }
}

async fn wake_by_time(hub: Rc<Hub>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        let now = Instant::now();
        let seats = hub.wheel.borrow_mut().turn();
        for (number, generation) in seats {
            let due = hub
                .seats
                .borrow_mut()
                .get_mut(number)
                .filter(|taken| taken.generation == generation)
                .map(|taken| {
                    taken.is_due = taken.due <= now;
                    taken.due
                });
            match due {
                Some(due) if due <= now => hub.wake(number),
                Some(due) => hub.wheel.borrow_mut().add((number, generation), due - now),
                None => {}
            }
        }
    }
}

async fn wake_by_rights(hub: Rc<Hub>, mut rights: watch::Receiver<u64>) {
    // The gatekeeper lives as long as the process.
    while rights.changed().await.is_ok() {
        let seats = hub.seats.borrow();
        let heeding = seats.iter().filter(|(_, taken)| taken.heeds_rights);
        heeding.filter_map(|(_, taken)| taken.waker.as_ref()).for_each(Waker::wake_by_ref);
    }
}

async fn drain(hub: Rc<Hub>, draining: CancellationToken, window: Duration) {
    draining.cancelled().await;
    let mut staying: Vec<_> = hub.seats.borrow().iter().map(|(number, _)| number).collect();
    for at in (1..staying.len()).rev() {
        staying.swap(at, rand::random_range(0..=at));
    }
    // The last slice leaves well before the window closes, so that its farewells still reach the network.
    let slices = (window.as_millis() / SLICE.as_millis() * 3 / 4).max(1) as usize;
    for slice in staying.chunks(staying.len().div_ceil(slices).max(1)) {
        hub.send_away(slice, window);
        tokio::time::sleep(SLICE).await;
    }
    // Whoever came in while the others were leaving goes at once.
    loop {
        let late: Vec<_> = hub
            .seats
            .borrow()
            .iter()
            .filter(|(_, taken)| taken.leave.is_none())
            .map(|(number, _)| number)
            .collect();
        hub.send_away(&late, window);
        tokio::time::sleep(SLICE).await;
    }
}
