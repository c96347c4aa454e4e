//! `push`: a branch or tag that was made, moved or deleted.
//! Knows nothing of the commits between.

use pipecast_model::{Facts, RefFacts, Told, Version};
use serde::Deserialize;

use super::{Commit, Scene};
use crate::intake::lenient::{Flag, Part, Text, read};
use crate::intake::{Understood, empty};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(rename = "ref")]
    reference: Text,
    after: Text,
    deleted: Flag,
    head_commit: Part<Commit>,
}

pub(super) fn understand(scene: &Scene, body: &str) -> Understood {
    let body: Body = read(body)?;
    let name = body.reference.0.ok_or_else(empty)?;
    let after = body.after.0.ok_or_else(empty)?;
    let deleted = body.deleted.0 == Some(true) || after.bytes().all(|digit| digit == b'0');
    // The commit's own time is its author's clock: it serves only where the server's is missing.
    let pushed_at = scene.repository.and(|repository| repository.pushed_at.0);
    let version = Version::at(pushed_at.or_else(|| body.head_commit.and(|commit| commit.timestamp.0)));
    Ok(Facts {
        refs: vec![RefFacts {
            name,
            commit_sha: Told::new(version, Some((!deleted).then_some(after))),
        }],
        ..Facts::default()
    })
}
