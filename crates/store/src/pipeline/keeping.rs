//! What operators say of pipelines beside what deliveries tell: another name, who sees them, and that they are archived. No delivery changes it.
//! Knows nothing of who may say it.

use pipecast_model::{Host, PipelineId, PipelineVisibility, ProjectId, Status, Timestamp, Topic, Visibility};
use sqlx::QueryBuilder;

use super::name_in_key;
use crate::engine::on;
use crate::error::Attempt;
use crate::query::{ByNameOrId, containing};
use crate::writer::Tx;
use crate::{Reader, Result, Sight};

/// A pipeline as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPipeline {
    /// Its id.
    pub id: PipelineId,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// That project's name.
    pub project_name: String,
    /// Where it lives.
    pub host: Host,
    /// The name that it is shown by.
    pub name: String,
    /// The operator's name for it.
    pub given_name: Option<String>,
    /// Its name at the host.
    pub told_name: String,
    /// The status of its newest execution.
    pub status: Status,
    /// Who sees it of those who see its project.
    pub visibility: PipelineVisibility,
    /// Who sees its project.
    pub project_visibility: Visibility,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
    /// When anything of it changed last.
    pub updated_at: Timestamp,
    /// Counts its changes by operators.
    pub edition: i64,
}

/// What an operator may change of a pipeline: all of it, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineChange {
    /// The operator's name for it; none: the host's.
    pub given_name: Option<String>,
    /// Who sees it of those who see its project.
    pub visibility: PipelineVisibility,
    /// When it was archived; none: it is not.
    pub archived_at: Option<Timestamp>,
}

/// Which pipelines an operator looks for.
#[derive(Clone, Debug, Default)]
pub struct KeptPipelineQuery {
    /// Only those that somebody sees.
    pub sight: Sight,
    /// Only of this project.
    pub project: Option<ProjectId>,
    /// Only those of which this was said.
    pub visibility: Option<PipelineVisibility>,
    /// Only archived ones, or only others.
    pub archived: Option<bool>,
    /// Only whose name contains this, in any case.
    pub text: Option<String>,
    /// Whether by name in place of by id.
    pub sort: ByNameOrId,
    /// Go on after this row: its name in small letters, and its id.
    pub after: Option<(String, i64)>,
    /// At most this many.
    pub limit: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: PipelineId,
    project_id: ProjectId,
    project_name: String,
    host: Host,
    external_id: String,
    name: Option<String>,
    given_name: Option<String>,
    status: Status,
    visibility: PipelineVisibility,
    project_visibility: Visibility,
    archived_at: Option<Timestamp>,
    updated_at: Timestamp,
    edition: i64,
}

impl From<Row> for KeptPipeline {
    fn from(row: Row) -> Self {
        let told_name = row.name.unwrap_or_else(|| name_in_key(&row.external_id).to_owned());
        KeptPipeline {
            id: row.id,
            project: row.project_id,
            project_name: row.project_name,
            host: row.host,
            name: row.given_name.clone().unwrap_or_else(|| told_name.clone()),
            given_name: row.given_name,
            told_name,
            status: row.status,
            visibility: row.visibility,
            project_visibility: row.project_visibility,
            archived_at: row.archived_at,
            updated_at: row.updated_at,
            edition: row.edition,
        }
    }
}

const SELECT: &str = "
    SELECT p.id, p.project_id, coalesce(j.name, j.external_id) AS project_name, s.host, p.external_id, p.name, p.given_name, p.status,
        p.visibility, j.visibility AS project_visibility, p.archived_at, p.updated_at, p.edition
    FROM pipelines p
    JOIN projects j ON j.id = p.project_id
    JOIN sources s ON s.id = j.source_id ";

impl Reader {
    /// One pipeline, where somebody sees it.
    pub async fn find_kept_pipeline(&self, id: PipelineId, sight: &Sight) -> Result<Option<KeptPipeline>> {
        let row: Option<Row> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(SELECT);
            sql.push("WHERE p.id = ").push_bind(id);
            sight.limit_to_pipelines(&mut sql, "j", "p");
            sql.build_query_as().fetch_optional(db).await
        })
        .attempted("find a pipeline")?;
        Ok(row.map(KeptPipeline::from))
    }

    /// A page of pipelines that somebody sees.
    pub async fn list_kept_pipelines(&self, query: &KeptPipelineQuery) -> Result<Vec<KeptPipeline>> {
        let rows: Vec<Row> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(SELECT);
            sql.push("WHERE TRUE");
            query.sight.limit_to_pipelines(&mut sql, "j", "p");
            if let Some(project) = query.project {
                sql.push(" AND p.project_id = ").push_bind(project);
            }
            if let Some(visibility) = query.visibility {
                sql.push(" AND p.visibility = ").push_bind(visibility.word());
            }
            if let Some(archived) = query.archived {
                sql.push(if archived {
                    " AND p.archived_at IS NOT NULL"
                } else {
                    " AND p.archived_at IS NULL"
                });
            }
            if let Some(text) = &query.text {
                sql.push(" AND p.name_folded LIKE ").push_bind(containing(text)).push(" ESCAPE '\\'");
            }
            query.sort.page(&mut sql, ["p.id", "p.name_folded"], query.after.clone());
            sql.push_bind(query.limit).build_query_as().fetch_all(db).await
        })
        .attempted("list pipelines")?;
        Ok(rows.into_iter().map(KeptPipeline::from).collect())
    }
}

