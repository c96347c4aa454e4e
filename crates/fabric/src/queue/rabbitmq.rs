//! The queue on RabbitMQ: durable quorum queues as lanes, publisher confirms, and failures that wait on the broker.
//! Knows nothing of what a message means, nor of what happens while the broker is away (see `spooled`).
//!
//! **Sending.** A message is stored once the broker has confirmed it *and* has not returned it; every other answer, and none within
//! `confirm_timeout`, is `Unavailable`. While there is no connection or an alarm blocks the broker, `send` fails at once.
//!
//! **Counting.** Verdicts are counted in a header of ours. A failed message is stored anew, in a queue where its back-off passes or
//! among the dead, and only then acked. The broker's own count of deliveries, which differs between its versions, only tells how often
//! a message was delivered without any verdict; see `docs/adr/0014-failures-wait-on-the-broker.md`.
//!
//! **Depth.** What waits at the broker and what this process holds. Claims of other processes cannot be seen.
//!
//! **Limits.** `max_messages` is checked against a count of what waits at the broker that is a second old at most, so many
//! senders may overshoot it by what they send in that second. Claims are not in it: the broker does not tell them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use lapin::options::BasicAckOptions;
use lapin::uri::AMQPUri;
use pipecast_model::Lane;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Claim, ClaimId, Dead, DeadId, Durability, PASS_AFTER, Queue, RETURN_AFTER, Verdict};
use crate::{Error, Result};

mod consumer;
mod desk;
mod graves;
mod letter;
mod line;
mod postman;
mod publisher;
mod refusal;
mod session;
mod topology;

use consumer::Consumer;
use desk::Taken;
use graves::Graves;
use letter::Letter;
use publisher::{Publisher, unavailable};
use refusal::Refusal;
use session::Session;
use topology::Place;

/// How long the keepers of the connections may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How to open the queue.
#[derive(Clone)]
pub struct RabbitmqOptions {
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://`.
    pub url: String,
    /// Authorities in PEM that the certificate of an `amqps://` broker may come from; none: those that the system trusts.
    pub ca: Option<String>,
    /// What the names of the queues begin with.
    pub prefix: String,
    /// Most messages that wait at the broker; see the module for how sharp this is.
    pub max_messages: u64,
    /// The largest message in bytes. Where the broker's `max_message_size` is smaller, that holds from the first refusal on.
    pub max_message_bytes: usize,
    /// A message that has failed so often is buried. At least 1.
    pub max_failures: u32,
    /// A message that was delivered so often without a verdict is buried. At least 3: before, it is only put into quarantine.
    pub max_crashes: u32,
    /// The back-off after the first failure is random up to twice this; it doubles with each further one.
    pub retry_base: Duration,
    /// The longest back-off.
    pub retry_cap: Duration,
    /// Messages of the urgent lane that this process holds at once; of the bulk lane a quarter.
    pub prefetch: u16,
    /// Longest wait for a confirm.
    pub confirm_timeout: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
}

/// The queue on one broker, or one cluster of them.
pub struct RabbitmqQueue {
    options: Arc<RabbitmqOptions>,
    publisher: Arc<Publisher>,
    consumer: Arc<Consumer>,
    graves: Graves,
    closing: CancellationToken,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

impl RabbitmqQueue {
    /// Connects and makes sure of the queues. A broker that is down is no error: the queue opens and keeps trying.
    ///
    /// # Errors
    /// `Unavailable` where trying again cannot help: a malformed URL, queues of the same names with other arguments, a user who is
    /// refused. The cause says what to change. Once the queue is open, the same refusals are tried again for ever.
    pub async fn open(options: RabbitmqOptions) -> Result<Self> {
        let uri: AMQPUri = options.url.parse().map_err(|_: String| Refusal::Url)?;
        let options = Arc::new(options);
        let session = match Session::open(&uri, &options).await {
            Ok(session) => Some(session),
            Err(error) => {
                if let Some(refusal) = Refusal::of(&error) {
                    return Err(refusal.into());
                }
                tracing::warn!("cannot reach RabbitMQ, trying on: {error}");
                None
            }
        };
        let publisher = Publisher::new(Arc::clone(&options));
        if let Some(session) = session {
            publisher.begin(session).await;
        }
        let publisher = Arc::new(publisher);
        let consumer = Arc::new(Consumer::new(Arc::clone(&options), Arc::clone(&publisher)));
        let closing = CancellationToken::new();
        let keepers = vec![
            tokio::spawn(Arc::clone(&publisher).keep(uri.clone(), closing.clone())),
            tokio::spawn(Arc::clone(&consumer).keep(uri, closing.clone())),
        ];
        Ok(RabbitmqQueue {
            graves: Graves::new(Arc::clone(&options)),
            options,
            publisher,
            consumer,
            closing,
            keepers: Mutex::new(keepers),
        })
    }

    fn check_open(&self) -> Result<()> {
        if self.closing.is_cancelled() { Err(Error::Closed("queue")) } else { Ok(()) }
    }

    async fn settle_one(&self, claim: ClaimId, verdict: Verdict) {
        let taken = self.consumer.desk().take(claim);
        let Some(taken) = taken else { return };
        match verdict {
            // Where this fails, the connection is lost and the message comes once more.
            Verdict::Ack => drop(taken.acker.ack(BasicAckOptions::default()).await),
            Verdict::Return => self.give_back(taken).await,
            Verdict::Fail(reason) => self.fail(taken, reason).await,
            Verdict::Pass => self.pass(taken).await,
        }
    }

