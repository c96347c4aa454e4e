//! `check_suite` and `check_run`: what CI tools of third parties report. A suite is an execution, its runs are jobs.
//! Checks of GitHub Actions are left out: workflow runs and jobs tell the same, and more.

use pipecast_model::facts::tell_status;
use pipecast_model::{ExecutionFacts, Facts, JobFacts, PipelineFacts, PipelineKey, Reading, Told, Version};
use serde::Deserialize;

use super::{Commit, Scene, words};
use crate::intake::lenient::{Instant, Number, Part, Text, newest, read};
use crate::intake::{Understood, empty, lacks};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    check_suite: Part<Suite>,
    check_run: Part<Run>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Suite {
    id: Number,
    app: Part<App>,
    status: Text,
    conclusion: Text,
    head_branch: Text,
    head_sha: Text,
    head_commit: Part<Commit>,
    created_at: Instant,
    updated_at: Instant,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Run {
    id: Number,
    app: Part<App>,
    check_suite: Part<Suite>,
    name: Text,
    status: Text,
    conclusion: Text,
    head_sha: Text,
    html_url: Text,
    details_url: Text,
    started_at: Instant,
    completed_at: Instant,
}

/// The GitHub App behind a check. Older servers leave out its slug.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct App {
    id: Number,
    slug: Text,
    name: Text,
}

pub(super) fn understand_suite(scene: &Scene, body: &str) -> Understood {
    let suite = read::<Body>(body)?.check_suite.0.ok_or_else(empty)?;
    let id = suite.id.0.ok_or_else(|| lacks("check_suite.id"))?;
    let pipeline = pipeline(suite.app.0.as_ref(), &suite)?;
    Ok(Facts {
        executions: vec![execution(scene, id, suite, &pipeline.key)],
        pipelines: vec![pipeline],
        ..Facts::default()
    })
}

pub(super) fn understand_run(scene: &Scene, body: &str) -> Understood {
    let run = read::<Body>(body)?.check_run.0.ok_or_else(empty)?;
    let id = run.id.0.ok_or_else(|| lacks("check_run.id"))?;
    let mut suite = run.check_suite.0.ok_or_else(|| lacks("check_run.check_suite"))?;
    let suite_id = suite.id.0.ok_or_else(|| lacks("check_run.check_suite.id"))?;
    if suite.head_sha.0.is_none() {
        suite.head_sha = run.head_sha;
    }
    let pipeline = pipeline(run.app.0.as_ref().or(suite.app.0.as_ref()), &suite)?;

    let status = words::status(run.status.get(), run.conclusion.get());
    // A check may be asked for again under the same id, so the newest time decides.
    let version = Version::by_time(newest([run.started_at, run.completed_at]), status);
    let job = JobFacts {
        execution: suite_id.to_string(),
        attempt: 1,
        external_id: id.to_string(),
        name: Told::new(version, run.name),
        status: tell_status(version, status, run.status.get(), run.conclusion.get(), run.completed_at.0),
        url: Told::new(version, run.html_url.0.or(run.details_url.0)),
        started_at: Told::new(version, run.started_at.0.filter(|_| words::has_begun(status))),
        ..JobFacts::default()
    };
    Ok(Facts {
        executions: vec![execution(scene, suite_id, suite, &pipeline.key)],
        pipelines: vec![pipeline],
        jobs: vec![job],
        ..Facts::default()
    })
}

fn execution(scene: &Scene, id: i64, suite: Suite, pipeline: &PipelineKey) -> ExecutionFacts {
    let status = words::status(suite.status.get(), suite.conclusion.get());
    // A suite may be asked for again and then goes back to queued, so the newest time decides.
    let version = Version::by_time(newest([suite.created_at, suite.updated_at]), status);
    let told = match suite.status.get() {
        // A suite without any check has no status.
        None => Told::default(),
        phase => tell_status(version, status, phase, suite.conclusion.get(), suite.updated_at.0),
    };
    ExecutionFacts {
        external_id: id.to_string(),
        attempt: 1,
        ordinal: id,
        pipeline: Told::new(version, pipeline.clone()),
        status: told,
        title: Told::new(version, suite.head_commit.and(|commit| commit.message.first_line())),
        branch: Told::new(version, suite.head_branch),
        commit_sha: Told::new(version, suite.head_sha),
        actor: Told::new(version, scene.sender.login()),
        queued_at: Told::new(version, suite.created_at),
        ..ExecutionFacts::default()
    }
}

/// One pipeline for each app that reports.
fn pipeline(app: Option<&App>, suite: &Suite) -> Result<PipelineFacts, Reading> {
    let slug = app.and_then(|app| app.slug.0.clone());
    if slug.as_deref() == Some("github-actions") {
        return Err(Reading::Ignored("github_actions_check".to_owned()));
    }
    let key = slug.or_else(|| app?.id.0.map(|id| id.to_string())).unwrap_or_else(|| "unknown".to_owned());
    let name = app.and_then(|app| app.name.0.clone()).unwrap_or_else(|| "Checks".to_owned());
    Ok(PipelineFacts {
        key: PipelineKey::Id(format!("app:{key}")),
        name: Told::new(Version::at(newest([suite.created_at, suite.updated_at])), name),
        url: Told::default(),
    })
}
