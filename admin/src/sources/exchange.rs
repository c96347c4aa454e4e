//! Sources as lines of text that can be kept beside other configuration and brought to another installation. Secrets are not in them.
//! Knows nothing of requests.

use pipecast_model::name::trimmed;
use pipecast_model::{Host, SecretKind, Source, SourceId, Timestamp, UserId};
use pipecast_store::ByNameOrId;
use pipecast_store::audit::By;
use pipecast_store::source::{Deleted, NewSource, SourceQuery};
use serde::{Deserialize, Serialize};

use super::{Error, Sources};
use crate::exchange::{Action, Exported, Need, PAGE, Rehearsal, Step, different};

/// A source in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SourceLine)]
pub struct Line {
    /// Whom it connects to.
    pub host: Host,
    /// The end of its path, by which it is known again.
    #[schema(example = "k5v2m7q3x4c6z2n5b7a3s4d6f2")]
    pub key: String,
    /// What it is called.
    #[serde(deserialize_with = "trimmed")]
    #[schema(example = "acme on GitHub")]
    pub name: String,
    /// Whether its deliveries are believed.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Hours without a delivery after which it is silent.
    #[serde(default)]
    pub silent_after_hours: Option<i64>,
    /// That it has secrets, and of which kind. They themselves stay where they are; an import passes this over.
    #[serde(default)]
    pub secrets: Vec<Reference>,
}

/// A secret that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What it is for.
    #[schema(value_type = String, example = "hmac")]
    pub kind: SecretKind,
    /// Its id where it was exported.
    #[schema(example = 7)]
    pub id: i64,
}

fn yes() -> bool {
    true
}

impl Line {
    fn of(source: Source) -> Line {
        let secrets = source.secrets.iter().map(|secret| Reference {
            kind: secret.kind,
            id: secret.id.0,
        });
        Line {
            secrets: secrets.collect(),
            host: source.host,
            key: source.key,
            name: source.name.unwrap_or_default(),
            enabled: source.enabled,
            silent_after_hours: source.silent_after,
        }
    }

    /// Which members of a source it would change.
    fn changes(&self, source: &Source) -> Vec<&'static str> {
        different([
            ("name", source.name.as_deref() != Some(&self.name)),
            ("enabled", source.enabled != self.enabled),
            ("silent_after_hours", source.silent_after != self.silent_after_hours),
            ("deleted", source.deleted_at.is_some()),
        ])
    }
}

impl Sources {
    /// A page of the sources that operators made and did not delete, by id.
    ///
    /// # Errors
    /// `Store`.
    pub async fn export(&self, after: Option<SourceId>) -> Result<Exported<Line, SourceId>, Error> {
        let query = SourceQuery {
            managed: Some(true),
            deleted: Deleted::Hidden,
            sort: ByNameOrId::Id,
            after: after.map(|id| (String::new(), id)),
            limit: PAGE,
            ..SourceQuery::default()
        };
        let sources = self.reader.list_sources(&query).await?;
        Ok(Exported::of(sources, |source| source.id, Line::of))
    }

    /// Makes sources like these lines, in one transaction, and says what that is. Sources that no line names stay as they are, and lines
    /// whose key was a source's that was purged are passed over. With `Rehearsal::Dry` nothing is done.
    ///
    /// # Errors
    /// `Configured` for a line of a source of the configuration, `Store`.
    pub async fn import(&self, lines: &[(usize, Line)], rehearsal: Rehearsal, user: Option<UserId>, by: &By) -> Result<Vec<Step>, Error> {
        let mut tx = self.writer.begin().await?;
        let mut steps = Vec::with_capacity(lines.len());
        for (number, line) in lines {
            let now = Timestamp::now();
            let there = tx.hold_source_of(line.host, &line.key).await?;
            let changes = there.as_ref().map(|source| line.changes(source)).unwrap_or_default();
            let has_none = there.as_ref().is_none_or(|source| !source.secrets.iter().any(|secret| secret.is_live(now)));
            let action = match &there {
                Some(source) if !source.managed && source.deleted_at.is_some() => {
                    steps.push(Step {
                        line: *number,
                        thing: format!("{} {}", line.host, line.key),
                        action: Action::Skip,
                        changes: Vec::new(),
                        needs: Some(Need::Key),
                    });
                    continue;
                }
                Some(source) if !source.managed => return Err(Error::Configured),
                Some(_) if changes.is_empty() => Action::Keep,
                Some(source) => {
                    super::apply(&mut tx, source, line, now).await?;
                    let after = super::hold(&mut tx, source.id).await?;
                    tx.audit(super::about(&after, by.clone(), "source.import").changed(super::told(source), super::told(&after)));
                    Action::Update
                }
                None => {
                    let new = NewSource {
                        host: line.host,
                        key: line.key.clone(),
                        name: line.name.clone(),
                        enabled: line.enabled,
                        silent_after: line.silent_after_hours,
                        created_by: user.map(|user| user.0),
                    };
                    let id = tx.make_source(&new, now).await?.ok_or(Error::KeyTaken)?;
                    let after = super::hold(&mut tx, id).await?;
                    tx.audit(super::about(&after, by.clone(), "source.import").after(super::told(&after)));
                    Action::Create
                }
            };
            steps.push(Step {
                line: *number,
                thing: format!("{} {}", line.host, line.key),
                action,
                changes,
                needs: has_none.then_some(Need::Secret),
            });
        }
        if rehearsal == Rehearsal::Real {
            tx.commit().await?;
        }
        Ok(steps)
    }
}
