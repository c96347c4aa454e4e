//! Projects and pipelines as operators name, show and archive them. Every such change is made here.
//! Knows nothing of requests; what a caller may do was asked before.

use std::sync::Arc;

use pipecast_model::{ProjectId, Timestamp};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{KeptPipeline, KeptProject, PipelineChange, ProjectChange, Reader, Sight, Tx, Writer};
use serde_json::{Value, json};

pub mod exchange;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else has changed it meanwhile; it has this edition now.
    #[error("it has changed meanwhile")]
    Stale(i64),
    /// Somebody else has changed one of many meanwhile.
    #[error("one of them has changed meanwhile")]
    Overtaken,
    /// It is not there.
    #[error("it is not there")]
    Gone,
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
}

/// What is done about projects and pipelines.
pub struct Keeping {
    reader: Reader,
    writer: Arc<Writer>,
}

impl Keeping {
    /// Those of this database.
    pub fn new(reader: Reader, writer: Arc<Writer>) -> Keeping {
        Keeping { reader, writer }
    }

    /// Reads them.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Changes a project that is as `before` says.
    ///
    /// # Errors
    /// `Stale`, `Gone`, `Store`.
    pub async fn change_project(&self, before: &KeptProject, change: &ProjectChange, by: By) -> Result<KeptProject, Error> {
        let mut tx = self.writer.begin().await?;
        if !change_in(&mut tx, before, change, by, "project.update").await? {
            drop(tx);
            let now = self.reader.find_kept_project(before.id, &Sight::All).await?.ok_or(Error::Gone)?;
            return Err(Error::Stale(now.edition));
        }
        let project = tx.kept_project(before.id).await?.ok_or(Error::Gone)?;
        tx.commit().await?;
        Ok(project)
    }

    /// Changes a pipeline that is as `before` says.
    ///
    /// # Errors
    /// `Stale`, `Gone`, `Store`.
    pub async fn change_pipeline(&self, before: &KeptPipeline, change: &PipelineChange, by: By) -> Result<KeptPipeline, Error> {
        let mut tx = self.writer.begin().await?;
        if tx.change_pipeline(before.id, before.edition, change).await?.is_none() {
            drop(tx);
            let now = self.reader.find_kept_pipeline(before.id, &Sight::All).await?.ok_or(Error::Gone)?;
            return Err(Error::Stale(now.edition));
        }
        let told =
            |change: &PipelineChange| -> Value { json!({"name": change.given_name, "visibility": change.visibility, "archived_at": change.archived_at}) };
        let was = PipelineChange {
            given_name: before.given_name.clone(),
            visibility: before.visibility,
            archived_at: before.archived_at,
        };
        tx.audit(entry(by, "pipeline.update", "pipeline", before.id.0, &before.name, before.project).changed(told(&was), told(change)));
        let pipeline = tx.kept_pipeline(before.id).await?.ok_or(Error::Gone)?;
        tx.commit().await?;
        Ok(pipeline)
    }
}

/// `false` where it is not as `before` says any more.
async fn change_in(tx: &mut Tx, before: &KeptProject, change: &ProjectChange, by: By, action: &'static str) -> Result<bool, Error> {
    if tx.change_project(before.id, before.edition, change).await?.is_none() {
        return Ok(false);
    }
    let told = |change: &ProjectChange| json!({"visibility": change.visibility, "archived_at": change.archived_at});
    let was = ProjectChange {
        visibility: before.visibility,
        archived_at: before.archived_at,
    };
    tx.audit(entry(by, action, "project", before.id.0, &before.name, before.id).changed(told(&was), told(change)));
    Ok(true)
}

/// When something was archived, by what is wanted now.
pub(crate) fn archived_at(before: Option<Timestamp>, archived: bool) -> Option<Timestamp> {
    archived.then(|| before.unwrap_or_else(Timestamp::now))
}

fn entry(by: By, action: &'static str, kind: &'static str, id: i64, name: &str, project: ProjectId) -> Entry {
    Entry::new(by, action).on(kind, id, name).of(project)
}
