//! Traps of workflows: runs and jobs that overtake and tie each other, attempts, words that nobody knows.

use pipecast_model::{PipelineKey, Status, Timestamp};
use serde_json::{Value, json};

use super::super::{in_every_order, job, of_execution, of_job, run};
use crate::deliveries::{github, understand_github};

#[test]
fn the_status_decides_and_the_action_never() {
    let mut body = run(json!({"status": "completed", "conclusion": "success"}));
    for action in [json!("in_progress"), json!("requested"), json!("brand new"), Value::Null] {
        body["action"] = action;
        assert_eq!(of_execution(&understand_github("workflow_run", body.clone())).status, Status::Success);
    }
    assert_eq!(
        of_job(&understand_github("workflow_job", job(json!({"status": "waiting"})))).status,
        Status::Blocked
    );
}

#[test]
fn a_word_that_nobody_knows_is_kept_and_never_takes_the_place_of_one_that_is_known() {
    let unknown = understand_github(
        "workflow_run",
        run(json!({"status": "levitating", "conclusion": "success", "updated_at": "2030-01-01T00:00:00Z"})),
    );
    assert_eq!(
        (of_execution(&unknown).status, of_execution(&unknown).raw_status.as_deref()),
        (Status::Unknown, Some("levitating"))
    );

    let deliveries = [
        github("workflow_run", run(json!({"status": "levitating", "updated_at": "2030-01-01T00:00:00Z"}))),
        github("workflow_run", run(json!({}))),
    ];
    in_every_order(&deliveries, |project| assert_eq!(project.status("1001", 1), Status::Running));
}

#[test]
fn completed_without_a_known_conclusion_is_finished() {
    for conclusion in [Value::Null, json!("finished"), json!(""), json!(7)] {
        let facts = understand_github("workflow_run", run(json!({"status": "completed", "conclusion": conclusion})));
        assert_eq!(of_execution(&facts).status, Status::Finished, "{conclusion}");
        assert!(of_execution(&facts).finished_at.is_some());
    }
}

#[test]
fn a_run_that_awaits_approval_is_blocked_and_has_not_ended() {
    let awaits = run(json!({"status": "completed", "conclusion": "action_required"}));
    let fact = of_execution(&understand_github("workflow_run", awaits.clone()));
    assert_eq!(
        (fact.status, fact.finished_at, fact.raw_conclusion.as_deref()),
        (Status::Blocked, None, Some("action_required"))
    );

    let later = |status: &str, conclusion: Value| {
        github(
            "workflow_run",
            run(json!({"status": status, "conclusion": conclusion, "updated_at": "2026-11-21T09:05:00Z"})),
        )
    };
    let approved = [
        github("workflow_run", awaits.clone()),
        later("queued", Value::Null),
        later("in_progress", Value::Null),
    ];
    in_every_order(&approved, |project| assert_eq!(project.status("1001", 1), Status::Running));
    let ended = [
        github("workflow_run", awaits),
        later("queued", Value::Null),
        later("completed", json!("success")),
    ];
    in_every_order(&ended, |project| assert_eq!(project.status("1001", 1), Status::Success));
}

#[test]
fn deliveries_that_differ_in_nothing_but_the_status_are_ordered_by_it() {
    // Seen in the wild: queued, waiting and queued again in the same second, and the job stuck for good.
    let tell = |status: &str| github("workflow_job", job(json!({"status": status})));

    in_every_order(&[tell("queued"), tell("waiting"), tell("queued")], |project| {
        assert_eq!(project.jobs.values().next().unwrap().status.get().unwrap().status, Status::Blocked);
    });
    in_every_order(&[tell("queued"), tell("waiting"), tell("queued"), tell("in_progress")], |project| {
        assert_eq!(project.jobs.values().next().unwrap().status.get().unwrap().status, Status::Running);
    });
}

#[test]
fn completed_before_in_progress_stays_completed_and_knows_its_start() {
    let completed = run(json!({"status": "completed", "conclusion": "failure", "run_started_at": null, "updated_at": "2026-11-21T09:00:10Z"}));
    let deliveries = [
        github("workflow_run", completed),
        github("workflow_run", run(json!({}))),
        github("workflow_run", run(json!({"status": "queued"}))),
    ];

    in_every_order(&deliveries, |project| {
        let execution = project.executions.values().next().unwrap();
        assert_eq!(project.status("1001", 1), Status::Failure);
        assert_eq!(execution.started_at.get().copied(), Timestamp::parse("2026-11-21T09:00:00Z"));
    });
}

