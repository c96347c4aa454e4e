//! What can go wrong at a port.

/// An error of bus, cache or queue; each variant is a case that callers treat differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue holds as much as it may; nothing was stored. Answer 503 and let the sender try again.
    #[error("the queue is full: {waiting} messages wait, the limit is {limit}")]
    Full {
        /// How many wait.
        waiting: u64,
        /// How many may.
        limit: u64,
    },
    /// The message is larger than the port takes.
    #[error("a message of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The backend did not do it. Whether the effect happened is unknown: repeat it or leave it, but never report success.
    #[error("cannot {attempted}")]
    Unavailable {
        /// What was tried, as in "append to the queue file".
        attempted: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The port is shutting down.
    #[error("the {0} is closed")]
    Closed(&'static str),
}
