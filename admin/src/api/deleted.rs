//! What was deleted and can be brought back: whether a list shows it, and bringing it back.
//! Knows nothing of single resources.

use pipecast_http::{Code, Problem};
use pipecast_model::Timestamp;
use pipecast_store::Deleted;
use serde::Deserialize;

/// Deleted ones, which are not in a list where nothing is said.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum WithDeleted {
    /// Instead of the others.
    Only,
    /// Beside the others.
    Include,
}

impl WithDeleted {
    /// What the store is asked for.
    pub(super) fn of(wanted: Option<WithDeleted>) -> Deleted {
        match wanted {
            None => Deleted::Hidden,
            Some(WithDeleted::Only) => Deleted::Only,
            Some(WithDeleted::Include) => Deleted::Included,
        }
    }
}

/// Takes back that something was deleted.
///
/// # Errors
/// `conflict` where it is not.
pub(super) fn restore(deleted_at: &mut Option<Timestamp>) -> Result<(), Problem> {
    match deleted_at.take() {
        Some(_) => Ok(()),
        None => Err(Problem::new(Code::Conflict).detail("it is not deleted")),
    }
}