#[test]
fn what_is_queued_has_not_started_whatever_its_times_say() {
    for status in ["queued", "waiting", "pending", "requested"] {
        assert!(
            understand_github("workflow_job", job(json!({"status": status}))).jobs[0]
                .started_at
                .get()
                .is_none()
        );
        assert!(
            understand_github("workflow_run", run(json!({"status": status}))).executions[0]
                .started_at
                .get()
                .is_none()
        );
    }
    assert!(
        understand_github("workflow_job", job(json!({"status": "in_progress"}))).jobs[0]
            .started_at
            .get()
            .is_some()
    );
}

#[test]
fn a_run_without_branch_name_actor_or_attempt_is_still_a_run() {
    let facts = understand_github(
        "workflow_run",
        run(
            json!({"head_branch": null, "name": "", "path": ".github/workflows/ci.yml@refs/heads/main", "actor": null, "triggering_actor": null,
            "head_repository": null, "pull_requests": []}),
        ),
    );

    let execution = &facts.executions[0];
    assert_eq!(execution.attempt, 1);
    assert!(execution.branch.get().is_none() && execution.actor.get().is_none());
    assert_eq!(facts.pipelines[0].name.get().map(String::as_str), Some(".github/workflows/ci.yml"));
}

#[test]
fn a_job_before_its_run_waits_in_a_pipeline_of_its_workflows_name() {
    let jobs = [
        github("workflow_job", job(json!({}))),
        github("workflow_job", job(json!({"status": "in_progress"}))),
    ];
    in_every_order(&jobs, |project| {
        let pipelines = project.pipelines();
        assert_eq!(pipelines.keys().collect::<Vec<_>>(), [&PipelineKey::Named("CI".into())]);
        assert_eq!(project.status("1001", 1), Status::Unknown);
    });

    let all = [
        github("workflow_job", job(json!({}))),
        github("workflow_run", run(json!({}))),
        github("workflow_run", run(json!({"id": 1002, "status": "queued"}))),
    ];
    in_every_order(&all, |project| {
        let pipelines = project.pipelines();
        assert_eq!(pipelines.len(), 1);
        let pipeline = &pipelines[&PipelineKey::Id("7".into())];
        assert_eq!((pipeline.executions.len(), pipeline.status), (2, Status::Queued));
    });
}

#[test]
fn a_new_attempt_leaves_the_old_one_alone() {
    let deliveries = [
        github("workflow_run", run(json!({"run_attempt": 1, "status": "completed", "conclusion": "failure"}))),
        github(
            "workflow_run",
            run(json!({"run_attempt": 2, "status": "in_progress", "run_started_at": "2026-11-21T10:00:00Z"})),
        ),
        github("workflow_job", job(json!({"run_attempt": 2, "id": 502, "status": "in_progress"}))),
    ];

    in_every_order(&deliveries, |project| {
        assert_eq!((project.status("1001", 1), project.status("1001", 2)), (Status::Failure, Status::Running));
        assert_eq!(project.jobs_of("1001", 2).count(), 1);
        assert_eq!(project.pipelines()[&PipelineKey::Id("7".into())].status, Status::Running);
        let asked = project.executions[&("1001".to_owned(), 2)].queued_at.get().copied();
        assert_eq!(
            asked,
            Timestamp::parse("2026-11-21T10:00:00Z"),
            "a second attempt was not asked for when the first one was"
        );
    });
}

#[test]
fn every_conclusion_of_github_has_its_word() {
    for (conclusion, status) in [
        ("success", Status::Success),
        ("failure", Status::Failure),
        ("startup_failure", Status::Error),
        ("timed_out", Status::TimedOut),
        ("cancelled", Status::Cancelled),
        ("stale", Status::Cancelled),
        ("skipped", Status::Skipped),
        ("neutral", Status::Neutral),
        ("action_required", Status::Blocked),
    ] {
        let body = run(json!({"status": "completed", "conclusion": conclusion}));
        assert_eq!(of_execution(&understand_github("workflow_run", body)).status, status, "{conclusion}");
    }
}
