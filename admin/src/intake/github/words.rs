//! GitHub's words for a status, and ours.
//! Sources: the schemas of octokit/webhooks and GitHub's REST documentation of checks, commit statuses and deployments.
//! Every list is open: a word that is missing here is told as unknown, never refused.

use pipecast_model::Status;

/// `status` of workflow runs, jobs, steps, check runs and check suites, while they are not completed.
const PHASES: &[(&str, Status)] = &[
    ("requested", Status::Queued),
    ("queued", Status::Queued),
    ("pending", Status::Queued),
    // An environment's approval or a concurrency group: GitHub does not say which; the first is by far the commoner.
    ("waiting", Status::Blocked),
    ("in_progress", Status::Running),
];

/// `conclusion` of the same, once they are completed.
const CONCLUSIONS: &[(&str, Status)] = &[
    ("success", Status::Success),
    ("failure", Status::Failure),
    // The workflow could not be started at all, for one because its file is invalid.
    ("startup_failure", Status::Error),
    ("timed_out", Status::TimedOut),
    ("cancelled", Status::Cancelled),
    ("stale", Status::Cancelled),
    ("skipped", Status::Skipped),
    ("neutral", Status::Neutral),
    // Not an end: a run of a fork that awaits approval is "completed" in this way, and the same run is queued afterwards.
    ("action_required", Status::Blocked),
];

/// `state` of a commit status.
const COMMIT_STATES: &[(&str, Status)] = &[
    ("pending", Status::Running),
    ("success", Status::Success),
    ("failure", Status::Failure),
    ("error", Status::Error),
];

/// `state` of a deployment status. `inactive` says that a later deployment took its place, not how this one went.
const DEPLOYMENT_STATES: &[(&str, Option<Status>)] = &[
    ("queued", Some(Status::Queued)),
    ("pending", Some(Status::Queued)),
    ("waiting", Some(Status::Blocked)),
    ("in_progress", Some(Status::Running)),
    ("success", Some(Status::Success)),
    ("failure", Some(Status::Failure)),
    ("error", Some(Status::Error)),
    ("inactive", None),
];

/// The status of a run, job, step or check: by `status` and `conclusion` together, never by the event's `action`.
pub(super) fn status(phase: Option<&str>, conclusion: Option<&str>) -> Status {
    match (phase, conclusion) {
        (Some("completed"), Some(conclusion)) => find(CONCLUSIONS, conclusion).unwrap_or(Status::Finished),
        (Some("completed"), None) => Status::Finished,
        (Some(phase), _) => find(PHASES, phase).unwrap_or(Status::Unknown),
        (None, _) => Status::Unknown,
    }
}

/// The status that a commit status stands for.
pub(super) fn commit_state(state: &str) -> Status {
    find(COMMIT_STATES, state).unwrap_or(Status::Unknown)
}

/// The status that a deployment status stands for; `None` where it says nothing of the deployment's own course.
pub(super) fn deployment_state(state: &str) -> Option<Status> {
    find(DEPLOYMENT_STATES, state).unwrap_or(Some(Status::Unknown))
}

/// Whether it has begun. Before that GitHub fills `started_at` with the time of creation.
pub(super) fn has_begun(status: Status) -> bool {
    status.rank() >= Status::Running.rank()
}

fn find<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
}
