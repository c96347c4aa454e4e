//! The JSON of the simulated GitLab, in the shapes and sizes of real deliveries.
//! Knows nothing of when something is sent or how it is signed.

use bytes::Bytes;
use pipecast_model::{Status, Timestamp};
use serde_json::{Value, json};

use crate::simulate::body;
use crate::simulate::gitlab::failure_reason;
use crate::simulate::life::JobLife;
use crate::simulate::names::{GITLAB_RUNNERS, Gate, PEOPLE};
use crate::simulate::run::{Change, Commit, Run};
use crate::simulate::world::{Repository, gitlab_user};

/// Pipeline Hook: the pipeline with all its current jobs as it is at `now`.
pub fn pipeline(repository: &Repository, run: &Run, now: Timestamp) -> Bytes {
    let said = run.life.marks.at(now).expect("nothing is told before its first mark");
    let plan = repository.definitions[run.definition].plan;
    let began = run.life.marks.first(Status::Running, now);
    let ended = run.life.marks.last_end(now).filter(|_| said.status != Status::Skipped);
    let user = gitlab_user(run.actor);
    let builds: Vec<Value> = (0..run.life.jobs.len())
        .rev()
        .filter(|&index| is_current(run, index, now))
        .map(|index| build(repository, run, &run.life.jobs[index], &user, now))
        .collect();
    let head = json!({
        "object_kind": "pipeline",
        "object_attributes": {
            "id": run.id,
            "iid": run.number,
            "name": null,
            "ref": git_ref(run),
            "tag": false,
            "sha": run.commit.sha,
            "before_sha": run.commit.before,
            "source": run.event,
            "status": said.word,
            "detailed_status": if said.status == Status::Success { "passed" } else { said.word },
            "stages": plan.stages,
            "created_at": instant(run.life.created),
            "finished_at": ended.map(instant),
            "duration": ended.zip(began).map(|(ended, began)| ended.millis_since(began) / 1_000),
            "queued_duration": began.map(|began| began.millis_since(run.life.created) / 1_000),
            "variables": [],
            "url": format!("{}/-/pipelines/{}", repository.url, run.id),
        },
        "merge_request": run.change.as_ref().map(|change| merge_request_link(repository, change)),
        "user": user,
        "commit": commit(repository, &run.commit),
        "builds": builds,
    });
    body::join(&head, &[("project", &repository.json)])
}

/// Job Hook: one job as it is at `now`.
pub fn job(repository: &Repository, run: &Run, job: usize, now: Timestamp) -> Bytes {
    let life = &run.life.jobs[job];
    let definition = repository.definitions[run.definition].plan;
    let plan = &definition.jobs[life.plan];
    let said = life.marks.at(now).expect("nothing is told before its first mark");
    let began = life.marks.first(Status::Running, now);
    let ended = job_end(life, now);
    let [login, name] = PEOPLE[run.commit.author];
    let head = json!({
        "object_kind": "build",
        "ref": git_ref(run),
        "tag": false,
        "before_sha": run.commit.before,
        "sha": run.commit.sha,
        "retries_count": life.retries,
        "build_id": life.id,
        "build_name": plan.name,
        "build_stage": definition.stages[plan.stage],
        "build_status": said.word,
        "build_created_at": instant(life.created),
        "build_started_at": began.map(instant),
        "build_finished_at": ended.map(instant),
        "build_created_at_iso": iso(life.created),
        "build_started_at_iso": began.map(iso),
        "build_finished_at_iso": ended.map(iso),
        "build_duration": ended.zip(began).map(|(ended, began)| ended.millis_since(began) as f64 / 1e3),
        "build_queued_duration": began.map(|began| began.millis_since(life.created) as f64 / 1e3),
        "build_allow_failure": plan.allow_failure,
        // The host fills this in whatever the status is.
        "build_failure_reason": failure_reason(said).unwrap_or("unknown_failure"),
        "pipeline_id": run.id,
        "runner": began.map(|_| runner(life)),
        "project_id": repository.id,
        "project_name": repository.full_name,
        "user": gitlab_user(run.actor),
        "commit": {
            "id": run.id,
            "name": null,
            "sha": run.commit.sha,
            "message": format!("{}\n", run.commit.title),
            "author_name": name,
            "author_email": format!("{login}@example.com"),
            "author_url": format!("https://gitlab.example.com/{login}"),
            "status": run.life.marks.at(now).map(|said| said.word),
            "duration": null,
            "started_at": run.life.marks.first(Status::Running, now).map(instant),
            "finished_at": run.life.marks.last_end(now).map(instant),
        },
        "repository": {
            "name": repository.full_name,
            "url": format!("git@gitlab.example.com:{}.git", repository.full_name),
            "description": "",
            "homepage": repository.url,
            "visibility_level": 10,
        },
        "environment": environment(plan.environment),
    });
    body::join(&head, &[("project", &repository.json)])
}

