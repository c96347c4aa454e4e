//! What somebody sees: the condition that every reading on somebody's behalf carries into its SQL.
//! Knows nothing of roles; whoever asks says which projects.

use pipecast_model::ProjectId;
use sqlx::{Database, Encode, QueryBuilder, Type};

/// Whose rows a reading returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sight {
    /// Everything.
    #[default]
    All,
    /// What belongs to these projects.
    Projects {
        /// By id; may be none.
        of: Vec<ProjectId>,
        /// And to every project that whoever is signed in may see.
        internal: bool,
    },
}

impl Sight {
    /// Nothing at all.
    pub const NOTHING: Sight = Sight::Projects {
        of: Vec::new(),
        internal: false,
    };

    /// Adds ` AND (…)` on the table `projects`, which the query calls `alias`, as in `"j"`.
    pub(crate) fn limit<DB: Database>(&self, sql: &mut QueryBuilder<DB>, alias: &'static str)
    where
        ProjectId: for<'q> Encode<'q, DB> + Type<DB>,
    {
        let Sight::Projects { of, internal } = self else { return };
        sql.push(" AND (FALSE");
        if !of.is_empty() {
            sql.push(" OR ").push(alias).push(".id IN (");
            let mut ids = sql.separated(", ");
            for id in of {
                ids.push_bind(*id);
            }
            sql.push(")");
        }
        if *internal {
            sql.push(" OR ").push(alias).push(".visibility = 'internal'");
        }
        sql.push(")");
    }
}
