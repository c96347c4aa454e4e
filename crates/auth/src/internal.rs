//! Projects that whoever is signed in may see, as they were a moment ago.
//! Knows nothing of who asks.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use pipecast_model::ProjectId;
use pipecast_store::{Error, Reader};

use crate::FRESH_FOR;

/// What is internal.
#[derive(Debug)]
pub(crate) struct Internal {
    reader: Reader,
    projects: RwLock<HashSet<ProjectId>>,
    read: Mutex<Option<Instant>>,
}

impl Internal {
    /// Knows none yet.
    pub(crate) fn new(reader: Reader) -> Internal {
        Internal {
            reader,
            projects: RwLock::default(),
            read: Mutex::default(),
        }
    }

    /// Whether what is known is still believed.
    pub(crate) fn is_fresh(&self) -> bool {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.is_some_and(|read| read.elapsed() < FRESH_FOR)
    }

    /// Asks anew where it is not, and says whether that was news.
    pub(crate) async fn refresh(&self) -> Result<bool, Error> {
        if self.is_fresh() {
            return Ok(false);
        }
        let begun = Instant::now();
        let now: HashSet<ProjectId> = self.reader.list_internal_projects().await?.into_iter().collect();
        let mut projects = self.projects.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = *projects != now;
        *projects = now;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Ok(is_news)
    }

    /// By what was known last.
    pub(crate) fn contains(&self, project: ProjectId) -> bool {
        self.projects.read().unwrap_or_else(PoisonError::into_inner).contains(&project)
    }

    /// Asks anew before it is believed again.
    pub(crate) fn forget(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
