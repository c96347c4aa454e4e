//! What became of a delivery, in the words of the ledger.
//! Knows nothing of what a delivery tells.

use serde::{Deserialize, Serialize};

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "TEXT", rename_all = "lowercase")]
pub enum Outcome {
    /// What it told was merged; whether that was news shows in the topics that it changed.
    Applied,
    /// It was a greeting.
    Ping,
    /// It speaks of nothing that Pipecast keeps.
    Ignored,
    /// Its body cannot be read.
    Unprocessable,
    /// Its body came within a day before, under another key.
    Duplicate,
    /// It was turned away at the edge.
    Refused,
}

impl Outcome {
    /// The word in the ledger, in JSON and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Ping => "ping",
            Outcome::Ignored => "ignored",
            Outcome::Unprocessable => "unprocessable",
            Outcome::Duplicate => "duplicate",
            Outcome::Refused => "refused",
        }
    }
}
