//! What hosts really send and what has tripped others: one test for each trap.
//! Knows nothing of whole shapes; each test looks at the one fact that the trap is about.

use pipecast_admin::intake::fold::{Fold, ProjectFold};
use pipecast_admin::intake::understand;
use pipecast_model::{Delivery, Facts, Host, Outcome, PipelineKey, Status, StatusFact, Timestamp, Version};
use serde_json::{Value, json};

use crate::deliveries::{github, gitlab, raw, understand_github, understand_gitlab};

fn run(fields: Value) -> Value {
    let mut run = json!({"id": 1001, "workflow_id": 7, "name": "CI", "created_at": "2026-11-21T09:00:00Z", "run_started_at": "2026-11-21T09:00:00Z",
        "updated_at": "2026-11-21T09:00:10Z", "status": "in_progress", "conclusion": null});
    run.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"action": "completed", "workflow_run": run})
}

fn job(fields: Value) -> Value {
    let mut job = json!({"id": 501, "run_id": 1001, "run_attempt": 1, "workflow_name": "CI", "name": "build", "status": "queued", "conclusion": null,
        "created_at": "2026-11-21T09:00:00Z", "started_at": "2026-11-21T09:00:00Z", "completed_at": null, "steps": []});
    job.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"action": "queued", "workflow_job": job})
}

fn pipeline(fields: Value) -> Value {
    let mut attributes =
        json!({"id": 31, "iid": 3, "ref": "main", "source": "push", "status": "running", "created_at": "2026-11-21 09:00:00 UTC", "finished_at": null});
    attributes.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"object_kind": "pipeline", "object_attributes": attributes, "builds": []})
}

