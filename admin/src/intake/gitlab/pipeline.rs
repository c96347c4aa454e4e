//! Pipeline Hook: one execution with all of its jobs.
//! Knows no attempts: a retried pipeline keeps its id and goes from failed back to running, so the newest time decides.

use pipecast_model::facts::tell_status;
use pipecast_model::{ExecutionFacts, Facts, JobFacts, PipelineFacts, PipelineKey, Timestamp, Told, Version};
use serde::Deserialize;

use super::job::{Build, Run};
use super::{MAIN, Project, User, main_name, project, words};
use crate::intake::lenient::{Instant, Number, Part, Parts, Text, newest, read};
use crate::intake::{Understood, empty, lacks};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    object_attributes: Part<Attributes>,
    merge_request: Part<MergeRequest>,
    user: Part<User>,
    project: Part<Project>,
    commit: Part<Commit>,
    builds: Parts<Build>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attributes {
    id: Number,
    iid: Number,
    name: Text,
    status: Text,
    failure_reason: Text,
    source: Text,
    #[serde(rename = "ref")]
    reference: Text,
    sha: Text,
    url: Text,
    created_at: Instant,
    started_at: Instant,
    updated_at: Instant,
    finished_at: Instant,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MergeRequest {
    source_branch: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Commit {
    title: Text,
    message: Text,
}

pub(super) fn understand(body: &str, _received_at: Timestamp) -> Understood {
    let body: Body = read(body)?;
    let attributes = body.object_attributes.0.ok_or_else(empty)?;
    let id = attributes.id.0.ok_or_else(|| lacks("object_attributes.id"))?;

    let (status, reason) = words::status(attributes.status.get(), attributes.failure_reason.get());
    let in_builds = body.builds.0.iter().flat_map(|build| build.times());
    let own = [attributes.created_at, attributes.started_at, attributes.updated_at, attributes.finished_at];
    let told_at = newest(in_builds.chain(own));
    let version = Version::by_time(told_at, status);
    let web_url = body.project.and(|project| project.web_url.0.clone());
    let pipeline = pipeline(attributes.source.get(), &body.project, Version::at(told_at));
    let first_start = body.builds.0.iter().filter_map(|build| build.started_at.0).min();

    let execution = ExecutionFacts {
        external_id: id.to_string(),
        attempt: 1,
        ordinal: id,
        pipeline: Told::new(version, pipeline.key.clone()),
        status: tell_status(version, status, attributes.status.get(), reason, attributes.finished_at.0),
        number: Told::new(version, attributes.iid),
        title: Told::new(
            version,
            attributes
                .name
                .0
                .or_else(|| body.commit.and(|commit| commit.title.0.clone().or_else(|| commit.message.first_line()))),
        ),
        // The ref of a merge request's pipeline is refs/merge-requests/…, which nobody looks for.
        branch: Told::new(
            version,
            body.merge_request.and(|change| change.source_branch.0.clone()).or(attributes.reference.0),
        ),
        commit_sha: Told::new(version, attributes.sha),
        event: Told::new(version, attributes.source),
        actor: Told::new(version, body.user.login()),
        url: Told::new(version, attributes.url.0.or_else(|| Some(format!("{}/-/pipelines/{id}", web_url.as_ref()?)))),
        queued_at: Told::new(version, attributes.created_at),
        started_at: Told::new(version, attributes.started_at.0.or(first_start)),
    };
    let run = Run {
        pipeline: id,
        web_url: web_url.as_deref(),
    };
    Ok(Facts {
        project: project(&body.project, Number::default(), Version::at(told_at)),
        pipelines: vec![pipeline],
        executions: vec![execution],
        jobs: jobs(body.builds, &run),
        ..Facts::default()
    })
}

/// Each job once, in the order in which GitLab made them, which is that of the stages.
fn jobs(builds: Parts<Build>, run: &Run<'_>) -> Vec<JobFacts> {
    let mut builds = builds.0;
    builds.sort_by_key(Build::id);
    let mut jobs: Vec<JobFacts> = builds.into_iter().filter_map(|build| build.facts(run)).collect();
    jobs.dedup_by(|again, job| {
        let same = again.external_id == job.external_id;
        if same {
            *job = job.clone().merge(std::mem::take(again));
        }
        same
    });
    jobs
}

/// A project has one definition; what its child pipelines run is told apart from it, so that they never stand for it.
fn pipeline(source: Option<&str>, project: &Part<Project>, version: Version) -> PipelineFacts {
    let (id, name) = match source {
        Some("parent_pipeline") => ("child", "Child pipelines".to_owned()),
        _ => (MAIN, main_name(project)),
    };
    PipelineFacts {
        key: PipelineKey::Id(id.to_owned()),
        name: Told::new(version, name),
        url: Told::new(
            version,
            project.and(|project| project.web_url.0.as_ref().map(|url| format!("{url}/-/pipelines"))),
        ),
    }
}
