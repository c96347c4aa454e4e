//! The JSON of runs, jobs and deployments at the simulated GitHub, in the shapes and sizes of real deliveries.
//! Knows nothing of when something is sent or how it is signed.

use bytes::Bytes;
use pipecast_model::{Status, Timestamp};
use serde_json::{Value, json};

use crate::simulate::body;
use crate::simulate::github::step_says;
use crate::simulate::life::JobLife;
use crate::simulate::names::{GITHUB_RUNNERS, PEOPLE};
use crate::simulate::run::{Change, Commit, Run};
use crate::simulate::world::{Repository, github_user};

/// `workflow_run`: the run as it is at `now`.
pub fn workflow_run(repository: &Repository, run: &Run, now: Timestamp) -> Bytes {
    let said = run.life.marks.at(now).expect("nothing is told before its first mark");
    let action = match said.status {
        _ if said.word == "completed" => "completed",
        Status::Running => "in_progress",
        _ => "requested",
    };
    let definition = &repository.definitions[run.definition];
    let api = api(repository);
    let actor = github_user(run.actor);
    let head = json!({
        "action": action,
        "workflow": {
            "id": definition.id,
            "node_id": format!("W_kwDO{:x}", definition.id),
            "name": definition.plan.name,
            "path": definition.plan.path,
            "state": "active",
            "created_at": "2024-05-06T10:00:00.000Z",
            "updated_at": "2026-03-01T16:20:31.000Z",
            "url": format!("{api}/actions/workflows/{}", definition.id),
            "html_url": format!("{}/blob/{}/{}", repository.url, repository.default_branch, definition.plan.path),
            "badge_url": format!("{}/workflows/{}/badge.svg", repository.url, definition.plan.name.replace(' ', "%20")),
        },
        "workflow_run": {
            "id": run.id,
            "name": definition.plan.name,
            "node_id": format!("WFR_kwLO{:x}", run.id),
            "head_branch": run.branch,
            "head_sha": run.commit.sha,
            "path": definition.plan.path,
            "display_title": run.commit.title,
            "run_number": run.number,
            "run_attempt": run.attempt,
            "event": run.event,
            "status": said.word,
            "conclusion": said.verdict,
            "workflow_id": definition.id,
            "check_suite_id": run.id + 7_000_000_000,
            "url": format!("{api}/actions/runs/{}", run.id),
            "html_url": run_page(repository, run),
            "pull_requests": run.change.as_ref().map(|change| pull_request_link(repository, change, &run.commit)).into_iter().collect::<Vec<_>>(),
            "created_at": instant(run.first_created),
            "updated_at": instant(run.life.marks.touched(now).unwrap_or(now)),
            "run_started_at": instant(run.life.created),
            "actor": github_user(run.commit.author),
            "triggering_actor": actor,
            "referenced_workflows": [],
            "jobs_url": format!("{api}/actions/runs/{}/jobs", run.id),
            "logs_url": format!("{api}/actions/runs/{}/logs", run.id),
            "artifacts_url": format!("{api}/actions/runs/{}/artifacts", run.id),
            "cancel_url": format!("{api}/actions/runs/{}/cancel", run.id),
            "rerun_url": format!("{api}/actions/runs/{}/rerun", run.id),
            "previous_attempt_url": (run.attempt > 1).then(|| format!("{api}/actions/runs/{}/attempts/{}", run.id, run.attempt - 1)),
            "head_commit": commit(&run.commit),
            "head_repository": { "id": repository.id, "full_name": repository.full_name, "html_url": repository.url, "fork": false },
        },
    });
    finish(head, repository, &actor)
}

