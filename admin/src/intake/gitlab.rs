//! GitLab's webhooks, by kind. The body says what it is; the header is only asked where the body does not, because a body
//! is signed, or at least sent together with the token, and a header may be swapped. System hooks wrap the same kinds.
//! Knows nothing of signatures; a delivery is verified before it comes here.

use pipecast_model::{Delivery, ProjectFacts, Reading, Timestamp, Told, Version};
use serde::Deserialize;

use super::lenient::{Number, Part, Text, read};
use super::{Understood, lacks, unknown_event};

mod change;
mod deployment;
mod job;
mod pipeline;
mod project;
mod push;
mod words;

/// What one kind of event tells, given its body and when it was received.
type Tell = fn(&str, Timestamp) -> Understood;

/// `object_kind`, or `event_name` in system hooks, and what reads it.
const KINDS: &[(&str, Tell)] = &[
    ("pipeline", pipeline::understand),
    ("build", job::understand),
    ("deployment", deployment::understand),
    ("push", push::understand),
    ("tag_push", push::understand),
    ("merge_request", change::understand),
    ("project_create", project::understand),
    ("project_rename", project::understand),
    ("project_transfer", project::understand),
    ("project_update", project::understand),
    ("project_destroy", project::destroyed),
];

/// The header `X-Gitlab-Event`, and the kind that it stands for.
const HEADERS: &[(&str, &str)] = &[
    ("Pipeline Hook", "pipeline"),
    ("Job Hook", "build"),
    ("Deployment Hook", "deployment"),
    ("Push Hook", "push"),
    ("Tag Push Hook", "tag_push"),
    ("Merge Request Hook", "merge_request"),
];

pub(super) fn understand(delivery: &Delivery) -> Understood {
    let body = std::str::from_utf8(&delivery.body).map_err(|_| Reading::Unprocessable("the body is not UTF-8".to_owned()))?;
    let kind: Kind = read(body)?;
    let by_header = || HEADERS.iter().find(|(header, _)| *header == delivery.event).map(|(_, kind)| *kind);
    let kind = kind.object_kind.get().or(kind.event_name.get()).or_else(by_header).ok_or_else(unknown_event)?;
    let (_, tell) = KINDS.iter().find(|(known, _)| *known == kind).ok_or_else(unknown_event)?;
    let facts = tell(body, delivery.received_at)?;
    match facts.project {
        Some(_) => Ok(facts),
        None => Err(lacks("project id")),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kind {
    object_kind: Text,
    event_name: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Project {
    id: Number,
    name: Text,
    path_with_namespace: Text,
    web_url: Text,
    default_branch: Text,
}

/// The project by its id, which some kinds carry only outside of the project object.
fn project(project: &Part<Project>, id: Number, version: Version) -> Option<ProjectFacts> {
    let id = project.and(|project| project.id.0).or(id.0)?;
    Some(ProjectFacts {
        external_id: id.to_string(),
        name: Told::new(version, project.and(|project| project.path_with_namespace.0.clone())),
        url: Told::new(version, project.and(|project| project.web_url.0.clone())),
        default_branch: Told::new(version, project.and(|project| project.default_branch.0.clone())),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    username: Text,
    name: Text,
}

impl Part<User> {
    /// The account's name; older versions and deleted accounts have only a display name, or nothing.
    fn login(&self) -> Option<String> {
        self.and(|user| user.username.0.clone().or_else(|| user.name.0.clone()))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Runner {
    description: Text,
}

/// The project's one definition, `.gitlab-ci.yml`.
const MAIN: &str = "ci";

/// The name of the project's one definition.
fn main_name(project: &Part<Project>) -> String {
    project.and(|project| project.name.0.clone()).unwrap_or_else(|| "CI".to_owned())
}
