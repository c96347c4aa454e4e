//! Reading the audit: pages of it, by who, what and when.
//! Knows nothing of hashes.

use pipecast_model::{ProjectId, Timestamp, UserId};
use sqlx::QueryBuilder;

use super::{Anchor, Row};
use crate::engine::on;
use crate::error::Attempt;
use crate::query::Direction;
use crate::user::folded;
use crate::{Reader, Result};

const COLUMNS: &str = "SELECT seq, at, actor, user_id, token_id, action, outcome, project_id, resource_type, resource_id, resource_label,
    before, after, ip, user_agent, request_id, hash FROM audit WHERE 1 = 1";

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only by this person, also through their tokens.
    pub user: Option<UserId>,
    /// Only by whoever has this name, or had it until they were deleted; compared without case.
    pub user_name: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<String>,
    /// Only on things of this kind…
    pub resource_type: Option<String>,
    /// …and only on the one with this id.
    pub resource_id: Option<String>,
    /// Only of this project.
    pub project: Option<ProjectId>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not at or after.
    pub until: Option<Timestamp>,
    /// Which way, by number.
    pub direction: Direction,
    /// Go on after the row of this number.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: i64,
}

impl Reader {
    /// A page of the audit.
    pub async fn list_audit(&self, query: &AuditQuery) -> Result<Vec<Row>> {
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(COLUMNS);
            if let Some(user) = query.user {
                sql.push(" AND user_id = ").push_bind(user);
            }
            if let Some(name) = &query.user_name {
                sql.push(" AND user_id IN (SELECT id FROM users WHERE name_folded = ")
                    .push_bind(folded(name))
                    .push(")");
            }
            let texts = [
                (" AND action = ", &query.action),
                (" AND outcome = ", &query.outcome),
                (" AND resource_type = ", &query.resource_type),
                (" AND resource_id = ", &query.resource_id),
            ];
            for (condition, text) in texts {
                if let Some(text) = text {
                    sql.push(condition).push_bind(text);
                }
            }
            if let Some(project) = query.project {
                sql.push(" AND project_id = ").push_bind(project);
            }
            if let Some(since) = query.since {
                sql.push(" AND at >= ").push_bind(since);
            }
            if let Some(until) = query.until {
                sql.push(" AND at < ").push_bind(until);
            }
            query.direction.page(&mut sql, "seq", query.after);
            sql.push_bind(query.limit);
            sql.build_query_as().fetch_all(db).await
        })
        .attempted("list the audit")
    }

    /// One row.
    pub async fn find_audit(&self, seq: i64) -> Result<Option<Row>> {
        let rows = self.list_audit_after(seq.saturating_sub(1), 1).await?;
        Ok(rows.into_iter().next().filter(|row| row.seq == seq))
    }

    /// Rows behind this number, the oldest first: for a whole copy.
    pub async fn list_audit_after(&self, seq: i64, limit: i64) -> Result<Vec<Row>> {
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(COLUMNS);
            sql.push(" AND seq > ").push_bind(seq);
            sql.push(" ORDER BY seq LIMIT ").push_bind(limit);
            sql.build_query_as().fetch_all(db).await
        })
        .attempted("read the audit")
    }

    /// The number of a row that stands before the first, where somebody has put one there.
    pub(super) async fn audit_before_first(&self) -> Result<Option<i64>> {
        const SQL: &str = "SELECT min(seq) FROM audit WHERE seq < 1";
        on!(&self.on, |db| sqlx::query_scalar(SQL).fetch_one(db).await).attempted("look before the audit")
    }

    /// The newest row as the head has it; `None` where the head is gone, which it never should be.
    pub async fn audit_head(&self) -> Result<Option<Anchor>> {
        const SQL: &str = "SELECT seq, hash FROM audit_head WHERE id = 1";
        let head: Option<(i64, String)> = on!(&self.on, |db| sqlx::query_as(SQL).fetch_optional(db).await).attempted("read the head of the audit")?;
        Ok(head.map(|(seq, hash)| Anchor { seq, hash }))
    }
}
