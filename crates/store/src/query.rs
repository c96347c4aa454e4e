//! Which rows a list wants: filters, order and the key after which it goes on.

use pipecast_model::{ExecutionId, Host, PipelineId, Status, Timestamp};

use crate::Sight;

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Last changed first.
    #[default]
    Newest,
    /// By id, the smallest first.
    Id,
}

/// Whether deleted ones are in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// They are not.
    #[default]
    Hidden,
    /// Only they are.
    Only,
    /// They are, too.
    Included,
}

impl Deleted {
    /// The same as a condition, for a query in which one table has `deleted_at`.
    pub(crate) fn condition(self) -> &'static str {
        match self {
            Deleted::Hidden => "deleted_at IS NULL",
            Deleted::Only => "deleted_at IS NOT NULL",
            Deleted::Included => "TRUE",
        }
    }
}

/// Which pipelines.
#[derive(Clone, Debug, Default)]
pub struct PipelineQuery {
    /// Only of these projects.
    pub sight: Sight,
    /// Only of this host.
    pub host: Option<Host>,
    /// Only with one of these statuses; empty is all.
    pub statuses: Vec<Status>,
    /// Only whose name or project contains this, in any case.
    pub text: Option<String>,
    /// The order.
    pub sort: Sort,
    /// Go on after this row: its time of change and its id.
    pub after: Option<(Timestamp, PipelineId)>,
    /// At most this many.
    pub limit: i64,
}

/// Which executions. Always the highest number and attempt first.
#[derive(Clone, Debug, Default)]
pub struct ExecutionQuery {
    /// Only of this pipeline.
    pub pipeline: Option<PipelineId>,
    /// Only with one of these statuses; empty is all.
    pub statuses: Vec<Status>,
    /// Only of this branch.
    pub branch: Option<String>,
    /// Go on after this row: its number (0 where it has none), ordinal, attempt and id, as `Reader::list_executions` returned them.
    pub after: Option<(i64, i64, i64, ExecutionId)>,
    /// At most this many.
    pub limit: i64,
}

/// A pattern for whatever contains this text, in lower case.
pub(crate) fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}
