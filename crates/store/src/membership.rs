//! Memberships: what a user is in one project.
//! Knows nothing of what a role permits.

use pipecast_model::{ProjectId, Role, Timestamp, UserId};
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::{Attempt, missing_parent};
use crate::query::Direction;
use crate::writer::Tx;
use crate::{Reader, Result, Sight};

/// What a user is in one project.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Membership {
    /// Where.
    pub project_id: ProjectId,
    /// Who.
    pub user_id: UserId,
    /// Their name.
    pub user_name: String,
    /// What.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
    /// Counts its changes.
    pub version: i64,
}

/// Which memberships.
#[derive(Clone, Debug, Default)]
pub struct MembershipQuery {
    /// Only of these projects.
    pub sight: Sight,
    /// Only in this project.
    pub project: Option<ProjectId>,
    /// Only of this user.
    pub user: Option<UserId>,
    /// Only with this role.
    pub role: Option<Role>,
    /// Which way, by project and user.
    pub direction: Direction,
    /// Go on after this one.
    pub after: Option<(ProjectId, UserId)>,
    /// At most this many.
    pub limit: i64,
}

macro_rules! select_memberships {
    ($rest:literal) => {
        concat!(
            "SELECT m.project_id, m.user_id, u.name AS user_name, m.role, m.created_at, m.updated_at, m.version
            FROM memberships m
            JOIN projects j ON j.id = m.project_id
            JOIN users u ON u.id = m.user_id AND u.deleted_at IS NULL ",
            $rest
        )
    };
}

impl Reader {
    /// A page of memberships, by project and user.
    pub async fn list_memberships(&self, query: &MembershipQuery) -> Result<Vec<Membership>> {
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(select_memberships!("WHERE TRUE"));
            query.sight.limit_to_projects(&mut sql, "j");
            if let Some(project) = query.project {
                sql.push(" AND m.project_id = ").push_bind(project);
            }
            if let Some(user) = query.user {
                sql.push(" AND m.user_id = ").push_bind(user);
            }
            if let Some(role) = query.role {
                sql.push(" AND m.role = ").push_bind(role.word());
            }
            query.direction.page_by_two(&mut sql, ["m.project_id", "m.user_id"], query.after);
            sql.push_bind(query.limit).build_query_as().fetch_all(db).await
        })
        .attempted("list memberships")
    }

    /// What a user is in a project.
    pub async fn find_membership(&self, project: ProjectId, user: UserId) -> Result<Option<Membership>> {
        const SQL: &str = select_memberships!("WHERE m.project_id = $1 AND m.user_id = $2");
        on!(&self.on, |db| sqlx::query_as(SQL).bind(project).bind(user).fetch_optional(db).await).attempted("read a membership")
    }

    /// Whether there is such a project.
    pub async fn has_project(&self, id: ProjectId) -> Result<bool> {
        const SQL: &str = "SELECT count(*) FROM projects WHERE id = $1";
        let found: i64 = on!(&self.on, |db| sqlx::query_scalar(SQL).bind(id).fetch_one(db).await).attempted("look for a project")?;
        Ok(found > 0)
    }
}

impl Tx {
    /// A membership as this transaction sees it.
    pub async fn stored_membership(&mut self, project: ProjectId, user: UserId) -> Result<Option<Membership>> {
        const SQL: &str = select_memberships!("WHERE m.project_id = $1 AND m.user_id = $2");
        on!(&mut self.on, |db| sqlx::query_as(SQL).bind(project).bind(user).fetch_optional(&mut **db).await).attempted("read a membership")
    }

    /// Makes a user a member. `None` where they are one already; `Some(false)` where there is no such user or project.
    pub async fn add_membership(&mut self, project: ProjectId, user: UserId, role: Role) -> Result<Option<bool>> {
        const SQL: &str = "
            INSERT INTO memberships (user_id, project_id, role, created_at, updated_at, version) VALUES ($1, $2, $3, $4, $4, 1)
            ON CONFLICT DO NOTHING";
        let added = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user)
            .bind(project)
            .bind(role.word())
            .bind(Timestamp::now())
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()));
        Ok(missing_parent(added, "add a membership")?.map_or(Some(false), |rows| (rows == 1).then_some(true)))
    }

    /// Makes a member something else, if nobody has since `version`.
    pub async fn change_membership(&mut self, project: ProjectId, user: UserId, role: Role, version: i64) -> Result<bool> {
        const SQL: &str = "
            UPDATE memberships SET (role, updated_at, version) = ($3, $4, version + 1)
            WHERE user_id = $1 AND project_id = $2 AND version = $5";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user)
            .bind(project)
            .bind(role.word())
            .bind(Timestamp::now())
            .bind(version)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("change a membership")?;
        Ok(rows == 1)
    }

    /// Ends a membership, if nobody has changed it since `version`.
    pub async fn end_membership(&mut self, project: ProjectId, user: UserId, version: i64) -> Result<bool> {
        const SQL: &str = "DELETE FROM memberships WHERE user_id = $1 AND project_id = $2 AND version = $3";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user)
            .bind(project)
            .bind(version)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("end a membership")?;
        Ok(rows == 1)
    }
}
