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
        /// By id; may be none. All of it.
        of: Vec<ProjectId>,
        /// And to every project that whoever is signed in may see, apart from its private pipelines.
        internal: bool,
    },
}

impl Sight {
    /// Nothing at all.
    pub const NOTHING: Sight = Sight::Projects {
        of: Vec::new(),
        internal: false,
    };

    /// Adds ` AND (…)` on the table `projects`, which the query calls `projects`, as in `"j"`: for rows that are of a project and of no pipeline.
    pub(crate) fn limit_to_projects<DB: Database>(&self, sql: &mut QueryBuilder<DB>, projects: &'static str)
    where
        ProjectId: for<'q> Encode<'q, DB> + Type<DB>,
    {
        self.limit(sql, projects, None);
    }

    /// The same for rows that are of a pipeline: also on the table `pipelines`, which the query calls `pipelines`, as in `"p"`.
    pub(crate) fn limit_to_pipelines<DB: Database>(&self, sql: &mut QueryBuilder<DB>, projects: &'static str, pipelines: &'static str)
    where
        ProjectId: for<'q> Encode<'q, DB> + Type<DB>,
    {
        self.limit(sql, projects, Some(pipelines));
    }

    fn limit<DB: Database>(&self, sql: &mut QueryBuilder<DB>, projects: &'static str, pipelines: Option<&'static str>)
    where
        ProjectId: for<'q> Encode<'q, DB> + Type<DB>,
    {
        let Sight::Projects { of, internal } = self else { return };
        sql.push(" AND (FALSE");
        if !of.is_empty() {
            sql.push(" OR ").push(projects).push(".id IN (");
            let mut ids = sql.separated(", ");
            for id in of {
                ids.push_bind(*id);
            }
            sql.push(")");
        }
        if *internal {
            sql.push(" OR (").push(projects).push(".visibility = 'internal'");
            if let Some(pipelines) = pipelines {
                // Asked for what is open and not for what is closed: a word that this build does not know shows nothing.
                sql.push(" AND ").push(pipelines).push(".visibility = 'project'");
            }
            sql.push(")");
        }
        sql.push(")");
    }
}
