//! Push Hook and Tag Push Hook: a branch or tag that was made, moved or deleted.
//! Knows nothing of the commits between. More than three refs in one push send no hook at all.

use pipecast_model::{Facts, RefFacts, Timestamp, Told, Version};
use serde::Deserialize;

use super::{Project, project};
use crate::intake::lenient::{Number, Part, Text, read};
use crate::intake::{Understood, empty};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(rename = "ref")]
    reference: Text,
    after: Text,
    project_id: Number,
    project: Part<Project>,
}

pub(super) fn understand(body: &str, received_at: Timestamp) -> Understood {
    let body: Body = read(body)?;
    let name = body.reference.0.ok_or_else(empty)?;
    let after = body.after.0.ok_or_else(empty)?;
    let deleted = after.bytes().all(|digit| digit == b'0');
    // The body has no time but those of its commits, which are their authors' clocks, go back in a forced push and are missing
    // when a ref is deleted. So this one fact is ordered by when it was received.
    let version = Version::at(Some(received_at));
    Ok(Facts {
        project: project(&body.project, body.project_id, version),
        refs: vec![RefFacts {
            name,
            commit_sha: Told::new(version, Some((!deleted).then_some(after))),
        }],
        ..Facts::default()
    })
}
