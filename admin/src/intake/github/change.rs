//! `pull_request`: a change that is proposed.
//! Knows nothing of reviews and comments.

use pipecast_model::{ChangeFacts, Facts, Status, Told, Version};
use serde::Deserialize;

use super::Scene;
use crate::intake::lenient::{Flag, Instant, Number, Part, Text, read};
use crate::intake::{Understood, empty, lacks};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    pull_request: Part<PullRequest>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PullRequest {
    number: Number,
    title: Text,
    state: Text,
    merged: Flag,
    merged_at: Instant,
    head: Part<Head>,
    html_url: Text,
    updated_at: Instant,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    #[serde(rename = "ref")]
    reference: Text,
    sha: Text,
}

pub(super) fn understand(_scene: &Scene, body: &str) -> Understood {
    let change = read::<Body>(body)?.pull_request.0.ok_or_else(empty)?;
    let number = change.number.0.ok_or_else(|| lacks("pull_request.number"))?;
    let merged = change.merged.0 == Some(true) || change.merged_at.0.is_some();
    let (state, life) = match change.state.get() {
        _ if merged => (Some("merged".to_owned()), Status::Success),
        Some("closed") => (Some("closed".to_owned()), Status::Finished),
        state => (state.map(str::to_owned), Status::Running),
    };
    // Bots label and merge within one second: then the further state is the later one.
    let version = Version::by_time(change.updated_at.0, life);
    Ok(Facts {
        changes: vec![ChangeFacts {
            number,
            title: Told::new(version, change.title),
            state: Told::new(version, state),
            branch: Told::new(version, change.head.and(|head| head.reference.0.clone())),
            commit_sha: Told::new(version, change.head.and(|head| head.sha.0.clone())),
            url: Told::new(version, change.html_url),
        }],
        ..Facts::default()
    })
}
