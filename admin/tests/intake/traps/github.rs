//! Traps of GitHub: overtaking and tying deliveries, fields that are null or lie, events that tell the same twice.
//! Knows nothing of GitLab.

use pipecast_admin::intake::understand;
use pipecast_model::{Host, Outcome, PipelineKey, Reading, Status, Timestamp};
use serde_json::{Value, json};

use super::{ignored, in_every_order, job, of_execution, of_job, run};
use crate::deliveries::{github, raw, understand_github};

#[test]
fn a_body_under_a_swapped_header_tells_nothing_at_github() {
    let facts = understand_github(
        "workflow_run",
        json!({"check_run": {"id": 1, "status": "completed", "conclusion": "success", "check_suite": {"id": 2}}}),
    );

    assert_eq!(ignored(&facts), "empty");
}

#[test]
fn a_body_nested_without_end_costs_no_stack() {
    let deep = "[".repeat(1_000_000);
    let closed = format!("{{\"workflow_run\": {}{}}}", "{\"actor\": ".repeat(200_000), "}".repeat(200_000));
    let balanced = format!("{{\"noise\": {deep}{}, \"workflow_run\": null}}", "]".repeat(1_000_000));

    assert_eq!(
        understand(&raw(Host::Github, "workflow_run", format!("{{\"workflow_run\": {deep}")))
            .reading
            .outcome(),
        Outcome::Unprocessable
    );
    assert_eq!(understand(&raw(Host::Github, "workflow_run", closed)).reading.outcome(), Outcome::Unprocessable);
    assert_eq!(ignored(&understand(&raw(Host::Github, "workflow_run", balanced))), "empty");
}

#[test]
fn a_field_of_another_type_costs_only_itself() {
    let facts = understand_github(
        "workflow_run",
        run(json!({"id": "1001", "run_number": "twelve", "head_branch": 7, "actor": "ada", "head_commit": [], "event": {"name": "push"}, "html_url": false})),
    );

    let execution = &facts.executions[0];
    assert_eq!((execution.external_id.as_str(), of_execution(&facts).status), ("1001", Status::Running));
    assert!(execution.number.get().is_none() && execution.branch.get().is_none() && execution.event.get().is_none() && execution.url.get().is_none());
}

#[test]
fn a_form_holds_the_same_json() {
    let body = run(json!({"head_branch": "a&b=c+d %"}));
    let plain = github("workflow_run", body);
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", std::str::from_utf8(&plain.body).unwrap())
        .finish();

    let mut declared = raw(Host::Github, "workflow_run", format!("other=1&{form}"));
    declared.headers = vec![("content-type".into(), "application/x-www-form-urlencoded; charset=utf-8".into())];

    assert_eq!(understand(&declared), understand(&plain));
    assert_eq!(understand(&raw(Host::Github, "workflow_run", form)), understand(&plain));
    assert_eq!(
        understand(&raw(Host::Github, "workflow_run", "payload=%7B")).reading.outcome(),
        Outcome::Unprocessable
    );
}

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

#[test]
fn a_commit_from_the_future_does_not_pin_its_branch() {
    let push = |after: &str, pushed_at: i64, committed: &str| {
        github(
            "push",
            json!({"ref": "refs/heads/main", "after": after, "head_commit": {"timestamp": committed},
                "repository": {"id": 35, "full_name": "acme/rocket", "pushed_at": pushed_at}}),
        )
    };
    let deliveries = [
        push("a", 1_795_251_600, "2099-01-01T00:00:00Z"),
        push("b", 1_795_251_700, "2026-11-21T09:00:00Z"),
    ];

    in_every_order(&deliveries, |project| {
        assert_eq!(project.refs["refs/heads/main"].commit_sha.get(), Some(&Some("b".to_owned())))
    });
}

#[test]
fn a_change_that_is_merged_in_the_second_of_its_last_label_is_merged() {
    let tell = |state: &str, merged: bool| {
        github(
            "pull_request",
            json!({"pull_request": {"number": 4, "state": state, "merged": merged, "head": {"ref": "nozzle", "repo": null}, "updated_at": "2026-11-21T09:00:00Z"}}),
        )
    };

    in_every_order(&[tell("open", false), tell("closed", true)], |project| {
        assert_eq!(project.changes[&4].state.get().map(String::as_str), Some("merged"));
    });
}

#[test]
fn the_ping_of_a_repository_names_it_and_that_of_an_organisation_does_not() {
    let of_repository = understand_github("ping", json!({"zen": "Keep it logically awesome.", "hook_id": 1}));
    let of_organisation = understand(&raw(
        Host::Github,
        "ping",
        json!({"zen": "Speak like a human.", "organization": {}}).to_string(),
    ));

    assert_eq!((of_repository.reading, of_repository.project.is_some()), (Reading::Ping, true));
    assert_eq!((of_organisation.reading, of_organisation.project.is_some()), (Reading::Ping, false));
}
