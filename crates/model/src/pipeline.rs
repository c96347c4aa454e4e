//! A pipeline definition and the project that it belongs to, as the API and the live frames show them.

use serde::{Deserialize, Serialize};

use crate::{Execution, Host, PipelineId, ProjectId, Status};

/// The repository or project that a pipeline belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Project {
    /// Our number of it.
    pub id: ProjectId,
    /// Its full name at the host.
    #[schema(example = "acme/rocket")]
    pub name: String,
    /// Where it lives.
    pub host: Host,
    /// Its page at the host.
    pub url: Option<String>,
    /// Its default branch at the host.
    pub default_branch: Option<String>,
}

/// A pipeline definition with its newest execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Pipeline {
    /// Our number of it.
    pub id: PipelineId,
    /// Its name at the host.
    #[schema(example = "CI")]
    pub name: String,
    /// Where it is defined.
    pub project: Project,
    /// Its page at the host.
    pub url: Option<String>,
    /// The status of its newest execution.
    pub status: Status,
    /// The newest execution by number and attempt, never by arrival.
    pub last_execution: Option<Execution>,
    /// Counts the changes of this pipeline, from 1.
    pub seq: i64,
}
