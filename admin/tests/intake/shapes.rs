//! Each kind of delivery in a body of our own, and every fact that it tells, as a snapshot.
//! Knows nothing of traps; these are bodies as they should be.

use serde_json::json;

use crate::deliveries::{understand_github, understand_gitlab, written};

#[test]
fn github_workflow_run() {
    let facts = understand_github(
        "workflow_run",
        json!({
            "action": "completed",
            "sender": {"login": "robot"},
            "workflow": {"id": 7, "name": "CI", "path": ".github/workflows/ci.yml", "html_url": "https://github.example/acme/rocket/actions/workflows/ci.yml"},
            "workflow_run": {
                "id": 1001, "run_attempt": 2, "run_number": 12, "workflow_id": 7, "name": "CI", "path": ".github/workflows/ci.yml@main",
                "status": "completed", "conclusion": "failure", "display_title": "Fix the nozzle", "head_branch": "main", "head_sha": "c0ffee",
                "event": "push", "actor": {"login": "ada"}, "triggering_actor": {"login": "grace"}, "html_url": "https://github.example/acme/rocket/actions/runs/1001",
                "created_at": "2026-11-21T09:00:00Z", "run_started_at": "2026-11-21T09:30:00Z", "updated_at": "2026-11-21T09:34:05Z",
                "pull_requests": [], "head_commit": {"message": "Fix the nozzle\n\nIt leaked."}
            }
        }),
    );

    insta::assert_snapshot!(written(&facts));
}

#[test]
fn github_workflow_job() {
    let facts = understand_github(
        "workflow_job",
        json!({
            "action": "in_progress",
            "sender": {"login": "ada"},
            "workflow_job": {
                "id": 501, "run_id": 1001, "run_attempt": 1, "workflow_name": "CI", "name": "build", "status": "in_progress", "conclusion": null,
                "head_branch": "main", "head_sha": "c0ffee", "html_url": "https://github.example/acme/rocket/actions/runs/1001/job/501",
                "runner_name": "runner-5", "created_at": "2026-11-21T09:00:01Z", "started_at": "2026-11-21T09:00:09Z", "completed_at": null,
                "steps": [
                    {"number": 1, "name": "Set up job", "status": "completed", "conclusion": "success", "started_at": "2026-11-21T09:00:09Z", "completed_at": "2026-11-21T09:00:11Z"},
                    {"number": 2, "name": "Compile", "status": "in_progress", "conclusion": null, "started_at": "2026-11-21T09:00:11.000Z", "completed_at": null},
                    {"number": 3, "name": "Tidy up", "status": "queued", "conclusion": null, "started_at": null, "completed_at": null}
                ]
            }
        }),
    );

    insta::assert_snapshot!(written(&facts));
}

#[test]
fn github_check_run() {
    let facts = understand_github(
        "check_run",
        json!({
            "action": "completed",
            "sender": {"login": "ada"},
            "check_run": {
                "id": 71, "name": "lint", "status": "completed", "conclusion": "timed_out", "head_sha": "c0ffee", "html_url": "https://github.example/acme/rocket/runs/71",
                "started_at": "2026-11-21T09:00:00Z", "completed_at": "2026-11-21T09:05:00Z", "app": {"id": 9, "slug": "drone-ci", "name": "Drone CI"},
                "check_suite": {"id": 61, "status": "in_progress", "conclusion": null, "head_branch": "main", "head_sha": "c0ffee",
                    "created_at": "2026-11-21T08:59:00Z", "updated_at": "2026-11-21T09:04:00Z"}
            }
        }),
    );

    insta::assert_snapshot!(written(&facts));
}

#[test]
fn github_check_suite() {
    let facts = understand_github(
        "check_suite",
        json!({
            "action": "completed",
            "check_suite": {"id": 61, "status": "completed", "conclusion": "stale", "head_branch": null, "head_sha": "c0ffee",
                "app": {"id": 9, "name": "Drone CI"}, "head_commit": {"message": "Fix the nozzle\n"},
                "created_at": "2026-11-21T08:59:00Z", "updated_at": "2026-11-21T09:06:00Z"}
        }),
    );

    insta::assert_snapshot!(written(&facts));
}

#[test]
fn github_status() {
    let facts = understand_github(
        "status",
        json!({
            "id": 88, "sha": "c0ffee", "name": "acme/rocket", "state": "error", "context": "jenkins/build", "target_url": "https://jenkins.example/job/1",
            "branches": [{"name": "feature"}, {"name": "main"}], "created_at": "2026-11-21T09:06:00+00:00", "updated_at": "2026-11-21T09:06:00+00:00",
            "commit": {"sha": "c0ffee", "commit": {"message": "Fix the nozzle", "committer": {"date": "2026-11-21T08:58:00Z"}}}, "sender": {"login": "jenkins"}
        }),
    );

    insta::assert_snapshot!(written(&facts));
}

