//! Turns work from the queue into rows: batches of claims, one transaction each.
//! Knows nothing of hosts' payloads (see `intake`) and publishes nothing (see `announce`).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pipecast_fabric::{Claim, ClaimId, Queue, Verdict};
use pipecast_model::witnessed::Denial;
use pipecast_model::{Delivery, EnvelopeError, Facts, Outcome, Topic, Work, with_causes};
use pipecast_store::audit::{Actor, By, Entry};
use pipecast_store::{Error, Noted, Tx, Writer};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::pace::Pace;
use self::understanding::understand;
use crate::announce::{Committed, Told};
use crate::hearing::Hearing;

mod pace;
#[cfg(test)]
mod poison;
mod understanding;

/// Most deliveries of one transaction.
const BATCH: usize = 64;
/// A batch of so many bytes waits for no company.
const BATCH_BYTES: usize = 8 << 20;
/// While deliveries are brisk, a batch waits so long for company, to share its sync.
const LINGER: Duration = Duration::from_millis(8);
/// A batch that takes longer is given up and tried again; a broker that waits for its acks is more patient than that.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// Messages of another build may be many; the log is told of them so often.
const SAY_EVERY: Duration = Duration::from_secs(30);
/// Waits after the database failed: the first…
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// …and the longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The one task that consumes.
pub(crate) struct Consumer {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) told: Arc<Told>,
    /// Of whom something was heard.
    pub(crate) hearing: Arc<Hearing>,
    pub(crate) committed: mpsc::Sender<Committed>,
    /// What a delivery tells.
    pub(crate) intake: fn(&Delivery) -> Facts,
    /// When the log was told of messages of another build.
    pub(crate) said: Mutex<Option<Instant>>,
}

/// A piece of work and what it tells.
struct Item {
    claim: ClaimId,
    /// How often it failed before.
    failures: u32,
    work: Work,
    facts: Facts,
}

impl Item {
    fn delivery(&self) -> Option<(&Delivery, &Facts)> {
        match &self.work {
            Work::Delivery(delivery) => Some((delivery, &self.facts)),
            Work::Refusal(_) | Work::Witnessed(_) => None,
        }
    }
}

impl Consumer {
    /// Consumes until it is asked to end or the queue has closed; the batch in hand is finished first.
    pub(crate) async fn run(self, ending: CancellationToken) {
        let mut pause = Duration::ZERO;
        let mut pace = Pace::new();
        loop {
            // After a failure one delivery at a time, so that one that breaks the database's patience stands alone.
            let most = if pause.is_zero() { BATCH } else { 1 };
            let claims = match self.gather(most, &mut pace, &ending).await {
                Some(Ok(claims)) => claims,
                Some(Err(pipecast_fabric::Error::Closed(_))) | None => return,
                Some(Err(error)) => {
                    error!("cannot receive from the queue: {}", with_causes(&error));
                    pause = longer(pause);
                    wait(pause, &ending).await;
                    continue;
                }
            };
            match self.consume(claims).await {
                Ok(()) => pause = Duration::ZERO,
                Err(error) => {
                    pause = longer(pause);
                    error!("cannot write what deliveries tell, trying again in {pause:?}: {}", with_causes(&error));
                    wait(pause, &ending).await;
                }
            }
        }
    }

