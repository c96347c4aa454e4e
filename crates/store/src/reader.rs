//! Everything that can be read.

use pipecast_model::{Announcement, DeliveryId, Epoch, Execution, ExecutionId, Job, JobId, Pipeline, PipelineId, Timestamp, Topic};

use crate::{ExecutionQuery, PipelineQuery, Record, Result};

/// The side that cannot write. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {}

impl Reader {
    /// The epoch of every sequence in this database.
    pub fn epoch(&self) -> &Epoch {
        unimplemented!()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        unimplemented!()
    }

    /// One pipeline with its newest execution.
    pub async fn find_pipeline(&self, id: PipelineId) -> Result<Option<Pipeline>> {
        let _ = id;
        unimplemented!()
    }

    /// A page of pipelines, each with its time of change (the key of `PipelineQuery::after`).
    pub async fn list_pipelines(&self, query: &PipelineQuery) -> Result<Vec<(Timestamp, Pipeline)>> {
        let _ = query;
        unimplemented!()
    }

    /// One execution.
    pub async fn find_execution(&self, id: ExecutionId) -> Result<Option<Execution>> {
        let _ = id;
        unimplemented!()
    }

    /// A page of executions, each with its ordinal (part of the key of `ExecutionQuery::after`).
    pub async fn list_executions(&self, query: &ExecutionQuery) -> Result<Vec<(i64, Execution)>> {
        let _ = query;
        unimplemented!()
    }

    /// Jobs of an execution by id, after `after`, at most `limit`.
    pub async fn list_jobs(&self, execution: ExecutionId, after: Option<JobId>, limit: i64) -> Result<Vec<Job>> {
        let _ = (execution, after, limit);
        unimplemented!()
    }

    /// One job.
    pub async fn find_job(&self, id: JobId) -> Result<Option<Job>> {
        let _ = id;
        unimplemented!()
    }

    /// The current states of topics, as they are announced; a topic without a row is left out. Monitor is never asked for.
    pub async fn list_states(&self, topics: &[Topic]) -> Result<Vec<Announcement>> {
        let _ = topics;
        unimplemented!()
    }

    /// The states of all pipelines by id, after `after`, at most `limit`.
    pub async fn list_pipeline_states(&self, after: Option<PipelineId>, limit: i64) -> Result<Vec<Announcement>> {
        let _ = (after, limit);
        unimplemented!()
    }

    /// Topics that changed and have not been announced, the oldest first, at most `limit`.
    pub async fn list_dirty(&self, limit: i64) -> Result<Vec<Topic>> {
        let _ = limit;
        unimplemented!()
    }

    /// One delivery of the ledger.
    pub async fn find_delivery(&self, id: DeliveryId) -> Result<Option<Record>> {
        let _ = id;
        unimplemented!()
    }
}
