//! The only place that publishes state: what has been committed is read once and told to cache and bus.
//! Knows nothing of what a delivery said or of who listens.
//!
//! Every commit leaves its topics in `dirty_topics`. Telling them takes them out, but not with a sync of its own: the next
//! transaction does it, or a small one when nothing else is written. What a crash or an unreachable bus left there is told again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pipecast_fabric::{Bus, Cache, ClaimId, Offer, Verdict};
use pipecast_model::{Announcement, Topic, with_causes};
use pipecast_store::{Reader, Writer};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, warn};

/// The longest that telling may hold up the acks.
const TELL_WITHIN: Duration = Duration::from_millis(200);
/// So many topics are told together (where one of them cannot be, all of them are told again later)…
const TOGETHER: usize = 64;
/// …or so many bytes of them.
const TOGETHER_BYTES: usize = 1 << 20;
/// How often what is dirty is looked for.
const HEAL_EVERY: Duration = Duration::from_secs(5);
/// So many dirty topics are told at once.
const HEAL_PAGE: i64 = 500;
/// Pages of one round. While it heals, batches wait; what is left then is told in the next round.
const HEAL_PAGES: usize = 20;
/// What was told is taken out of the dirty topics after so long without another transaction.
const CLEAR_AFTER: Duration = Duration::from_millis(200);
/// How long a state stays in the cache, give or take a tenth, so that not everything expires together.
const KEEP: Duration = Duration::from_secs(3600);

/// A batch that stands in the database and has not been told.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// What changed by it.
    pub(crate) topics: BTreeSet<Topic>,
    /// What becomes of its claims once it has been told.
    pub(crate) verdicts: Vec<(ClaimId, Verdict)>,
}

/// What has been told and still stands among the dirty topics: one sequence for each, so it is bounded by the topics.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<Topic, i64>>);

impl Told {
    /// Everything, for a transaction that takes it out of the dirty topics.
    pub(crate) fn take(&self) -> Vec<(Topic, i64)> {
        self.lock().drain().collect()
    }

