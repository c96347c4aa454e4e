//! Traps of GitHub: bodies in disguise, fields that lie, and what is no run of anything. Beside it those of runs and those of checks.
//! Knows nothing of GitLab.

use pipecast_admin::intake::understand;
use pipecast_model::{Host, Outcome, Reading, Status};
use serde_json::json;

use super::{ignored, in_every_order, of_execution, run};
use crate::deliveries::{github, raw, understand_github};

mod checks;
mod runs;

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