impl Tx {
    /// One pipeline as it is in this transaction.
    pub async fn kept_pipeline(&mut self, id: PipelineId) -> Result<Option<KeptPipeline>> {
        self.flush().await?;
        let row: Option<Row> = on!(&mut self.on, |db| {
            let mut sql = QueryBuilder::new(SELECT);
            sql.push("WHERE p.id = ").push_bind(id).build_query_as().fetch_optional(&mut **db).await
        })
        .attempted("find a pipeline")?;
        Ok(row.map(KeptPipeline::from))
    }

    /// Changes what operators say of a pipeline that is at this edition; returns the next one, or `None` where it is at another or gone. What is
    /// seen of it changes with it, so its topic gets its next sequence and is left dirty.
    pub async fn change_pipeline(&mut self, id: PipelineId, edition: i64, change: &PipelineChange) -> Result<Option<i64>> {
        const PROJECT: &str = "SELECT project_id FROM pipelines WHERE id = $1";
        const WRITE: &str = "
            UPDATE pipelines
            SET (given_name, visibility, archived_at, edition) = ($3, $4, $5, edition + 1)
            WHERE id = $1 AND edition = $2
            RETURNING edition";
        let project: Option<ProjectId> =
            on!(&mut self.on, |db| sqlx::query_scalar(PROJECT).bind(id).fetch_optional(&mut **db).await).attempted("find a pipeline")?;
        let Some(project) = project else { return Ok(None) };
        // Deliveries write the row under this lock, from what they have read under it.
        self.hold_project(project).await?;
        let next: Option<i64> = on!(&mut self.on, |db| sqlx::query_scalar(WRITE)
            .bind(id)
            .bind(edition)
            .bind(&change.given_name)
            .bind(change.visibility.word())
            .bind(change.archived_at)
            .fetch_optional(&mut **db)
            .await)
        .attempted("change a pipeline")?;
        if next.is_some() {
            self.count_pipeline(id).await?;
        }
        Ok(next)
    }

    /// Gives a pipeline that looks different now its next sequence. Needs the lock of its project.
    pub(crate) async fn count_pipeline(&mut self, id: PipelineId) -> Result<()> {
        self.known.pipeline_rows.remove(&id);
        let mut row = self.stored_pipeline(id).await?;
        row.previous_status = None;
        row.seq += 1;
        row.updated_at = Timestamp::now();
        let changed = (Topic::Pipeline(id), row.seq);
        self.keep_pipeline(row);
        self.record_topics(None, vec![changed]);
        Ok(())
    }

    /// What an operator said of a pipeline that is to go is said of the one that takes its place, unless something was said of that one; but a
    /// private one is taken in by no other without making it private, or its executions would be shown. Returns whether there was something to
    /// say; then the row has to be written once more, by what it is shown as now. Call `flush` first.
    pub(crate) async fn inherit_pipeline(&mut self, from: PipelineId, to: PipelineId) -> Result<bool> {
        const SQL: &str = "
            UPDATE pipelines
            SET (given_name, visibility, archived_at, edition)
                = (SELECT f.given_name, f.visibility, f.archived_at, f.edition FROM pipelines f WHERE f.id = $1)
            WHERE id = $2 AND edition = 1 AND EXISTS (SELECT 1 FROM pipelines f WHERE f.id = $1 AND f.edition > 1)";
        const NARROW: &str = "
            UPDATE pipelines
            SET (visibility, edition) = ('private', edition + 1)
            WHERE id = $2 AND visibility <> 'private' AND EXISTS (SELECT 1 FROM pipelines f WHERE f.id = $1 AND f.visibility = 'private')";
        let mut said = 0;
        for sql in [SQL, NARROW] {
            said += on!(&mut self.on, |db| sqlx::query(sql)
                .bind(from)
                .bind(to)
                .execute(&mut **db)
                .await
                .map(|done| done.rows_affected()))
            .attempted("hand on what was said of a pipeline")?;
        }
        self.known.pipeline_rows.remove(&to);
        Ok(said > 0)
    }
}
