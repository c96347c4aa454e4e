//! Sources as operators see them: what there is to paste at the host, and what to see to. Of a secret that it is there, and when it was used.
//! Knows nothing of requests.

use pipecast_model::{Host, SecretId, SecretKind, Source, SourceId, SourceSecret, Timestamp};
use serde::Serialize;

use crate::sources::{Made, Sources};

/// A connection to a host.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Source)]
pub(in crate::api) struct Shape {
    id: SourceId,
    host: Host,
    /// What it is called; null for one that only stands in the configuration.
    #[schema(example = "acme on GitHub")]
    name: Option<String>,
    /// Whether it was made here; others stand in the configuration, and are changed there.
    managed: bool,
    /// Whether its deliveries are believed.
    enabled: bool,
    /// Where the host delivers to.
    #[schema(example = "/webhooks/github/k5v2m7q3x4c6z2n5b7a3s4d6f2")]
    path: String,
    /// The same with `server.public_url` before it, where that is set.
    url: Option<String>,
    /// Hours without a delivery after which it is silent; null: it never is.
    silent_after_hours: Option<i64>,
    /// When its last delivery arrived, give or take half a minute.
    last_delivery_at: Option<Timestamp>,
    /// Since when nothing has come, where that is longer than it may be.
    silent_since: Option<Timestamp>,
    /// The newest first; at most two of them are live.
    secrets: Vec<SecretShape>,
    /// What an operator should see to.
    warnings: Vec<Warning>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    /// Since when it is gone; it can be restored.
    deleted_at: Option<Timestamp>,
}

/// What is told of a secret.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = SourceSecret)]
struct SecretShape {
    id: SecretId,
    /// `hmac`, `token` or `signing_token`.
    #[schema(value_type = String, example = "hmac")]
    kind: SecretKind,
    /// Whether whoever sees one delivery can send others.
    weak: bool,
    created_at: Timestamp,
    /// From then on it is not believed.
    not_after: Option<Timestamp>,
    /// Whether it is believed now.
    live: bool,
    /// When a delivery was signed with it last, give or take half a minute.
    last_matched_at: Option<Timestamp>,
    /// Whether it is the one that matched last.
    matched_last: bool,
}

/// What an operator should see to.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = SourceWarning)]
struct Warning {
    /// A stable word: `old_secret_in_use`, `silent`, `no_secret`, `weak_secret`.
    #[schema(example = "old_secret_in_use")]
    code: &'static str,
    /// What it means.
    detail: String,
}

/// A source with a secret that is not shown again.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = SourceWithSecret)]
pub(super) struct MadeShape {
    #[serde(flatten)]
    source: Shape,
    secret_id: SecretId,
    /// To paste at the host. It is shown this once.
    #[schema(format = "password")]
    secret: String,
}

pub(super) fn made_shape(sources: &Sources, made: &Made) -> MadeShape {
    MadeShape {
        source: shape(sources, made.source.clone()),
        secret_id: made.id,
        secret: made.secret.to_string(),
    }
}

pub(super) fn shape(sources: &Sources, source: Source) -> Shape {
    let now = Timestamp::now();
    let (path, url) = sources.address(&source);
    let last = source
        .secrets
        .iter()
        .filter(|secret| secret.last_matched_at.is_some())
        .max_by_key(|secret| secret.last_matched_at);
    let matched_last = last.map(|secret| secret.id);
    let secret = |secret: &SourceSecret| SecretShape {
        id: secret.id,
        kind: secret.kind,
        weak: secret.kind.is_weak(),
        created_at: secret.created_at,
        not_after: secret.not_after,
        live: secret.is_live(now),
        last_matched_at: secret.last_matched_at,
        matched_last: matched_last == Some(secret.id),
    };
    Shape {
        warnings: warnings(&source, now),
        silent_since: source.silent_since(now),
        secrets: source.secrets.iter().map(secret).collect(),
        id: source.id,
        host: source.host,
        name: source.name,
        managed: source.managed,
        enabled: source.enabled,
        path,
        url,
        silent_after_hours: source.silent_after,
        last_delivery_at: source.last_delivery_at,
        created_at: source.created_at,
        updated_at: source.updated_at,
        deleted_at: source.deleted_at,
    }
}

fn warnings(source: &Source, now: Timestamp) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !source.managed || source.deleted_at.is_some() {
        return warnings;
    }
    let mut warn = |code, detail: String| warnings.push(Warning { code, detail });
    if let Some(secret) = source.old_secret_in_use() {
        let until = secret.not_after.map_or_else(String::new, |end| format!(", which is believed until {end}"));
        warn("old_secret_in_use", format!("the host still signs with the secret {}{until}", secret.id));
    }
    if let Some(since) = source.silent_since(now) {
        let hours = now.millis_since(since) / 3_600_000;
        warn("silent", format!("no delivery for {hours} hours"));
    }
    let mut live = source.secrets.iter().filter(|secret| secret.is_live(now)).peekable();
    if live.peek().is_none() {
        warn("no_secret", "without a secret none of its deliveries is believed".to_owned());
    } else if live.all(|secret| secret.kind.is_weak()) {
        warn(
            "weak_secret",
            "a plain token is known to whoever sees a delivery; GitLab 19 has signing tokens".to_owned(),
        );
    }
    warnings
}
