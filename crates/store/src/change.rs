//! Changes: pull and merge requests.
//! Knows nothing of executions.

use pipecast_model::{ChangeFacts, ProjectId};

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::stamps::{News, Record, StampColumns, Stamping, Stamps, merge};
use crate::writer::Tx;

#[derive(Clone, Debug, sqlx::FromRow)]
struct ChangeRow {
    #[sqlx(flatten)]
    columns: ChangeColumns,
    #[sqlx(flatten)]
    stamps: StampColumns,
}

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct ChangeColumns {
    title: Option<String>,
    state: Option<String>,
    branch: Option<String>,
    commit_sha: Option<String>,
    url: Option<String>,
}

impl Record for ChangeColumns {
    type Facts = ChangeFacts;

    fn columns(facts: &ChangeFacts, stamps: &mut Stamping) -> Self {
        ChangeColumns {
            title: stamps.value("title", &facts.title),
            state: stamps.value("state", &facts.state),
            branch: stamps.value("branch", &facts.branch),
            commit_sha: stamps.value("commit_sha", &facts.commit_sha),
            url: stamps.value("url", &facts.url),
        }
    }

    fn facts(self, told: &ChangeFacts, stamps: &Stamps) -> ChangeFacts {
        ChangeFacts {
            number: told.number,
            title: stamps.told("title", self.title),
            state: stamps.told("state", self.state),
            branch: stamps.told("branch", self.branch),
            commit_sha: stamps.told("commit_sha", self.commit_sha),
            url: stamps.told("url", self.url),
        }
    }

    fn merge(told: ChangeFacts, stored: ChangeFacts) -> ChangeFacts {
        told.merge(stored)
    }
}

impl Tx {
    /// Merges what is told of a pull or merge request.
    pub(crate) async fn record_change(&mut self, project: ProjectId, told: &ChangeFacts) -> Result<()> {
        const READ: &str = "
            SELECT title, state, branch, commit_sha, url, version, stamps
            FROM changes
            WHERE project_id = $1 AND number = $2";
        let before: Option<ChangeRow> = on!(&mut self.on, |db| sqlx::query_as(READ)
            .bind(project)
            .bind(told.number)
            .fetch_optional(&mut **db)
            .await)
        .attempted("read a change")?;
        let merged = merge(before.as_ref().map(|row| (&row.columns, &row.stamps)), told)?;
        if merged.news == News::Nothing {
            return Ok(());
        }
        const WRITE: &str = "
            INSERT INTO changes (project_id, number, title, state, branch, commit_sha, url, version, stamps)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (project_id, number) DO UPDATE
            SET (title, state, branch, commit_sha, url, version, stamps)
                = (excluded.title, excluded.state, excluded.branch, excluded.commit_sha, excluded.url, excluded.version, excluded.stamps)";
        on!(&mut self.on, |db| sqlx::query(WRITE)
            .bind(project)
            .bind(told.number)
            .bind(&merged.columns.title)
            .bind(&merged.columns.state)
            .bind(&merged.columns.branch)
            .bind(&merged.columns.commit_sha)
            .bind(&merged.columns.url)
            .bind(&merged.stamps.version)
            .bind(&merged.stamps.stamps)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("record a change")
    }
}
