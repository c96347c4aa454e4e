//! Who decides what breaks next: every kind of fault to everyone, in an order and for times that the seed decides.
//! Knows nothing of deliveries.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use pipecast::simulate::chance::Chance;
use pipecast_model::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use super::fault::{Fault, Harm, Reach, Victim};
use crate::topology::Topology;

/// So many faults at once, never two to the same.
const AT_ONCE: usize = 3;

/// What was done, and what did not heal.
#[derive(Debug, Default)]
pub struct Deeds {
    /// How often each kind of fault was done and healed.
    pub faults: BTreeMap<(Victim, Harm), u64>,
    /// What went wrong with a process: it ended by itself, or did not come back.
    pub complaints: Vec<String>,
}

impl Deeds {
    /// All of them.
    pub fn count(&self) -> u64 {
        self.faults.values().sum()
    }
}

/// The order of what breaks.
#[derive(Debug)]
pub struct Nemesis {
    chance: Chance,
    kinds: Vec<(Victim, Harm)>,
    deck: Vec<(Victim, Harm)>,
    /// From one fault to the next, on average.
    every: Duration,
}

impl Nemesis {
    /// With dice of this seed.
    pub fn new(seed: u64, every: Duration, edges: usize, workers: usize) -> Self {
        let anyone = Victim::all(edges, workers)
            .into_iter()
            .flat_map(|victim| Harm::TO_ANYONE.map(|harm| (victim, harm)));
        let special = [
            (Victim::RabbitMq, Harm::Alarm),
            (Victim::Redis, Harm::Flush),
            (Victim::Redis, Harm::Empty),
            (Victim::Postgres, Harm::Backends),
        ];
        Nemesis {
            chance: Chance::new(seed).apart(11),
            kinds: anyone.chain(special).collect(),
            deck: Vec::new(),
            every,
        }
    }

    /// Breaks one thing after the other until `end`, and returns when everything is healed.
    pub async fn rage(&mut self, topology: &Topology, end: Instant) -> Deeds {
        let mut deeds = Deeds::default();
        let mut busy: HashSet<Victim> = HashSet::new();
        let mut going: FuturesUnordered<BoxFuture<'_, (Fault, anyhow::Result<()>)>> = FuturesUnordered::new();
        let mut next = Instant::now() + Duration::from_secs(1);
        loop {
            tokio::select! {
                Some((fault, healed)) = going.next() => {
                    busy.remove(&fault.victim);
                    match healed {
                        Ok(()) => *deeds.faults.entry((fault.victim, fault.harm)).or_default() += 1,
                        Err(error) => deeds.complain(format!("{fault}: {error:#}")),
                    }
                }
                () = sleep_until(next), if Instant::now() < end => {
                    next = Instant::now() + self.pause();
                    deeds.look(topology, &busy);
                    if going.len() < AT_ONCE && let Some(fault) = self.draw(&busy) {
                        println!("  {} {fault}", Timestamp::now());
                        busy.insert(fault.victim);
                        going.push(Box::pin(async move { (fault, fault.inflict(topology).await) }));
                    }
                }
                () = sleep(Duration::from_millis(100)), if Instant::now() >= end => {
                    if going.is_empty() {
                        deeds.look(topology, &busy);
                        return deeds;
                    }
                }
            }
        }
    }

    fn pause(&mut self) -> Duration {
        let mean = self.every.as_secs_f64();
        // Not closer than half of it: then rather nothing is going on for once than everything at once.
        Duration::from_secs_f64(mean / 2.0 + self.chance.memoryless(mean / 2.0))
    }

    /// The next kind whose victim is left alone now; every kind comes once before one comes again.
    fn draw(&mut self, busy: &HashSet<Victim>) -> Option<Fault> {
        if self.deck.is_empty() {
            let mut rest = self.kinds.clone();
            while !rest.is_empty() {
                self.deck.push(rest.swap_remove(self.chance.below(rest.len())));
            }
        }
        let place = self.deck.iter().rposition(|(victim, _)| !busy.contains(victim))?;
        let (victim, harm) = self.deck.remove(place);
        let (low, high) = match harm {
            Harm::Kill | Harm::Empty => (0.0, 4.0),
            Harm::Pause => (1.5, 15.0),
            Harm::Cut | Harm::Hang => (1.0, 12.0),
            Harm::Alarm => (3.0, 10.0),
            Harm::Restart | Harm::Flush | Harm::Backends => (0.0, 0.0),
        };
        let lasts = Duration::from_secs_f64(self.chance.between(low, high));
        let one = self.chance.below(64);
        let reach = if self.chance.happens(0.5) { Reach::One(one) } else { Reach::All };
        Some(Fault { harm, victim, lasts, reach })
    }
}

impl Deeds {
    fn complain(&mut self, complaint: String) {
        println!("  WRONG: {complaint}");
        self.complaints.push(complaint);
    }

    /// Whoever is left alone runs.
    fn look(&mut self, topology: &Topology, busy: &HashSet<Victim>) {
        for victim in Victim::all(topology.edges.len(), topology.workers.len()) {
            let process = victim.process(topology);
            if !busy.contains(&victim) && process.has_ended() {
                self.complain(format!("{} has ended by itself; see {}", process.name(), process.log().display()));
                if let Err(error) = process.start() {
                    self.complain(format!("{error:#}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_the_same_faults_and_every_kind_comes_before_one_comes_again() {
        let draw = |seed| {
            let mut nemesis = Nemesis::new(seed, Duration::from_secs(4), 2, 2);
            let drawn = (0..98).filter_map(|_| nemesis.draw(&HashSet::new()));
            drawn.map(|fault| (fault.victim, fault.harm)).collect::<Vec<_>>()
        };

        let (first, again, other) = (draw(1), draw(1), draw(2));

        assert_eq!(first, again);
        assert_ne!(first, other);
        let kinds: HashSet<_> = first[..49].iter().collect();
        assert_eq!(kinds.len(), 49, "nine victims with five faults each, and four of their own");
    }
}
