//! What is heard of sources while deliveries are worked on: the last one of each, and which secret it was signed with; and when tokens were
//! used last, which nodes tell. Noted in memory, and written every now and then, so that no delivery waits for it. A crash forgets some
//! seconds of it.
//! Knows nothing of what deliveries tell.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipecast_model::witnessed::TokenUse;
use pipecast_model::{Delivery, Host, SecretId, Timestamp, TokenId};
use pipecast_store::Writer;
use pipecast_store::source::Heard;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::chain;

/// How often it is written: so long an operator waits to see the first delivery of a new source.
const EVERY: Duration = Duration::from_secs(1);
/// What was written of a source so recently is not written again.
const FRESH: Duration = Duration::from_secs(15);
/// Sources and secrets at once; what is heard of others meanwhile is left to their next delivery.
const MOST: usize = 10_000;

/// Who was heard: a source, and with which of its secrets.
type Who = (Host, String, Option<SecretId>);

/// What was heard and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// A short lock, once for each batch of deliveries.
    ears: Mutex<Ears>,
}

#[derive(Debug, Default)]
struct Ears {
    heard: HashMap<Who, Timestamp>,
    written: HashMap<Who, Timestamp>,
    /// In the order of their ids, so that two workers that write them never wait for each other in a circle.
    uses: BTreeMap<TokenId, TokenUse>,
}

impl Hearing {
    /// Takes note of deliveries. One that is repeated on purpose is none of its source's.
    pub(crate) fn note<'a>(&self, deliveries: impl Iterator<Item = &'a Delivery>) {
        let mut ears = self.lock();
        for delivery in deliveries.filter(|delivery| delivery.replay_of.is_none()) {
            let who = (delivery.host, delivery.source.clone(), delivery.secret);
            let fresh = delivery.received_at.minus(FRESH);
            if ears.written.get(&who).is_some_and(|written| *written > fresh) || ears.heard.len() >= MOST {
                continue;
            }
            let at = ears.heard.entry(who).or_insert(delivery.received_at);
            *at = (*at).max(delivery.received_at);
        }
    }

    /// Takes note of tokens that were used.
    pub(crate) fn note_uses(&self, uses: &[TokenUse]) {
        let mut ears = self.lock();
        for used in uses {
            if ears.uses.len() >= MOST {
                return;
            }
            let newest = ears.uses.entry(used.token).or_insert_with(|| used.clone());
            if newest.at < used.at {
                newest.clone_from(used);
            }
        }
    }

    /// Writes what was heard, until it is asked to end, and then once more.
    pub(crate) async fn run(self: Arc<Self>, writer: Arc<Writer>, ending: CancellationToken) {
        let mut seconds = interval(EVERY);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_over = tokio::select! {
                () = ending.cancelled() => true,
                _ = seconds.tick() => false,
            };
            if let Err(error) = self.write(&writer).await {
                warn!("cannot note the last deliveries of sources, their next ones will be: {}", chain(&error));
            }
            if let Err(error) = self.write_uses(&writer).await {
                warn!("cannot note when tokens were used, their next uses will be: {}", chain(&error));
            }
            if is_over {
                return;
            }
        }
    }

    async fn write(&self, writer: &Writer) -> pipecast_store::Result<()> {
        let heard = std::mem::take(&mut self.lock().heard);
        if heard.is_empty() {
            return Ok(());
        }
        let shape = |((host, source, secret), at): (&Who, &Timestamp)| Heard {
            host: *host,
            source: source.clone(),
            secret: *secret,
            at: *at,
        };
        let mut tx = writer.begin().await?;
        tx.note_heard(&heard.iter().map(shape).collect::<Vec<_>>()).await?;
        tx.commit_unsynced().await?;
        let mut ears = self.lock();
        if ears.written.len() + heard.len() > MOST {
            ears.written.clear();
        }
        ears.written.extend(heard);
        Ok(())
    }

    async fn write_uses(&self, writer: &Writer) -> pipecast_store::Result<()> {
        let uses = std::mem::take(&mut self.lock().uses);
        if uses.is_empty() {
            return Ok(());
        }
        let shape = |used: TokenUse| (used.token, used.at, used.ip.map(|ip| ip.to_canonical().to_string()));
        let mut tx = writer.begin().await?;
        tx.note_token_uses(&uses.into_values().map(shape).collect::<Vec<_>>()).await?;
        tx.commit_unsynced().await
    }

    /// A panic while the lock was held cannot leave these short sections half done.
    fn lock(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
