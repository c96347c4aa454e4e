//! Retention policies: projects whose deliveries are kept for another time than everywhere.
//! Knows nothing of how rows are taken away (see `prune`).

use pipecast_model::{ProjectId, Timestamp};
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::Attempt;
use crate::query::Direction;
use crate::writer::Tx;
use crate::{Reader, Result};

/// Most policies that there are: each tidying reads all of them.
pub const MOST_POLICIES: i64 = 10_000;

/// How long what is kept of a project.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct RetentionPolicy {
    /// Whose.
    pub project_id: ProjectId,
    /// Bodies of its deliveries, in microseconds; none: as everywhere.
    pub bodies: Option<i64>,
    /// Its part of the ledger, in microseconds; none: as everywhere.
    pub deliveries: Option<i64>,
    /// How often it was changed.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What became of a policy that was to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadePolicy {
    /// It is there.
    Made(RetentionPolicy),
    /// The project has one.
    Taken,
    /// There is no such project.
    NoProject,
    /// There are [`MOST_POLICIES`].
    Full,
}

/// Which policies.
#[derive(Clone, Debug, Default)]
pub struct PolicyQuery {
    /// Only of this project.
    pub project: Option<ProjectId>,
    /// Which way, by project.
    pub direction: Direction,
    /// Go on after this one.
    pub after: Option<ProjectId>,
    /// At most this many.
    pub limit: i64,
}

impl Reader {
    /// A page of policies by project.
    pub async fn list_retention_policies(&self, query: &PolicyQuery) -> Result<Vec<RetentionPolicy>> {
        const SQL: &str = "
            SELECT project_id, bodies, deliveries, version, created_at, updated_at
            FROM retention_policies
            WHERE TRUE";
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(SQL);
            if let Some(project) = query.project {
                sql.push(" AND project_id = ").push_bind(project);
            }
            query.direction.page(&mut sql, "project_id", query.after);
            sql.push_bind(query.limit).build_query_as().fetch_all(db).await
        })
        .attempted("list retention policies")
    }

    /// The policy of a project.
    pub async fn find_retention_policy(&self, project: ProjectId) -> Result<Option<RetentionPolicy>> {
        const SQL: &str = "
            SELECT project_id, bodies, deliveries, version, created_at, updated_at
            FROM retention_policies
            WHERE project_id = $1";
        on!(&self.on, |db| sqlx::query_as(SQL).bind(project).fetch_optional(db).await).attempted("find a retention policy")
    }
}

impl Tx {
    /// Makes the policy of a project, unless there are as many as are heeded.
    pub async fn create_retention_policy(&mut self, project: ProjectId, bodies: Option<i64>, deliveries: Option<i64>) -> Result<MadePolicy> {
        // Two at once would both see that there is room for one more, so each has to write this row first.
        const LOCK: &str = "UPDATE meta SET value = value WHERE key = 'works_from'";
        const COUNT: &str = "SELECT count(*) FROM retention_policies";
        const PROJECT: &str = "SELECT count(*) FROM projects WHERE id = $1";
        const SQL: &str = "
            INSERT INTO retention_policies (project_id, bodies, deliveries, version, created_at, updated_at)
            SELECT id, $2, $3, 1, $4, $4
            FROM projects
            WHERE id = $1
            ON CONFLICT DO NOTHING
            RETURNING project_id, bodies, deliveries, version, created_at, updated_at";
        on!(&mut self.on, |db| sqlx::query(LOCK).execute(&mut **db).await.map(drop)).attempted("lock the retention policies")?;
        let count: i64 = on!(&mut self.on, |db| sqlx::query_scalar(COUNT).fetch_one(&mut **db).await).attempted("count the retention policies")?;
        if count >= MOST_POLICIES {
            return Ok(MadePolicy::Full);
        }
        let made: Option<RetentionPolicy> = on!(&mut self.on, |db| sqlx::query_as(SQL)
            .bind(project)
            .bind(bodies)
            .bind(deliveries)
            .bind(Timestamp::now())
            .fetch_optional(&mut **db)
            .await)
        .attempted("make a retention policy")?;
        if let Some(policy) = made {
            return Ok(MadePolicy::Made(policy));
        }
        let projects: i64 = on!(&mut self.on, |db| sqlx::query_scalar(PROJECT).bind(project).fetch_one(&mut **db).await).attempted("look for a project")?;
        Ok(if projects == 0 { MadePolicy::NoProject } else { MadePolicy::Taken })
    }

    /// Changes one that still has its version. `None` where it has another one, or is gone.
    pub async fn update_retention_policy(&mut self, policy: &RetentionPolicy) -> Result<Option<RetentionPolicy>> {
        const SQL: &str = "
            UPDATE retention_policies
            SET (bodies, deliveries, version, updated_at) = ($3, $4, version + 1, $5)
            WHERE project_id = $1 AND version = $2
            RETURNING project_id, bodies, deliveries, version, created_at, updated_at";
        on!(&mut self.on, |db| sqlx::query_as(SQL)
            .bind(policy.project_id)
            .bind(policy.version)
            .bind(policy.bodies)
            .bind(policy.deliveries)
            .bind(Timestamp::now())
            .fetch_optional(&mut **db)
            .await)
        .attempted("change a retention policy")
    }

    /// Takes one away that still has this version. `false` where it has another one, or is gone.
    pub async fn delete_retention_policy(&mut self, project: ProjectId, version: i64) -> Result<bool> {
        const SQL: &str = "DELETE FROM retention_policies WHERE project_id = $1 AND version = $2";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(project)
            .bind(version)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("delete a retention policy")?;
        Ok(rows == 1)
    }
}
