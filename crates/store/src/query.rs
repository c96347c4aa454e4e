//! Which rows a list wants: filters, order and the key after which it goes on.

use pipecast_model::{ExecutionId, Host, PipelineId, Status, Timestamp};
use sqlx::{Database, Encode, QueryBuilder, Type};

use crate::Sight;

/// Which way a list goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// The smallest first, which is the oldest.
    Up,
    /// The greatest first, which is the newest: so go lists where nothing is said.
    #[default]
    Down,
}

impl Direction {
    /// How rows that come later compare with one before them.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Direction::Up => ">",
            Direction::Down => "<",
        }
    }

    /// What stands behind a column that a list is ordered by.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Direction::Up => "",
            Direction::Down => " DESC",
        }
    }

    /// Ends a query: one condition more, to go on after a row, the order by a column that no two rows have alike, and `LIMIT` without its number.
    pub(crate) fn page<DB: Database, K>(self, sql: &mut QueryBuilder<DB>, key: &'static str, after: Option<K>)
    where
        K: for<'q> Encode<'q, DB> + Type<DB>,
    {
        let (sign, down) = (self.sign(), self.suffix());
        if let Some(after) = after {
            sql.push(format!(" AND {key} {sign} ")).push_bind(after);
        }
        sql.push(format!(" ORDER BY {key}{down} LIMIT "));
    }

    /// The same by two columns, that no two rows have both alike.
    pub(crate) fn page_by_two<DB: Database, A, B>(self, sql: &mut QueryBuilder<DB>, [first, second]: [&'static str; 2], after: Option<(A, B)>)
    where
        A: for<'q> Encode<'q, DB> + Type<DB>,
        B: for<'q> Encode<'q, DB> + Type<DB>,
    {
        let (sign, down) = (self.sign(), self.suffix());
        if let Some((one, other)) = after {
            sql.push(format!(" AND ({first}, {second}) {sign} (")).push_bind(one);
            sql.push(", ").push_bind(other).push(")");
        }
        sql.push(format!(" ORDER BY {first}{down}, {second}{down} LIMIT "));
    }
}

/// The order of what has a name and an id, in a list for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByNameOrId {
    /// By id, the smallest first.
    #[default]
    Id,
    /// By id, the greatest first.
    Newest,
    /// By name in small letters, then by id; what has no name first.
    Name,
    /// The other way round.
    NameDown,
}

impl ByNameOrId {
    /// Ends a query as [`Direction::page`] does; `id` and `name` are the columns of the id and of the name in small letters.
    pub(crate) fn page<DB: Database, I>(self, sql: &mut QueryBuilder<DB>, [id, name]: [&'static str; 2], after: Option<(String, I)>)
    where
        I: for<'q> Encode<'q, DB> + Type<DB>,
        String: for<'q> Encode<'q, DB> + Type<DB>,
    {
        match self {
            ByNameOrId::Id => Direction::Up.page(sql, id, after.map(|(_, id)| id)),
            ByNameOrId::Newest => Direction::Down.page(sql, id, after.map(|(_, id)| id)),
            ByNameOrId::Name => Direction::Up.page_by_two(sql, [name, id], after),
            ByNameOrId::NameDown => Direction::Down.page_by_two(sql, [name, id], after),
        }
    }
}

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
