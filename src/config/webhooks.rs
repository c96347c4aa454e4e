//! Settings of the receivers: section `[webhooks]`. Knows nothing of signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::{Secret, value};

/// The source of a path that names none.
pub const DEFAULT_SOURCE: &str = "default";

/// Limits that hold for every host, and the secrets of each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Largest body in bytes.
    #[serde(deserialize_with = "value::size")]
    pub max_body: u64,
    /// All bodies that are being received at once, in bytes.
    #[serde(deserialize_with = "value::size")]
    pub in_flight_bodies: u64,
    /// Longest time for a body to arrive.
    #[serde(deserialize_with = "value::duration")]
    pub read_deadline: Duration,
    /// Longest wait for the queue.
    #[serde(deserialize_with = "value::duration")]
    pub send_deadline: Duration,
    /// Refused deliveries that reach the ledger, a second and host.
    pub refusals_per_second: u32,
    /// Events that go to the urgent lane; all others go to the bulk lane.
    pub urgent: BTreeSet<String>,
    /// GitHub.
    pub github: Github,
    /// GitLab.
    pub gitlab: Gitlab,
}

/// Secrets of GitHub's webhooks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// Of `/webhooks/github`; empty refuses every delivery.
    pub secret: Secret,
    /// Of `/webhooks/github/KEY`, by key.
    pub sources: BTreeMap<String, Secret>,
}

/// Secrets of GitLab's webhooks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gitlab {
    /// The plain token of `/webhooks/gitlab`.
    pub secret: Secret,
    /// The signing token of `/webhooks/gitlab`; once set, a signature is required.
    pub signing_token: Secret,
    /// Of `/webhooks/gitlab/KEY`, by key; one that starts with `whsec_` is a signing token.
    pub sources: BTreeMap<String, Secret>,
}
