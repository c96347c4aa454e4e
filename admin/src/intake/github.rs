//! GitHub's webhooks, by event. The event's name comes from a header that is not signed: a body that does not hold the
//! event's object tells nothing. Knows nothing of signatures; a delivery is verified before it comes here.

use std::borrow::Cow;

use pipecast_model::{Delivery, Facts, ProjectFacts, Reading, Told, Version};
use serde::Deserialize;

use super::lenient::{Instant, Number, Part, Text, newest, read};
use super::{Understood, lacks, unknown_event};

mod change;
mod check;
mod commit_status;
mod deployment;
mod push;
mod words;
mod workflow_job;
mod workflow_run;

/// What one kind of event tells, given who it comes from and its body.
type Tell = fn(&Scene, &str) -> Understood;

/// The events that tell something, and what reads them.
const EVENTS: &[(&str, Tell)] = &[
    ("workflow_run", workflow_run::understand),
    ("workflow_job", workflow_job::understand),
    ("check_run", check::understand_run),
    ("check_suite", check::understand_suite),
    ("status", commit_status::understand),
    ("deployment", deployment::understand),
    ("deployment_status", deployment::understand),
    ("push", push::understand),
    ("pull_request", change::understand),
    ("repository", understand_repository),
    ("ping", understand_ping),
];

pub(super) fn understand(delivery: &Delivery) -> Understood {
    let (_, tell) = EVENTS.iter().find(|(event, _)| *event == delivery.event).ok_or_else(unknown_event)?;
    let body = json(delivery)?;
    let scene: Scene = read(&body)?;
    let mut facts = tell(&scene, &body)?;
    facts.project = scene.project();
    if facts.project.is_none() && facts.reading == Reading::Told {
        return Err(lacks("repository"));
    }
    Ok(facts)
}

/// The body as JSON: GitHub sends it as it is or, by the hook's setting, as the field `payload` of a form.
fn json(delivery: &Delivery) -> Result<Cow<'_, str>, Reading> {
    let declared = delivery
        .headers
        .iter()
        .any(|(name, value)| name == "content-type" && value.starts_with("application/x-www-form-urlencoded"));
    // No JSON begins with these letters, so the form is known even where the header was not kept; and no form begins with a
    // brace, so JSON is known where a program posts it under its default content type.
    let is_form = declared && !delivery.body.trim_ascii_start().starts_with(b"{");
    if is_form || delivery.body.starts_with(b"payload=") {
        let field = form_urlencoded::parse(&delivery.body).find(|(name, _)| name == "payload");
        return field.map(|(_, payload)| payload).ok_or_else(|| lacks("field payload in its form"));
    }
    std::str::from_utf8(&delivery.body)
        .map(Cow::Borrowed)
        .map_err(|_| Reading::Unprocessable("the body is not UTF-8".to_owned()))
}

/// What every event carries beside its own object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Scene {
    action: Text,
    repository: Part<Repository>,
    sender: Part<User>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Repository {
    id: Number,
    full_name: Text,
    html_url: Text,
    default_branch: Text,
    updated_at: Instant,
    pushed_at: Instant,
}

/// An account; null where it has been deleted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    login: Text,
}

impl Part<User> {
    fn login(&self) -> Option<String> {
        self.and(|user| user.login.0.clone())
    }
}

/// A commit as it is embedded in other objects.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Commit {
    message: Text,
    timestamp: Instant,
}

impl Scene {
    /// The repository by its id, which survives renames and transfers, told at its own clock.
    fn project(&self) -> Option<ProjectFacts> {
        let repository = self.repository.0.as_ref()?;
        let version = Version::at(newest([repository.updated_at, repository.pushed_at]));
        Some(ProjectFacts {
            external_id: repository.id.0?.to_string(),
            name: Told::new(version, repository.full_name.clone()),
            url: Told::new(version, repository.html_url.clone()),
            default_branch: Told::new(version, repository.default_branch.clone()),
        })
    }
}

/// A repository that is made, renamed, transferred…: the scene tells all of it.
fn understand_repository(scene: &Scene, _body: &str) -> Understood {
    if scene.action.get() == Some("deleted") {
        return Err(Reading::Ignored("project_deleted".to_owned()));
    }
    Ok(Facts::default())
}

/// The greeting of a new hook. That of a repository names it, so that it shows before its first run.
fn understand_ping(_scene: &Scene, _body: &str) -> Understood {
    Ok(Facts {
        reading: Reading::Ping,
        ..Facts::default()
    })
}