/// Deployment Hook: what a job that deploys has to say at `now`.
pub fn deployment(repository: &Repository, run: &Run, job: usize, now: Timestamp) -> Bytes {
    let life = &run.life.jobs[job];
    let plan = &repository.definitions[run.definition].plan.jobs[life.plan];
    let said = life
        .marks
        .at(now)
        .map_or("created", |said| if said.word == "manual" { "blocked" } else { said.word });
    let head = json!({
        "object_kind": "deployment",
        "status": said,
        "status_changed_at": instant(now),
        "deployment_id": deployment_id(life),
        "deployable_id": life.id,
        "deployable_url": format!("{}/-/jobs/{}", repository.url, life.id),
        "environment": plan.environment,
        "environment_tier": plan.environment,
        "environment_slug": plan.environment,
        "environment_external_url": null,
        "short_sha": format!("{:.8}", run.commit.sha),
        "user": gitlab_user(run.actor),
        "user_url": format!("https://gitlab.example.com/{}", PEOPLE[run.actor][0]),
        "commit_url": format!("{}/-/commit/{}", repository.url, run.commit.sha),
        "commit_title": run.commit.title,
        "ref": git_ref(run),
    });
    body::join(&head, &[("project", &repository.json)])
}

/// The host's id of the deployment that a job makes.
pub fn deployment_id(job: &JobLife) -> i64 {
    job.id + 70_000_000
}

/// Push Hook of one commit to a branch.
pub fn push(repository: &Repository, branch: &str, pushed: &Commit) -> Bytes {
    let [login, name] = PEOPLE[pushed.author];
    let head = json!({
        "object_kind": "push",
        "event_name": "push",
        "before": pushed.before,
        "after": pushed.sha,
        "ref": format!("refs/heads/{branch}"),
        "ref_protected": branch == repository.default_branch,
        "checkout_sha": pushed.sha,
        "message": null,
        "user_id": 301 + pushed.author,
        "user_name": name,
        "user_username": login,
        "user_email": "",
        "user_avatar": null,
        "project_id": repository.id,
        "commits": [commit(repository, pushed)],
        "total_commits_count": 1,
        "push_options": {},
    });
    body::join(&head, &[("project", &repository.json)])
}

/// Merge Request Hook: open, update or merge.
pub fn merge_request(repository: &Repository, action: &str, change: &Change, head: &Commit, now: Timestamp) -> Bytes {
    let mut attributes = merge_request_link(repository, change);
    attributes["action"] = action.into();
    attributes["state"] = if action == "merge" { "merged".into() } else { "opened".into() };
    attributes["created_at"] = instant(change.opened).into();
    attributes["updated_at"] = instant(now).into();
    attributes["author_id"] = (301 + change.author).into();
    attributes["last_commit"] = commit(repository, head);
    attributes["source"] = json!({ "id": repository.id, "path_with_namespace": repository.full_name, "default_branch": repository.default_branch });
    attributes["target"] = attributes["source"].clone();
    let body = json!({
        "object_kind": "merge_request",
        "event_type": "merge_request",
        "user": gitlab_user(change.author),
        "object_attributes": attributes,
        "labels": [],
        "changes": {},
        "assignees": [gitlab_user(change.author)],
        "reviewers": [],
    });
    body::join(&body, &[("project", &repository.json)])
}

