//! Pipelines as the API shows them: with their project and their newest execution.
//! Knows nothing of how their rows come to be.

use pipecast_model::{ExecutionId, Host, Pipeline, PipelineId, Project, ProjectId, Status, Timestamp};
use sqlx::QueryBuilder;

use super::name_in_key;
use crate::engine::{Pool, on};
use crate::error::Attempt;
use crate::execution::executions_by_id;
use crate::query::{Direction, Sort, containing};
use crate::{PipelineQuery, Reader, Result};

macro_rules! select_pipelines {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.external_id, coalesce(p.given_name, p.name) AS name, p.url, p.last_execution_id, p.status, p.previous_status, p.seq, p.updated_at,
                p.project_id, j.external_id AS project_external_id, j.name AS project_name, j.url AS project_url, j.default_branch, s.host
            FROM pipelines p
            JOIN projects j ON j.id = p.project_id
            JOIN sources s ON s.id = j.source_id ",
            $rest
        )
    };
}

/// A pipeline with its project, for reading.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct PipelineView {
    pub(crate) id: PipelineId,
    external_id: String,
    name: Option<String>,
    url: Option<String>,
    pub(crate) last_execution_id: Option<ExecutionId>,
    pub(crate) status: Status,
    pub(crate) previous_status: Option<Status>,
    pub(crate) seq: i64,
    pub(crate) updated_at: Timestamp,
    project_id: ProjectId,
    project_external_id: String,
    project_name: Option<String>,
    project_url: Option<String>,
    default_branch: Option<String>,
    host: Host,
}

impl From<PipelineView> for Pipeline {
    /// Without its newest execution.
    fn from(view: PipelineView) -> Self {
        Pipeline {
            id: view.id,
            name: view.name.unwrap_or_else(|| name_in_key(&view.external_id).to_owned()),
            project: Project {
                id: view.project_id,
                name: view.project_name.unwrap_or(view.project_external_id),
                host: view.host,
                url: view.project_url,
                default_branch: view.default_branch,
            },
            url: view.url,
            status: view.status,
            last_execution: None,
            seq: view.seq,
        }
    }
}

impl Reader {
    /// One pipeline with its newest execution.
    pub async fn find_pipeline(&self, id: PipelineId) -> Result<Option<Pipeline>> {
        let views = pipelines_by_id(&self.on, &[id]).await?;
        Ok(with_newest(&self.on, views).await?.pop())
    }

    /// A page of pipelines, each with its time of change (the key of `PipelineQuery::after`).
    pub async fn list_pipelines(&self, query: &PipelineQuery) -> Result<Vec<(Timestamp, Pipeline)>> {
        let views: Vec<PipelineView> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(select_pipelines!("WHERE p.archived_at IS NULL AND j.archived_at IS NULL"));
            query.sight.limit_to_pipelines(&mut sql, "j", "p");
            if let Some(host) = query.host {
                sql.push(" AND s.host = ").push_bind(host.word());
            }
            if !query.statuses.is_empty() {
                let mut list = sql.push(" AND p.status IN (").separated(", ");
                for status in &query.statuses {
                    list.push_bind(status.word());
                }
                sql.push(")");
            }
            if let Some(text) = &query.text {
                let pattern = containing(text);
                sql.push(" AND (p.name_folded LIKE ").push_bind(pattern.clone());
                sql.push(" ESCAPE '\\' OR j.name_folded LIKE ").push_bind(pattern).push(" ESCAPE '\\')");
            }
            match query.sort {
                Sort::Newest => Direction::Down.page_by_two(&mut sql, ["p.updated_at", "p.id"], query.after),
                Sort::Id => Direction::Up.page(&mut sql, "p.id", query.after.map(|(_, id)| id)),
            }
            sql.push_bind(query.limit).build_query_as().fetch_all(db).await
        })
        .attempted("list pipelines")?;
        let changed: Vec<Timestamp> = views.iter().map(|view| view.updated_at).collect();
        Ok(changed.into_iter().zip(with_newest(&self.on, views).await?).collect())
    }
}

/// Pipelines as the API shows them, in the same order.
pub(crate) async fn with_newest(pool: &Pool, views: Vec<PipelineView>) -> Result<Vec<Pipeline>> {
    let newest: Vec<ExecutionId> = views.iter().filter_map(|view| view.last_execution_id).collect();
    let mut executions = executions_by_id(pool, &newest).await?;
    let shown = views.into_iter().map(|view| {
        let found = executions.iter().position(|row| Some(row.id) == view.last_execution_id);
        Pipeline {
            last_execution: found.map(|index| executions.swap_remove(index).into()),
            ..view.into()
        }
    });
    Ok(shown.collect())
}

/// These pipelines by id; ids without a row are left out.
pub(crate) async fn pipelines_by_id(pool: &Pool, ids: &[PipelineId]) -> Result<Vec<PipelineView>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    on!(pool, |db| {
        let mut sql = QueryBuilder::new(select_pipelines!("WHERE p.id IN ("));
        let mut list = sql.separated(", ");
        for id in ids {
            list.push_bind(id);
        }
        sql.push(") ORDER BY p.id").build_query_as().fetch_all(db).await
    })
    .attempted("read pipelines")
}
