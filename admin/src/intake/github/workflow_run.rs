//! `workflow_run`: one attempt of one run of a workflow. The run's id stays over its attempts.
//! Knows nothing of the run's jobs, which come in events of their own.

use pipecast_model::facts::tell_status;
use pipecast_model::{ExecutionFacts, Facts, PipelineFacts, PipelineKey, Told, Version};
use serde::Deserialize;

use super::words;
use super::{Commit, Scene, User};
use crate::intake::lenient::{Instant, Number, Part, Text, newest, read};
use crate::intake::{Understood, empty, lacks};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    workflow_run: Part<Run>,
    workflow: Part<Workflow>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Run {
    id: Number,
    run_attempt: Number,
    run_number: Number,
    workflow_id: Number,
    name: Text,
    path: Text,
    status: Text,
    conclusion: Text,
    display_title: Text,
    head_commit: Part<Commit>,
    head_branch: Text,
    head_sha: Text,
    event: Text,
    actor: Part<User>,
    triggering_actor: Part<User>,
    html_url: Text,
    created_at: Instant,
    run_started_at: Instant,
    updated_at: Instant,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Workflow {
    id: Number,
    name: Text,
    path: Text,
    html_url: Text,
}

pub(super) fn understand(scene: &Scene, body: &str) -> Understood {
    let Body { workflow_run, workflow } = read(body)?;
    let run = workflow_run.0.ok_or_else(empty)?;
    let id = run.id.0.ok_or_else(|| lacks("workflow_run.id"))?;
    let attempt = run.run_attempt.0.unwrap_or(1).max(1);

    let status = words::status(run.status.get(), run.conclusion.get());
    let version = Version::by_rank(attempt, status, newest([run.created_at, run.run_started_at, run.updated_at]));
    let pipeline = pipeline(&run, workflow, Version::at(run.updated_at.0));

    let execution = ExecutionFacts {
        external_id: id.to_string(),
        attempt,
        ordinal: id,
        pipeline: Told::new(version, pipeline.key.clone()),
        status: tell_status(version, status, run.status.get(), run.conclusion.get(), run.updated_at.0),
        number: Told::new(version, run.run_number),
        title: Told::new(
            version,
            run.display_title
                .first_line()
                .or_else(|| run.head_commit.and(|commit| commit.message.first_line())),
        ),
        branch: Told::new(version, run.head_branch),
        commit_sha: Told::new(version, run.head_sha),
        event: Told::new(version, run.event),
        actor: Told::new(
            version,
            run.triggering_actor.login().or_else(|| run.actor.login()).or_else(|| scene.sender.login()),
        ),
        url: Told::new(version, run.html_url),
        // The creation is that of the first attempt; a later one was asked for when it "started".
        queued_at: Told::new(version, if attempt == 1 { run.created_at } else { run.run_started_at }),
        started_at: Told::new(version, run.run_started_at.0.filter(|_| words::has_begun(status))),
    };
    Ok(Facts {
        pipelines: vec![pipeline],
        executions: vec![execution],
        ..Facts::default()
    })
}

/// The workflow by its id. The run's own name is empty in some deliveries; a path may carry the ref that it was read at.
fn pipeline(run: &Run, workflow: Part<Workflow>, version: Version) -> PipelineFacts {
    let workflow = workflow.0.unwrap_or_default();
    let path = run
        .path
        .get()
        .or(workflow.path.get())
        .and_then(|path| path.split('@').next())
        .map(str::to_owned);
    let name = run.name.0.clone().or(workflow.name.0).or(path);
    let key = match (run.workflow_id.0.or(workflow.id.0), &name) {
        (Some(id), _) => PipelineKey::Id(id.to_string()),
        (None, Some(name)) => PipelineKey::Named(name.clone()),
        (None, None) => PipelineKey::Named(super::workflow_job::NAMELESS.to_owned()),
    };
    PipelineFacts {
        key,
        name: Told::new(version, name),
        url: Told::new(version, workflow.html_url),
    }
}
