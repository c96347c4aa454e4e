//! Which project a pipeline, an execution or a job belongs to: asked once, because it never changes. Of which pipeline an execution is may change.
//! Knows nothing of who may see it.

use moka::sync::Cache;
use pipecast_model::{ExecutionId, JobId, PipelineId, ProjectId};
use pipecast_store::{Reader, Result};

/// Ids that are kept of each kind.
const MOST: u64 = 100_000;

/// Something that belongs to a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// A pipeline.
    Pipeline(PipelineId),
    /// An execution.
    Execution(ExecutionId),
    /// A job.
    Job(JobId),
}

/// Projects by what belongs to them.
#[derive(Debug)]
pub(crate) struct Homes {
    reader: Reader,
    known: Cache<Thing, ProjectId>,
}

impl Homes {
    pub(crate) fn new(reader: Reader) -> Homes {
        Homes {
            reader,
            known: Cache::new(MOST),
        }
    }

    /// Without asking the database.
    pub(crate) fn known(&self, thing: Thing) -> Option<ProjectId> {
        self.known.get(&thing)
    }

    /// The project; `None` where there is no such thing, which is asked again next time.
    pub(crate) async fn find(&self, thing: Thing) -> Result<Option<ProjectId>> {
        if let Some(project) = self.known.get(&thing) {
            return Ok(Some(project));
        }
        let project = match thing {
            Thing::Pipeline(id) => self.reader.project_of_pipeline(id).await?,
            Thing::Execution(id) => self.reader.project_of_execution(id).await?,
            Thing::Job(id) => self.reader.project_of_job(id).await?,
        };
        if let Some(project) = project {
            self.known.insert(thing, project);
        }
        Ok(project)
    }

    /// The pipeline of a thing as it is now; `None` where there is no such thing.
    pub(crate) async fn find_pipeline(&self, thing: Thing) -> Result<Option<PipelineId>> {
        match thing {
            Thing::Pipeline(id) => Ok(Some(id)),
            Thing::Execution(id) => self.reader.pipeline_of_execution(id).await,
            Thing::Job(id) => self.reader.pipeline_of_job(id).await,
        }
    }
}
