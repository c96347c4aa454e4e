//! Bringing things over from another installation as lines of text: what an import does with each line, told before it is done.
//! Knows nothing of single resources.

use serde::Serialize;

/// Most lines of one import.
pub const MOST: usize = 5_000;

/// Rows that are read at once for an export.
pub(crate) const PAGE: i64 = 500;

/// Some lines of an export.
pub struct Exported<T, P> {
    /// They themselves.
    pub lines: Vec<T>,
    /// Behind which place the others are; none: these are the last.
    pub next: Option<P>,
}

impl<T, P> Exported<T, P> {
    /// The lines of these rows, of which `place` says where each is.
    pub(crate) fn of<R>(rows: Vec<R>, place: impl FnOnce(&R) -> P, line: impl Fn(R) -> T) -> Exported<T, P> {
        let is_last = i64::try_from(rows.len()).is_ok_and(|length| length < PAGE);
        Exported {
            next: rows.last().filter(|_| !is_last).map(place),
            lines: rows.into_iter().map(line).collect(),
        }
    }
}

/// Whether an import is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// Only what it would do is wanted.
    Dry,
    /// It is.
    Real,
}

/// What an import does with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ImportAction)]
pub enum Action {
    /// Something is made.
    Create,
    /// Something that is there is changed.
    Update,
    /// What is there is like that already.
    Keep,
    /// Nothing is done: it is not here, or not the caller's to make.
    Skip,
}

/// What something lacks after an import, because no export has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// A source without a secret: none of its deliveries is believed.
    Secret,
    /// An account without a password: nobody can log in by it.
    Password,
    /// A source whose key was that of one that was deleted for good: nothing is ever delivered there again, so it is passed over, and
    /// has to be made under another key.
    Key,
}

/// One step of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ImportStep)]
pub struct Step {
    /// Which line of what was sent, from 1; empty ones count.
    #[schema(example = 1)]
    pub line: usize,
    /// What it is about, by which it is known again.
    #[schema(example = "github k5v2m7q3x4c6z2n5b7a3s4d6f2")]
    pub thing: String,
    /// What is done.
    pub action: Action,
    /// Which of its members become others.
    #[schema(value_type = Vec<String>, example = json!(["name"]))]
    pub changes: Vec<&'static str>,
    /// What it has to be given afterwards.
    pub needs: Option<Need>,
}

/// The names of the members that are different.
pub(crate) fn different<const N: usize>(members: [(&'static str, bool); N]) -> Vec<&'static str> {
    members.into_iter().filter_map(|(member, is_other)| is_other.then_some(member)).collect()
}