    /// Remembers what was told, or what a transaction could not take out after all.
    pub(crate) fn add(&self, told: impl IntoIterator<Item = (Topic, i64)>) {
        let mut all = self.lock();
        for (topic, seq) in told {
            let newest = all.entry(topic).or_insert(seq);
            *newest = seq.max(*newest);
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn knows(&self, topic: &Topic) -> bool {
        self.lock().contains_key(topic)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Topic, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one task that tells, so that no older state of a topic is published after a newer one.
pub(crate) struct Announcer {
    pub(crate) reader: Reader,
    pub(crate) writer: Arc<Writer>,
    /// Where claims go once they are told.
    pub(crate) done: mpsc::Sender<Vec<(ClaimId, Verdict)>>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) told: Arc<Told>,
}

impl Announcer {
    /// Tells what comes in and what is found dirty; ends when nobody is left who could commit.
    pub(crate) async fn run(self, mut inbox: mpsc::Receiver<Committed>) {
        let mut heal = interval(HEAL_EVERY);
        heal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batches = Vec::new();
        loop {
            let clear_at = Instant::now() + CLEAR_AFTER;
            tokio::select! {
                count = inbox.recv_many(&mut batches, crate::COMMITTED) => {
                    if count == 0 {
                        break;
                    }
                    self.finish(batches.drain(..)).await;
                }
                _ = heal.tick() => self.heal().await,
                () = sleep_until(clear_at), if !self.told.is_empty() => drop(self.clear().await),
            }
        }
        self.clear().await;
    }

    /// Tells what some batches changed, then lets their claims go. Telling may fail: what was not told stays dirty.
    async fn finish(&self, batches: impl Iterator<Item = Committed>) {
        let mut all = Committed::default();
        for batch in batches {
            all.topics.extend(batch.topics);
            all.verdicts.extend(batch.verdicts);
        }
        let topics: Vec<Topic> = all.topics.into_iter().collect();
        self.announce(&topics).await;
        if !all.verdicts.is_empty() {
            // The settler is gone only where the whole admin ends; then the claims come back after the restart, as duplicates.
            drop(self.done.send(all.verdicts).await);
        }
    }

    async fn announce(&self, topics: &[Topic]) {
        if topics.is_empty() {
            return;
        }
        let begun = Instant::now();
        if timeout(TELL_WITHIN, self.tell(topics)).await.is_err() {
            metrics::counter!("pipecast_announce_failures_total").increment(1);
            warn!(
                "telling {} topics took longer than {TELL_WITHIN:?}; those that are left are told later",
                topics.len()
            );
        }
        metrics::histogram!("pipecast_announce_seconds").record(begun.elapsed());
    }

    async fn tell(&self, topics: &[Topic]) {
        let states = match self.reader.list_states(topics).await {
            Ok(states) => states,
            Err(error) if topics.len() > 1 && !matches!(error, pipecast_store::Error::Unavailable { .. }) => {
                // One row that cannot be read must not keep the others from being told.
                for topic in topics {
                    Box::pin(self.tell(std::slice::from_ref(topic))).await;
                }
                return;
            }
            Err(error) => {
                metrics::counter!("pipecast_announce_failures_total").increment(1);
                warn!(
                    "cannot read the states of {} topics, they are told later: {}",
                    topics.len(),
                    with_causes(&error)
                );
                return;
            }
        };
        let mut together: Vec<(Announcement, Bytes)> = Vec::new();
        let mut bytes = 0;
        for state in states {
            let value = Bytes::from(serde_json::to_vec(&state).expect("an announcement is plain JSON"));
            bytes += value.len();
            together.push((state, value));
            if together.len() >= TOGETHER || bytes >= TOGETHER_BYTES {
                self.tell_together(std::mem::take(&mut together)).await;
                bytes = 0;
            }
        }
        self.tell_together(together).await;
    }

    async fn tell_together(&self, states: Vec<(Announcement, Bytes)>) {
        if states.is_empty() {
            return;
        }
        let count = states.len() as u64;
        match self.offer_and_publish(&states).await {
            Ok(()) => {
                metrics::counter!("pipecast_announcements_total").increment(count);
                self.told.add(states.iter().map(|(state, _)| (state.topic, state.seq)));
            }
            Err(error) => {
                metrics::counter!("pipecast_announce_failures_total").increment(count);
                warn!("cannot tell {count} topics, they are told later: {}", with_causes(&error));
            }
        }
    }

    /// Each topic once. An unreachable cache does not keep the bus from being told, nor the other way round.
    async fn offer_and_publish(&self, states: &[(Announcement, Bytes)]) -> pipecast_fabric::Result<()> {
        let mut offers = Vec::with_capacity(states.len());
        let mut messages = Vec::with_capacity(2 * states.len());
        for (state, value) in states {
            // Other programs that listen to pipelines know a change by its type, as our own sockets do.
            let message = Bytes::from([br#"{"type":"status_change","#, &value[1..]].concat());
            messages.push((state.topic, message.clone()));
            if matches!(state.topic, Topic::Pipeline(_)) {
                messages.push((Topic::Monitor, message));
            }
            offers.push(Offer {
                topic: state.topic,
                epoch: &state.epoch,
                seq: state.seq,
                value: value.clone(),
                keep: KEEP.mul_f64(rand::random_range(0.9..=1.1)),
            });
        }
        // Cache first: who hears of a change must not find the state before it there.
        let cached = self.cache.offer_all(&offers).await;
        let published = self.bus.publish_all(&messages).await;
        cached.and(published)
    }

    /// Tells every dirty topic that has not been told, page by page. Among them are what other workers have committed a moment ago and
    /// will tell themselves: telling it twice costs little and harms nobody, and which of them will not come to it nobody can know.
    async fn heal(&self) {
        for _ in 0..HEAL_PAGES {
            let dirty = match self.reader.list_dirty(HEAL_PAGE).await {
                Ok(dirty) => dirty,
                Err(error) => {
                    warn!(
                        "cannot list the dirty topics, they are looked for again in {HEAL_EVERY:?}: {}",
                        with_causes(&error)
                    );
                    return;
                }
            };
            let whole_page = i64::try_from(dirty.len()).is_ok_and(|count| count == HEAL_PAGE);
            let untold: Vec<Topic> = dirty.into_iter().filter(|topic| !self.told.knows(topic)).collect();
            if !untold.is_empty() {
                debug!("telling {} topics that were left dirty", untold.len());
                metrics::counter!("pipecast_announce_healed_total").increment(untold.len() as u64);
                self.announce(&untold).await;
            }
            // A page that stays dirty would be read for ever; the next round tries it again.
            if !whole_page || !self.clear().await {
                return;
            }
        }
    }

    /// Takes what has been told out of the dirty topics, in a transaction of its own. Says whether there was something.
    async fn clear(&self) -> bool {
        let told = self.told.take();
        if told.is_empty() {
            return false;
        }
        let cleared = async {
            let mut tx = self.writer.begin().await?;
            tx.clear_dirty(&told).await?;
            tx.commit_unsynced().await
        };
        let cleared: pipecast_store::Result<()> = cleared.await;
        match cleared {
            Ok(()) => true,
            Err(error) => {
                // Forgotten on purpose: what stays dirty is told once more, and a database that is down is not asked again at once.
                warn!("cannot clear {} dirty topics, they are told again: {}", told.len(), with_causes(&error));
                false
            }
        }
    }
}
