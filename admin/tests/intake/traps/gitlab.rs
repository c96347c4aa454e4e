//! Traps of GitLab: pipelines that open again, reasons that mean nothing, hooks that leave half of it out.
//! Knows nothing of GitHub.

use pipecast_model::{PipelineKey, Status, Version};
use serde_json::{Value, json};

use super::{build, in_every_order, of_execution, of_job, pipeline};
use crate::deliveries::{gitlab, understand_gitlab};

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
