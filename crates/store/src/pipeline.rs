//! Pipelines: which one an execution belongs to, and the status that follows from its newest execution.
//! Knows nothing of jobs. How a pipeline is shown lies in `view`.

pub(crate) mod keeping;
pub(crate) mod newest;
pub(crate) mod view;

use pipecast_model::{ExecutionId, PipelineFacts, PipelineId, PipelineKey, ProjectId, Status, Timestamp};
use sqlx::QueryBuilder;

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::stamps::{Record, StampColumns, Stamping, Stamps};
use crate::writer::Tx;

/// Rows in one statement.
const ROWS: usize = 100;

/// Where executions go that were never told a pipeline.
const NAMELESS: &str = "CI";

/// A pipeline's row, for writing.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct PipelineRow {
    pub(crate) id: PipelineId,
    project_id: ProjectId,
    pub(crate) external_id: String,
    #[sqlx(flatten)]
    pub(crate) columns: PipelineColumns,
    /// The operator's name; read, to be found by, and never written from here.
    given_name: Option<String>,
    pub(crate) last_execution_id: Option<ExecutionId>,
    pub(crate) status: Status,
    pub(crate) previous_status: Option<Status>,
    pub(crate) seq: i64,
    pub(crate) updated_at: Timestamp,
    #[sqlx(flatten)]
    pub(crate) stamps: StampColumns,
}

/// What of it is told by deliveries.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct PipelineColumns {
    pub(crate) name: Option<String>,
    url: Option<String>,
}

impl Record for PipelineColumns {
    type Facts = PipelineFacts;

    fn columns(facts: &PipelineFacts, stamps: &mut Stamping) -> Self {
        PipelineColumns {
            name: stamps.value("name", &facts.name),
            url: stamps.value("url", &facts.url),
        }
    }

    fn facts(self, told: &PipelineFacts, stamps: &Stamps) -> PipelineFacts {
        PipelineFacts {
            key: told.key.clone(),
            name: stamps.told("name", self.name),
            url: stamps.told("url", self.url),
        }
    }

    fn merge(told: PipelineFacts, stored: PipelineFacts) -> PipelineFacts {
        told.merge(stored)
    }
}

impl PipelineRow {
    /// Everything that was told of it.
    pub(crate) fn facts(&self) -> Result<PipelineFacts> {
        let like = PipelineFacts {
            key: parse_key(&self.external_id),
            name: Default::default(),
            url: Default::default(),
        };
        Ok(self.columns.clone().facts(&like, &self.stamps.parse()?))
    }
}

/// A key as it stands in `pipelines.external_id` and `executions.pipeline_key`.
pub(crate) fn key_text(key: &PipelineKey) -> String {
    match key {
        PipelineKey::Named(name) => format!("name:{name}"),
        PipelineKey::Id(id) => format!("id:{id}"),
    }
}

/// The key of such a text.
pub(crate) fn parse_key(text: &str) -> PipelineKey {
    match text.split_once(':') {
        Some(("id", id)) => PipelineKey::Id(id.to_owned()),
        Some((_, name)) => PipelineKey::Named(name.to_owned()),
        None => PipelineKey::Named(text.to_owned()),
    }
}

/// What a pipeline is called while nobody has told its name.
fn name_in_key(external_id: &str) -> &str {
    external_id.split_once(':').map_or(external_id, |(_, name)| name)
}

