//! A message as it lies on the broker: the body as it was sent, and in the headers what became of it so far.
//! Knows nothing of queues and channels.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString};
use pipecast_model::{Lane, Timestamp, hexadecimal};

use crate::{Dead, DeadId};

const LANE: &str = "x-pipecast-lane";
const FAILURES: &str = "x-pipecast-failures";
const CRASHES: &str = "x-pipecast-crashes";
const REASON: &str = "x-pipecast-reason";
const BURIED_AT: &str = "x-pipecast-buried-at";
/// The broker's own count of deliveries that nobody settled. Absent on the first one.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// What the broker adds when it moves a message away by itself.
const FIRST_DEATH_REASON: &str = "x-first-death-reason";
const FIRST_DEATH_QUEUE: &str = "x-first-death-queue";
/// Longest reason that travels along, in bytes; all headers must fit into one frame.
const LONGEST_REASON: usize = 4096;
/// Bytes of the hash that names a buried message.
const FINGERPRINT: usize = 16;
/// Persistent: written to disk.
const PERSISTENT: u8 = 2;

/// A message and its history.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) lane: Lane,
    /// Verdicts that said it failed.
    pub(super) failures: u32,
    /// Deliveries that ended without a verdict.
    pub(super) crashes: u32,
    /// Of the last failure.
    pub(super) reason: Option<String>,
    pub(super) buried_at: Option<Timestamp>,
    pub(super) message: Bytes,
}

impl Letter {
    /// One that nobody has tried yet.
    pub(super) fn fresh(lane: Lane, message: Bytes) -> Self {
        Letter {
            lane,
            failures: 0,
            crashes: 0,
            reason: None,
            buried_at: None,
            message,
        }
    }

    /// What a delivery carries. `lane` is that of the queue; the letter's own goes first.
    pub(super) fn read(delivery: &mut Delivery, lane: Lane) -> Self {
        let message = Bytes::from(std::mem::take(&mut delivery.data));
        let headers = delivery.properties.headers().as_ref();
        let number = |name| headers.and_then(|headers| number(headers, name));
        let words = |name| headers.and_then(|headers| words(headers, name));
        // Without a count the flag says at least that there was one delivery before.
        let unsettled = number(DELIVERY_COUNT).unwrap_or(i64::from(delivery.redelivered));
        Letter {
            lane: words(LANE)
                .and_then(|word| Lane::ALL.into_iter().find(|lane| lane.word() == word))
                .unwrap_or(lane),
            failures: small(number(FAILURES).unwrap_or(0)),
            crashes: small(number(CRASHES).unwrap_or(0).saturating_add(unsettled)),
            reason: words(REASON),
            buried_at: number(BURIED_AT).map(Timestamp),
            message,
        }
    }

    /// The properties to send it with. `id` comes back with a message that could not be routed.
    pub(super) fn properties(&self, id: &str, expires_in: Option<Duration>) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert(LANE.into(), AMQPValue::LongString(LongString::from(self.lane.word())));
        for (name, count) in [(FAILURES, self.failures), (CRASHES, self.crashes)] {
            if count > 0 {
                headers.insert(name.into(), AMQPValue::LongLongInt(count.into()));
            }
        }
        if let Some(reason) = &self.reason {
            let end = reason.floor_char_boundary(LONGEST_REASON);
            headers.insert(REASON.into(), AMQPValue::LongString(LongString::from(&reason[..end])));
        }
        if let Some(at) = self.buried_at {
            headers.insert(BURIED_AT.into(), AMQPValue::LongLongInt(at.0));
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(id.into())
            .with_headers(headers);
        match expires_in {
            Some(wait) => properties.with_expiration(wait.as_millis().to_string().into()),
            None => properties,
        }
    }

    /// A letter from among the dead. One that the broker gave up by itself says so.
    pub(super) fn exhume(mut delivery: Delivery) -> Dead {
        let headers = delivery.properties.headers().clone().unwrap_or_default();
        let by_broker = words(&headers, FIRST_DEATH_REASON).map(|reason| {
            let queue = words(&headers, FIRST_DEATH_QUEUE).unwrap_or_default();
            format!("the broker moved it away from {queue}: {reason}")
        });
        let letter = Letter::read(&mut delivery, Lane::Bulk);
        Dead {
            id: name(&letter),
            lane: letter.lane,
            bytes: letter.message.len(),
            message: letter.message,
            failures: letter.failures,
            reason: match letter.buried_at {
                Some(_) => letter.reason.unwrap_or_default(),
                None => by_broker.unwrap_or_else(|| "unknown".to_owned()),
            },
            buried_at: letter.buried_at.unwrap_or(Timestamp(0)),
        }
    }
}

/// The same wherever and whenever it is looked at: when it was buried and what it is, for the broker has no name for a message.
fn name(letter: &Letter) -> DeadId {
    let buried_at = letter.buried_at.unwrap_or_default();
    let hash = digest(&SHA256, &letter.message);
    let fingerprint = hexadecimal::write(&hash.as_ref()[..FINGERPRINT]);
    DeadId::buried_at(buried_at, &fingerprint)
}

fn number(headers: &FieldTable, name: &str) -> Option<i64> {
    match headers.inner().get(name)? {
        AMQPValue::LongLongInt(number) => Some(*number),
        AMQPValue::LongInt(number) => Some((*number).into()),
        AMQPValue::LongUInt(number) => Some((*number).into()),
        AMQPValue::ShortInt(number) => Some((*number).into()),
        AMQPValue::ShortUInt(number) => Some((*number).into()),
        AMQPValue::ShortShortInt(number) => Some((*number).into()),
        AMQPValue::ShortShortUInt(number) => Some((*number).into()),
        _ => None,
    }
}

fn words(headers: &FieldTable, name: &str) -> Option<String> {
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
