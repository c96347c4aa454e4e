//! What topics are called in Redis. A pipeline's channel and key are the ones that other programs use too; all other names are ours.

use pipecast_model::{PipelineId, Topic};

use crate::quota::Spender;

/// The channel of a topic.
pub(crate) fn channel(topic: Topic) -> String {
    match topic {
        Topic::Pipeline(_) => format!("{topic}:events"),
        Topic::Execution(_) | Topic::Monitor => format!("pipecast:{topic}:events"),
    }
}

/// The topic of a channel that we subscribed.
pub(crate) fn topic(channel: &str) -> Option<Topic> {
    let name = channel.strip_suffix(":events")?;
    match name.strip_prefix("pipecast:") {
        Some(ours) => ours.parse().ok(),
        None => name.strip_prefix("pipeline:")?.parse().ok().map(|id| Topic::Pipeline(PipelineId(id))),
    }
}

/// The key of a topic's newest value.
pub(crate) fn value(topic: Topic) -> String {
    match topic {
        Topic::Pipeline(_) => format!("{topic}:status"),
        Topic::Execution(_) | Topic::Monitor => format!("pipecast:{topic}:status"),
    }
}

/// The key that remembers which sequence of ours was told last, whatever others have written over our value since.
pub(crate) fn mark(topic: Topic) -> String {
    format!("pipecast:{topic}:mark")
}

/// The key that says that somebody was first.
pub(crate) fn claim(name: &str) -> String {
    format!("pipecast:claim:{name}")
}

/// The key of what somebody owes.
pub(crate) fn quota(spender: Spender) -> String {
    match spender {
        Spender::Address(address) => format!("pipecast:quota:address:{address}"),
        Spender::User(user) => format!("pipecast:quota:user:{user}"),
        Spender::Token(token) => format!("pipecast:quota:token:{token}"),
        Spender::Source(number) => format!("pipecast:quota:source:{number:016x}"),
        Spender::Impostor(address) => format!("pipecast:quota:impostor:{address}"),
        Spender::Tickets(user) => format!("pipecast:quota:tickets:{user}"),
        Spender::UserWrites(user) => format!("pipecast:quota:writes:user:{user}"),
        Spender::TokenWrites(token) => format!("pipecast:quota:writes:token:{token}"),
    }
}

#[cfg(test)]
mod tests {
    use pipecast_model::ExecutionId;

    use super::*;

    #[test]
    fn a_pipelines_names_are_those_that_others_use() {
        let seven = Topic::Pipeline(PipelineId(7));

        assert_eq!((channel(seven).as_str(), value(seven).as_str()), ("pipeline:7:events", "pipeline:7:status"));
    }

    #[test]
    fn every_channel_leads_back_to_its_topic() {
        for known in [Topic::Pipeline(PipelineId(7)), Topic::Execution(ExecutionId(9)), Topic::Monitor] {
            assert_eq!(topic(&channel(known)), Some(known));
        }
        for unknown in ["", "pipeline:x:events", "pipeline:7:status", "execution:7:events"] {
            assert_eq!(topic(unknown), None, "{unknown}");
        }
    }
}
