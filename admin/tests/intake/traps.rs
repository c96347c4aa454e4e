//! What hosts really send and what has tripped others: one test for each trap.
//! Knows nothing of whole shapes; each test looks at the one fact that the trap is about.

use pipecast_admin::intake::fold::{Fold, ProjectFold};
use pipecast_admin::intake::understand;
use pipecast_model::{Delivery, Facts, Host, Outcome, Reading, StatusFact};
use serde_json::{Value, json};

use crate::deliveries::{github, raw, understand_github, understand_gitlab};

mod github;
mod gitlab;

pub(super) fn run(fields: Value) -> Value {
    let mut run = json!({"id": 1001, "workflow_id": 7, "name": "CI", "created_at": "2026-11-21T09:00:00Z", "run_started_at": "2026-11-21T09:00:00Z",
        "updated_at": "2026-11-21T09:00:10Z", "status": "in_progress", "conclusion": null});
    run.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"action": "completed", "workflow_run": run})
}

pub(super) fn job(fields: Value) -> Value {
    let mut job = json!({"id": 501, "run_id": 1001, "run_attempt": 1, "workflow_name": "CI", "name": "build", "status": "queued", "conclusion": null,
        "created_at": "2026-11-21T09:00:00Z", "started_at": "2026-11-21T09:00:00Z", "completed_at": null, "steps": []});
    job.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"action": "queued", "workflow_job": job})
}

pub(super) fn pipeline(fields: Value) -> Value {
    let mut attributes =
        json!({"id": 31, "iid": 3, "ref": "main", "source": "push", "status": "running", "created_at": "2026-11-21 09:00:00 UTC", "finished_at": null});
    attributes.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"object_kind": "pipeline", "object_attributes": attributes, "builds": []})
}

pub(super) fn build(fields: Value) -> Value {
    let mut body = json!({"object_kind": "build", "build_id": 380, "build_name": "compile", "build_status": "running", "pipeline_id": 31, "project_id": 53,
        "build_created_at": "2026-11-21 09:00:00 UTC", "build_started_at": null, "build_finished_at": null});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

pub(super) fn of_execution(facts: &Facts) -> StatusFact {
    facts.executions[0].status.get().unwrap().clone()
}

pub(super) fn of_job(facts: &Facts) -> StatusFact {
    facts.jobs[0].status.get().unwrap().clone()
}

pub(super) fn ignored(facts: &Facts) -> &str {
    assert_eq!(facts.reading.outcome(), Outcome::Ignored, "{:?}", facts.reading);
    assert!(facts.executions.is_empty() && facts.jobs.is_empty());
    facts.reading.detail().unwrap()
}

/// Every order of some deliveries, and the project that each comes to.
pub(super) fn in_every_order(deliveries: &[Delivery], check: impl Fn(&ProjectFold)) {
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
            let reading = understand(&raw(host, event, body.as_bytes().to_vec())).reading;
            assert_eq!(reading.outcome(), Outcome::Unprocessable, "{body}");
            assert!(!reading.detail().unwrap().contains("hunter2"), "{reading:?}");
        }
    }
    assert_eq!(
        understand(&raw(Host::Gitlab, "Job Hook", &b"{\"a\": \"\xff\"}"[..])).reading.outcome(),
        Outcome::Unprocessable
    );
}

#[test]
fn an_object_without_its_id_or_project_is_unprocessable() {
    let without_id = understand_github("workflow_run", run(json!({"id": null})));
    let without_project = understand(&raw(Host::Github, "workflow_run", run(json!({})).to_string()));
    let without_pipeline = understand_gitlab("Job Hook", build(json!({"pipeline_id": null})));

    assert_eq!(without_id.reading, Reading::Unprocessable("it has no workflow_run.id".into()));
    assert_eq!(without_project.reading, Reading::Unprocessable("it has no repository".into()));
    assert_eq!(without_pipeline.reading, Reading::Unprocessable("it has no pipeline_id".into()));
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
