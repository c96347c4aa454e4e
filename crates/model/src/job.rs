//! A job of an execution, and its steps, as the API and the live frames show them.

use serde::{Deserialize, Serialize};

use crate::{ExecutionId, JobId, Status, Timestamp};

/// One job of an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Job {
    /// Our number of it.
    pub id: JobId,
    /// The execution that it belongs to.
    pub execution_id: ExecutionId,
    /// Its id at the host; a retried job has a new one.
    pub external_id: String,
    /// Its name.
    #[schema(example = "build")]
    pub name: Option<String>,
    /// The group that it runs in, where the host has groups.
    pub stage: Option<String>,
    /// How it is doing.
    pub status: Status,
    /// The host's own word for the phase.
    pub raw_status: Option<String>,
    /// The host's own word for the verdict.
    pub raw_conclusion: Option<String>,
    /// Whether its failure leaves the execution good.
    pub allow_failure: bool,
    /// The machine or agent that runs it.
    pub runner: Option<String>,
    /// Its page at the host.
    pub url: Option<String>,
    /// In the order of the host; empty where it tells none.
    pub steps: Vec<Step>,
    /// When it was accepted.
    pub queued_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Step {
    /// Its place in the job, from 1.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// How it is doing.
    pub status: Status,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}
