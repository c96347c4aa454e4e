//! The one word that says how a pipeline, execution, job or step is doing.
//! Host words are mapped to it by the tables in the admin's intake, not here.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How something is doing. One word, so that no contradiction can be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "TEXT", rename_all = "snake_case")]
pub enum Status {
    /// The host used a word that Pipecast does not know, or has not told a status yet. Not terminal.
    #[default]
    Unknown,
    /// Accepted by the host, not started.
    Queued,
    /// Held back by a resource or a timer.
    Waiting,
    /// Held back until a human acts: a manual gate, an approval.
    Blocked,
    /// At work.
    Running,
    /// Asked to stop, or cleaning up.
    Finalizing,
    /// Over; the host did not say how in a word that Pipecast knows.
    Finished,
    /// Over, and good.
    Success,
    /// Over: the code's fault.
    Failure,
    /// Over: the system's fault.
    Error,
    /// Over: took longer than allowed.
    TimedOut,
    /// Over: stopped by someone.
    Cancelled,
    /// Over: not run at all.
    Skipped,
    /// Over, without a verdict.
    Neutral,
}

impl Status {
    /// Every status, in the order of the enum.
    pub const ALL: [Status; 14] = [
        Status::Unknown,
        Status::Queued,
        Status::Waiting,
        Status::Blocked,
        Status::Running,
        Status::Finalizing,
        Status::Finished,
        Status::Success,
        Status::Failure,
        Status::Error,
        Status::TimedOut,
        Status::Cancelled,
        Status::Skipped,
        Status::Neutral,
    ];

    /// The word in JSON, in the database and in every query.
    pub fn word(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Queued => "queued",
            Status::Waiting => "waiting",
            Status::Blocked => "blocked",
            Status::Running => "running",
            Status::Finalizing => "finalizing",
            Status::Finished => "finished",
            Status::Success => "success",
            Status::Failure => "failure",
            Status::Error => "error",
            Status::TimedOut => "timed_out",
            Status::Cancelled => "cancelled",
            Status::Skipped => "skipped",
            Status::Neutral => "neutral",
        }
    }

    /// The status of a word as we write it; `None` for any other word.
    pub fn from_word(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.word() == word)
    }

    /// Whether no further change is expected.
    pub fn is_terminal(self) -> bool {
        self.outcome().is_some() || self == Status::Finished
    }

    /// The phase: `queued`, `waiting`, `running`, `finalizing`, `completed` or `unknown`.
    pub fn state(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Queued => "queued",
            Status::Waiting | Status::Blocked => "waiting",
            Status::Running => "running",
            Status::Finalizing => "finalizing",
            _ => "completed",
        }
    }

    /// The verdict, once there is one. `finished` has none: it is over and the host did not say how.
    pub fn outcome(self) -> Option<&'static str> {
        match self {
            Status::Success | Status::Failure | Status::Error | Status::TimedOut | Status::Cancelled | Status::Skipped | Status::Neutral => Some(self.word()),
            _ => None,
        }
    }

    /// How far along a life this is; of two tellings that are otherwise equal, the greater rank is the later one.
    /// `unknown` never overwrites, and a verdict beats `finished`.
    pub fn rank(self) -> i64 {
        match self {
            Status::Unknown => 0,
            Status::Queued => 10,
            Status::Waiting | Status::Blocked => 20,
            Status::Running => 30,
            Status::Finalizing => 35,
            Status::Finished => 38,
            _ => 40,
        }
    }
}

/// What one delivery tells of a status. Taken whole or not at all, so that a verdict never stands beside another's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusFact {
    /// The status in our words.
    pub status: Status,
    /// The host's own word for the phase, or for the whole status where it has only one.
    pub raw_status: Option<String>,
    /// The host's own word for the verdict.
    pub raw_conclusion: Option<String>,
    /// When it ended, where it has.
    pub finished_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_its_status() {
        for status in Status::ALL {
            assert_eq!(Status::from_word(status.word()), Some(status));
            assert_eq!(serde_json::to_value(status).expect("a word"), status.word());
        }
        assert_eq!(Status::from_word("passed"), None);
    }

    #[test]
    fn only_what_is_over_is_terminal() {
        let open: Vec<_> = Status::ALL.into_iter().filter(|status| !status.is_terminal()).collect();

        assert_eq!(
            open,
            [
                Status::Unknown,
                Status::Queued,
                Status::Waiting,
                Status::Blocked,
                Status::Running,
                Status::Finalizing
            ]
        );
    }
}
