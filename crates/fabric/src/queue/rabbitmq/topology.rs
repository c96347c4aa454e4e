//! The queues on the broker: their names, their arguments, and what waits in them.
//! Knows nothing of messages and claims.
//!
//! Arguments of a queue can never be changed, so a change of one here needs a new version in the names, and a way for what waits
//! under the old ones.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, Connection};
use pipecast_model::Lane;

/// The version in the names.
const VERSION: &str = "v1";
/// After so many deliveries the broker itself gives a message up and moves it to the dead ones. Far beyond what quarantine and
/// burial need: it stops a message that kills its consumer before either can be reached.
const DELIVERY_LIMIT: i32 = 20;
/// Listing the buried messages delivers them, and must never be what loses them.
const UNLIMITED: i32 = i32::MAX;
/// Most buried messages that are kept; the oldest go first.
const BURIED_MESSAGES: i32 = 10_000;
/// Most bytes of them.
const BURIED_BYTES: i32 = 256 << 20;
/// Back-offs up to here wait in one queue, longer ones in another: a message is never held up by more than that behind a longer wait.
const SOON: Duration = Duration::from_secs(5);

/// A queue of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where messages wait for their first try.
    Lane(Lane),
    /// Where those of a lane wait that failed a moment ago.
    Soon(Lane),
    /// Where those of a lane wait that failed more often.
    Later(Lane),
    /// Where those wait that seem to have killed their consumers.
    Quarantine,
    /// Where the buried ones lie.
    Dead,
}

impl Place {
    pub(super) const ALL: [Place; 8] = [
        Place::Lane(Lane::Urgent),
        Place::Lane(Lane::Bulk),
        Place::Soon(Lane::Urgent),
        Place::Soon(Lane::Bulk),
        Place::Later(Lane::Urgent),
        Place::Later(Lane::Bulk),
        Place::Quarantine,
        Place::Dead,
    ];

    /// Where a message of `lane` waits out a back-off.
    pub(super) fn back_off(lane: Lane, wait: Duration) -> Place {
        if wait <= SOON { Place::Soon(lane) } else { Place::Later(lane) }
    }

    /// As the broker calls it.
    pub(super) fn name(self, prefix: &str) -> String {
        let (lane, rest) = match self {
            Place::Lane(lane) => (lane.word(), ""),
            Place::Soon(lane) => (lane.word(), ".soon"),
            Place::Later(lane) => (lane.word(), ".later"),
            Place::Quarantine => ("quarantine", ""),
            Place::Dead => ("dead", ""),
        };
        format!("{prefix}.{VERSION}.{lane}{rest}")
    }

    fn arguments(self, prefix: &str) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        let dead_letters_to = match self {
            Place::Lane(_) | Place::Quarantine => Place::Dead,
            Place::Soon(lane) | Place::Later(lane) => Place::Lane(lane),
            Place::Dead => {
                arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(UNLIMITED));
                arguments.insert("x-max-length".into(), AMQPValue::LongInt(BURIED_MESSAGES));
                arguments.insert("x-max-length-bytes".into(), AMQPValue::LongInt(BURIED_BYTES));
                arguments.insert("x-overflow".into(), text("drop-head"));
                return arguments;
            }
        };
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(&dead_letters_to.name(prefix)));
        // At least once needs reject-publish; with drop-head the broker would fall back to at most once without a word.
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        arguments
    }
}

/// Makes sure that every queue is there, on a channel of its own: a refusal closes it.
pub(super) async fn declare(connection: &Connection, prefix: &str) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    for place in Place::ALL {
        channel
            .queue_declare(place.name(prefix).into(), QueueDeclareOptions::durable(), place.arguments(prefix))
            .await?;
    }
    channel.close(200, "declared".into()).await
}

/// How many messages wait there. Those that some process holds are not among them.
pub(super) async fn count(channel: &Channel, place: Place, prefix: &str) -> lapin::Result<u64> {
    let name: ShortString = place.name(prefix).into();
    let queue = channel
        .queue_declare(name, QueueDeclareOptions::durable().passive(), FieldTable::default())
        .await?;
    Ok(queue.message_count().into())
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}
