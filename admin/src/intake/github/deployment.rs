//! `deployment` and `deployment_status`: an execution of the pipeline "Deploy to …" of its environment.
//! Knows nothing of the workflow that may have made the deployment.

use pipecast_model::facts::tell_status;
use pipecast_model::{ExecutionFacts, Facts, PipelineFacts, PipelineKey, Status, Told, Version};
use serde::Deserialize;

use super::{Scene, User, words};
use crate::intake::lenient::{Instant, Number, Part, Text, newest, read};
use crate::intake::{Understood, empty, lacks};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    deployment: Part<Deployment>,
    deployment_status: Part<DeploymentStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Deployment {
    id: Number,
    environment: Text,
    description: Text,
    #[serde(rename = "ref")]
    reference: Text,
    sha: Text,
    creator: Part<User>,
    created_at: Instant,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeploymentStatus {
    state: Text,
    environment: Text,
    log_url: Text,
    target_url: Text,
    created_at: Instant,
    updated_at: Instant,
}

pub(super) fn understand(scene: &Scene, body: &str) -> Understood {
    let body: Body = read(body)?;
    let deployment = body.deployment.0.ok_or_else(empty)?;
    let id = deployment.id.0.ok_or_else(|| lacks("deployment.id"))?;
    let environment = deployment
        .environment
        .0
        .or_else(|| body.deployment_status.and(|status| status.environment.0.clone()));
    let name = environment
        .as_ref()
        .map_or_else(|| "Deploy".to_owned(), |environment| format!("Deploy to {environment}"));
    let pipeline = PipelineKey::Id(format!("deployment:{}", environment.unwrap_or_default()));

    // A deployment by itself has been asked for; its statuses tell the rest. They are objects of their own, each with its time.
    let step = body.deployment_status.0;
    let told_at = step.as_ref().map_or(deployment.created_at.0, |step| newest([step.created_at, step.updated_at]));
    let raw = step.as_ref().and_then(|step| step.state.get());
    let status = match &step {
        None => Some(Status::Queued),
        Some(_) => raw.map_or(Some(Status::Unknown), words::deployment_state),
    };
    let version = Version::by_time(told_at, status.unwrap_or_default());

    let execution = ExecutionFacts {
        external_id: format!("deployment:{id}"),
        attempt: 1,
        ordinal: id,
        pipeline: Told::new(version, pipeline.clone()),
        status: status.map(|status| tell_status(version, status, raw, None, told_at)).unwrap_or_default(),
        title: Told::new(version, deployment.description.first_line()),
        branch: Told::new(version, deployment.reference),
        commit_sha: Told::new(version, deployment.sha),
        actor: Told::new(version, deployment.creator.login().or_else(|| scene.sender.login())),
        url: Told::new(
            version,
            step.as_ref().and_then(|step| step.log_url.0.clone().or_else(|| step.target_url.0.clone())),
        ),
        queued_at: Told::new(version, deployment.created_at),
        started_at: Told::new(version, told_at.filter(|_| status == Some(Status::Running))),
        ..ExecutionFacts::default()
    };
    Ok(Facts {
        pipelines: vec![PipelineFacts {
            key: pipeline,
            name: Told::new(Version::at(told_at), name),
            url: Told::default(),
        }],
        executions: vec![execution],
        ..Facts::default()
    })
}
