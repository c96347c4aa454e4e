//! Where a project lives, in words that mean the same in every installation.
//! Knows nothing of what a project is.

use serde::{Deserialize, Serialize};

use crate::Host;

/// A project by its host, its source's key and its id at the host: what deliveries know it by. Our own numbers are another installation's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectPlace {
    /// Where it lives.
    pub host: Host,
    /// The key of the source that tells of it.
    #[schema(example = "default")]
    pub source: String,
    /// Its id at the host.
    #[schema(example = "501")]
    pub external_id: String,
}
