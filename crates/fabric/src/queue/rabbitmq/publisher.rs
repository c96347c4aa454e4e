//! The publishing side: a connection that comes back for ever, and what is known about the broker meanwhile.
//! Knows nothing of claims.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::uri::AMQPUri;
use pipecast_model::Lane;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::RabbitmqOptions;
use super::letter::Letter;
use super::postman::{Parcel, Refused};
use super::refusal::Retry;
use super::session::Session;
use super::topology::{self, Place};
use crate::{Error, Result};

/// Bodies without a confirm, all together. Who comes beyond that waits.
const UNCONFIRMED_BYTES: usize = 64 << 20;
/// How often the connection is looked at and the waiting messages are counted.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How often a full queue is counted anew for those who would be refused.
const RECOUNT_AFTER: Duration = Duration::from_millis(50);

/// Why there is nobody to publish to.
#[derive(Clone, Debug, thiserror::Error)]
enum Away {
    #[error("not connected to the broker")]
    NotConnected,
    #[error("the broker is blocked: it is out of memory or disk, and takes nothing")]
    Blocked,
    #[error("no confirm within {0:?}")]
    Silent(Duration),
}

/// What publishes. One for a queue.
pub(super) struct Publisher {
    options: Arc<RabbitmqOptions>,
    session: Mutex<Option<Arc<Session>>>,
    unconfirmed: Arc<Semaphore>,
    /// Rung when the session should be looked at now.
    doubt: Notify,
    /// The largest message in bytes; less than what is configured once the broker has said that it takes less.
    largest: AtomicUsize,
    /// As the broker last counted them.
    waiting: AtomicU64,
    /// Confirmed since.
    since: AtomicU64,
    /// When they were last counted because somebody would have been refused.
    recounted: tokio::sync::Mutex<Instant>,
}