// All of these need the lock of the project, which `record_project` and `hold_project` take.
impl Tx {
    /// The pipeline of a key, created where it is missing.
    pub(crate) async fn resolve_pipeline(&mut self, project: ProjectId, key: Option<PipelineKey>) -> Result<PipelineId> {
        let key = key.unwrap_or_else(|| PipelineKey::Named(NAMELESS.to_owned()));
        if let Some(id) = self.pipeline_of(project, &key).await? {
            return Ok(id);
        }
        const SQL: &str = "
            INSERT INTO pipelines (project_id, external_id, name_folded, status, seq, updated_at, stamps)
            VALUES ($1, $2, $3, 'unknown', 0, $4, '{}')
            RETURNING id";
        let text = key_text(&key);
        let id = on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(project)
            .bind(&text)
            .bind(name_in_key(&text).to_lowercase())
            .bind(Timestamp::now())
            .fetch_one(&mut **db)
            .await)
        .attempted("record a pipeline")?;
        self.known.pipelines.insert((project, key), id);
        Ok(id)
    }

    /// The pipeline of a key, if there is one: a name means whichever pipeline was told to have it, the oldest first.
    pub(crate) async fn pipeline_of(&mut self, project: ProjectId, key: &PipelineKey) -> Result<Option<PipelineId>> {
        let place = (project, key.clone());
        if let Some(id) = self.known.pipelines.get(&place) {
            return Ok(Some(*id));
        }
        const SQL: &str = "SELECT id FROM pipelines WHERE project_id = $1 AND (external_id = $2 OR name = $3) ORDER BY id LIMIT 1";
        let name = match key {
            PipelineKey::Named(name) => Some(name),
            PipelineKey::Id(_) => None,
        };
        let id: Option<PipelineId> = on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(project)
            .bind(key_text(key))
            .bind(name)
            .fetch_optional(&mut **db)
            .await)
        .attempted("find the pipeline of an execution")?;
        if let Some(id) = id {
            self.known.pipelines.insert(place, id);
        }
        Ok(id)
    }

    /// The pipeline that executions share which know no more than this name.
    pub(crate) async fn pipeline_by_name_alone(&mut self, project: ProjectId, name: &str) -> Result<Option<PipelineId>> {
        const SQL: &str = "SELECT id FROM pipelines WHERE project_id = $1 AND external_id = $2";
        let text = key_text(&PipelineKey::Named(name.to_owned()));
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(project)
            .bind(text)
            .fetch_optional(&mut **db)
            .await)
        .attempted("find a pipeline by its name")
    }

    /// A pipeline's row.
    pub(crate) async fn stored_pipeline(&mut self, id: PipelineId) -> Result<PipelineRow> {
        if let Some(row) = self.known.pipeline_rows.get(&id) {
            return Ok(row.clone());
        }
        const SQL: &str = "
            SELECT id, project_id, external_id, name, url, given_name, last_execution_id, status, previous_status, seq, updated_at, version, stamps
            FROM pipelines
            WHERE id = $1";
        let row: PipelineRow = on!(&mut self.on, |db| sqlx::query_as(SQL).bind(id).fetch_one(&mut **db).await).attempted("read a pipeline")?;
        self.known.pipeline_rows.insert(id, row.clone());
        Ok(row)
    }

    /// Keeps a pipeline's row until it is written.
    pub(crate) fn keep_pipeline(&mut self, row: PipelineRow) {
        self.unwritten.pipelines.insert(row.id);
        self.known.pipeline_rows.insert(row.id, row);
    }

    /// Writes the rows of pipelines that wait for it.
    pub(crate) async fn write_pipelines(&mut self) -> Result<()> {
        const ADD: &str = "
            INSERT INTO pipelines (id, project_id, external_id, name, name_folded, url, last_execution_id, status, previous_status, seq,
                updated_at, version, stamps) ";
        const REPLACE: &str = "
            ON CONFLICT (id) DO UPDATE
            SET (name, name_folded, url, last_execution_id, status, previous_status, seq, updated_at, version, stamps)
                = (excluded.name, excluded.name_folded, excluded.url, excluded.last_execution_id, excluded.status, excluded.previous_status,
                    excluded.seq, excluded.updated_at, excluded.version, excluded.stamps)";
        let waiting = std::mem::take(&mut self.unwritten.pipelines);
        let rows: Vec<&PipelineRow> = waiting.iter().filter_map(|id| self.known.pipeline_rows.get(id)).collect();
        for rows in rows.chunks(ROWS) {
            on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new(ADD);
                sql.push_values(rows, |mut values, row| {
                    let shown = row.given_name.as_deref().or(row.columns.name.as_deref());
                    let folded = shown.unwrap_or_else(|| name_in_key(&row.external_id)).to_lowercase();
                    values
                        .push_bind(row.id)
                        .push_bind(row.project_id)
                        .push_bind(&row.external_id)
                        .push_bind(&row.columns.name)
                        .push_bind(folded)
                        .push_bind(&row.columns.url)
                        .push_bind(row.last_execution_id)
                        .push_bind(row.status.word())
                        .push_bind(row.previous_status.map(Status::word))
                        .push_bind(row.seq)
                        .push_bind(row.updated_at)
                        .push_bind(&row.stamps.version)
                        .push_bind(&row.stamps.stamps);
                });
                sql.push(REPLACE).build().execute(&mut **db).await.map(drop)
            })
            .attempted("record pipelines")?;
        }
        Ok(())
    }

    /// Takes a pipeline away that no execution is left in.
    pub(crate) async fn delete_pipeline(&mut self, id: PipelineId) -> Result<()> {
        const SQL: &str = "DELETE FROM pipelines WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL).bind(id).execute(&mut **db).await.map(drop)).attempted("take away an empty pipeline")?;
        self.known.pipeline_rows.remove(&id);
        self.unwritten.pipelines.remove(&id);
        self.known.newest.remove(&id);
        self.known.pipelines.clear();
        Ok(())
    }

    /// Every pipeline of a project.
    pub(crate) async fn pipelines_of(&mut self, project: ProjectId) -> Result<Vec<PipelineId>> {
        const SQL: &str = "SELECT id FROM pipelines WHERE project_id = $1 ORDER BY id";
        on!(&mut self.on, |db| sqlx::query_scalar(SQL).bind(project).fetch_all(&mut **db).await).attempted("list the pipelines of a project")
    }
}
