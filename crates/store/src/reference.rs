//! Branches and tags: where each points, and that it is gone.
//! Knows nothing of executions.

use pipecast_model::{ProjectId, RefFacts};

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::stamps::{News, Record, StampColumns, Stamping, Stamps, merge};
use crate::writer::Tx;

#[derive(Clone, Debug, sqlx::FromRow)]
struct RefRow {
    #[sqlx(flatten)]
    columns: RefColumns,
    #[sqlx(flatten)]
    stamps: StampColumns,
}

/// Null is a deleted one: a row is only made when something was told.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct RefColumns {
    commit_sha: Option<String>,
}

impl Record for RefColumns {
    type Facts = RefFacts;

    fn columns(facts: &RefFacts, stamps: &mut Stamping) -> Self {
        RefColumns {
            commit_sha: stamps.value("commit_sha", &facts.commit_sha).flatten(),
        }
    }

    fn facts(self, told: &RefFacts, stamps: &Stamps) -> RefFacts {
        RefFacts {
            name: told.name.clone(),
            commit_sha: stamps.told("commit_sha", Some(self.commit_sha)),
        }
    }

    fn merge(told: RefFacts, stored: RefFacts) -> RefFacts {
        told.merge(stored)
    }
}

impl Tx {
    /// Merges what is told of a branch or tag.
    pub(crate) async fn record_ref(&mut self, project: ProjectId, told: &RefFacts) -> Result<()> {
        const READ: &str = "SELECT commit_sha, version, stamps FROM refs WHERE project_id = $1 AND name = $2";
        let before: Option<RefRow> = on!(&mut self.on, |db| sqlx::query_as(READ)
            .bind(project)
            .bind(&told.name)
            .fetch_optional(&mut **db)
            .await)
        .attempted("read a ref")?;
        let merged = merge(before.as_ref().map(|row| (&row.columns, &row.stamps)), told)?;
        if merged.news == News::Nothing {
            return Ok(());
        }
        const WRITE: &str = "
            INSERT INTO refs (project_id, name, commit_sha, version, stamps) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (project_id, name) DO UPDATE SET (commit_sha, version, stamps) = (excluded.commit_sha, excluded.version, excluded.stamps)";
        on!(&mut self.on, |db| sqlx::query(WRITE)
            .bind(project)
            .bind(&told.name)
            .bind(&merged.columns.commit_sha)
            .bind(&merged.stamps.version)
            .bind(&merged.stamps.stamps)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("record a ref")
    }
}