/// Retried jobs are left out of a pipeline's list as soon as their successor is there.
fn is_current(run: &Run, index: usize, now: Timestamp) -> bool {
    let jobs = &run.life.jobs;
    jobs[index].created <= now && !jobs.iter().any(|job| job.replaces == Some(index) && job.created <= now)
}

fn build(repository: &Repository, run: &Run, life: &JobLife, user: &Value, now: Timestamp) -> Value {
    let definition = repository.definitions[run.definition].plan;
    let plan = &definition.jobs[life.plan];
    let said = life.marks.at(now);
    let began = life.marks.first(Status::Running, now);
    let ended = job_end(life, now);
    json!({
        "id": life.id,
        "stage": definition.stages[plan.stage],
        "name": plan.name,
        "status": said.map(|said| said.word),
        "created_at": instant(life.created),
        "started_at": began.map(instant),
        "finished_at": ended.map(instant),
        "duration": ended.zip(began).map(|(ended, began)| ended.millis_since(began) as f64 / 1e3),
        "queued_duration": began.map(|began| began.millis_since(life.created) as f64 / 1e3),
        "failure_reason": said.and_then(failure_reason),
        "when": match plan.gate { Gate::Human => "manual", Gate::Timer => "delayed", Gate::Open => "on_success" },
        "manual": plan.gate == Gate::Human,
        "allow_failure": plan.allow_failure,
        "user": user,
        "runner": began.map(|_| runner(life)),
        "artifacts_file": { "filename": null, "size": null },
        "environment": environment(plan.environment),
    })
}

/// A job that was passed over has no end.
fn job_end(life: &JobLife, now: Timestamp) -> Option<Timestamp> {
    let said = life.marks.at(now)?;
    life.marks.last_end(now).filter(|_| said.status.is_terminal() && said.status != Status::Skipped)
}

fn runner(life: &JobLife) -> Value {
    json!({
        "id": 9_000 + life.runner,
        "description": GITLAB_RUNNERS[life.runner],
        "active": true,
        "runner_type": "instance_type",
        "is_shared": true,
        "tags": ["linux", "docker"],
    })
}

fn environment(name: Option<&str>) -> Value {
    name.map_or(Value::Null, |name| json!({ "name": name, "action": "start", "deployment_tier": name }))
}

fn merge_request_link(repository: &Repository, change: &Change) -> Value {
    json!({
        "id": 600_000 + repository.id % 1_000 * 1_000 + change.number,
        "iid": change.number,
        "title": change.title,
        "source_branch": change.branch,
        "source_project_id": repository.id,
        "target_branch": repository.default_branch,
        "target_project_id": repository.id,
        "state": "opened",
        "merge_status": "can_be_merged",
        "detailed_merge_status": "mergeable",
        "url": format!("{}/-/merge_requests/{}", repository.url, change.number),
    })
}

fn commit(repository: &Repository, commit: &Commit) -> Value {
    let [login, name] = PEOPLE[commit.author];
    json!({
        "id": commit.sha,
        "message": format!("{}\n", commit.title),
        "title": commit.title,
        "timestamp": iso(commit.at),
        "url": format!("{}/-/commit/{}", repository.url, commit.sha),
        "author": { "name": name, "email": format!("{login}@example.com") },
    })
}

fn git_ref(run: &Run) -> String {
    match &run.change {
        Some(change) => format!("refs/merge-requests/{}/head", change.number),
        None => run.branch.clone(),
    }
}

fn iso(at: Timestamp) -> String {
    Timestamp(at.0 - at.0.rem_euclid(1_000_000)).to_string()
}

/// Whole seconds with the zone in words, as the host writes them.
fn instant(at: Timestamp) -> String {
    iso(at).replace('T', " ").replace('Z', " UTC")
}
