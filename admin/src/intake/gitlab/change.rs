//! Merge Request Hook: a change that is proposed.
//! Knows nothing of reviews and notes.

use pipecast_model::{ChangeFacts, Facts, Status, Timestamp, Told, Version};
use serde::Deserialize;

use super::{Project, project};
use crate::intake::lenient::{Instant, Number, Part, Text, newest, read};
use crate::intake::{Understood, empty, lacks};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    object_attributes: Part<MergeRequest>,
    project: Part<Project>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MergeRequest {
    iid: Number,
    title: Text,
    state: Text,
    source_branch: Text,
    target_project_id: Number,
    last_commit: Part<Commit>,
    url: Text,
    created_at: Instant,
    updated_at: Instant,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Commit {
    id: Text,
}

pub(super) fn understand(body: &str, _received_at: Timestamp) -> Understood {
    let body: Body = read(body)?;
    let change = body.object_attributes.0.ok_or_else(empty)?;
    let number = change.iid.0.ok_or_else(|| lacks("object_attributes.iid"))?;
    let (state, life) = match change.state.get() {
        Some("merged") => (Some("merged"), Status::Success),
        Some("closed") => (Some("closed"), Status::Finished),
        // Locked is open, while it is being merged.
        Some("opened" | "locked") => (Some("open"), Status::Running),
        other => (other, Status::Unknown),
    };
    let told_at = newest([change.created_at, change.updated_at]);
    // Bots label and merge within one second: then the further state is the later one.
    let version = Version::by_time(told_at, life);
    Ok(Facts {
        project: project(&body.project, change.target_project_id, Version::at(told_at)),
        changes: vec![ChangeFacts {
            number,
            state: Told::new(version, state.map(str::to_owned)),
            title: Told::new(version, change.title.clone()),
            branch: Told::new(version, change.source_branch.clone()),
            commit_sha: Told::new(version, change.last_commit.and(|commit| commit.id.0.clone())),
            url: Told::new(version, change.url.clone()),
        }],
        ..Facts::default()
    })
}
