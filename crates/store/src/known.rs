//! What a transaction has read under its own locks and need not read again, and what it has yet to write.
//! Knows nothing of how rows come about; each is written by the file of its table.
//!
//! A batch of deliveries mostly speaks of the same few executions. Their rows are read once, change here, and are written once, at
//! the end, many in a statement: on SQLite that halves the work of the one thread that writes, on PostgreSQL it saves round trips.
//! Whoever asks the database for rows that may wait here calls `flush` first.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use pipecast_model::{DeliveryId, ExecutionId, Host, PipelineId, PipelineKey, ProjectId, SourceId, Timestamp, Topic};

use crate::Result;
use crate::audit::Entry;
use crate::execution::ExecutionRow;
use crate::job::JobRow;
use crate::pipeline::PipelineRow;
use crate::pipeline::newest::Newest;
use crate::project::ProjectRow;
use crate::writer::Tx;

/// Names an attempt as hosts do.
pub(crate) type AttemptKey = (ProjectId, String, i64);

/// Names a job as hosts do.
pub(crate) type JobKey = (ExecutionId, String);

/// Ends with the transaction, so it is bounded by what one batch of deliveries speaks of.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) sources: HashMap<(Host, String), SourceId>,
    pub(crate) projects: HashMap<(SourceId, String), ProjectRow>,
    pub(crate) pipelines: HashMap<(ProjectId, PipelineKey), PipelineId>,
    pub(crate) pipeline_rows: HashMap<PipelineId, PipelineRow>,
    pub(crate) newest: HashMap<PipelineId, Newest>,
    pub(crate) executions: HashMap<AttemptKey, ExecutionRow>,
    pub(crate) jobs: HashMap<JobKey, JobRow>,
    /// Executions of which every job is known.
    pub(crate) all_jobs: BTreeSet<ExecutionId>,
    /// What was looked for and is not there.
    pub(crate) absent_executions: HashSet<AttemptKey>,
    pub(crate) absent_jobs: HashSet<JobKey>,
    /// Deliveries whose row in the ledger this transaction has written ahead of their turn.
    pub(crate) noted: HashSet<DeliveryId>,
    /// What deliveries are about, as far as that was known before they were noted.
    pub(crate) about: HashMap<DeliveryId, ProjectId>,
}

/// Rows that are different here from what stands in the database, by their keys in `Known`; and rows that are only ever added.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    pub(crate) pipelines: BTreeSet<PipelineId>,
    pub(crate) executions: BTreeSet<AttemptKey>,
    pub(crate) jobs: BTreeSet<JobKey>,
    pub(crate) bodies: Vec<(DeliveryId, Timestamp, Bytes)>,
    pub(crate) topics: Vec<(Topic, i64, Option<DeliveryId>)>,
    pub(crate) audit: Vec<Entry>,
}

impl Tx {
    /// Writes what waits of pipelines, executions and jobs, and forgets their rows: for a statement that reads or changes them itself.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.write_executions().await?;
        self.write_jobs().await?;
        self.write_pipelines().await?;
        self.known.executions.clear();
        self.known.jobs.clear();
        self.known.all_jobs.clear();
        self.known.absent_executions.clear();
        self.known.absent_jobs.clear();
        self.known.pipeline_rows.clear();
        self.known.newest.clear();
        Ok(())
    }
}
