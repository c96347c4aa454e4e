//! What operators say of projects beside what deliveries tell: who sees them, and that they are archived. No delivery changes it.
//! Knows nothing of who may say it.

use pipecast_model::{Host, ProjectId, ProjectPlace, SourceId, Timestamp, Visibility};
use sqlx::{Database, Encode, QueryBuilder, Type};

use crate::engine::on;
use crate::error::Attempt;
use crate::query::{ByNameOrId, containing};
use crate::writer::Tx;
use crate::{Reader, Result, Sight};

/// A project as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KeptProject {
    /// Its id.
    pub id: ProjectId,
    /// The source that tells of it.
    pub source_id: SourceId,
    /// That source's key.
    pub source_key: String,
    /// Where it lives.
    pub host: Host,
    /// Its id at the host.
    pub external_id: String,
    /// Its full name at the host.
    pub name: String,
    /// Its page at the host.
    pub url: Option<String>,
    /// Its default branch at the host.
    pub default_branch: Option<String>,
    /// Who sees it without being its member.
    pub visibility: Visibility,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
    /// Pipelines that it has, of those that whoever reads it sees.
    pub pipelines: i64,
    /// Counts its changes by operators.
    pub edition: i64,
}

/// What an operator may change of a project: all of it, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectChange {
    /// Who sees it without being its member.
    pub visibility: Visibility,
    /// When it was archived; none: it is not.
    pub archived_at: Option<Timestamp>,
}

/// Which projects somebody looks for.
#[derive(Clone, Debug, Default)]
pub struct KeptProjectQuery {
    /// Only those that they see.
    pub sight: Sight,
    /// Only of this host.
    pub host: Option<Host>,
    /// Only of this source.
    pub source: Option<SourceId>,
    /// Only archived ones, or only others.
    pub archived: Option<bool>,
    /// Only whose name contains this, in any case.
    pub text: Option<String>,
    /// The order.
    pub sort: ByNameOrId,
    /// Go on after this row: its name in small letters, and its id.
    pub after: Option<(String, i64)>,
    /// At most this many.
    pub limit: i64,
}

/// Projects with the number of their pipelines, of which those count that `sight` shows: one more would tell that there is one.
fn select<DB: Database>(sight: &Sight) -> QueryBuilder<DB>
where
    ProjectId: for<'q> Encode<'q, DB> + Type<DB>,
{
    const COLUMNS: &str = "
        SELECT j.id, j.source_id, s.key AS source_key, s.host, j.external_id, coalesce(j.name, j.external_id) AS name, j.url, j.default_branch,
            j.visibility, j.archived_at, j.edition, (SELECT count(*) FROM pipelines p WHERE p.project_id = j.id";
    const TABLES: &str = ") AS pipelines
        FROM projects j
        JOIN sources s ON s.id = j.source_id ";
    let mut sql = QueryBuilder::new(COLUMNS);
    sight.limit_to_pipelines(&mut sql, "j", "p");
    sql.push(TABLES);
    sql
}

impl Reader {
    /// One project, where somebody sees it.
    pub async fn find_kept_project(&self, id: ProjectId, sight: &Sight) -> Result<Option<KeptProject>> {
        on!(&self.on, |db| {
            let mut sql = select(sight);
            sql.push("WHERE j.id = ").push_bind(id);
            sight.limit_to_projects(&mut sql, "j");
            sql.build_query_as().fetch_optional(db).await
        })
        .attempted("find a project")
    }

    /// Where a project lives.
    pub async fn find_place_of_project(&self, id: ProjectId) -> Result<Option<ProjectPlace>> {
        const SQL: &str = "SELECT s.host, s.key, j.external_id FROM projects j JOIN sources s ON s.id = j.source_id WHERE j.id = $1";
        let row: Option<(Host, String, String)> =
            on!(&self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await).attempted("find where a project lives")?;
        Ok(row.map(|(host, source, external_id)| ProjectPlace { host, source, external_id }))
    }

    /// The project that lives there.
    pub async fn find_project_at(&self, place: &ProjectPlace) -> Result<Option<ProjectId>> {
        const SQL: &str = "
            SELECT j.id
            FROM projects j
            JOIN sources s ON s.id = j.source_id
            WHERE s.host = $1 AND s.key = $2 AND j.external_id = $3";
        on!(&self.on, |db| sqlx::query_scalar(SQL)
            .bind(place.host.word())
            .bind(&place.source)
            .bind(&place.external_id)
            .fetch_optional(db)
            .await)
        .attempted("find the project of a place")
    }

    /// A page of projects that somebody sees.
    pub async fn list_kept_projects(&self, query: &KeptProjectQuery) -> Result<Vec<KeptProject>> {
        on!(&self.on, |db| {
            let mut sql = select(&query.sight);
            sql.push("WHERE TRUE");
            query.sight.limit_to_projects(&mut sql, "j");
            if let Some(host) = query.host {
                sql.push(" AND s.host = ").push_bind(host.word());
            }
            if let Some(source) = query.source {
                sql.push(" AND j.source_id = ").push_bind(source);
            }
            if let Some(archived) = query.archived {
                sql.push(if archived {
                    " AND j.archived_at IS NOT NULL"
                } else {
                    " AND j.archived_at IS NULL"
                });
            }
            if let Some(text) = &query.text {
                sql.push(" AND j.name_folded LIKE ").push_bind(containing(text)).push(" ESCAPE '\\'");
            }
            query.sort.page(&mut sql, ["j.id", "j.name_folded"], query.after.clone());
            sql.push_bind(query.limit).build_query_as().fetch_all(db).await
        })
        .attempted("list projects")
    }
}

impl Tx {
    /// One project as it is in this transaction.
    pub async fn kept_project(&mut self, id: ProjectId) -> Result<Option<KeptProject>> {
        on!(&mut self.on, |db| {
            let mut sql = select(&Sight::All);
            sql.push("WHERE j.id = ").push_bind(id).build_query_as().fetch_optional(&mut **db).await
        })
        .attempted("find a project")
    }

    /// Changes what operators say of a project that is at this edition; returns the next one, or `None` where it is at another or gone. Its
    /// pipelines come into lists or leave them with it, so each of their topics gets its next sequence and is left dirty.
    pub async fn change_project(&mut self, id: ProjectId, edition: i64, change: &ProjectChange) -> Result<Option<i64>> {
        const WAS: &str = "SELECT archived_at FROM projects WHERE id = $1";
        const WRITE: &str = "
            UPDATE projects
            SET (visibility, archived_at, edition) = ($3, $4, edition + 1)
            WHERE id = $1 AND edition = $2
            RETURNING edition";
        // Deliveries write what belongs to it under this lock.
        self.hold_project(id).await?;
        let was: Option<Option<Timestamp>> =
            on!(&mut self.on, |db| sqlx::query_scalar(WAS).bind(id).fetch_optional(&mut **db).await).attempted("read a project")?;
        let next: Option<i64> = on!(&mut self.on, |db| sqlx::query_scalar(WRITE)
            .bind(id)
            .bind(edition)
            .bind(change.visibility.word())
            .bind(change.archived_at)
            .fetch_optional(&mut **db)
            .await)
        .attempted("change a project")?;
        let moves = was.flatten().is_some() != change.archived_at.is_some();
        if next.is_some() && moves {
            for pipeline in self.pipelines_of(id).await? {
                self.count_pipeline(pipeline).await?;
            }
        }
        Ok(next)
    }
}
