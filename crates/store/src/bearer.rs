//! Bearers: whether a session or a token is good now, whose it is, and what that user is where. One query each, asked again every few
//! seconds by whoever lets somebody in.
//! Knows nothing of what a role permits.

use pipecast_model::{ExecutionId, JobId, PipelineId, ProjectId, Role, SessionId, Timestamp, TokenId, UserId};

use crate::engine::on;
use crate::error::Attempt;
use crate::{Reader, Result};

/// What somebody came in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Credential {
    /// A session.
    Session(SessionId),
    /// A token of a program.
    Token(TokenId),
}

/// Who came in with a credential that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Who.
    pub user: UserId,
    /// What they log in with.
    pub name: String,
    /// What they are everywhere.
    pub role: Option<Role>,
    /// What they are in single projects.
    pub memberships: Vec<(ProjectId, Role)>,
    /// What a token is limited to; `None` for a session.
    pub limits: Option<Limits>,
    /// When the credential ends by itself.
    pub expires_at: Timestamp,
}

/// What a token is limited to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Permissions with spaces between.
    pub scopes: String,
    /// Only in this project.
    pub project: Option<ProjectId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: UserId,
    name: String,
    role: Option<Role>,
    expires_at: Timestamp,
    scopes: Option<String>,
    project_id: Option<ProjectId>,
}

impl Reader {
    /// Who bears a credential; `None` where the credential has ended or its user may not come in.
    pub async fn find_bearer(&self, credential: Credential) -> Result<Option<Bearer>> {
        const OF_SESSION: &str = "
            SELECT s.user_id, u.name, u.role, s.expires_at, CAST(NULL AS TEXT) AS scopes, CAST(NULL AS BIGINT) AS project_id
            FROM sessions s
            JOIN users u ON u.id = s.user_id
            WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND u.disabled_at IS NULL AND u.deleted_at IS NULL";
        const OF_TOKEN: &str = "
            SELECT t.user_id, u.name, u.role, t.expires_at, t.scopes, t.project_id
            FROM api_tokens t
            JOIN users u ON u.id = t.user_id
            WHERE t.id = $1 AND t.revoked_at IS NULL AND t.expires_at > $2 AND u.disabled_at IS NULL AND u.deleted_at IS NULL";
        const MEMBERSHIPS: &str = "SELECT project_id, role FROM memberships WHERE user_id = $1 ORDER BY project_id";
        const ATTEMPTED: &str = "read who bears a credential";
        let (sql, id) = match credential {
            Credential::Session(SessionId(id)) => (OF_SESSION, id),
            Credential::Token(TokenId(id)) => (OF_TOKEN, id),
        };
        let now = Timestamp::now();
        let row: Option<Row> = on!(&self.on, |db| sqlx::query_as(sql).bind(id).bind(now).fetch_optional(db).await).attempted(ATTEMPTED)?;
        let Some(row) = row else { return Ok(None) };
        let memberships: Vec<(ProjectId, Role)> = on!(&self.on, |db| sqlx::query_as(MEMBERSHIPS).bind(row.user_id).fetch_all(db).await).attempted(ATTEMPTED)?;
        Ok(Some(Bearer {
            user: row.user_id,
            name: row.name,
            role: row.role,
            memberships,
            limits: row.scopes.map(|scopes| Limits {
                scopes,
                project: row.project_id,
            }),
            expires_at: row.expires_at,
        }))
    }

    /// Projects that whoever is signed in may see, by id, each once for every pipeline of it that they may not, or once with none. One query, so
    /// that no project is there without what is private in it.
    pub async fn list_internal_projects(&self) -> Result<Vec<(ProjectId, Option<PipelineId>)>> {
        const SQL: &str = "
            SELECT j.id, p.id
            FROM projects j
            LEFT JOIN pipelines p ON p.project_id = j.id AND p.visibility <> 'project'
            WHERE j.visibility = 'internal'
            ORDER BY j.id, p.id";
        on!(&self.on, |db| sqlx::query_as(SQL).fetch_all(db).await).attempted("list projects that everybody sees")
    }
}

macro_rules! home_of {
    ($name:ident, $id:ident, $home:ident, $sql:literal, $doc:literal) => {
        impl Reader {
            #[doc = $doc]
            pub async fn $name(&self, id: $id) -> Result<Option<$home>> {
                const SQL: &str = $sql;
                on!(&self.on, |db| sqlx::query_scalar(SQL).bind(id).fetch_optional(db).await).attempted("find what a thing belongs to")
            }
        }
    };
}

home_of!(
    project_of_pipeline,
    PipelineId,
    ProjectId,
    "SELECT project_id FROM pipelines WHERE id = $1",
    "The project that a pipeline belongs to; never another one later."
);
home_of!(
    project_of_execution,
    ExecutionId,
    ProjectId,
    "SELECT project_id FROM executions WHERE id = $1",
    "The project that an execution belongs to; never another one later."
);
home_of!(
    project_of_job,
    JobId,
    ProjectId,
    "SELECT e.project_id FROM jobs j JOIN executions e ON e.id = j.execution_id WHERE j.id = $1",
    "The project that a job belongs to; never another one later."
);
home_of!(
    pipeline_of_execution,
    ExecutionId,
    PipelineId,
    "SELECT pipeline_id FROM executions WHERE id = $1",
    "The pipeline that an execution belongs to now; deliveries may tell of another one."
);
home_of!(
    pipeline_of_job,
    JobId,
    PipelineId,
    "SELECT e.pipeline_id FROM jobs j JOIN executions e ON e.id = j.execution_id WHERE j.id = $1",
    "The pipeline that a job belongs to now; deliveries may tell of another one."
);
