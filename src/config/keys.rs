//! Settings of the keys that seal: section `[keys]`. Knows nothing of what they seal.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Secret, value};

/// The folder in `data_dir` that keys are kept in. No archive contains it.
pub const FOLDER: &str = "keys";

/// The file in it.
const FILE: &str = "keyring";

/// Where the keys come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The file with the keys; not set: one in `data_dir`.
    #[serde(deserialize_with = "value::optional_text")]
    pub file: Option<String>,
    /// The keys themselves; not set: those of the file.
    pub ring: Secret,
}

impl Keys {
    /// Whether they are said to be the same for several processes.
    pub fn are_named(&self) -> bool {
        self.file.is_some() || !self.ring.is_empty()
    }

    /// The file that they are in where they are in one.
    pub fn path(&self, data_dir: &Path) -> PathBuf {
        self.file.as_ref().map_or_else(|| data_dir.join(FOLDER).join(FILE), PathBuf::from)
    }
}
