//! What the bearer of a badge sees: projects, and of those that they see only because they are internal, what is not of a private pipeline.
//! Knows nothing of requests and sockets; lists ask the database with a `Sight` that says the same.

use pipecast_model::{Permission, PipelineId, ProjectId};
use pipecast_store::Error;

use super::Gatekeeper;
use crate::Bearing;
use crate::homes::Thing;

impl Gatekeeper {
    /// Whether its bearer sees a project, by what was known last. They may not see every pipeline of it.
    pub fn sees_project(&self, bearing: &Bearing, project: ProjectId) -> bool {
        bearing.grants.may_in(Permission::PipelinesRead, project) || (bearing.grants.sees_internal() && self.internal.contains(project))
    }

    /// Whether its bearer sees what is of a pipeline of a project, by what was known last. Where it is not known of which one, they have to see all.
    pub fn sees_pipeline(&self, bearing: &Bearing, project: ProjectId, pipeline: Option<PipelineId>) -> bool {
        bearing.grants.may_in(Permission::PipelinesRead, project) || (bearing.grants.sees_internal() && self.internal.shows(project, pipeline))
    }

    /// Whether a pipeline of an internal project is hidden from its bearer because it is private, by what was known last.
    pub fn hides(&self, bearing: &Bearing, pipeline: PipelineId) -> bool {
        let project = self.internal.project_of_private(pipeline);
        project.is_some_and(|project| !bearing.grants.may_in(Permission::PipelinesRead, project))
    }

    /// Whether its bearer sees a thing; `false` also where there is none. For a pipeline that was asked about before the database is not asked.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sees(&self, bearing: &Bearing, thing: Thing) -> Result<bool, Error> {
        let home = match self.homes.known(thing) {
            Some(home) => Some(home),
            None => self.homes.find(thing).await?,
        };
        let Some(home) = home else { return Ok(false) };
        if self.sees_pipeline(bearing, home, None) {
            return Ok(true);
        }
        if !self.sees_project(bearing, home) {
            return Ok(false);
        }
        // Something in the project is hidden from them, so it matters of which pipeline it is.
        let pipeline = self.homes.find_pipeline(thing).await?;
        Ok(pipeline.is_some_and(|pipeline| self.sees_pipeline(bearing, home, Some(pipeline))))
    }

    /// The project of a thing, where it is known without asking.
    pub fn known_home(&self, thing: Thing) -> Option<ProjectId> {
        self.homes.known(thing)
    }

    /// Counts what becomes of internal projects and of private pipelines in them.
    pub fn internal_edition(&self) -> u64 {
        self.internal.edition()
    }
}
