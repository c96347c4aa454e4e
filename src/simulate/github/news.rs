//! The JSON of what is no run at the simulated GitHub: pushes, pull requests, greetings and what third parties say.
//! Knows nothing of when something is sent or how it is signed.

use bytes::Bytes;
use pipecast_model::Timestamp;
use serde_json::json;

use crate::simulate::github::bodies::{api, commit, finish, instant};
use crate::simulate::names::PEOPLE;
use crate::simulate::run::{Change, Commit};
use crate::simulate::world::{Repository, github_user};

/// GitHub's id of no commit: before a branch was made, after it was deleted.
pub const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// `push` of one commit to a branch.
pub fn push(repository: &Repository, branch: &str, pushed: &Commit) -> Bytes {
    let one = commit(pushed);
    let head = json!({
        "ref": format!("refs/heads/{branch}"),
        "before": pushed.before,
        "after": pushed.sha,
        "created": pushed.before == NO_COMMIT,
        "deleted": false,
        "forced": false,
        "base_ref": null,
        "compare": format!("{}/compare/{:.12}...{:.12}", repository.url, pushed.before, pushed.sha),
        "commits": [one],
        "head_commit": one,
        "pusher": { "name": PEOPLE[pushed.author][0], "email": format!("{}@example.com", PEOPLE[pushed.author][0]) },
    });
    finish(head, repository, &github_user(pushed.author))
}

/// `pull_request`: opened, synchronize or closed (then it was merged).
pub fn pull_request(repository: &Repository, action: &str, change: &Change, head: &Commit, now: Timestamp) -> Bytes {
    let merged = action == "closed";
    let api = api(repository);
    let author = github_user(change.author);
    let body = json!({
        "action": action,
        "number": change.number,
        "pull_request": {
            "id": 2_000_000_000 + repository.id % 10_000 * 100_000 + change.number,
            "number": change.number,
            "url": format!("{api}/pulls/{}", change.number),
            "html_url": format!("{}/pull/{}", repository.url, change.number),
            "state": if merged { "closed" } else { "open" },
            "locked": false,
            "title": change.title,
            "user": author,
            "body": "",
            "created_at": instant(change.opened),
            "updated_at": instant(now),
            "closed_at": merged.then(|| instant(now)),
            "merged_at": merged.then(|| instant(now)),
            "merged": merged,
            "draft": false,
            "head": { "label": format!("acme:{}", change.branch), "ref": change.branch, "sha": head.sha, "repo": { "id": repository.id, "full_name": repository.full_name } },
            "base": { "label": format!("acme:{}", repository.default_branch), "ref": repository.default_branch, "sha": head.before, "repo": { "id": repository.id, "full_name": repository.full_name } },
            "commits": 1,
            "additions": 42,
            "deletions": 7,
            "changed_files": 3,
        },
    });
    finish(body, repository, &author)
}

/// `ping`: the host has learned of us.
pub fn ping(repository: &Repository, now: Timestamp) -> Bytes {
    let hook = repository.id + 500_000;
    let head = json!({
        "zen": "Keep it logically awesome.",
        "hook_id": hook,
        "hook": {
            "type": "Repository",
            "id": hook,
            "name": "web",
            "active": true,
            "events": ["workflow_run", "workflow_job", "check_suite", "status", "deployment_status", "push", "pull_request"],
            "config": { "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": "http://127.0.0.1/webhooks/github" },
            "created_at": instant(now),
            "updated_at": instant(now),
        },
    });
    finish(head, repository, &github_user(0))
}

/// `status`: what a third party that knows only commit statuses says.
pub fn status(repository: &Repository, about: &Commit, branch: &str, id: i64, state: &str, now: Timestamp) -> Bytes {
    let head = json!({
        "id": id,
        "sha": about.sha,
        "name": repository.full_name,
        "target_url": format!("https://previews.example.com/{:.12}", about.sha),
        "context": "preview/site",
        "description": if state == "pending" { "Building the preview" } else { "Preview" },
        "state": state,
        "commit": { "sha": about.sha, "commit": commit(about), "parents": [] },
        "branches": [{ "name": branch, "commit": { "sha": about.sha }, "protected": branch == repository.default_branch }],
        "created_at": instant(now),
        "updated_at": instant(now),
    });
    finish(head, repository, &github_user(about.author))
}

/// `check_suite` of an app that is not GitHub's own.
pub fn check_suite(repository: &Repository, about: &Commit, branch: &str, id: i64, conclusion: Option<&str>, now: Timestamp) -> Bytes {
    let phase = if conclusion.is_some() { "completed" } else { "requested" };
    let head = json!({
        "action": phase,
        "check_suite": {
            "id": id,
            "node_id": format!("CS_kwDO{id:x}"),
            "head_branch": branch,
            "head_sha": about.sha,
            "status": if conclusion.is_some() { "completed" } else { "queued" },
            "conclusion": conclusion,
            "url": format!("{}/check-suites/{id}", api(repository)),
            "before": about.before,
            "after": about.sha,
            "pull_requests": [],
            "app": { "id": 60_221, "slug": "spellbook-quality", "name": "Spellbook Quality", "owner": { "login": "spellbook", "id": 8_800_123, "type": "Organization" } },
            "created_at": instant(about.at),
            "updated_at": instant(now),
            "latest_check_runs_count": 1,
            "head_commit": commit(about),
        },
    });
    finish(head, repository, &github_user(about.author))
}
