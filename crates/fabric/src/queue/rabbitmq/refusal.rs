//! What the broker says when it says no, and the waits before it is asked again.
//! Knows nothing of what was asked.

use std::time::Duration;

use tokio::time::sleep;

use super::publisher::unavailable;
use crate::Error;

/// Waits between two attempts to connect: the first…
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// …and the longest.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// The broker answered, and what it said will not change by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    // Whatever the parser says may have the password in it.
    #[error("fabric.amqp_url is no AMQP URL; write amqp://USER:PASSWORD@HOST/VHOST, or amqps:// with TLS, with %2f for the virtual host /")]
    Url,
    #[error("RabbitMQ has a queue of the same name with other arguments ({0}); let it run empty and delete it, or set another fabric.rabbitmq.prefix")]
    OtherArguments(String),
    #[error("RabbitMQ does not let this user in ({0}); check user, password and virtual host in fabric.amqp_url, and the user's permissions")]
    NotAllowed(String),
}

impl Refusal {
    /// Whether the broker has said no, as opposed to nothing.
    pub(super) fn of(error: &lapin::Error) -> Option<Refusal> {
        let lapin::ErrorKind::ProtocolError(said) = error.kind() else { return None };
        match said.get_id() {
            406 => Some(Refusal::OtherArguments(said.get_message().to_string())),
            403 | 530 => Some(Refusal::NotAllowed(said.get_message().to_string())),
            _ => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        unavailable("open the queue at RabbitMQ", refusal)
    }
}

/// The waits between attempts: longer each time, up to a limit, and at random so that many do not come together.
pub(super) struct Retry {
    wait: Duration,
}

impl Retry {
    pub(super) fn new() -> Self {
        Retry { wait: FIRST_RETRY }
    }

    pub(super) async fn failed(&mut self, what: &str, error: &lapin::Error) {
        let wait = self.wait.mul_f64(rand::random_range(0.5..=1.0));
        metrics::counter!("pipecast_rabbitmq_failed_connects_total").increment(1);
        match Refusal::of(error) {
            Some(refusal) => tracing::error!("cannot {what}, trying again in {wait:?}: {refusal}"),
            None => tracing::warn!("cannot {what}, trying again in {wait:?}: {error}"),
        }
        self.wait = (self.wait * 2).min(LONGEST_RETRY);
        sleep(wait).await;
    }

    /// A connection has ended that lived so long. After one that did not last, the next is made only after a wait.
    pub(super) async fn ended(&mut self, lived: Duration) {
        if lived > LONGEST_RETRY {
            *self = Retry::new();
            return;
        }
        let wait = self.wait.mul_f64(rand::random_range(0.5..=1.0));
        self.wait = (self.wait * 2).min(LONGEST_RETRY);
        sleep(wait).await;
    }
}