impl Publisher {
    pub(super) fn new(options: Arc<RabbitmqOptions>) -> Self {
        Publisher {
            largest: AtomicUsize::new(options.max_message_bytes),
            options,
            session: Mutex::new(None),
            unconfirmed: Arc::new(Semaphore::new(kibibytes(UNCONFIRMED_BYTES) as usize)),
            doubt: Notify::new(),
            waiting: AtomicU64::new(0),
            since: AtomicU64::new(0),
            recounted: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    /// The session, where there is one that takes messages.
    fn present(&self) -> Result<Arc<Session>> {
        let session = self.connected()?;
        if session.line.is_blocked() { Err(away(Away::Blocked)) } else { Ok(session) }
    }

    /// The session, also where it takes no messages for now.
    pub(super) fn connected(&self) -> Result<Arc<Session>> {
        self.session().filter(|session| session.is_up()).ok_or_else(|| away(Away::NotConnected))
    }

    /// From now on messages go by this one.
    pub(super) async fn begin(&self, session: Session) {
        self.count_all(&session).await;
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(session));
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses what is too large.
    pub(super) fn check_size(&self, size: usize) -> Result<()> {
        let limit = self.largest.load(Ordering::Relaxed);
        if size > limit { Err(Error::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// Refuses where as many wait as may. The count is a second old at most, and what this process has sent since is in it; before
    /// anybody is refused it is taken anew.
    pub(super) async fn check_room(&self) -> Result<()> {
        if self.room().is_ok() {
            return Ok(());
        }
        if let Ok(mut recounted) = self.recounted.try_lock()
            && recounted.elapsed() >= RECOUNT_AFTER
            && let Ok(session) = self.present()
        {
            self.count_all(&session).await;
            *recounted = Instant::now();
        }
        self.room()
    }

    fn room(&self) -> Result<()> {
        let waiting = self.waiting.load(Ordering::Relaxed) + self.since.load(Ordering::Relaxed);
        let limit = self.options.max_messages;
        if waiting >= limit { Err(Error::Full { waiting, limit }) } else { Ok(()) }
    }

    /// Stores a letter at `place`. Fails at once where there is nobody to send it to.
    pub(super) async fn publish(&self, place: Place, letter: Letter, expires_in: Option<Duration>) -> Result<()> {
        let patience = self.options.confirm_timeout;
        let session = self.present()?;
        let size = letter.message.len();
        let sending = async {
            let share = kibibytes(letter.message.len().min(UNCONFIRMED_BYTES));
            let room = Arc::clone(&self.unconfirmed)
                .acquire_many_owned(share)
                .await
                .map_err(|_| Error::Closed("queue"))?;
            let (reply, answer) = oneshot::channel();
            let parcel = Parcel {
                queue: place.name(&self.options.prefix),
                letter,
                expires_in,
                reply,
                room,
            };
            session.parcels.send(parcel).await.map_err(|_| away(Away::NotConnected))?;
            match answer.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(refused)) => {
                    if matches!(refused, Refused::Unroutable(_)) {
                        session.incomplete.store(true, Ordering::Relaxed);
                    }
                    self.doubt.notify_one();
                    // The broker ends the channel over a message that is too large for it, and with it whatever was on its way.
                    if let Some(limit) = refused.size_limit() {
                        self.largest.fetch_min(limit, Ordering::Relaxed);
                        self.check_size(size)?;
                    }
                    Err(unconfirmed(refused))
                }
                Err(_) => Err(away(Away::NotConnected)),
            }
        };
        let sent = match timeout(patience, sending).await {
            Ok(sent) => sent,
            Err(_) => {
                session.silent.store(true, Ordering::Relaxed);
                self.doubt.notify_one();
                Err(away(Away::Silent(patience)))
            }
        };
        match &sent {
            Ok(()) => drop(self.since.fetch_add(1, Ordering::Relaxed)),
            Err(_) => metrics::counter!("pipecast_queue_unconfirmed_total").increment(1),
        }
        sent
    }

    /// How many of a lane wait at the broker, back-offs included. Those in quarantine count as bulk.
    pub(super) async fn depth(&self, lane: Lane) -> Result<u64> {
        let session = self.connected()?;
        let mut places = vec![Place::Lane(lane), Place::Soon(lane), Place::Later(lane)];
        if lane == Lane::Bulk {
            places.push(Place::Quarantine);
        }
        let counting = async {
            let mut depth = 0;
            for place in places {
                depth += session.count(place, &self.options.prefix).await?;
            }
            Ok::<u64, lapin::Error>(depth)
        };
        match timeout(self.options.confirm_timeout, counting).await {
            Ok(Ok(depth)) => Ok(depth),
            Ok(Err(error)) => Err(unavailable("count the messages at RabbitMQ", error)),
            Err(_) => Err(unavailable("count the messages at RabbitMQ", Away::Silent(self.options.confirm_timeout))),
        }
    }

    /// Keeps a session until `closing`.
    pub(super) async fn keep(self: Arc<Self>, uri: AMQPUri, closing: CancellationToken) {
        let mut retry = Retry::new();
        while !closing.is_cancelled() {
            if let Some(session) = self.session() {
                self.show(1.0);
                let began = Instant::now();
                closing.run_until_cancelled(self.attend(&session)).await;
                drop(session);
                self.end().await;
                closing.run_until_cancelled(retry.ended(began.elapsed())).await;
                continue;
            }
            self.show(0.0);
            tokio::select! {
                opened = Session::open(&uri, &self.options) => match opened {
                    Ok(session) => {
                        tracing::info!("publishing to RabbitMQ again");
                        self.begin(session).await;
                    }
                    Err(error) => drop(closing.run_until_cancelled(retry.failed("publish to RabbitMQ", &error)).await),
                },
                () = closing.cancelled() => {}
            }
        }
        self.end().await;
    }

    /// Returns once the session is of no more use.
    async fn attend(&self, session: &Session) {
        let mut counted = Instant::now();
        let mut was_blocked = false;
        loop {
            let blocked = session.line.is_blocked();
            if blocked != was_blocked {
                was_blocked = blocked;
                metrics::gauge!("pipecast_rabbitmq_blocked").set(f64::from(u8::from(blocked)));
                match blocked {
                    true => tracing::warn!("RabbitMQ is blocked by an alarm and takes no messages"),
                    false => {
                        session.silent.store(false, Ordering::Relaxed);
                        tracing::info!("RabbitMQ takes messages again");
                    }
                }
            }
            if !session.is_well() {
                tracing::warn!("lost the connection that publishes to RabbitMQ");
                return;
            }
            if session.incomplete.swap(false, Ordering::Relaxed) {
                tracing::warn!("a queue is missing at RabbitMQ; declaring all of them again");
                let declared = timeout(self.options.confirm_timeout, topology::declare(&session.line.connection, &self.options.prefix)).await;
                if !matches!(declared, Ok(Ok(()))) {
                    return;
                }
            }
            if counted.elapsed() >= COUNT_EVERY && !blocked {
                counted = Instant::now();
                self.count_all(session).await;
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.doubt.notified() => {}
            }
        }
    }

    /// Counts what waits. Where that fails, the last count stands.
    async fn count_all(&self, session: &Session) {
        let since = self.since.load(Ordering::Relaxed);
        let counting = async {
            let mut sum = 0;
            for place in Place::ALL {
                let count = session.count(place, &self.options.prefix).await?;
                metrics::gauge!("pipecast_rabbitmq_messages", "queue" => place.name(&self.options.prefix)).set(count as f64);
                if place != Place::Dead {
                    sum += count;
                }
            }
            Ok::<u64, lapin::Error>(sum)
        };
        match timeout(self.options.confirm_timeout, counting).await {
            Ok(Ok(sum)) => {
                self.waiting.store(sum, Ordering::Relaxed);
                // Another count may have run meanwhile.
                let less = |now: u64| Some(now.saturating_sub(since));
                let _always = self.since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot count the messages at RabbitMQ: {error}");
                session.incomplete.store(true, Ordering::Relaxed);
            }
            Err(_) => session.silent.store(true, Ordering::Relaxed),
        }
    }

    fn show(&self, connected: f64) {
        metrics::gauge!("pipecast_rabbitmq_connected", "side" => "publishing").set(connected);
    }

    /// Ends the session; whoever still waits for a confirm is told at once.
    async fn end(&self) {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(session) = session {
            session.line.close().await;
        }
    }
}

fn away(why: Away) -> Error {
    unavailable("store a message at RabbitMQ", why)
}

fn unconfirmed(refused: Refused) -> Error {
    unavailable("store a message at RabbitMQ", refused)
}

pub(super) fn unavailable(attempted: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable {
        attempted,
        source: Box::new(source),
    }
}

/// In whole KiB, at least one: what the semaphore counts in.
fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}
