//! What can go wrong while a topic is being read for the first time.

/// Each variant is a case that callers treat differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus does not take a subscription; without it a value would go stale unseen.
    #[error("cannot subscribe {topic}")]
    Bus {
        /// The topic that was asked for.
        topic: pipecast_model::Topic,
        /// The cause.
        #[source]
        source: pipecast_fabric::Error,
    },
    /// The database does not answer, and no cache knows the topic.
    #[error("cannot read {topic}")]
    Store {
        /// The topic that was asked for.
        topic: pipecast_model::Topic,
        /// The cause.
        #[source]
        source: pipecast_store::Error,
    },
    /// As many topics are being watched as this node may watch.
    #[error("this node watches {limit} topics already; raise watch.max_topics")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}
