//! The one task that publishes on a channel and learns what the broker says to each message.
//! Knows nothing of reconnecting and of why a message is sent.
//!
//! It is one task because two traps of the client lie here. A publish takes its number and its place on the wire in two steps, so
//! two tasks on one channel could swap their confirms. And a message that could not be routed comes back with *some* confirm of the
//! acknowledged group, not with its own; taken at its word, the wrong sender would be told that all is well. So what came
//! back is told by its id, and nobody is told anything before the whole group has been seen.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation};
use metrics::Histogram;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::letter::Letter;

/// From so many unconfirmed messages on there is no hurry: what gathers meanwhile goes out in one write, and its confirms wake nobody
/// one by one.
const BRISK: usize = 16;
/// How long it may gather then. Short beside the broker's own sync, which every message waits for.
const LINGER: Duration = Duration::from_micros(250);

/// A message on its way to the broker.
pub(super) struct Parcel {
    pub(super) queue: String,
    pub(super) letter: Letter,
    pub(super) expires_in: Option<Duration>,
    pub(super) reply: oneshot::Sender<Result<(), Refused>>,
    /// Its share of the unconfirmed bytes, given back once its fate is known.
    pub(super) room: OwnedSemaphorePermit,
}

/// Why a message is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The queue is not there.
    #[error("the broker has no queue {0}")]
    Unroutable(String),
    /// The broker could not or would not store it.
    #[error("the broker refused it")]
    Nacked,
    /// Stored or not: nobody can tell.
    #[error("the connection was lost before the confirm")]
    Lost(#[source] lapin::Error),
}

impl Refused {
    /// The broker's own limit in bytes, where a message over it is why the channel was ended.
    pub(super) fn size_limit(&self) -> Option<usize> {
        let Refused::Lost(error) = self else { return None };
        let lapin::ErrorKind::ProtocolError(said) = error.kind() else { return None };
        let (_, limit) = said.get_message().as_str().rsplit_once("larger than configured max size ")?;
        limit.trim().parse().ok()
    }
}

/// What became of one publish, as the client tells it.
struct Fate {
    id: u64,
    queue: String,
    reply: oneshot::Sender<Result<(), Refused>>,
    sent: Instant,
    confirmation: lapin::Result<Confirmation>,
    _room: OwnedSemaphorePermit,
}

/// Publishes what comes in, in that order, until nobody can send any more; then waits for the last confirms. Under load it blocks its
/// thread for a moment at a time, so the thread has to be its own.
pub(super) async fn deliver(channel: Channel, mut inbox: mpsc::Receiver<Parcel>) {
    let confirm_seconds = metrics::histogram!("pipecast_queue_confirm_seconds");
    let mut next_id = 0_u64;
    let mut open = true;
    let mut in_flight = InFlight::new();
    // Seen, but perhaps only a part of its group.
    let mut seen: Vec<Fate> = Vec::new();
    // Came back with some confirm; answered once its own is there.
    let mut returned: HashSet<u64> = HashSet::new();
    while open || !in_flight.is_empty() || !seen.is_empty() {
        let mut parcel = None;
        if seen.is_empty() {
            tokio::select! {
                next = inbox.recv(), if open => match next {
                    Some(next) => parcel = Some(next),
                    None => open = false,
                },
                Some(fate) = in_flight.next() => seen.push(fate),
            }
            if in_flight.len() >= BRISK {
                std::thread::sleep(LINGER);
            }
        }
        while let Some(next) = parcel.take().or_else(|| inbox.try_recv().ok()) {
            next_id += 1;
            in_flight.push(publish(channel.clone(), next, next_id).boxed());
        }
        // Polls the new ones too, in their order, which is what puts them on the wire.
        collect(&mut in_flight, &mut seen, &mut returned);
        let known = std::mem::take(&mut seen);
        if !known.is_empty() {
            // The client resolves a group under a lock that this call takes: after it, the groups of all that is known are whole.
            drop(channel.wait_for_confirms().now_or_never());
            collect(&mut in_flight, &mut seen, &mut returned);
        }
        for fate in known {
            fate.answer(&mut returned, &confirm_seconds);
        }
    }
}

type InFlight = FuturesUnordered<BoxFuture<'static, Fate>>;

fn collect(in_flight: &mut InFlight, seen: &mut Vec<Fate>, returned: &mut HashSet<u64>) {
    while let Some(Some(fate)) = in_flight.next().now_or_never() {
        seen.push(fate);
    }
    returned.extend(seen.iter_mut().filter_map(Fate::brought_back));
}

impl Fate {
    /// Whose message came back with this confirm: seldom its own.
    /// Told once.
    fn brought_back(&mut self) -> Option<u64> {
        match &mut self.confirmation {
            Ok(Confirmation::Ack(message) | Confirmation::Nack(message)) => message.take()?.properties.message_id().as_ref()?.as_str().parse().ok(),
            _ => None,
        }
    }

    fn answer(self, returned: &mut HashSet<u64>, confirm_seconds: &Histogram) {
        let answer = match (returned.remove(&self.id), self.confirmation) {
            (true, _) => Err(Refused::Unroutable(self.queue)),
            (false, Ok(Confirmation::Ack(_))) => Ok(()),
            (false, Ok(Confirmation::Nack(_) | Confirmation::NotRequested)) => Err(Refused::Nacked),
            (false, Err(error)) => Err(Refused::Lost(error)),
        };
        if answer.is_ok() {
            confirm_seconds.record(self.sent.elapsed());
        }
        // A sender that has gone away needs no answer.
        drop(self.reply.send(answer));
    }
}

async fn publish(channel: Channel, parcel: Parcel, id: u64) -> Fate {
    let Parcel {
        queue,
        letter,
        expires_in,
        reply,
        room,
    } = parcel;
    let sent = Instant::now();
    let properties = letter.properties(&id.to_string(), expires_in);
    let message: Bytes = letter.message;
    let confirmation = async {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        channel
            .basic_publish("".into(), queue.as_str().into(), options, &message, properties)
            .await?
            .await
    }
    .await;
    Fate {
        id,
        queue,
        reply,
        sent,
        confirmation,
        _room: room,
    }
}
