//! Traps of what other tools tell by way of GitHub: checks, statuses of commits, deployments.

use pipecast_model::{PipelineKey, Status};
use serde_json::{Value, json};

use super::super::{ignored, in_every_order, of_execution};
use crate::deliveries::{github, understand_github};

#[test]
fn checks_of_github_actions_are_left_to_its_own_events() {
    let check = json!({"check_run": {"id": 1, "app": {"slug": "github-actions"}, "check_suite": {"id": 2}}});
    let suite = json!({"check_suite": {"id": 2, "app": {"slug": "github-actions"}}});

    assert_eq!(ignored(&understand_github("check_run", check)), "github_actions_check");
    assert_eq!(ignored(&understand_github("check_suite", suite)), "github_actions_check");
}

#[test]
fn a_check_suite_may_be_asked_for_again() {
    let tell = |status: &str, conclusion: Value, at: &str| {
        github(
            "check_suite",
            json!({"check_suite": {"id": 61, "app": {"slug": "ci", "name": "CI"}, "status": status, "conclusion": conclusion, "updated_at": at}}),
        )
    };
    let deliveries = [
        tell("completed", json!("failure"), "2026-11-21T09:00:00Z"),
        // Asked for again: the body still shows how it was.
        tell("completed", json!("failure"), "2026-11-21T09:00:00Z"),
        tell("queued", Value::Null, "2026-11-21T09:10:00Z"),
        tell("in_progress", Value::Null, "2026-11-21T09:10:05Z"),
    ];

    in_every_order(&deliveries, |project| assert_eq!(project.status("61", 1), Status::Running));
}

#[test]
fn a_commit_status_may_go_back_to_pending() {
    let tell = |state: &str, at: &str| github("status", json!({"sha": "c0ffee", "context": "ci", "state": state, "created_at": at}));
    let deliveries = [
        tell("pending", "2026-11-21T09:00:00Z"),
        tell("failure", "2026-11-21T09:01:00Z"),
        tell("pending", "2026-11-21T09:02:00Z"),
        tell("error", "2026-11-21T09:03:00Z"),
    ];

    in_every_order(&deliveries[..3], |project| assert_eq!(project.status("status:c0ffee:ci", 1), Status::Running));
    in_every_order(&deliveries, |project| assert_eq!(project.status("status:c0ffee:ci", 1), Status::Error));
}

#[test]
fn the_late_end_of_an_older_commit_is_not_the_newest_run() {
    let tell = |sha: &str, committed: &str, state: &str, at: &str| {
        github(
            "status",
            json!({"sha": sha, "context": "ci", "state": state, "created_at": at, "commit": {"commit": {"committer": {"date": committed}}}}),
        )
    };
    let deliveries = [
        tell("a", "2026-11-21T08:00:00Z", "pending", "2026-11-21T09:00:00Z"),
        tell("b", "2026-11-21T09:00:00Z", "pending", "2026-11-21T09:01:00Z"),
        tell("a", "2026-11-21T08:00:00Z", "success", "2026-11-21T09:02:00Z"),
    ];

    in_every_order(&deliveries, |project| {
        assert_eq!(project.pipelines()[&PipelineKey::Id("status:ci".into())].status, Status::Running)
    });
}

#[test]
fn an_inactive_deployment_ends_as_it_did() {
    let tell = |state: &str, at: &str| {
        github(
            "deployment_status",
            json!({"deployment": {"id": 15, "environment": "production", "created_at": "2026-11-21T09:00:00Z"}, "deployment_status": {"state": state, "created_at": at}}),
        )
    };
    let asked = github(
        "deployment",
        json!({"deployment": {"id": 15, "environment": "production", "created_at": "2026-11-21T09:00:00Z"}}),
    );
    let deliveries = [asked, tell("success", "2026-11-21T09:05:00Z"), tell("inactive", "2026-11-22T09:00:00Z")];

    in_every_order(&deliveries, |project| {
        assert_eq!(project.status("deployment:15", 1), Status::Success);
        let pipeline = &project.pipelines()[&PipelineKey::Id("deployment:production".into())];
        assert_eq!(pipeline.name, "Deploy to production");
    });
}

#[test]
fn every_commit_and_deployment_state_has_its_word() {
    for (state, status) in [
        ("pending", Status::Running),
        ("success", Status::Success),
        ("failure", Status::Failure),
        ("error", Status::Error),
        ("odd", Status::Unknown),
    ] {
        assert_eq!(of_execution(&understand_github("status", json!({"sha": "a", "state": state}))).status, status);
    }
    for (state, status) in [
        ("queued", Status::Queued),
        ("pending", Status::Queued),
        ("waiting", Status::Blocked),
        ("in_progress", Status::Running),
        ("success", Status::Success),
        ("failure", Status::Failure),
        ("error", Status::Error),
        ("odd", Status::Unknown),
    ] {
        let facts = understand_github("deployment_status", json!({"deployment": {"id": 1}, "deployment_status": {"state": state}}));
        assert_eq!(of_execution(&facts).status, status, "{state}");
    }
}
