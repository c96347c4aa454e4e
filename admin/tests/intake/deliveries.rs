//! Makes deliveries of bodies, and writes facts as text that reads well in a snapshot.
//! Knows nothing of what a test wants to see.

use std::fmt::{Debug, Write};

use bytes::Bytes;
use pipecast_admin::intake::understand;
use pipecast_model::{Delivery, DeliveryId, Facts, Host, Timestamp, Told};
use serde_json::{Value, json};

pub(crate) fn raw(host: Host, event: &str, body: impl Into<Bytes>) -> Delivery {
    Delivery {
        id: DeliveryId(uuid::Uuid::nil()),
        host,
        source: "default".into(),
        event: event.into(),
        key: None,
        body_sha256: String::new(),
        received_at: Timestamp::parse("2026-11-21T10:00:00Z").unwrap(),
        headers: vec![],
        replay_of: None,
        secret: None,
        body: body.into(),
    }
}

/// A delivery of GitHub; a repository is added where the body names none.
pub(crate) fn github(event: &str, mut body: Value) -> Delivery {
    let repository = json!({"id": 35, "full_name": "acme/rocket", "html_url": "https://github.example/acme/rocket",
        "default_branch": "main", "updated_at": "2026-11-21T08:00:00Z", "pushed_at": 1_795_251_600});
    if let Some(body) = body.as_object_mut() {
        body.entry("repository").or_insert(repository);
    }
    raw(Host::Github, event, body.to_string())
}

/// A delivery of GitLab; a project is added where the body names none.
pub(crate) fn gitlab(event: &str, mut body: Value) -> Delivery {
    let project = json!({"id": 53, "name": "Rocket", "path_with_namespace": "acme/rocket", "web_url": "https://gitlab.example/acme/rocket",
        "default_branch": "main"});
    if let Some(body) = body.as_object_mut() {
        body.entry("project").or_insert(project);
    }
    raw(Host::Gitlab, event, body.to_string())
}

pub(crate) fn understand_github(event: &str, body: Value) -> Facts {
    understand(&github(event, body))
}

pub(crate) fn understand_gitlab(event: &str, body: Value) -> Facts {
    understand(&gitlab(event, body))
}

/// One line for each thing that is told: `field = value @ version`.
pub(crate) fn written(facts: &Facts) -> String {
    let mut text = format!("{} {}\n", facts.reading.outcome().word(), facts.reading.detail().unwrap_or_default());
    if let Some(project) = &facts.project {
        heading(&mut text, format!("project {}", project.external_id));
        line(&mut text, "name", &project.name);
        line(&mut text, "url", &project.url);
        line(&mut text, "default_branch", &project.default_branch);
    }
    for pipeline in &facts.pipelines {
        heading(&mut text, format!("pipeline {:?}", pipeline.key));
        line(&mut text, "name", &pipeline.name);
        line(&mut text, "url", &pipeline.url);
    }
    for execution in &facts.executions {
        heading(
            &mut text,
            format!(
                "execution {} attempt {} ordinal {}",
                execution.external_id, execution.attempt, execution.ordinal
            ),
        );
        line(&mut text, "pipeline", &execution.pipeline);
        line(&mut text, "status", &execution.status);
        line(&mut text, "number", &execution.number);
        line(&mut text, "title", &execution.title);
        line(&mut text, "branch", &execution.branch);
        line(&mut text, "commit_sha", &execution.commit_sha);
        line(&mut text, "event", &execution.event);
        line(&mut text, "actor", &execution.actor);
        line(&mut text, "url", &execution.url);
        line(&mut text, "queued_at", &execution.queued_at);
        line(&mut text, "started_at", &execution.started_at);
    }
    for job in &facts.jobs {
        heading(&mut text, format!("job {} of {} attempt {}", job.external_id, job.execution, job.attempt));
        line(&mut text, "name", &job.name);
        line(&mut text, "stage", &job.stage);
        line(&mut text, "status", &job.status);
        line(&mut text, "allow_failure", &job.allow_failure);
        line(&mut text, "runner", &job.runner);
        line(&mut text, "url", &job.url);
        line(&mut text, "steps", &job.steps);
        line(&mut text, "queued_at", &job.queued_at);
        line(&mut text, "started_at", &job.started_at);
    }
    for reference in &facts.refs {
        heading(&mut text, format!("ref {}", reference.name));
        line(&mut text, "commit_sha", &reference.commit_sha);
    }
    for change in &facts.changes {
        heading(&mut text, format!("change {}", change.number));
        line(&mut text, "title", &change.title);
        line(&mut text, "state", &change.state);
        line(&mut text, "branch", &change.branch);
        line(&mut text, "commit_sha", &change.commit_sha);
        line(&mut text, "url", &change.url);
    }
    text
}

fn heading(text: &mut String, heading: String) {
    writeln!(text, "{heading}").unwrap();
}

fn line<T: Debug + Ord>(text: &mut String, name: &str, told: &Told<T>) {
    if let (Some(value), Some(version)) = (told.get(), told.version()) {
        let weak = if version == pipecast_model::Version::WEAK {
            "weak".to_owned()
        } else {
            version.to_string()
        };
        writeln!(text, "  {name} = {value:?} @ {weak}").unwrap();
    }
}
