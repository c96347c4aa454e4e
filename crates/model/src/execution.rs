//! One attempt of one run, as the API and the live frames show it.

use serde::{Deserialize, Serialize};

use crate::{ExecutionId, PipelineId, Status, Timestamp};

/// One attempt of one run: what GitHub calls a workflow run's attempt and GitLab a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Execution {
    /// Our number of it.
    pub id: ExecutionId,
    /// The pipeline that was run.
    pub pipeline_id: PipelineId,
    /// Its id at the host; attempts of one run share it.
    #[schema(example = "1001")]
    pub external_id: String,
    /// 1 for the first try, one more for each re-run.
    #[schema(example = 1)]
    pub attempt: i64,
    /// The host's count of runs of this pipeline.
    pub number: Option<i64>,
    /// What the run is about: a commit's title or a display name.
    pub title: Option<String>,
    /// How it is doing.
    pub status: Status,
    /// The phase, derived from `status`.
    #[schema(example = "running")]
    pub state: String,
    /// The verdict, derived from `status`; null until there is one.
    pub outcome: Option<String>,
    /// The host's own word for the phase.
    pub raw_status: Option<String>,
    /// The host's own word for the verdict.
    pub raw_conclusion: Option<String>,
    /// The branch or tag.
    pub branch: Option<String>,
    /// The commit.
    pub commit_sha: Option<String>,
    /// What set it off: `push`, `schedule`, `merge_request_event`…
    pub event: Option<String>,
    /// Who set it off.
    pub actor: Option<String>,
    /// Its page at the host.
    pub url: Option<String>,
    /// When the host accepted it.
    pub queued_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// From start to end in milliseconds; null until it has ended.
    pub duration_ms: Option<i64>,
    /// From accepted to started in milliseconds.
    pub queue_ms: Option<i64>,
    /// Still open, but nothing has been heard of it for longer than `retention.stale_after`.
    pub stale: bool,
    /// Counts the changes of this execution, from 1.
    pub seq: i64,
    /// When it last changed here.
    pub updated_at: Timestamp,
}
