//! Projects. Their row is also the lock under which everything that belongs to them is written.
//! Knows nothing of what belongs to them.

pub(crate) mod keeping;

use std::collections::BTreeSet;

use pipecast_model::{Delivery, Facts, Host, ProjectFacts, ProjectId, SourceId};

use crate::Result;
use crate::engine::{On, on};
use crate::error::Attempt;
use crate::recording::tells_nothing;
use crate::stamps::{News, Record, StampColumns, Stamping, Stamps, merge};
use crate::writer::Tx;

/// A project as this transaction knows it; its row is locked.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ProjectRow {
    id: ProjectId,
    #[sqlx(flatten)]
    columns: ProjectColumns,
    #[sqlx(flatten)]
    stamps: StampColumns,
}

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct ProjectColumns {
    name: Option<String>,
    url: Option<String>,
    default_branch: Option<String>,
}

impl Record for ProjectColumns {
    type Facts = ProjectFacts;

    fn columns(facts: &ProjectFacts, stamps: &mut Stamping) -> Self {
        ProjectColumns {
            name: stamps.value("name", &facts.name),
            url: stamps.value("url", &facts.url),
            default_branch: stamps.value("default_branch", &facts.default_branch),
        }
    }

    fn facts(self, told: &ProjectFacts, stamps: &Stamps) -> ProjectFacts {
        ProjectFacts {
            external_id: told.external_id.clone(),
            name: stamps.told("name", self.name),
            url: stamps.told("url", self.url),
            default_branch: stamps.told("default_branch", self.default_branch),
        }
    }

    fn merge(told: ProjectFacts, stored: ProjectFacts) -> ProjectFacts {
        told.merge(stored)
    }
}

impl Tx {
    /// Locks the projects that a batch of deliveries speaks of until the transaction ends, always in the same order.
    ///
    /// Only needed where a transaction takes several deliveries: two such writers on PostgreSQL that meet the same projects in
    /// another order would wait for each other in a circle, and one of them would be `Unavailable` after a second. Call it before the
    /// first delivery, and `clear_dirty` only after the last.
    pub async fn hold_projects(&mut self, batch: &[(&Delivery, &Facts)]) -> Result<()> {
        let telling = batch.iter().filter(|(_, facts)| !tells_nothing(facts));
        let wanted: BTreeSet<(Host, &str, &str)> = telling
            .map(|(delivery, facts)| {
                let project = facts.project.as_ref().map_or("", |project| &project.external_id);
                (delivery.host, delivery.source.as_str(), project)
            })
            .collect();
        for (host, source, external_id) in wanted {
            let key = (self.source(host, source).await?, external_id.to_owned());
            if !self.known.projects.contains_key(&key) {
                let row = self.lock_project(key.0, external_id).await?;
                self.known.projects.insert(key, row);
            }
        }
        Ok(())
    }

    /// The project that a delivery speaks of, where it is held.
    pub(crate) fn held_project(&self, delivery: &Delivery, facts: &Facts) -> Option<ProjectId> {
        let source = self.known.sources.get(&(delivery.host, delivery.source.clone()))?;
        let external_id = facts.project.as_ref().map_or("", |project| &project.external_id);
        self.known.projects.get(&(*source, external_id.to_owned())).map(|row| row.id)
    }

    /// Locks a project until the transaction ends, merges what is told of it, and says whether that can be seen in its pipelines.
    ///
    /// On PostgreSQL two writers of one project wait here for each other, so everything below reads and writes without
    /// further locks. SQLite has one writer anyway.
    pub(crate) async fn record_project(&mut self, source: SourceId, told: &ProjectFacts) -> Result<(ProjectId, News)> {
        let key = (source, told.external_id.clone());
        let row = match self.known.projects.remove(&key) {
            Some(row) => row,
            None => self.lock_project(source, &told.external_id).await?,
        };
        let merged = merge(Some((&row.columns, &row.stamps)), told)?;
        let row = ProjectRow {
            id: row.id,
            columns: merged.columns,
            stamps: merged.stamps,
        };
        if merged.news > News::Nothing {
            self.write_project(&row, &told.external_id).await?;
        }
        let id = row.id;
        self.known.projects.insert(key, row);
        Ok((id, merged.news))
    }

    /// Where it is there, a lock of its row is enough: to write it anew for each delivery would only make work for the vacuum.
    async fn lock_project(&mut self, source: SourceId, external_id: &str) -> Result<ProjectRow> {
        const FIND: &str = "
            SELECT id, name, url, default_branch, version, stamps FROM projects WHERE source_id = $1 AND external_id = $2";
        const FIND_AND_LOCK: &str = "
            SELECT id, name, url, default_branch, version, stamps FROM projects WHERE source_id = $1 AND external_id = $2 FOR UPDATE";
        const INSERT: &str = "
            INSERT INTO projects (source_id, external_id, name_folded, stamps) VALUES ($1, $2, $3, '{}')
            ON CONFLICT (source_id, external_id) DO UPDATE SET external_id = excluded.external_id
            RETURNING id, name, url, default_branch, version, stamps";
        let find = match &self.on {
            // The transaction holds the only lock there is.
            On::Sqlite(_) => FIND,
            On::Postgres(_) => FIND_AND_LOCK,
        };
        let found = on!(&mut self.on, |db| sqlx::query_as(find)
            .bind(source)
            .bind(external_id)
            .fetch_optional(&mut **db)
            .await)
        .attempted("find a project")?;
        if let Some(row) = found {
            return Ok(row);
        }
        on!(&mut self.on, |db| sqlx::query_as(INSERT)
            .bind(source)
            .bind(external_id)
            .bind(external_id.to_lowercase())
            .fetch_one(&mut **db)
            .await)
        .attempted("record a project")
    }

    /// Waits for whoever writes this project, and keeps others out until the transaction ends.
    pub(crate) async fn hold_project(&mut self, id: ProjectId) -> Result<()> {
        const SQL: &str = "UPDATE projects SET external_id = external_id WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL).bind(id).execute(&mut **db).await.map(drop)).attempted("lock a project")
    }

    async fn write_project(&mut self, row: &ProjectRow, external_id: &str) -> Result<()> {
        const SQL: &str = "
            UPDATE projects
            SET (name, name_folded, url, default_branch, version, stamps) = ($2, $3, $4, $5, $6, $7)
            WHERE id = $1";
        let ProjectRow { id, columns, stamps } = row;
        let folded = columns.name.as_deref().unwrap_or(external_id).to_lowercase();
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(id)
            .bind(&columns.name)
            .bind(folded)
            .bind(&columns.url)
            .bind(&columns.default_branch)
            .bind(&stamps.version)
            .bind(&stamps.stamps)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("record a project")
    }
}