#[test]
fn github_deployment_status() {
    let facts = understand_github(
        "deployment_status",
        json!({
            "action": "created",
            "deployment": {"id": 15, "environment": "production", "ref": "main", "sha": "c0ffee", "creator": {"login": "ada"}, "description": "To the moon",
                "created_at": "2026-11-21T09:10:00Z", "updated_at": "2026-11-21T09:12:00Z"},
            "deployment_status": {"id": 16, "state": "in_progress", "environment": "production", "target_url": "", "log_url": "https://github.example/log/16",
                "created_at": "2026-11-21T09:12:00Z", "updated_at": "2026-11-21T09:12:00Z"}
        }),
    );

    insta::assert_snapshot!(written(&facts));
}

#[test]
fn github_push_and_pull_request() {
    let push = understand_github("push", json!({"ref": "refs/heads/main", "before": "beef", "after": "c0ffee", "deleted": false}));
    let change = understand_github(
        "pull_request",
        json!({"action": "closed", "pull_request": {"number": 4, "title": "Fix the nozzle", "state": "closed", "merged": true, "merged_at": "2026-11-21T09:00:00Z",
            "head": {"ref": "nozzle", "sha": "c0ffee", "repo": null}, "html_url": "https://github.example/acme/rocket/pull/4", "updated_at": "2026-11-21T09:00:00Z"}}),
    );

    insta::assert_snapshot!(format!("{}\n{}", written(&push), written(&change)));
}

#[test]
fn gitlab_pipeline() {
    let facts = understand_gitlab(
        "Pipeline Hook",
        json!({
            "object_kind": "pipeline",
            "object_attributes": {"id": 31, "iid": 3, "name": null, "ref": "refs/merge-requests/1/head", "tag": false, "sha": "c0ffee", "source": "merge_request_event",
                "status": "failed", "created_at": "2026-11-21 09:00:00 UTC", "finished_at": "2026-11-21 09:04:00 UTC"},
            "merge_request": {"iid": 1, "source_branch": "nozzle", "target_branch": "main"},
            "user": {"username": "ada", "name": "Ada"},
            "commit": {"id": "c0ffee", "title": "Fix the nozzle", "message": "Fix the nozzle\n\nIt leaked."},
            "builds": [
                {"id": 380, "stage": "build", "name": "compile", "status": "success", "created_at": "2026-11-21 09:00:00 UTC", "started_at": "2026-11-21 09:00:10 UTC",
                    "finished_at": "2026-11-21 09:01:00 UTC", "failure_reason": "unknown_failure", "allow_failure": false, "runner": {"id": 4, "description": "shared-1"}},
                {"id": 381, "stage": "test", "name": "test", "status": "failed", "created_at": "2026-11-21 09:00:00 UTC", "started_at": "2026-11-21 09:01:10 UTC",
                    "finished_at": "2026-11-21 09:04:00 UTC", "failure_reason": "job_execution_timeout", "allow_failure": false, "runner": null}
            ]
        }),
    );

    insta::assert_snapshot!(written(&facts));
}

#[test]
fn gitlab_job() {
    let facts = understand_gitlab(
        "Job Hook",
        json!({
            "object_kind": "build", "ref": "main", "sha": "c0ffee", "build_id": 380, "build_name": "compile", "build_stage": "build", "build_status": "running",
            "build_created_at": "2026-11-21T09:00:00.886Z", "build_started_at": "2026-11-21T09:00:10.100Z", "build_finished_at": null, "build_allow_failure": true,
            "build_failure_reason": "script_failure", "pipeline_id": 31, "project_id": 53, "project_name": "Acme / Rocket", "user": {"username": "ada"},
            "commit": {"id": 31, "sha": "c0ffee"}, "runner": {"id": 4, "description": "shared-1"}
        }),
    );

    insta::assert_snapshot!(written(&facts));
}

#[test]
fn gitlab_deployment() {
    let facts = understand_gitlab(
        "Deployment Hook",
        json!({
            "object_kind": "deployment", "status": "canceled", "status_changed_at": "2026-11-21 11:10:00 +0200", "deployment_id": 15, "environment": "staging",
            "deployable_url": "https://gitlab.example/acme/rocket/-/jobs/381", "ref": "1.0.0", "short_sha": "c0ffee",
            "commit_url": "https://gitlab.example/acme/rocket/-/commit/c0ffeec0ffee", "commit_title": "Fix the nozzle", "user": {"username": "ada"}
        }),
    );

    insta::assert_snapshot!(written(&facts));
}

#[test]
fn gitlab_push_and_merge_request() {
    let push = understand_gitlab(
        "Push Hook",
        json!({"object_kind": "push", "ref": "refs/heads/main", "after": "c0ffee", "project_id": 53}),
    );
    let change = understand_gitlab(
        "Merge Request Hook",
        json!({"object_kind": "merge_request", "object_attributes": {"iid": 4, "title": "Fix the nozzle", "state": "opened", "source_branch": "nozzle",
            "last_commit": {"id": "c0ffee"}, "url": "https://gitlab.example/acme/rocket/-/merge_requests/4", "updated_at": "2026-11-21 09:00:00 UTC"}}),
    );

    insta::assert_snapshot!(format!("{}\n{}", written(&push), written(&change)));
}
