//! `status`: a commit status, the older way in which CI tools report. Each context is a pipeline, each commit an execution.
//! Knows no runs: all that a tool says of one commit in one context is the same execution.

use pipecast_model::facts::tell_status;
use pipecast_model::{ExecutionFacts, Facts, PipelineFacts, PipelineKey, Status, Told, Version};
use serde::Deserialize;

use super::{Scene, words};
use crate::intake::lenient::{Instant, Part, Parts, Text, newest, read};
use crate::intake::{Understood, empty, lacks};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    sha: Text,
    state: Text,
    context: Text,
    target_url: Text,
    branches: Parts<Branch>,
    commit: Part<CommitOfRepository>,
    created_at: Instant,
    updated_at: Instant,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Branch {
    name: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CommitOfRepository {
    commit: Part<GitCommit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GitCommit {
    message: Text,
    committer: Part<Committer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Committer {
    date: Instant,
}

pub(super) fn understand(scene: &Scene, body: &str) -> Understood {
    let body: Body = read(body)?;
    let state = body.state.get().ok_or_else(empty)?;
    let sha = body.sha.get().ok_or_else(|| lacks("sha"))?;
    let context = body.context.get().unwrap_or("default");

    let status = words::commit_state(state);
    let told_at = newest([body.created_at, body.updated_at]);
    // A context may go back to pending when its tool runs again, so the newest time decides.
    let version = Version::by_time(told_at, status);
    let commit = body.commit.and(|commit| commit.commit.0.as_ref());
    let committed_at = commit.and_then(|commit| commit.committer.and(|committer| committer.date.0));
    let pipeline = PipelineKey::Id(format!("status:{context}"));

    let execution = ExecutionFacts {
        external_id: format!("status:{sha}:{context}"),
        attempt: 1,
        // Ids and times of statuses would let the late end of an older commit pass for the newest run.
        ordinal: committed_at.or(told_at).unwrap_or_default().0,
        pipeline: Told::new(version, pipeline.clone()),
        status: tell_status(version, status, Some(state), None, told_at),
        title: Told::new(version, commit.and_then(|commit| commit.message.first_line())),
        branch: Told::new(version, branch(scene, &body.branches)),
        commit_sha: Told::new(version, sha.to_owned()),
        actor: Told::new(version, scene.sender.login()),
        url: Told::new(version, body.target_url.0.clone()),
        started_at: Told::new(version, told_at.filter(|_| status == Status::Running)),
        ..ExecutionFacts::default()
    };
    Ok(Facts {
        pipelines: vec![PipelineFacts {
            key: pipeline,
            name: Told::new(Version::at(told_at), context.to_owned()),
            url: Told::default(),
        }],
        executions: vec![execution],
        ..Facts::default()
    })
}

/// Of the branches whose head the commit is, the default one where it is among them, else the first.
fn branch(scene: &Scene, branches: &Parts<Branch>) -> Option<String> {
    let default = scene.repository.and(|repository| repository.default_branch.0.clone());
    let names = || branches.0.iter().filter_map(|branch| branch.name.0.as_ref());
    names().find(|name| Some(*name) == default.as_ref()).or_else(|| names().next()).cloned()
}
