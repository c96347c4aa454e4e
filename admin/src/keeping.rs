//! Projects and pipelines as operators name, show and archive them. Every such change is made here.
//! Knows nothing of requests; what a caller may do was asked before.

use std::sync::Arc;

use pipecast_model::{PipelineId, ProjectId, Timestamp};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{KeptPipeline, KeptProject, PipelineChange, ProjectChange, Reader, Sight, Tx, Writer};
use serde_json::{Value, json};

pub mod exchange;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or somebody else has changed it meanwhile.
    #[error("it has changed meanwhile")]
    Stale,
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
        change_in(&mut tx, before, change, by, "project.update").await?;
        tx.commit().await?;
        self.reader.find_kept_project(before.id, &Sight::All).await?.ok_or(Error::Gone)
    }

    /// Changes a pipeline that is as `before` says.
    ///
    /// # Errors
    /// `Stale`, `Gone`, `Store`.
    pub async fn change_pipeline(&self, before: &KeptPipeline, change: &PipelineChange, by: By) -> Result<KeptPipeline, Error> {
        let mut tx = self.writer.begin().await?;
        tx.change_pipeline(before.id, before.edition, change).await?.ok_or(Error::Stale)?;
        let told = |change: &PipelineChange| -> Value { json!({"name": change.given_name, "archived_at": change.archived_at}) };
        let was = PipelineChange {
            given_name: before.given_name.clone(),
            archived_at: before.archived_at,
        };
        tx.audit(entry(by, "pipeline.update", "pipeline", before.id.0, &before.name, before.project).changed(told(&was), told(change)));
        tx.commit().await?;
        self.find_pipeline(before.id).await
    }

    async fn find_pipeline(&self, id: PipelineId) -> Result<KeptPipeline, Error> {
        self.reader.find_kept_pipeline(id, &Sight::All).await?.ok_or(Error::Gone)
    }
}

async fn change_in(tx: &mut Tx, before: &KeptProject, change: &ProjectChange, by: By, action: &'static str) -> Result<(), Error> {
    tx.change_project(before.id, before.edition, change).await?.ok_or(Error::Stale)?;
    let told = |change: &ProjectChange| json!({"visibility": change.visibility, "archived_at": change.archived_at});
    let was = ProjectChange {
        visibility: before.visibility,
        archived_at: before.archived_at,
    };
    tx.audit(entry(by, action, "project", before.id.0, &before.name, before.id).changed(told(&was), told(change)));
    Ok(())
}

/// When something was archived, by what is wanted now.
pub(crate) fn archived_at(before: Option<Timestamp>, archived: bool) -> Option<Timestamp> {
    archived.then(|| before.unwrap_or_else(Timestamp::now))
}

fn entry(by: By, action: &'static str, kind: &'static str, id: i64, name: &str, project: ProjectId) -> Entry {
    Entry::new(by, action).on(kind, id, name).of(project)
}
