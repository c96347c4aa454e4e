//! `workflow_job`: one job of a workflow run's attempt, with its steps.
//! Knows its run only by id and name, and never judges the run by its jobs.

use pipecast_model::facts::tell_status;
use pipecast_model::{ExecutionFacts, Facts, JobFacts, PipelineFacts, PipelineKey, Told, Version};
use serde::Deserialize;

use super::{Scene, words};
use crate::intake::lenient::{Instant, Number, Part, Parts, Text, newest, read};
use crate::intake::{Understood, empty, lacks};

/// The pipeline of runs whose workflow has not been named yet: older servers leave the name out of jobs.
pub(super) const NAMELESS: &str = "Workflow";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    workflow_job: Part<Job>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Job {
    id: Number,
    run_id: Number,
    run_attempt: Number,
    workflow_name: Text,
    name: Text,
    status: Text,
    conclusion: Text,
    head_branch: Text,
    head_sha: Text,
    html_url: Text,
    runner_name: Text,
    created_at: Instant,
    started_at: Instant,
    completed_at: Instant,
    steps: Parts<Step>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    number: Number,
    name: Text,
    status: Text,
    conclusion: Text,
    started_at: Instant,
    completed_at: Instant,
}

pub(super) fn understand(scene: &Scene, body: &str) -> Understood {
    let Body { workflow_job } = read(body)?;
    let job = workflow_job.0.ok_or_else(empty)?;
    let id = job.id.0.ok_or_else(|| lacks("workflow_job.id"))?;
    let run = job.run_id.0.ok_or_else(|| lacks("workflow_job.run_id"))?;
    let attempt = job.run_attempt.0.unwrap_or(1).max(1);

    let status = words::status(job.status.get(), job.conclusion.get());
    let in_steps = job.steps.0.iter().flat_map(|step| [step.started_at, step.completed_at]);
    let version = Version::by_rank(attempt, status, newest(in_steps.chain([job.created_at, job.started_at, job.completed_at])));
    let workflow = job.workflow_name.0.unwrap_or_else(|| NAMELESS.to_owned());
    let pipeline = PipelineKey::Named(workflow.clone());

    // Whatever a job tells of its run is only good until the run speaks for itself.
    let execution = ExecutionFacts {
        external_id: run.to_string(),
        attempt,
        ordinal: run,
        pipeline: Told::new(Version::WEAK, pipeline.clone()),
        branch: Told::new(Version::WEAK, job.head_branch),
        commit_sha: Told::new(Version::WEAK, job.head_sha),
        actor: Told::new(Version::WEAK, scene.sender.login()),
        ..ExecutionFacts::default()
    };
    let job = JobFacts {
        execution: run.to_string(),
        attempt,
        external_id: id.to_string(),
        name: Told::new(version, job.name),
        status: tell_status(version, status, job.status.get(), job.conclusion.get(), job.completed_at.0),
        runner: Told::new(version, job.runner_name),
        url: Told::new(version, job.html_url),
        steps: Told::new(version, steps(job.steps)),
        queued_at: Told::new(version, job.created_at),
        started_at: Told::new(version, job.started_at.0.filter(|_| words::has_begun(status))),
        ..JobFacts::default()
    };
    Ok(Facts {
        pipelines: vec![PipelineFacts {
            key: pipeline,
            name: Told::new(Version::WEAK, workflow),
            url: Told::default(),
        }],
        executions: vec![execution],
        jobs: vec![job],
        ..Facts::default()
    })
}

/// The steps as a whole; nothing where the host lists none, so that they never take the place of steps told before.
fn steps(steps: Parts<Step>) -> Option<Vec<pipecast_model::Step>> {
    let steps = steps.0.into_iter().zip(1..).map(|(step, place)| {
        let status = words::status(step.status.get(), step.conclusion.get());
        pipecast_model::Step {
            number: step.number.0.unwrap_or(place),
            name: step.name.0.unwrap_or_else(|| format!("Step {place}")),
            status,
            started_at: step.started_at.0,
            finished_at: step.completed_at.0.filter(|_| status.is_terminal()),
        }
    });
    Some(steps.collect::<Vec<_>>()).filter(|steps| !steps.is_empty())
}
