//! Real deliveries, collected from public sources, held against words read by this test itself.
//! Knows nothing of how intake maps them; the expectations stand here a second time, on purpose.

use std::fs;
use std::path::{Path, PathBuf};

use pipecast_admin::intake::fold::Fold;
use pipecast_admin::intake::understand;
use pipecast_model::{Delivery, Facts, Host, Reading, Status};
use serde_json::Value;

use crate::deliveries::raw;

/// One file: where it lies, whose it is and what it says.
pub(crate) struct Payload {
    pub(crate) path: String,
    pub(crate) delivery: Delivery,
    pub(crate) body: Value,
}

/// Every file of GitHub and GitLab; empty, and said so, where the folder is absent.
pub(crate) fn payloads() -> Vec<Payload> {
    let folder = std::env::var_os("PIPECAST_PAYLOADS").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/payloads"), PathBuf::from);
    if !folder.is_dir() {
        eprintln!("LEFT OUT: there is no folder of payloads; name it in PIPECAST_PAYLOADS");
        return Vec::new();
    }
    let mut payloads = Vec::new();
    for source in children(&folder) {
        for host_folder in children(&source) {
            let host = match name(&host_folder).as_str() {
                name if name.starts_with("github") => Host::Github,
                "gitlab" => Host::Gitlab,
                _ => continue,
            };
            for event_folder in children(&host_folder) {
                let event = name(&event_folder);
                for file in children(&event_folder) {
                    let bytes = fs::read(&file).unwrap();
                    payloads.push(Payload {
                        path: file.strip_prefix(&folder).unwrap().display().to_string(),
                        body: serde_json::from_slice(&bytes).unwrap(),
                        delivery: raw(host, header(host, &event), bytes),
                    });
                }
            }
        }
    }
    assert!(payloads.len() > 200, "only {} payloads under {}", payloads.len(), folder.display());
    payloads
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut children: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    children.sort();
    children
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The header that an event of this folder is sent with.
fn header(host: Host, folder: &str) -> &str {
    match (host, folder) {
        (Host::Github, event) => event,
        (Host::Gitlab, "pipeline") => "Pipeline Hook",
        (Host::Gitlab, "job") => "Job Hook",
        (Host::Gitlab, "deployment") => "Deployment Hook",
        (Host::Gitlab, "push") => "Push Hook",
        (Host::Gitlab, "tag_push") => "Tag Push Hook",
        (Host::Gitlab, "merge_request") => "Merge Request Hook",
        (Host::Gitlab, "release") => "Release Hook",
        (Host::Gitlab, _) => "System Hook",
    }
}

/// What a file of GitHub should come to: the outcome's word and detail.
fn expected_of_github(payload: &Payload) -> (&'static str, Option<&'static str>) {
    let body = &payload.body;
    let actions = |object: &str| body[object]["app"]["slug"] == "github-actions";
    match payload.delivery.event.as_str() {
        "ping" => ("ping", None),
        "check_run" if actions("check_run") => ("ignored", Some("github_actions_check")),
        "check_suite" if actions("check_suite") => ("ignored", Some("github_actions_check")),
        "repository" if body["action"] == "deleted" => ("ignored", Some("project_deleted")),
        "workflow_run" | "workflow_job" | "check_run" | "check_suite" | "status" | "deployment" | "deployment_status" | "push" | "pull_request"
        | "repository" => ("applied", None),
        _ => ("ignored", Some("unknown_event")),
    }
}

fn expected_of_gitlab(payload: &Payload) -> (&'static str, Option<&'static str>) {
    let body = &payload.body;
    let kind = body["object_kind"].as_str().or(body["event_name"].as_str()).unwrap_or_default();
    match kind {
        "project_destroy" => ("ignored", Some("project_deleted")),
        "release" => ("ignored", Some("unknown_event")),
        // Its keys end in blanks ("iid "), as no server sends them.
        "merge_request" if body["object_attributes"]["iid"].is_null() => ("unprocessable", Some("it has no object_attributes.iid")),
        "pipeline" | "build" | "deployment" | "push" | "tag_push" | "merge_request" | "project_create" | "project_rename" | "project_transfer" => {
            ("applied", None)
        }
        other => panic!("{}: {other}", payload.path),
    }
}

#[test]
fn every_real_delivery_ends_as_expected() {
    for payload in payloads() {
        let reading = understand(&payload.delivery).reading;

        let expected = match payload.delivery.host {
            Host::Github => expected_of_github(&payload),
            Host::Gitlab => expected_of_gitlab(&payload),
        };
        assert_eq!((reading.outcome().word(), reading.detail()), expected, "{}", payload.path);
    }
}

/// The words of every status in the files, and what they mean; taken from the hosts' documentation, not from intake.
fn meaning(words: &str) -> Status {
    match words {
        "queued" | "requested" | "pending:job" | "created" => Status::Queued,
        "waiting" | "completed/action_required" => Status::Blocked,
        "in_progress" | "running" => Status::Running,
        "success" | "completed/success" => Status::Success,
        "failure" | "failed" | "completed/failure" => Status::Failure,
        "completed/neutral" => Status::Neutral,
        "completed/skipped" | "skipped" => Status::Skipped,
        "completed/cancelled" => Status::Cancelled,
        "completed/finished" => Status::Finished,
        other => panic!("no meaning for {other:?}"),
    }
}

fn of_status_and_conclusion(object: &Value) -> Status {
    match (object["status"].as_str().unwrap(), object["conclusion"].as_str()) {
        ("completed", conclusion) => meaning(&format!("completed/{}", conclusion.unwrap())),
        (status, _) => meaning(status),
    }
}

fn execution_status(facts: &Facts) -> Option<Status> {
    assert_eq!(facts.executions.len(), 1);
    facts.executions[0].status.get().map(|told| told.status)
}

fn job_status(facts: &Facts, id: &Value) -> Status {
    let id = id.to_string();
    let job = facts.jobs.iter().find(|job| job.external_id == id).unwrap();
    job.status.get().unwrap().status
}

#[test]
fn every_real_status_means_what_the_host_says() {
    let (payloads, mut seen) = (payloads(), 0);
    for payload in &payloads {
        let Payload { path, delivery, body } = payload;
        let facts = understand(delivery);
        if facts.reading != Reading::Told {
            continue;
        }
        seen += 1;
        match delivery.event.as_str() {
            "workflow_run" => assert_eq!(execution_status(&facts), Some(of_status_and_conclusion(&body["workflow_run"])), "{path}"),
            "workflow_job" => {
                let job = &body["workflow_job"];
                assert_eq!(job_status(&facts, &job["id"]), of_status_and_conclusion(job), "{path}");
                assert_eq!(execution_status(&facts), None, "{path}");
                let steps = facts.jobs[0].steps.get().map_or(0, Vec::len);
                assert_eq!(steps, job["steps"].as_array().map_or(0, Vec::len), "{path}");
            }
            "check_suite" => assert_eq!(execution_status(&facts), Some(of_status_and_conclusion(&body["check_suite"])), "{path}"),
            "check_run" => {
                let check = &body["check_run"];
                assert_eq!(job_status(&facts, &check["id"]), of_status_and_conclusion(check), "{path}");
                assert_eq!(facts.executions[0].external_id, check["check_suite"]["id"].to_string(), "{path}");
            }
            "status" => {
                let expected = match body["state"].as_str().unwrap() {
                    "pending" => Status::Running,
                    "error" => Status::Error,
                    word => meaning(word),
                };
                assert_eq!(execution_status(&facts), Some(expected), "{path}");
            }
            "deployment" => assert_eq!(execution_status(&facts), Some(Status::Queued), "{path}"),
            "deployment_status" => {
                let expected = meaning(body["deployment_status"]["state"].as_str().unwrap());
                assert_eq!(execution_status(&facts), Some(expected), "{path}");
            }
            "Pipeline Hook" => {
                let expected = meaning(body["object_attributes"]["status"].as_str().unwrap());
                assert_eq!(execution_status(&facts), Some(expected), "{path}");
                let builds = body["builds"].as_array().unwrap();
                assert_eq!(facts.jobs.len(), builds.len(), "{path}");
                for build in builds {
                    assert_eq!(job_status(&facts, &build["id"]), meaning(build["status"].as_str().unwrap()), "{path}");
                }
            }
            "Job Hook" => {
                let expected = meaning(body["build_status"].as_str().unwrap());
                assert_eq!(job_status(&facts, &body["build_id"]), expected, "{path}");
                assert_eq!(execution_status(&facts), None, "{path}");
            }
            "Deployment Hook" => assert_eq!(execution_status(&facts), Some(meaning(body["status"].as_str().unwrap())), "{path}"),
            _ => seen -= 1,
        }
    }
    eprintln!("{seen} deliveries tell a status");
    assert!(payloads.is_empty() || seen > 60, "only {seen} of {} tell a status", payloads.len());
}

#[test]
fn all_real_deliveries_together_come_to_the_same_in_both_directions() {
    let payloads = payloads();
    let fold = |deliveries: &mut dyn Iterator<Item = &Payload>| {
        let mut fold = Fold::default();
        deliveries.for_each(|payload| drop(fold.receive(&payload.delivery)));
        fold
    };

    let forwards = fold(&mut payloads.iter());
    let backwards = fold(&mut payloads.iter().rev());

    assert_eq!(forwards, backwards);
}
