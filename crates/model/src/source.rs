//! Sources: connections to one host or tool, and what is told of their secrets. The secrets themselves are nowhere in it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Host, SecretId, SourceId, Timestamp};

mod fitness;

pub use fitness::{SHORTEST_SECRET, Unfit, check_secret};

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "TEXT", rename_all = "snake_case")]
pub enum SecretKind {
    /// It signs the raw body, as GitHub does.
    Hmac,
    /// It comes along as it is, as in `X-Gitlab-Token`. Whoever sees a delivery knows it, so it is weak.
    Token,
    /// It signs id, time and raw body, as GitLab 19 does: `whsec_` and base64.
    SigningToken,
}

impl SecretKind {
    /// What a signing token begins with.
    pub const SIGNING_TOKEN_PREFIX: &str = "whsec_";

    /// The kind that a secret of this host is, by its text alone.
    pub fn of(host: Host, text: &str) -> SecretKind {
        match host {
            Host::Github => SecretKind::Hmac,
            Host::Gitlab if text.starts_with(SecretKind::SIGNING_TOKEN_PREFIX) => SecretKind::SigningToken,
            Host::Gitlab => SecretKind::Token,
        }
    }

    /// The word in JSON and the database.
    pub fn word(self) -> &'static str {
        match self {
            SecretKind::Hmac => "hmac",
            SecretKind::Token => "token",
            SecretKind::SigningToken => "signing_token",
        }
    }

    /// Whether whoever sees one delivery can send others.
    pub fn is_weak(self) -> bool {
        self == SecretKind::Token
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The word names no kind of secret.
#[derive(Debug, thiserror::Error)]
#[error("unknown kind of secret {0:?}; kinds are hmac, token and signing_token")]
pub struct UnknownKind(String);

impl FromStr for SecretKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kinds = [SecretKind::Hmac, SecretKind::Token, SecretKind::SigningToken];
        let found = kinds.into_iter().find(|kind| kind.word() == text);
        found.ok_or_else(|| UnknownKind(text.chars().take(80).collect()))
    }
}

/// A connection to one host or tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Whom it connects to.
    pub host: Host,
    /// The end of its path: `/webhooks/{host}/{key}`.
    pub key: String,
    /// Whether operators made it here; others stand in the configuration.
    pub managed: bool,
    /// What operators call it.
    pub name: Option<String>,
    /// Whether its deliveries are believed.
    pub enabled: bool,
    /// Hours without a delivery after which it is silent.
    pub silent_after: Option<i64>,
    /// When it was made, or first heard of.
    pub created_at: Timestamp,
    /// The user who made it.
    pub created_by: Option<i64>,
    /// When operators changed it last.
    pub updated_at: Option<Timestamp>,
    /// When it was deleted; it can be restored.
    pub deleted_at: Option<Timestamp>,
    /// Counts its changes by operators.
    pub version: i64,
    /// When its last delivery arrived, give or take some seconds.
    pub last_delivery_at: Option<Timestamp>,
    /// Its secrets, the newest first.
    pub secrets: Vec<SourceSecret>,
}

/// What is told of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSecret {
    /// Its id.
    pub id: SecretId,
    /// What it is for.
    pub kind: SecretKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is not believed.
    pub not_after: Option<Timestamp>,
    /// When a delivery was signed with it last, give or take some seconds.
    pub last_matched_at: Option<Timestamp>,
}

impl SourceSecret {
    /// Whether it is believed at this time.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|end| now < end)
    }
}

impl Source {
    /// Since when nothing has come, where that is longer than it may be.
    pub fn silent_since(&self, now: Timestamp) -> Option<Timestamp> {
        let hours = self.silent_after.filter(|_| self.enabled && self.deleted_at.is_none())?;
        let since = self.last_delivery_at.unwrap_or(self.created_at);
        let limit = hours.saturating_mul(3_600_000_000);
        (now.0.saturating_sub(since.0) >= limit).then_some(since)
    }

    /// The secret that matched last, where it is not the newest one: the host still uses an old one.
    pub fn old_secret_in_use(&self) -> Option<&SourceSecret> {
        let last = self
            .secrets
            .iter()
            .filter(|secret| secret.last_matched_at.is_some())
            .max_by_key(|secret| secret.last_matched_at)?;
        let newest = self.secrets.iter().max_by_key(|secret| secret.id)?;
        (last.id != newest.id).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn secret(id: i64, last_matched_at: Option<i64>) -> SourceSecret {
        SourceSecret {
            id: SecretId(id),
            kind: SecretKind::Hmac,
            created_at: Timestamp(id),
            not_after: None,
            last_matched_at: last_matched_at.map(Timestamp),
        }
    }

    fn source(secrets: Vec<SourceSecret>) -> Source {
        Source {
            id: SourceId(1),
            host: Host::Github,
            key: "k".into(),
            managed: true,
            name: None,
            enabled: true,
            silent_after: Some(2),
            created_at: Timestamp(0),
            created_by: None,
            updated_at: None,
            deleted_at: None,
            version: 1,
            last_delivery_at: None,
            secrets,
        }
    }

    #[test]
    fn a_source_is_silent_from_its_hours_on() {
        let mut source = source(Vec::new());

        assert_eq!(source.silent_since(Timestamp(2 * HOUR - 1)), None);
        assert_eq!(source.silent_since(Timestamp(2 * HOUR)), Some(Timestamp(0)));
        source.last_delivery_at = Some(Timestamp(HOUR));
        assert_eq!(source.silent_since(Timestamp(2 * HOUR)), None);
        source.enabled = false;
        assert_eq!(source.silent_since(Timestamp(9 * HOUR)), None);
    }

    #[test]
    fn an_old_secret_is_in_use_while_it_matched_last() {
        let in_use = |secrets| source(secrets).old_secret_in_use().map(|secret| secret.id);

        assert_eq!(in_use(vec![secret(2, None), secret(1, None)]), None);
        assert_eq!(in_use(vec![secret(2, None), secret(1, Some(5))]), Some(SecretId(1)));
        assert_eq!(in_use(vec![secret(2, Some(6)), secret(1, Some(5))]), None);
        assert_eq!(in_use(vec![secret(2, Some(4)), secret(1, Some(5))]), Some(SecretId(1)));
    }

    #[test]
    fn a_kind_is_known_by_host_and_text() {
        assert_eq!(SecretKind::of(Host::Github, "whsec_x"), SecretKind::Hmac);
        assert_eq!(SecretKind::of(Host::Gitlab, "whsec_x"), SecretKind::SigningToken);
        assert_eq!(SecretKind::of(Host::Gitlab, "x"), SecretKind::Token);
        for kind in [SecretKind::Hmac, SecretKind::Token, SecretKind::SigningToken] {
            assert_eq!(kind.word().parse::<SecretKind>().expect("its own word"), kind);
        }
    }
}
