//! Settings of the receivers: section `[webhooks]`. Knows nothing of signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pipecast_model::source::{SHORTEST_SECRET, Unfit, check_secret};
use pipecast_model::{Host, Lane, SecretKind};
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
    /// Which event goes to which lane.
    pub lanes: Lanes,
    /// GitHub.
    pub github: Github,
    /// GitLab.
    pub gitlab: Gitlab,
}

impl Webhooks {
    /// Every secret that is set, with its setting and kind.
    fn secrets(&self) -> impl Iterator<Item = (String, SecretKind, &Secret)> {
        let alone = [
            ("webhooks.github.secret", SecretKind::Hmac, &self.github.secret),
            ("webhooks.gitlab.secret", SecretKind::Token, &self.gitlab.secret),
            ("webhooks.gitlab.signing_token", SecretKind::SigningToken, &self.gitlab.signing_token),
        ];
        let named = [(Host::Github, &self.github.sources), (Host::Gitlab, &self.gitlab.sources)];
        let named = named.into_iter().flat_map(|(host, sources)| {
            let name = move |key: &String| format!("webhooks.{host}.sources.{key}");
            sources
                .iter()
                .map(move |(key, secret)| (name(key), SecretKind::of(host, secret.expose()), secret))
        });
        let alone = alone.into_iter().map(|(name, kind, secret)| (name.to_owned(), kind, secret));
        alone.chain(named).filter(|(.., secret)| !secret.is_empty())
    }

    /// A secret that everybody guesses or that nothing can be signed with, by its setting.
    pub fn unfit(&self) -> Option<(String, Unfit)> {
        self.secrets()
            .find_map(|(name, kind, secret)| check_secret(kind, secret.expose()).err().map(|unfit| (name, unfit)))
    }

    /// Settings of secrets that are shorter than they should be.
    pub fn short(&self) -> Vec<String> {
        let short = self.secrets().filter(|(.., secret)| secret.expose().chars().count() < SHORTEST_SECRET);
        short.map(|(name, ..)| name).collect()
    }
}

/// The table from event to lane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lanes {
    /// Events of the urgent lane.
    pub urgent: BTreeSet<String>,
    /// Events of the bulk lane.
    pub bulk: BTreeSet<String>,
    /// The lane of every other event.
    pub others: Lane,
}

impl Lanes {
    /// The lane of an event.
    pub fn of(&self, event: &str) -> Lane {
        match (self.urgent.contains(event), self.bulk.contains(event)) {
            (true, _) => Lane::Urgent,
            (false, true) => Lane::Bulk,
            (false, false) => self.others,
        }
    }

    /// An event that has two lanes, which only a mistake can mean.
    pub fn in_two(&self) -> Option<&str> {
        self.urgent.intersection(&self.bulk).next().map(String::as_str)
    }
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
