//! GitLab's words for a status, and ours.
//! Sources: GitLab's documentation of webhook events and of the pipeline, job and deployment statuses of its API.
//! Every list is open: a word that is missing here is told as unknown, never refused.

use pipecast_model::Status;

/// `status` of pipelines and jobs.
const STATUSES: &[(&str, Status)] = &[
    ("created", Status::Queued),
    ("preparing", Status::Queued),
    ("pending", Status::Queued),
    ("waiting_for_resource", Status::Waiting),
    ("waiting_for_callback", Status::Waiting),
    ("scheduled", Status::Waiting),
    ("manual", Status::Blocked),
    ("running", Status::Running),
    ("canceling", Status::Finalizing),
    ("success", Status::Success),
    ("failed", Status::Failure),
    ("canceled", Status::Cancelled),
    ("skipped", Status::Skipped),
];

/// `status` of deployments.
const DEPLOYMENT_STATUSES: &[(&str, Status)] = &[
    ("created", Status::Queued),
    ("blocked", Status::Blocked),
    // Approved is no longer blocked, and not yet at work; a rejection fails the job that deploys.
    ("approved", Status::Queued),
    ("rejected", Status::Failure),
    ("running", Status::Running),
    ("success", Status::Success),
    ("failed", Status::Failure),
    ("canceled", Status::Cancelled),
    ("skipped", Status::Skipped),
];

/// `failure_reason` of jobs whose failure is not their script's fault. It only means something while the status is
/// `failed`: jobs that are created, running or even good are sent with reasons too.
const FAILURE_REASONS: &[(&str, Status)] = &[
    ("stuck_or_timeout_failure", Status::TimedOut),
    ("job_execution_timeout", Status::TimedOut),
    ("runner_system_failure", Status::Error),
    ("runner_unsupported", Status::Error),
    ("no_matching_runner", Status::Error),
    ("api_failure", Status::Error),
    ("scheduler_failure", Status::Error),
    ("stale_schedule", Status::Error),
    ("data_integrity_failure", Status::Error),
    ("environment_creation_failure", Status::Error),
    ("unmet_prerequisites", Status::Error),
    ("secrets_provider_not_found", Status::Error),
    ("ci_quota_exceeded", Status::Error),
];

/// The status of a pipeline or job, and the reason where it has failed for one.
pub(super) fn status<'a>(word: Option<&str>, reason: Option<&'a str>) -> (Status, Option<&'a str>) {
    let status = word.and_then(|word| find(STATUSES, word)).unwrap_or(Status::Unknown);
    match reason {
        Some(reason) if status == Status::Failure => (find(FAILURE_REASONS, reason).unwrap_or(status), Some(reason)),
        _ => (status, None),
    }
}

/// The status of a deployment.
pub(super) fn deployment_status(word: &str) -> Status {
    find(DEPLOYMENT_STATUSES, word).unwrap_or(Status::Unknown)
}

fn find(table: &[(&str, Status)], word: &str) -> Option<Status> {
    table.iter().find(|(known, _)| *known == word).map(|(_, status)| *status)
}
