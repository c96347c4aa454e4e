//! Projects that whoever is signed in may see, apart from their private pipelines, as they were a moment ago.
//! Knows nothing of who asks.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use pipecast_model::{PipelineId, ProjectId};
use pipecast_store::{Error, Reader};

use crate::FRESH_FOR;

/// What is internal.
#[derive(Debug)]
pub(crate) struct Internal {
    reader: Reader,
    /// Replaced as a whole, so that nobody finds a project without what is private in it. A short lock, never held over an await.
    open: RwLock<Open>,
    read: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Open {
    projects: HashSet<ProjectId>,
    /// Private pipelines of these projects, and of no others.
    private: HashMap<PipelineId, ProjectId>,
    /// Those of the projects that have any.
    partly: HashSet<ProjectId>,
    /// Counts how often it was different from before.
    edition: u64,
}

impl Open {
    fn of(rows: Vec<(ProjectId, Option<PipelineId>)>) -> Open {
        let private = || rows.iter().filter_map(|(project, pipeline)| Some((pipeline.as_ref()?, project)));
        Open {
            private: private().map(|(pipeline, project)| (*pipeline, *project)).collect(),
            partly: private().map(|(_, project)| *project).collect(),
            projects: rows.iter().map(|(project, _)| *project).collect(),
            edition: 0,
        }
    }

    fn shows(&self, project: ProjectId, pipeline: Option<PipelineId>) -> bool {
        let hides = match pipeline {
            Some(pipeline) => self.private.contains_key(&pipeline),
            None => self.partly.contains(&project),
        };
        self.projects.contains(&project) && !hides
    }
}

impl Internal {
    /// Knows none yet.
    pub(crate) fn new(reader: Reader) -> Internal {
        Internal {
            reader,
            open: RwLock::default(),
            read: Mutex::default(),
        }
    }

    /// Whether what is known is still believed.
    pub(crate) fn is_fresh(&self) -> bool {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.is_some_and(|read| read.elapsed() < FRESH_FOR)
    }

    /// Asks anew where it is not.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        if self.is_fresh() {
            return Ok(());
        }
        let begun = Instant::now();
        let now = Open::of(self.reader.list_internal_projects().await?);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = (&open.projects, &open.private) != (&now.projects, &now.private);
        let edition = open.edition + u64::from(is_news);
        *open = Open { edition, ..now };
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Ok(())
    }

    /// How often it has changed, by whoever's asking.
    pub(crate) fn edition(&self) -> u64 {
        self.open().edition
    }

    /// Whether a project is internal, by what was known last.
    pub(crate) fn contains(&self, project: ProjectId) -> bool {
        self.open().projects.contains(&project)
    }

    /// Whether a project is internal and this pipeline of it not private. What is of some pipeline of it, but of which one is not known, is
    /// shown only where none is private.
    pub(crate) fn shows(&self, project: ProjectId, pipeline: Option<PipelineId>) -> bool {
        self.open().shows(project, pipeline)
    }

    /// The project of a pipeline that is private in an internal one.
    pub(crate) fn project_of_private(&self, pipeline: PipelineId) -> Option<ProjectId> {
        self.open().private.get(&pipeline).copied()
    }

    /// Asks anew before it is believed again.
    pub(crate) fn forget(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn open(&self) -> RwLockReadGuard<'_, Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ProjectId = ProjectId(1);
    const TWO: ProjectId = ProjectId(2);

    #[test]
    fn an_internal_project_shows_its_pipelines_apart_from_private_ones() {
        let open = Open::of(vec![(ONE, None), (TWO, Some(PipelineId(5))), (TWO, Some(PipelineId(6)))]);
        let shows = |project, pipeline: i64| open.shows(project, Some(PipelineId(pipeline)));

        assert!(shows(ONE, 1) && shows(TWO, 4));
        assert!(!shows(TWO, 5) && !shows(TWO, 6) && !shows(ProjectId(3), 7));
    }

    #[test]
    fn what_is_of_an_unknown_pipeline_is_shown_where_none_is_private() {
        let open = Open::of(vec![(ONE, None), (TWO, Some(PipelineId(5)))]);

        assert!(open.shows(ONE, None));
        assert!(!open.shows(TWO, None) && !open.shows(ProjectId(3), None));
    }
}