    /// The next claims; `None` once it is time to end.
    async fn gather(&self, most: usize, pace: &mut Pace, ending: &CancellationToken) -> Option<pipecast_fabric::Result<Vec<Claim>>> {
        let mut claims = tokio::select! {
            biased;
            () = ending.cancelled() => return None,
            claims = self.queue.receive(most) => match claims {
                Ok(claims) => claims,
                Err(error) => return Some(Err(error)),
            },
        };
        let end = Instant::now() + LINGER;
        let bytes = |claims: &[Claim]| claims.iter().map(|claim| claim.message.len()).sum::<usize>();
        while pace.is_brisk() && claims.len() < most && bytes(&claims) < BATCH_BYTES && !ending.is_cancelled() {
            match timeout_at(end, self.queue.receive(most - claims.len())).await {
                Ok(Ok(more)) => claims.extend(more),
                // What is in hand is worked on in any case; an error of the queue shows at the next round.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        pace.note(claims.len());
        Some(Ok(claims))
    }

    /// Writes what claims tell and passes them on to be announced and settled.
    ///
    /// # Errors
    /// The database is not available; the claims that depend on it have been given back.
    async fn consume(&self, claims: Vec<Claim>) -> Result<(), Error> {
        metrics::histogram!("pipecast_consumer_batch").record(claims.len() as f64);
        let mut verdicts = Vec::new();
        let mut items = Vec::with_capacity(claims.len());
        for claim in claims {
            match Work::decode(&claim.message) {
                Ok(work) => items.push(Item {
                    claim: claim.id,
                    failures: claim.failures,
                    work,
                    facts: Facts::default(),
                }),
                Err(error) => verdicts.push((claim.id, self.unopened(&error))),
            }
        }
        let items = understand(items, self.intake).await;
        let mut failure = None;
        match self.write(&items).await {
            Ok(committed) => self.pass_on(committed).await,
            // One of them spoils the whole transaction: each by itself, then.
            Err(error) if !matches!(error, Error::Unavailable { .. }) && items.len() > 1 => {
                for item in &items {
                    match self.write(std::slice::from_ref(item)).await {
                        Ok(committed) => self.pass_on(committed).await,
                        Err(error) => verdicts.push((item.claim, blame(error, &mut failure))),
                    }
                }
            }
            Err(error) => {
                let verdict = blame(error, &mut failure);
                verdicts.extend(items.iter().map(|item| (item.claim, verdict.clone())));
            }
        }
        if !verdicts.is_empty()
            && let Err(error) = self.queue.settle(verdicts).await
        {
            warn!("cannot settle what was not written, it will come back after a restart: {}", with_causes(&error));
        }
        failure.map_or(Ok(()), Err)
    }

    /// What becomes of a message that is no work for this build.
    fn unopened(&self, error: &EnvelopeError) -> Verdict {
        match error {
            EnvelopeError::Unknown(_) => {
                metrics::counter!("pipecast_envelopes_unknown_total", "carrier" => "queue").increment(1);
                let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                    *said = Some(Instant::now());
                    warn!("passing on what another build has sent until one that knows it takes it: {error}");
                }
                Verdict::Pass
            }
            EnvelopeError::Malformed(_) => fail(error),
        }
    }

    /// The announcer is gone only where the whole admin ends; then the claims come back after the restart, as duplicates.
    async fn pass_on(&self, committed: Committed) {
        drop(self.committed.send(committed).await);
    }

    /// One transaction for all. What has been told before is taken out of the dirty topics along the way, unless it has changed
    /// again.
    ///
    /// Not synced: the claims are settled after the next sync, so what a crash of the machine undoes comes again.
    async fn write(&self, items: &[Item]) -> Result<Committed, Error> {
        if items.is_empty() {
            return Ok(Committed::default());
        }
        let told = self.told.take();
        let written = match timeout(WRITE_WITHIN, self.write_after(&told, items)).await {
            Ok(written) => written,
            Err(_) => Err(Error::unavailable("write a batch within half a minute")),
        };
        match &written {
            Ok(_) => {
                self.hearing.note(items.iter().filter_map(Item::delivery).map(|(delivery, _)| delivery));
                for item in items {
                    if let Work::Witnessed(witnessed) = &item.work {
                        self.hearing.note_uses(&witnessed.uses);
                    }
                }
            }
            Err(_) => self.told.add(told),
        }
        written
    }

    async fn write_after(&self, told: &[(Topic, i64)], items: &[Item]) -> Result<Committed, Error> {
        let mut topics = BTreeSet::new();
        let mut verdicts = Vec::with_capacity(items.len());
        let mut outcomes = Vec::with_capacity(items.len());
        let mut tx = self.writer.begin().await?;
        // Projects first and in one order, dirty topics last: so two writers never wait for each other in a circle.
        let deliveries: Vec<_> = items.iter().filter_map(Item::delivery).collect();
        tx.foresee(&deliveries).await?;
        for item in items {
            let (outcome, changed) = apply(&mut tx, item).await?;
            outcomes.extend(outcome);
            topics.extend(changed);
            verdicts.push((item.claim, Verdict::Ack));
        }
        if !told.is_empty() {
            tx.clear_dirty(told).await?;
        }
        tx.commit_unsynced().await?;
        for outcome in outcomes {
            metrics::counter!("pipecast_deliveries_total", "outcome" => outcome.word()).increment(1);
        }
        Ok(Committed { topics, verdicts })
    }
}

/// Writes one piece of work; returns what became of a delivery, and the topics that changed by it.
async fn apply(tx: &mut Tx, item: &Item) -> Result<(Option<Outcome>, Vec<Topic>), Error> {
    Ok(match &item.work {
        Work::Delivery(delivery) => match tx.note_delivery(delivery).await? {
            Noted::New => {
                if item.failures > 0 {
                    tx.note_attempts(delivery.id, i64::from(item.failures) + 1).await?;
                }
                (Some(item.facts.reading.outcome()), tx.record_facts(delivery, &item.facts).await?)
            }
            Noted::Duplicate(_) => (Some(Outcome::Duplicate), Vec::new()),
        },
        Work::Refusal(refusal) => {
            tx.note_refusal(refusal).await?;
            (Some(Outcome::Refused), Vec::new())
        }
        Work::Witnessed(witnessed) => {
            witnessed.denials.iter().for_each(|denial| tx.audit(audited(denial)));
            (None, Vec::new())
        }
    })
}

/// Who was denied what, as it stands in the audit. A crash before the claim is settled may write it twice.
fn audited(denial: &Denial) -> Entry {
    let actor = match (denial.token, denial.user) {
        (Some(token), Some(user)) => Actor::Token(token, user),
        (_, Some(user)) => Actor::User(user),
        (_, None) => Actor::Anonymous,
    };
    let by = By {
        actor,
        ip: denial.ip,
        user_agent: denial.user_agent.clone(),
        request_id: Some(denial.request_id.clone()),
    };
    Entry::new(by, "request.refuse")
        .on("operation", &denial.operation, &denial.operation)
        .after(json!({ "code": denial.code, "count": denial.count, "since": denial.since }))
        .denied()
}

/// Unavailable is nobody's fault, and remembered as the failure of the batch; everything else is the delivery's.
fn blame(error: Error, failure: &mut Option<Error>) -> Verdict {
    match error {
        Error::Unavailable { .. } => {
            *failure = Some(error);
            Verdict::Return
        }
        error => fail(&error),
    }
}

fn fail(error: &(dyn std::error::Error + 'static)) -> Verdict {
    let reason = with_causes(error);
    metrics::counter!("pipecast_deliveries_total", "outcome" => "failed").increment(1);
    warn!("a delivery failed: {reason}");
    Verdict::Fail(reason)
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
}

async fn wait(pause: Duration, ending: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = ending.cancelled() => {}
    }
}
