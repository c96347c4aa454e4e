//! System hooks of a project's own life: made, renamed, transferred, changed, destroyed.
//! Knows nothing of users, groups and keys, whose system hooks are not kept.

use pipecast_model::{Facts, ProjectFacts, Reading, Timestamp, Told, Version};
use serde::Deserialize;

use crate::intake::lenient::{Instant, Number, Text, newest, read};
use crate::intake::{Understood, lacks};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    project_id: Number,
    path_with_namespace: Text,
    created_at: Instant,
    updated_at: Instant,
}

pub(super) fn understand(body: &str, _received_at: Timestamp) -> Understood {
    let body: Body = read(body)?;
    let id = body.project_id.0.ok_or_else(|| lacks("project_id"))?;
    let version = Version::at(newest([body.created_at, body.updated_at]));
    Ok(Facts {
        project: Some(ProjectFacts {
            external_id: id.to_string(),
            name: Told::new(version, body.path_with_namespace),
            ..ProjectFacts::default()
        }),
        ..Facts::default()
    })
}

/// The project stays as it is, with its history; the ledger notes that it is gone at the host.
pub(super) fn destroyed(_body: &str, _received_at: Timestamp) -> Understood {
    Err(Reading::Ignored("project_deleted".to_owned()))
}
