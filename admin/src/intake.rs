//! From a raw delivery to facts: pure functions, one room for each host, no clock and no I/O.
//! Knows nothing of the database: the store merges what is told here, and the version on each fact makes any order right.

use pipecast_model::{Delivery, Facts, Host, Reading};

pub mod fold;
mod github;
mod gitlab;
mod lenient;

/// What a delivery tells, in our words.
///
/// Never fails and never panics. A body that cannot be read is `Unprocessable` and says where it breaks; an event that
/// Pipecast does not keep is `Ignored` with a word why (`unknown_event`, `empty`, `github_actions_check`, `project_deleted`);
/// a status word that is in no table is told as `unknown` with the raw word beside it. A field of an unexpected type counts
/// as left out.
pub fn understand(delivery: &Delivery) -> Facts {
    let told = match delivery.host {
        Host::Github => github::understand(delivery),
        Host::Gitlab => gitlab::understand(delivery),
    };
    told.unwrap_or_else(|reading| Facts { reading, ..Facts::default() })
}

/// What a host's room gives back: the facts, or why there are none.
type Understood = Result<Facts, Reading>;

/// The event is one that Pipecast does not keep.
fn unknown_event() -> Reading {
    Reading::Ignored("unknown_event".to_owned())
}

/// The object that the event is about is null or missing.
fn empty() -> Reading {
    Reading::Ignored("empty".to_owned())
}

/// Something that nothing can be done without is missing.
fn lacks(what: &str) -> Reading {
    Reading::Unprocessable(format!("it has no {what}"))
}
