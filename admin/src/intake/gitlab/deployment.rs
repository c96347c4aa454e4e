//! Deployment Hook: an execution of the pipeline "Deploy to …" of its environment.
//! Knows nothing of the pipeline whose job deploys.

use pipecast_model::facts::tell_status;
use pipecast_model::{ExecutionFacts, Facts, PipelineFacts, PipelineKey, Status, Timestamp, Told, Version};
use serde::Deserialize;

use super::{Project, User, project, words};
use crate::intake::lenient::{Instant, Number, Part, Text, read};
use crate::intake::{Understood, empty, lacks};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    deployment_id: Number,
    status: Text,
    status_changed_at: Instant,
    environment: Text,
    deployable_url: Text,
    #[serde(rename = "ref")]
    reference: Text,
    short_sha: Text,
    commit_url: Text,
    commit_title: Text,
    user: Part<User>,
    project: Part<Project>,
}

pub(super) fn understand(body: &str, _received_at: Timestamp) -> Understood {
    let body: Body = read(body)?;
    let raw = body.status.get().ok_or_else(empty)?;
    let id = body.deployment_id.0.ok_or_else(|| lacks("deployment_id"))?;
    let status = words::deployment_status(raw);
    let told_at = body.status_changed_at.0;
    let version = Version::by_time(told_at, status);
    let name = body
        .environment
        .get()
        .map_or_else(|| "Deploy".to_owned(), |environment| format!("Deploy to {environment}"));
    let pipeline = PipelineKey::Id(format!("deployment:{}", body.environment.get().unwrap_or_default()));
    // Only the commit's page carries the whole hash.
    let sha = body.commit_url.get().and_then(|url| url.rsplit_once("/commit/")).map(|(_, sha)| sha.to_owned());

    let execution = ExecutionFacts {
        external_id: format!("deployment:{id}"),
        attempt: 1,
        ordinal: id,
        pipeline: Told::new(version, pipeline.clone()),
        status: tell_status(version, status, Some(raw), None, told_at),
        title: Told::new(version, body.commit_title.first_line()),
        branch: Told::new(version, body.reference),
        commit_sha: Told::new(version, sha.or(body.short_sha.0)),
        actor: Told::new(version, body.user.login()),
        url: Told::new(version, body.deployable_url),
        queued_at: Told::new(version, told_at.filter(|_| raw == "created")),
        started_at: Told::new(version, told_at.filter(|_| status == Status::Running)),
        ..ExecutionFacts::default()
    };
    Ok(Facts {
        project: project(&body.project, Number::default(), Version::at(told_at)),
        pipelines: vec![PipelineFacts {
            key: pipeline,
            name: Told::new(Version::at(told_at), name),
            url: Told::default(),
        }],
        executions: vec![execution],
        ..Facts::default()
    })
}