    /// A copy rests at the broker, uncounted, and comes to whoever is free then. Resting here it would take a place of the prefetch, and in
    /// the end all of them, and no other process could have it.
    async fn pass(&self, mut taken: Taken) {
        taken.letter.crashes = 0;
        let rest = PASS_AFTER.min(self.options.retry_cap);
        let place = Place::back_off(taken.letter.lane, rest);
        if let Err(error) = self.consumer.file(&taken, place, Some(rest)).await {
            tracing::warn!("cannot pass a message on, it rests here: {error}");
            self.put_off(taken, rest.max(RETURN_AFTER));
        }
    }

    /// The broker is not told, for it would count that as a failure: the message rests here.
    async fn give_back(&self, mut taken: Taken) {
        if taken.alone {
            // Whoever had it lived to give it back, so it has killed nobody.
            taken.letter.crashes = 0;
            let back = self.consumer.file(&taken, Place::Lane(taken.letter.lane), None).await;
            if back.is_ok() {
                return;
            }
        }
        self.put_off(taken, RETURN_AFTER);
    }

    async fn fail(&self, mut taken: Taken, reason: String) {
        taken.letter.failures = taken.letter.failures.saturating_add(1);
        taken.letter.crashes = 0;
        taken.letter.reason = Some(reason);
        let (failures, lane) = (taken.letter.failures, taken.letter.lane);
        let wait = super::back_off(failures, self.options.retry_base, self.options.retry_cap);
        let filed = match failures >= self.options.max_failures {
            true => self.consumer.file(&taken, Place::Dead, None).await,
            false => self.consumer.file(&taken, Place::back_off(lane, wait), Some(wait)).await,
        };
        if let Err(error) = filed {
            // Counted here and now; if this process ends first, the broker hands it out as it was.
            tracing::warn!("cannot store a failed message anew, it rests here: {error}");
            self.put_off(taken, wait.max(RETURN_AFTER));
        }
    }

    fn put_off(&self, taken: Taken, wait: Duration) {
        self.consumer.desk().put_off(taken, wait);
        // A receiver may be asleep until later than this.
        self.consumer.ready.notify_one();
    }
}

#[async_trait]
impl Queue for RabbitmqQueue {
    async fn send(&self, lane: Lane, message: Bytes) -> Result<Durability> {
        self.publisher.check_size(message.len())?;
        self.check_open()?;
        self.publisher.check_room().await?;
        self.publisher.publish(Place::Lane(lane), Letter::fresh(lane, message), None).await?;
        Ok(Durability::Broker)
    }

    async fn receive(&self, most: usize) -> Result<Vec<Claim>> {
        self.consumer.want();
        loop {
            let bell = self.consumer.ready.notified();
            let (claims, next) = {
                let mut desk = self.consumer.desk();
                if desk.closed {
                    return Err(Error::Closed("queue"));
                }
                let next = desk.wake(Instant::now());
                (desk.pick(most.max(1)), next)
            };
            if !claims.is_empty() {
                self.consumer.ready.notify_one();
                return Ok(claims);
            }
            match next {
                Some(next) => timeout_at(next, bell).await.unwrap_or_default(),
                None => bell.await,
            }
        }
    }

    async fn settle(&self, verdicts: Vec<(ClaimId, Verdict)>) -> Result<()> {
        self.check_open()?;
        let settling = join_all(verdicts.into_iter().map(|(claim, verdict)| self.settle_one(claim, verdict)));
        // Filing a failure has two waits in it, an ack only one.
        match timeout(self.options.confirm_timeout * 2, settling).await {
            Ok(_) => Ok(()),
            Err(elapsed) => Err(unavailable("settle messages at RabbitMQ", elapsed)),
        }
    }

    async fn depth(&self, lane: Lane) -> Result<u64> {
        let waiting = self.publisher.depth(lane).await?;
        Ok(waiting + self.consumer.desk().held(lane))
    }

    async fn list_dead(&self, after: Option<&DeadId>, most: usize) -> Result<Vec<Dead>> {
        self.graves.list(&self.publisher, after, most).await
    }

    async fn which_are_dead(&self, ids: &[DeadId]) -> Result<Vec<DeadId>> {
        self.graves.which(&self.publisher, ids).await
    }

    async fn find_dead(&self, id: &DeadId) -> Result<Option<Dead>> {
        self.graves.find(&self.publisher, id).await
    }

    async fn retry_dead(&self, ids: &[DeadId]) -> Result<u64> {
        self.check_open()?;
        self.publisher.check_room().await?;
        self.graves.retry(&self.publisher, ids).await
    }

    async fn drop_dead(&self, ids: &[DeadId]) -> Result<u64> {
        self.check_open()?;
        self.graves.forget(&self.publisher, ids).await
    }

    async fn close(&self) {
        self.consumer.desk().closed = true;
        self.consumer.ready.notify_waiters();
        self.closing.cancel();
        let keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        for keeper in keepers {
            let abort = keeper.abort_handle();
            match timeout(LAST_WORDS, keeper).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a keeper of the connections to RabbitMQ ended badly"),
                Err(_) => abort.abort(),
            }
        }
    }
}

impl Drop for RabbitmqQueue {
    fn drop(&mut self) {
        // Without a close it ends like a crash, but it does end.
        self.closing.cancel();
    }
}
