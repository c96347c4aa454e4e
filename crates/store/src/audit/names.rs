//! What the ids in rows of the audit are called, so that people need not know numbers by heart.
//! Knows nothing of the chain: a name that was looked up is no part of the row, and is that of today.

use std::collections::{BTreeMap, BTreeSet};

use pipecast_model::{ProjectId, TokenId, UserId};
use sqlx::QueryBuilder;

use super::Row;
use crate::engine::on;
use crate::error::Attempt;
use crate::{Reader, Result};

const ATTEMPTED: &str = "look up names for the audit";

/// What has an id and a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    User,
    Token,
    Project,
    Source,
    Target,
}

impl Kind {
    /// The kind of thing that a row was done to, by the row's word for it.
    fn of_resource(word: &str) -> Option<Kind> {
        Some(match word {
            "user" => Kind::User,
            "token" => Kind::Token,
            // A policy has the id of its project, and no name of its own.
            "project" | "retention_policy" => Kind::Project,
            "source" => Kind::Source,
            "notification_target" => Kind::Target,
            _ => return None,
        })
    }

    /// Ids, names, and whether what has them is deleted. The ids follow.
    const fn sql(self) -> &'static str {
        match self {
            Kind::User => "SELECT id, name, deleted_at IS NOT NULL FROM users WHERE id IN (",
            Kind::Token => "SELECT id, name, revoked_at IS NOT NULL FROM api_tokens WHERE id IN (",
            Kind::Project => "SELECT id, name, FALSE FROM projects WHERE id IN (",
            Kind::Source => "SELECT id, coalesce(name, key), deleted_at IS NOT NULL FROM sources WHERE id IN (",
            Kind::Target => "SELECT id, name, FALSE FROM notification_targets WHERE id IN (",
        }
    }

    /// The action that took it away for good and tells its name; `None` where every row on it does.
    const fn farewell(self) -> Option<(&'static str, &'static str)> {
        match self {
            Kind::User => Some(("user", "user.purge")),
            Kind::Token => Some(("token", "token.purge")),
            Kind::Source => Some(("source", "source.purge")),
            Kind::Project | Kind::Target => None,
        }
    }
}

/// What an id is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name; `None` where nobody knows it any more.
    pub name: Option<String>,
    /// Whether what has the name is deleted, revoked or gone.
    pub is_gone: bool,
}

/// The names of what is in a page of rows.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<(Kind, String), Named>);

impl Names {
    /// A user of today.
    pub fn user(&self, id: UserId) -> Option<&Named> {
        self.0.get(&(Kind::User, id.to_string()))
    }

    /// A token of today.
    pub fn token(&self, id: TokenId) -> Option<&Named> {
        self.0.get(&(Kind::Token, id.to_string()))
    }

    /// A project of today.
    pub fn project(&self, id: ProjectId) -> Option<&Named> {
        self.0.get(&(Kind::Project, id.to_string()))
    }

    /// What a row was done to: as it was called then where the row tells it, else as it is called today.
    pub fn resource(&self, row: &Row) -> Option<Named> {
        let (word, id) = (row.resource_type.as_deref()?, row.resource_id.as_deref()?);
        let today = Kind::of_resource(word).and_then(|kind| self.0.get(&(kind, id.to_owned())));
        let then = row.resource_label.clone().filter(|label| !label.is_empty());
        Some(Named {
            name: then.or_else(|| today.and_then(|named| named.name.clone())),
            is_gone: today.is_some_and(|named| named.is_gone),
        })
    }
}

impl Reader {
    /// The names of everything in these rows: one query for each kind of thing that is in them, and another one where some of it is gone.
    pub async fn audit_names(&self, rows: &[Row]) -> Result<Names> {
        let mut wanted: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
        for row in rows {
            let kind = row.resource_type.as_deref().and_then(Kind::of_resource);
            let ids = [
                row.user_id.map(|id| (Kind::User, id.to_string())),
                row.token_id.map(|id| (Kind::Token, id.to_string())),
                row.project_id.map(|id| (Kind::Project, id.to_string())),
                kind.zip(row.resource_id.clone()),
            ];
            for (kind, id) in ids.into_iter().flatten() {
                wanted.entry(kind).or_default().insert(id);
            }
        }
        let mut names = Names::default();
        for (kind, ids) in wanted {
            let mut found = self.names_of(kind, &ids).await?;
            let missing: Vec<String> = ids.iter().filter(|id| !found.contains_key(*id)).cloned().collect();
            found.extend(self.names_of_gone(kind, &missing).await?);
            for id in ids {
                let named = found.remove(&id).unwrap_or(Named { name: None, is_gone: true });
                names.0.insert((kind, id), named);
            }
        }
        Ok(names)
    }

    /// Those that have a row. What is no id of this kind has none.
    async fn names_of(&self, kind: Kind, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Named>> {
        let found: Vec<(String, String, bool)> = if kind == Kind::Token {
            let ids: Vec<TokenId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
            let rows: Vec<(TokenId, String, bool)> = on!(&self.on, |db| {
                let mut sql = QueryBuilder::new(kind.sql());
                let mut list = sql.separated(", ");
                for id in &ids {
                    list.push_bind(*id);
                }
                list.push_unseparated(")");
                sql.build_query_as().fetch_all(db).await
            })
            .attempted(ATTEMPTED)?;
            rows.into_iter().map(|(id, name, is_gone)| (id.to_string(), name, is_gone)).collect()
        } else {
            let ids: Vec<i64> = ids.iter().filter_map(|id| id.parse().ok()).collect();
            let rows: Vec<(i64, String, bool)> = on!(&self.on, |db| {
                let mut sql = QueryBuilder::new(kind.sql());
                let mut list = sql.separated(", ");
                for id in &ids {
                    list.push_bind(*id);
                }
                list.push_unseparated(")");
                sql.build_query_as().fetch_all(db).await
            })
            .attempted(ATTEMPTED)?;
            rows.into_iter().map(|(id, name, is_gone)| (id.to_string(), name, is_gone)).collect()
        };
        let named = |(id, name, is_gone)| {
            let name = Some(name);
            (id, Named { name, is_gone })
        };
        Ok(found.into_iter().map(named).collect())
    }

    /// Those that have no row any more, by what the audit itself said when they were taken away for good.
    async fn names_of_gone(&self, kind: Kind, ids: &[String]) -> Result<BTreeMap<String, Named>> {
        const SQL: &str = "SELECT resource_id, resource_label FROM audit WHERE resource_type = ";
        let Some((word, farewell)) = kind.farewell().filter(|_| !ids.is_empty()) else {
            return Ok(BTreeMap::new());
        };
        let rows: Vec<(String, Option<String>)> = on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(SQL);
            sql.push_bind(word).push(" AND action = ").push_bind(farewell);
            let mut list = sql.push(" AND resource_id IN (").separated(", ");
            for id in ids {
                list.push_bind(id);
            }
            list.push_unseparated(")");
            sql.build_query_as().fetch_all(db).await
        })
        .attempted(ATTEMPTED)?;
        Ok(rows.into_iter().map(|(id, name)| (id, Named { name, is_gone: true })).collect())
    }
}