fn build(fields: Value) -> Value {
    let mut body = json!({"object_kind": "build", "build_id": 380, "build_name": "compile", "build_status": "running", "pipeline_id": 31, "project_id": 53,
        "build_created_at": "2026-11-21 09:00:00 UTC", "build_started_at": null, "build_finished_at": null});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn of_execution(facts: &Facts) -> StatusFact {
    facts.executions[0].status.get().unwrap().clone()
}

fn of_job(facts: &Facts) -> StatusFact {
    facts.jobs[0].status.get().unwrap().clone()
}

fn ignored(facts: &Facts) -> &str {
    assert_eq!(facts.outcome.word(), "ignored", "{:?}", facts.outcome);
    assert!(facts.executions.is_empty() && facts.jobs.is_empty());
    facts.outcome.detail().unwrap()
}

/// Every order of some deliveries, and the project that each comes to.
fn in_every_order(deliveries: &[Delivery], check: impl Fn(&ProjectFold)) {
    fn visit(order: &mut Vec<Delivery>, from: usize, check: &dyn Fn(&ProjectFold)) {
        if from + 1 >= order.len() {
            let mut fold = Fold::default();
            order.iter().for_each(|delivery| drop(fold.receive(delivery)));
            return check(fold.projects.values().next().unwrap());
        }
        for other in from..order.len() {
            order.swap(from, other);
            visit(order, from + 1, check);
            order.swap(from, other);
        }
    }
    visit(&mut deliveries.to_vec(), 0, &check);
}

#[test]
fn an_event_about_null_or_nothing_is_empty() {
    for event in [
        "workflow_run",
        "workflow_job",
        "check_run",
        "check_suite",
        "deployment",
        "deployment_status",
        "pull_request",
        "push",
        "status",
    ] {
        for body in [json!({"action": "queued", event: null}), json!({}), json!({event: []}), json!({event: "gone"})] {
            assert_eq!(ignored(&understand_github(event, body.clone())), "empty", "{event} {body}");
        }
    }
    for kind in ["pipeline", "build", "deployment", "push", "tag_push", "merge_request"] {
        for body in [json!({"object_kind": kind}), json!({"object_kind": kind, "object_attributes": null})] {
            assert_eq!(ignored(&understand_gitlab("System Hook", body)), "empty", "{kind}");
        }
    }
}

#[test]
fn an_event_that_nobody_keeps_is_ignored_and_names_no_project() {
    for event in ["issues", "merge_group", "workflow_dispatch", ""] {
        let facts = understand_github(event, json!({"action": "opened"}));
        assert_eq!(ignored(&facts), "unknown_event");
        assert!(facts.project.is_none());
    }
    for body in [
        json!({"object_kind": "note"}),
        json!({"event_name": "user_create"}),
        json!({"text": "a template of somebody's own"}),
    ] {
        assert_eq!(ignored(&understand_gitlab("Note Hook", body)), "unknown_event");
    }
}

#[test]
fn a_body_under_a_swapped_header_tells_nothing_at_github() {
    let facts = understand_github(
        "workflow_run",
        json!({"check_run": {"id": 1, "status": "completed", "conclusion": "success", "check_suite": {"id": 2}}}),
    );

    assert_eq!(ignored(&facts), "empty");
}

#[test]
fn at_gitlab_the_body_says_what_it_is_and_the_header_only_where_the_body_does_not() {
    let by_body = understand_gitlab("Push Hook", pipeline(json!({})));
    let mut bare = pipeline(json!({}));
    bare.as_object_mut().unwrap().remove("object_kind");
    let by_header = understand_gitlab("Pipeline Hook", bare);
    let by_system_hook = understand_gitlab(
        "System Hook",
        json!({"event_name": "push", "ref": "refs/heads/main", "after": "c0ffee", "project_id": 53}),
    );

    assert_eq!(of_execution(&by_body).status, Status::Running);
    assert_eq!(of_execution(&by_header).status, Status::Running);
    assert_eq!(by_system_hook.refs[0].commit_sha.get(), Some(&Some("c0ffee".to_owned())));
}

#[test]
fn a_body_that_cannot_be_read_says_where_and_keeps_its_content_to_itself() {
    for body in [
        "{\"token\": \"hunter2\", // a comment, as in GitLab's own sample\n}",
        "[\"hunter2\"]",
        "\"hunter2\"",
        "hunter2",
        "",
        "\u{feff}{}",
    ] {
        for (host, event) in [(Host::Github, "workflow_run"), (Host::Gitlab, "Job Hook")] {
            let outcome = understand(&raw(host, event, body.as_bytes().to_vec())).outcome;
            assert_eq!(outcome.word(), "unprocessable", "{body}");
            assert!(!outcome.detail().unwrap().contains("hunter2"), "{outcome:?}");
        }
    }
    assert_eq!(
        understand(&raw(Host::Gitlab, "Job Hook", &b"{\"a\": \"\xff\"}"[..])).outcome.word(),
        "unprocessable"
    );
}

#[test]
fn a_body_nested_without_end_costs_no_stack() {
    let deep = "[".repeat(1_000_000);
    let closed = format!("{{\"workflow_run\": {}{}}}", "{\"actor\": ".repeat(200_000), "}".repeat(200_000));
    let balanced = format!("{{\"noise\": {deep}{}, \"workflow_run\": null}}", "]".repeat(1_000_000));

    assert_eq!(
        understand(&raw(Host::Github, "workflow_run", format!("{{\"workflow_run\": {deep}")))
            .outcome
            .word(),
        "unprocessable"
    );
    assert_eq!(understand(&raw(Host::Github, "workflow_run", closed)).outcome.word(), "unprocessable");
    assert_eq!(ignored(&understand(&raw(Host::Github, "workflow_run", balanced))), "empty");
}

#[test]
fn an_object_without_its_id_or_project_is_unprocessable() {
    let without_id = understand_github("workflow_run", run(json!({"id": null})));
    let without_project = understand(&raw(Host::Github, "workflow_run", run(json!({})).to_string()));
    let without_pipeline = understand_gitlab("Job Hook", build(json!({"pipeline_id": null})));

    assert_eq!(without_id.outcome, Outcome::Unprocessable("it has no workflow_run.id".into()));
    assert_eq!(without_project.outcome, Outcome::Unprocessable("it has no repository".into()));
    assert_eq!(without_pipeline.outcome, Outcome::Unprocessable("it has no pipeline_id".into()));
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
    assert_eq!(understand(&raw(Host::Github, "workflow_run", "payload=%7B")).outcome.word(), "unprocessable");
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
fn every_status_of_gitlab_has_its_word() {
    for (word, status) in [
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
        ("brand_new", Status::Unknown),
    ] {
        assert_eq!(
            of_execution(&understand_gitlab("Pipeline Hook", pipeline(json!({"status": word})))).status,
            status,
            "{word}"
        );
        assert_eq!(
            of_job(&understand_gitlab("Job Hook", build(json!({"build_status": word})))).status,
            status,
            "{word}"
        );
    }
    for (word, status) in [
        ("created", Status::Queued),
        ("blocked", Status::Blocked),
        ("approved", Status::Queued),
        ("rejected", Status::Failure),
        ("running", Status::Running),
        ("success", Status::Success),
        ("failed", Status::Failure),
        ("canceled", Status::Cancelled),
        ("skipped", Status::Skipped),
        ("brand_new", Status::Unknown),
    ] {
        let facts = understand_gitlab("Deployment Hook", json!({"object_kind": "deployment", "deployment_id": 1, "status": word}));
        assert_eq!(of_execution(&facts).status, status, "{word}");
    }
}

#[test]
fn a_failure_reason_counts_only_for_what_has_failed() {
    for (word, reason, status) in [
        ("created", "script_failure", Status::Queued),
        ("running", "job_execution_timeout", Status::Running),
        ("success", "unknown_failure", Status::Success),
        ("skipped", "runner_system_failure", Status::Skipped),
        ("failed", "script_failure", Status::Failure),
        ("failed", "a_new_reason", Status::Failure),
        ("failed", "job_execution_timeout", Status::TimedOut),
        ("failed", "stuck_or_timeout_failure", Status::TimedOut),
        ("failed", "runner_system_failure", Status::Error),
        ("failed", "api_failure", Status::Error),
    ] {
        let fact = of_job(&understand_gitlab(
            "Job Hook",
            build(json!({"build_status": word, "build_failure_reason": reason})),
        ));
        assert_eq!(fact.status, status, "{word} {reason}");
        assert_eq!(fact.raw_conclusion.as_deref(), (word == "failed").then_some(reason));
    }
}

#[test]
fn a_failure_that_is_allowed_is_still_a_failure_and_says_so() {
    let facts = understand_gitlab("Job Hook", build(json!({"build_status": "failed", "build_allow_failure": true})));

    assert_eq!((of_job(&facts).status, facts.jobs[0].allow_failure.get()), (Status::Failure, Some(&true)));
}

#[test]
fn a_job_hooks_commit_is_its_pipeline() {
    let facts = understand_gitlab("Job Hook", build(json!({"pipeline_id": null, "commit": {"id": 2366, "sha": "c0ffee"}})));

    assert_eq!(facts.executions[0].external_id, "2366");
    assert_eq!(facts.executions[0].commit_sha.get().map(String::as_str), Some("c0ffee"));
}

#[test]
fn an_old_job_hook_without_project_still_names_it() {
    let mut body = build(json!({"project_name": "Acme / Rocket", "repository": {"homepage": "https://gitlab.example/acme/rocket"}}));
    body["project"] = Value::Null;

    let project = understand_gitlab("Job Hook", body).project.unwrap();

    assert_eq!(
        (project.external_id.as_str(), project.name.get().map(String::as_str)),
        ("53", Some("acme/rocket"))
    );
    assert_eq!(project.name.version(), Some(Version::WEAK));
}

#[test]
fn fractions_of_a_second_in_job_hooks_do_not_outrank_pipeline_hooks() {
    let from_job_hook = gitlab("Job Hook", build(json!({"build_started_at": "2026-11-21T09:00:05.900Z"})));
    let mut body = pipeline(json!({"status": "success"}));
    body["builds"] = json!([{"id": 380, "status": "success", "created_at": "2026-11-21 09:00:00 UTC", "started_at": "2026-11-21 09:00:05 UTC",
        "finished_at": "2026-11-21 09:00:05 UTC"}]);

    in_every_order(&[from_job_hook, gitlab("Pipeline Hook", body)], |project| {
        assert_eq!(project.jobs.values().next().unwrap().status.get().unwrap().status, Status::Success);
    });
}

#[test]
fn a_job_listed_twice_is_one_job() {
    let mut body = pipeline(json!({}));
    body["builds"] = json!([{"id": 7, "status": "running", "created_at": 1_795_251_600}, {"id": 6, "status": "success"}, {"id": 7, "status": "success", "created_at": 1_795_251_600}, {"name": "no id"}]);

    let facts = understand_gitlab("Pipeline Hook", body);

    let jobs: Vec<_> = facts
        .jobs
        .iter()
        .map(|job| (job.external_id.as_str(), job.status.get().unwrap().status))
        .collect();
    assert_eq!(jobs, [("6", Status::Success), ("7", Status::Success)]);
}

#[test]
fn child_pipelines_do_not_stand_for_the_project() {
    let deliveries = [
        gitlab("Pipeline Hook", pipeline(json!({"status": "success"}))),
        gitlab("Job Hook", build(json!({"pipeline_id": 32, "build_id": 390}))),
        gitlab(
            "Pipeline Hook",
            pipeline(json!({"id": 32, "iid": 4, "source": "parent_pipeline", "status": "running"})),
        ),
    ];

    in_every_order(&deliveries, |project| {
        let pipelines = project.pipelines();
        assert_eq!(pipelines[&PipelineKey::Id("ci".into())].status, Status::Success);
        assert_eq!(pipelines[&PipelineKey::Id("ci".into())].name, "Rocket");
        assert_eq!(pipelines[&PipelineKey::Id("child".into())].status, Status::Running);
    });
}

#[test]
fn a_deleted_ref_points_nowhere() {
    let zero = "0000000000000000000000000000000000000000";
    let at_github = understand_github("push", json!({"ref": "refs/tags/v1", "after": zero, "deleted": true, "head_commit": null}));
    let at_gitlab = understand_gitlab(
        "Push Hook",
        json!({"object_kind": "push", "ref": "refs/heads/old", "after": zero, "checkout_sha": null}),
    );

    assert_eq!(at_github.refs[0].commit_sha.get(), Some(&None));
    assert_eq!(at_gitlab.refs[0].commit_sha.get(), Some(&None));
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
fn a_renamed_project_keeps_its_new_name_whatever_arrives_late() {
    let with_name = |event: &str, mut body: Value, name: &str, at: &str| {
        body["repository"] = json!({"id": 35, "full_name": name, "updated_at": at});
        github(event, body)
    };
    let deliveries = [
        with_name("workflow_run", run(json!({})), "acme/rocket", "2026-11-20T00:00:00Z"),
        with_name("repository", json!({"action": "renamed"}), "acme/starship", "2026-11-21T00:00:00Z"),
    ];
    in_every_order(&deliveries, |project| {
        assert_eq!(project.facts.name.get().map(String::as_str), Some("acme/starship"))
    });

    let moved = understand_gitlab(
        "System Hook",
        json!({"event_name": "project_transfer", "project_id": 53, "path_with_namespace": "moon/rocket", "updated_at": "2026-11-21T00:00:00Z"}),
    );
    assert_eq!(moved.project.unwrap().name.get().map(String::as_str), Some("moon/rocket"));
}

#[test]
fn a_project_that_is_gone_is_noted_and_kept() {
    assert_eq!(ignored(&understand_github("repository", json!({"action": "deleted"}))), "project_deleted");
    assert_eq!(
        ignored(&understand_gitlab("System Hook", json!({"event_name": "project_destroy", "project_id": 53}))),
        "project_deleted"
    );
}

#[test]
fn the_ping_of_a_repository_names_it_and_that_of_an_organisation_does_not() {
    let of_repository = understand_github("ping", json!({"zen": "Keep it logically awesome.", "hook_id": 1}));
    let of_organisation = understand(&raw(
        Host::Github,
        "ping",
        json!({"zen": "Speak like a human.", "organization": {}}).to_string(),
    ));

    assert_eq!((of_repository.outcome, of_repository.project.is_some()), (Outcome::Ping, true));
    assert_eq!((of_organisation.outcome, of_organisation.project.is_some()), (Outcome::Ping, false));
}

#[test]
fn variables_of_a_pipeline_are_never_told() {
    let facts = understand_gitlab("Pipeline Hook", pipeline(json!({"variables": [{"key": "TOKEN", "value": "hunter2"}]})));

    assert!(!format!("{facts:?}").contains("hunter2"));
}

#[test]
fn a_gitlab_pipeline_may_be_opened_again() {
    let at = |seconds: i64| format!("2026-11-21 09:00:{seconds:02} UTC");
    let tell = |status: &str, finished: Option<i64>, builds: Value| {
        let mut body = pipeline(json!({"status": status, "finished_at": finished.map(at)}));
        body["builds"] = builds;
        gitlab("Pipeline Hook", body)
    };
    let first = json!({"id": 1, "status": "success", "created_at": at(0), "started_at": at(1), "finished_at": at(5)});
    let second = |id: i64, status: &str, created: i64, started: Option<i64>, finished: Option<i64>| json!({"id": id, "status": status, "created_at": at(created), "started_at": started.map(at), "finished_at": finished.map(at)});
    let deliveries = [
        tell(
            "running",
            None,
            json!([{"id": 1, "status": "running", "created_at": at(0), "started_at": at(1)}, second(2, "created", 0, None, None)]),
        ),
        tell("manual", None, json!([first, second(2, "manual", 0, None, None)])),
        tell("running", None, json!([first, second(2, "running", 0, Some(10), None)])),
        tell("failed", Some(15), json!([first, second(2, "failed", 0, Some(10), Some(15))])),
        tell("running", Some(15), json!([first, second(3, "pending", 20, None, None)])),
        tell("success", Some(30), json!([first, second(3, "success", 20, Some(21), Some(30))])),
    ];

    for (until, meant) in [
        Status::Running,
        Status::Blocked,
        Status::Running,
        Status::Failure,
        Status::Running,
        Status::Success,
    ]
    .into_iter()
    .enumerate()
    {
        in_every_order(&deliveries[..=until], |project| {
            assert_eq!(project.status("31", 1), meant, "after {} deliveries", until + 1)
        });
    }
}
