//! The consuming side: a connection of its own, because an alarm blocks those that publish, with a channel for each lane.
//! Knows nothing of verdicts.
//!
//! A message whose deliveries ended without a verdict may be what killed its consumers. It goes to quarantine, from where one is
//! delivered at a time: in a lane the death of a process counts against everything that it had prefetched.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::ready;
use futures_util::stream::{BoxStream, SelectAll, once};
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use pipecast_model::{Lane, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::RabbitmqOptions;
use super::desk::{Desk, Taken};
use super::letter::Letter;
use super::line::{Line, SETTLING_IN, within};
use super::publisher::Publisher;
use super::refusal::Retry;
use super::topology::{self, Place};
use crate::Result;

/// So many deliveries without a verdict make a message suspect.
const SUSPECT_AFTER: u32 = 2;
/// A message that could not be moved is tried again after so long.
const MOVE_AGAIN: Duration = Duration::from_secs(1);

/// What consumes. Connects with the first `receive`, so that who only sends holds nothing.
pub(super) struct Consumer {
    options: Arc<RabbitmqOptions>,
    publisher: Arc<Publisher>,
    desk: Mutex<Desk>,
    /// Rung for every delivery; a receiver that leaves some behind rings again.
    pub(super) ready: Notify,
    wanted: AtomicBool,
    start: Notify,
}

type Deliveries = SelectAll<BoxStream<'static, (Place, Option<lapin::Result<Delivery>>)>>;

impl Consumer {
    pub(super) fn new(options: Arc<RabbitmqOptions>, publisher: Arc<Publisher>) -> Self {
        Consumer {
            options,
            publisher,
            desk: Mutex::default(),
            ready: Notify::new(),
            wanted: AtomicBool::new(false),
            start: Notify::new(),
        }
    }

    /// Never held over an await.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants to receive.
    pub(super) fn want(&self) {
        if !self.wanted.swap(true, Ordering::Relaxed) {
            self.start.notify_one();
        }
    }

    /// Keeps deliveries coming until `closing`.
    pub(super) async fn keep(self: Arc<Self>, uri: AMQPUri, closing: CancellationToken) {
        if closing.run_until_cancelled(self.start.notified()).await.is_none() {
            return;
        }
        let mut retry = Retry::new();
        while !closing.is_cancelled() {
            let connecting = within(self.options.connect_timeout * SETTLING_IN, self.connect(&uri));
            let connected = closing.run_until_cancelled(connecting).await;
            match connected {
                Some(Ok((line, deliveries))) => {
                    self.show(1.0);
                    let began = Instant::now();
                    let lost = closing.run_until_cancelled(self.consume(deliveries)).await;
                    self.show(0.0);
                    // Acks that were written are read by the broker before the goodbye.
                    line.close().await;
                    self.desk().forget_all();
                    if let Some(why) = lost {
                        metrics::counter!("pipecast_rabbitmq_claims_lost_total").increment(1);
                        tracing::warn!("lost the connection that consumes from RabbitMQ, what was claimed comes again: {why}");
                        closing.run_until_cancelled(retry.ended(began.elapsed())).await;
                    }
                }
                Some(Err(error)) => drop(closing.run_until_cancelled(retry.failed("consume from RabbitMQ", &error)).await),
                None => {}
            }
        }
    }

    async fn connect(&self, uri: &AMQPUri) -> lapin::Result<(Line, Deliveries)> {
        let line = Line::open(uri, &self.options, "pipecast consuming").await?;
        topology::declare(&line.connection, &self.options.prefix).await?;
        let prefetch = self.options.prefetch;
        let mut deliveries = Deliveries::new();
        for (place, prefetch) in [
            (Place::Lane(Lane::Urgent), prefetch),
            (Place::Lane(Lane::Bulk), (prefetch / 4).max(1)),
            (Place::Quarantine, 1),
        ] {
            let channel = line.connection.create_channel().await?;
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let name = place.name(&self.options.prefix);
            let consumer = channel
                .basic_consume(name.as_str().into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
                .await?;
            // The broker ends a consumer whose queue goes away; that must not pass as silence.
            deliveries.push(consumer.map(Some).chain(once(ready(None))).map(move |next| (place, next)).boxed());
        }
        Ok((line, deliveries))
    }

    /// Takes deliveries until the connection is lost, and says why it was.
    async fn consume(self: &Arc<Self>, mut deliveries: Deliveries) -> String {
        let mut moves = JoinSet::new();
        while let Some((place, next)) = deliveries.next().await {
            match next {
                Some(Ok(delivery)) => {
                    if let Some((taken, to)) = self.admit(place, delivery) {
                        moves.spawn(Arc::clone(self).move_away(taken, to));
                    }
                }
                Some(Err(error)) => return error.to_string(),
                None => return format!("the broker ended the consumer of {}", place.name(&self.options.prefix)),
            }
            while moves.join_next().now_or_never().flatten().is_some() {}
        }
        "no consumer is left".to_owned()
    }

    /// Puts a delivery on the desk, or says where it has to go instead.
    fn admit(&self, place: Place, mut delivery: Delivery) -> Option<(Taken, Place)> {
        let lane = match place {
            Place::Lane(lane) => lane,
            _ => Lane::Bulk,
        };
        let mut taken = Taken {
            letter: Letter::read(&mut delivery, lane),
            acker: delivery.acker,
            alone: place == Place::Quarantine,
        };
        let crashes = taken.letter.crashes;
        if crashes >= self.options.max_crashes.max(SUSPECT_AFTER + 1) {
            taken.letter.reason = Some(format!(
                "delivered {crashes} times without a verdict: whoever worked on it ended, or lost the connection"
            ));
            return Some((taken, Place::Dead));
        }
        if crashes >= SUSPECT_AFTER && !taken.alone {
            return Some((taken, Place::Quarantine));
        }
        self.desk().add(taken);
        self.ready.notify_one();
        None
    }

    /// Moves a message, however long that takes; when the connection is lost, the broker still has it where it was.
    async fn move_away(self: Arc<Self>, taken: Taken, to: Place) {
        while taken.acker.usable() {
            match self.file(&taken, to, None).await {
                Ok(()) => return,
                Err(error) => tracing::warn!("cannot move a message to {}, trying again: {error}", to.name(&self.options.prefix)),
            }
            sleep(MOVE_AGAIN).await;
        }
    }

    /// Puts a copy elsewhere and then acks the original, so that it is at one of the two at every instant.
    pub(super) async fn file(&self, taken: &Taken, to: Place, wait: Option<Duration>) -> Result<()> {
        let mut letter = taken.letter.clone();
        match to {
            Place::Dead => {
                letter.buried_at = Some(Timestamp::now());
                metrics::counter!("pipecast_queue_buried_total").increment(1);
            }
            Place::Quarantine => {
                tracing::warn!(
                    crashes = letter.crashes,
                    "a message was delivered {} times without a verdict: into quarantine",
                    letter.crashes
                );
                metrics::counter!("pipecast_queue_quarantined_total").increment(1);
            }
            _ => {}
        }
        self.publisher.publish(to, letter, wait).await?;
        // Where this fails, the connection is lost and the original comes once more: at least once.
        drop(taken.acker.ack(lapin::options::BasicAckOptions::default()).await);
        Ok(())
    }

    fn show(&self, connected: f64) {
        metrics::gauge!("pipecast_rabbitmq_connected", "side" => "consuming").set(connected);
    }
}