/// `workflow_job`: one job with its steps as it is at `now`.
pub fn workflow_job(repository: &Repository, run: &Run, job: usize, now: Timestamp) -> Bytes {
    let life = &run.life.jobs[job];
    let definition = &repository.definitions[run.definition];
    let plan = &definition.plan.jobs[life.plan];
    let said = life.marks.at(now).expect("nothing is told before its first mark");
    let began = life.marks.first(Status::Running, now);
    let runner = began.map(|_| GITHUB_RUNNERS[life.runner]);
    let api = api(repository);
    let names = ["Set up job"].into_iter().chain(plan.steps.iter().copied()).chain(["Complete job"]);
    let steps: Vec<Value> = life
        .steps
        .iter()
        .zip(names)
        .enumerate()
        .filter(|_| began.is_some())
        .map(|(place, (step, name))| {
            let said = step_says(step, now);
            json!({
                "name": name,
                "status": said.word,
                "conclusion": said.verdict,
                "number": place + 1,
                "started_at": (step.begin <= now).then(|| instant(step.begin)),
                "completed_at": (step.end <= now).then(|| instant(step.end)),
            })
        })
        .collect();
    let head = json!({
        "action": said.word,
        "workflow_job": {
            "id": life.id,
            "run_id": run.id,
            "workflow_name": definition.plan.name,
            "head_branch": run.branch,
            "run_url": format!("{api}/actions/runs/{}", run.id),
            "run_attempt": run.attempt,
            "node_id": format!("CR_kwDO{:x}", life.id),
            "head_sha": run.commit.sha,
            "url": format!("{api}/actions/jobs/{}", life.id),
            "html_url": format!("{}/job/{}", run_page(repository, run), life.id),
            "status": said.word,
            "conclusion": said.verdict,
            "created_at": instant(life.created),
            // The host fills this in while a job is still queued.
            "started_at": instant(began.unwrap_or(life.created)),
            "completed_at": life.marks.last_end(now).map(instant),
            "name": plan.name,
            "steps": steps,
            "check_run_url": format!("{api}/check-runs/{}", life.id),
            "labels": ["ubuntu-24.04"],
            "runner_id": runner.map(|_| 20 + life.runner),
            "runner_name": runner,
            "runner_group_id": runner.map(|_| 2),
            "runner_group_name": runner.map(|_| "GitHub Actions"),
        },
    });
    finish(head, repository, &github_user(run.actor))
}

/// `deployment_status`: what a job that deploys has to say at `now`.
pub fn deployment_status(repository: &Repository, run: &Run, job: usize, now: Timestamp) -> Bytes {
    let life = &run.life.jobs[job];
    let environment = repository.definitions[run.definition].plan.jobs[life.plan].environment;
    let state = match life.marks.at(now).map(|said| said.status) {
        Some(Status::Success) => "success",
        Some(Status::Running) => "in_progress",
        Some(Status::Queued) => "queued",
        Some(Status::Blocked) => "waiting",
        _ => "failure",
    };
    let creator = github_user(run.actor);
    let head = json!({
        "action": "created",
        "deployment_status": {
            "id": life.id * 10 + 3,
            "state": state,
            "creator": creator,
            "description": "",
            "environment": environment,
            "target_url": format!("{}/job/{}", run_page(repository, run), life.id),
            "log_url": format!("{}/job/{}", run_page(repository, run), life.id),
            "created_at": instant(now),
            "updated_at": instant(now),
        },
        "deployment": {
            "id": deployment_id(life),
            "description": run.commit.title,
            "task": "deploy",
            "environment": environment,
            "original_environment": environment,
            "sha": run.commit.sha,
            "ref": run.branch,
            "payload": {},
            "created_at": instant(life.created),
            "updated_at": instant(now),
        },
    });
    finish(head, repository, &creator)
}

/// The host's id of the deployment that a job makes.
pub fn deployment_id(job: &JobLife) -> i64 {
    job.id + 400_000_000
}

pub(super) fn finish(head: Value, repository: &Repository, sender: &Value) -> Bytes {
    body::join(&head, &[("repository", &repository.json), ("sender", &sender.to_string())])
}

pub(super) fn commit(commit: &Commit) -> Value {
    let [login, name] = PEOPLE[commit.author];
    let author = json!({ "name": name, "email": format!("{login}@example.com"), "username": login });
    json!({
        "id": commit.sha,
        "tree_id": commit.sha.chars().rev().collect::<String>(),
        "distinct": true,
        "message": commit.title,
        "timestamp": instant(commit.at),
        "author": author,
        "committer": author,
        "added": [],
        "removed": [],
        "modified": ["src/lib.rs", "README.md"],
    })
}

fn pull_request_link(repository: &Repository, change: &Change, head: &Commit) -> Value {
    json!({
        "id": 2_000_000_000 + change.number,
        "number": change.number,
        "url": format!("{}/pulls/{}", api(repository), change.number),
        "head": { "ref": change.branch, "sha": head.sha, "repo": { "id": repository.id, "name": repository.full_name } },
        "base": { "ref": repository.default_branch, "sha": head.before, "repo": { "id": repository.id, "name": repository.full_name } },
    })
}

pub(super) fn api(repository: &Repository) -> String {
    format!("https://api.github.com/repos/{}", repository.full_name)
}

fn run_page(repository: &Repository, run: &Run) -> String {
    format!("{}/actions/runs/{}", repository.url, run.id)
}

/// Whole seconds, as the host writes them.
pub(super) fn instant(at: Timestamp) -> String {
    Timestamp(at.0 - at.0.rem_euclid(1_000_000)).to_string()
}
