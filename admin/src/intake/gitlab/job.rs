//! Job Hook, and the same job as it lies in a Pipeline Hook: both tell it at the same version.
//! Knows its pipeline only by id, and never judges it by its jobs.

use pipecast_model::facts::tell_status;
use pipecast_model::{ExecutionFacts, Facts, JobFacts, PipelineFacts, PipelineKey, ProjectFacts, Timestamp, Told, Version};
use serde::Deserialize;

use super::{MAIN, Project, Runner, User, main_name, project, words};
use crate::intake::lenient::{Flag, Instant, Number, Part, Text, newest, read};
use crate::intake::{Understood, empty, lacks};

/// A job in the words of a Pipeline Hook.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Build {
    id: Number,
    name: Text,
    stage: Text,
    status: Text,
    failure_reason: Text,
    allow_failure: Flag,
    runner: Part<Runner>,
    created_at: Instant,
    pub(super) started_at: Instant,
    finished_at: Instant,
}

/// What a job needs to know of the pipeline around it.
pub(super) struct Run<'a> {
    pub(super) pipeline: i64,
    pub(super) web_url: Option<&'a str>,
}

impl Build {
    /// Its id, which grows with the jobs.
    pub(super) fn id(&self) -> Option<i64> {
        self.id.0
    }

    /// Every moment that it tells.
    pub(super) fn times(&self) -> [Instant; 3] {
        [self.created_at, self.started_at, self.finished_at]
    }

    /// The job's facts; none where it has no id.
    pub(super) fn facts(self, run: &Run<'_>) -> Option<JobFacts> {
        let id = self.id.0?;
        let (status, reason) = words::status(self.status.get(), self.failure_reason.get());
        // Job Hooks may carry fractions of a second where Pipeline Hooks do not. A job only goes back (from manual or skipped to
        // running) on somebody's click, so whole seconds tell it apart, and within one second the further status is the later.
        let version = Version::by_time(newest(self.times()).map(whole_second), status);
        Some(JobFacts {
            execution: run.pipeline.to_string(),
            attempt: 1,
            external_id: id.to_string(),
            name: Told::new(version, self.name),
            stage: Told::new(version, self.stage),
            status: tell_status(version, status, self.status.get(), reason, self.finished_at.0),
            allow_failure: Told::new(version, self.allow_failure),
            runner: Told::new(version, self.runner.and(|runner| runner.description.0.clone())),
            url: Told::new(version, run.web_url.map(|web| format!("{web}/-/jobs/{id}"))),
            steps: Told::default(),
            queued_at: Told::new(version, self.created_at),
            started_at: Told::new(version, self.started_at),
        })
    }
}

fn whole_second(instant: Timestamp) -> Timestamp {
    Timestamp(instant.0 - instant.0.rem_euclid(1_000_000))
}

/// A job in the words of a Job Hook.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    build_id: Number,
    build_name: Text,
    build_stage: Text,
    build_status: Text,
    build_failure_reason: Text,
    build_allow_failure: Flag,
    build_created_at: Instant,
    build_started_at: Instant,
    build_finished_at: Instant,
    runner: Part<Runner>,
    pipeline_id: Number,
    #[serde(rename = "ref")]
    reference: Text,
    sha: Text,
    user: Part<User>,
    commit: Part<PipelineInDisguise>,
    project_id: Number,
    project_name: Text,
    project: Part<Project>,
    repository: Part<Repository>,
}

/// The `commit` of a Job Hook: its `id` is the pipeline's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PipelineInDisguise {
    id: Number,
    sha: Text,
}

/// All that older versions tell of the project.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Repository {
    homepage: Text,
}

pub(super) fn understand(body: &str, _received_at: Timestamp) -> Understood {
    let body: Body = read(body)?;
    if body.build_id.0.is_none() && body.build_status.0.is_none() {
        return Err(empty());
    }
    let pipeline_id = body
        .pipeline_id
        .0
        .or_else(|| body.commit.and(|commit| commit.id.0))
        .ok_or_else(|| lacks("pipeline_id"))?;
    let project = facts_of_project(&body);
    let web_url = body
        .project
        .and(|project| project.web_url.0.clone())
        .or_else(|| body.repository.and(|repository| repository.homepage.0.clone()));
    let pipeline = PipelineKey::Id(MAIN.to_owned());
    let build = Build {
        id: body.build_id,
        name: body.build_name,
        stage: body.build_stage,
        status: body.build_status,
        failure_reason: body.build_failure_reason,
        allow_failure: body.build_allow_failure,
        runner: body.runner,
        created_at: body.build_created_at,
        started_at: body.build_started_at,
        finished_at: body.build_finished_at,
    };
    let run = Run {
        pipeline: pipeline_id,
        web_url: web_url.as_deref(),
    };
    let job = build.facts(&run).ok_or_else(|| lacks("build_id"))?;

    // Whatever a job tells of its pipeline is only good until the pipeline speaks for itself.
    let execution = ExecutionFacts {
        external_id: pipeline_id.to_string(),
        attempt: 1,
        ordinal: pipeline_id,
        pipeline: Told::new(Version::WEAK, pipeline.clone()),
        branch: Told::new(Version::WEAK, body.reference),
        commit_sha: Told::new(Version::WEAK, body.sha.0.or_else(|| body.commit.and(|commit| commit.sha.0.clone()))),
        actor: Told::new(Version::WEAK, body.user.login()),
        url: Told::new(Version::WEAK, web_url.map(|web| format!("{web}/-/pipelines/{pipeline_id}"))),
        ..ExecutionFacts::default()
    };
    Ok(Facts {
        project,
        pipelines: vec![PipelineFacts {
            key: pipeline,
            name: Told::new(Version::WEAK, main_name(&body.project)),
            url: Told::default(),
        }],
        executions: vec![execution],
        jobs: vec![job],
        ..Facts::default()
    })
}

/// The project as a Job Hook tells it. Older versions have only its id, its page and its name for humans ("Group / Project").
fn facts_of_project(body: &Body) -> Option<ProjectFacts> {
    let told_at = newest([body.build_created_at, body.build_started_at, body.build_finished_at]);
    let mut facts = project(&body.project, body.project_id, Version::at(told_at))?;
    if facts.name.get().is_none() {
        let homepage = body.repository.and(|repository| repository.homepage.0.clone());
        let path = homepage
            .as_deref()
            .and_then(path_of_page)
            .or_else(|| body.project_name.get().map(|name| name.replace(" / ", "/")));
        facts.name = Told::new(Version::WEAK, path);
        facts.url = Told::new(Version::WEAK, homepage);
    }
    Some(facts)
}

/// `group/project` of `https://host/group/project`.
fn path_of_page(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    Some(path.trim_end_matches('/').to_owned()).filter(|path| !path.is_empty())
}
