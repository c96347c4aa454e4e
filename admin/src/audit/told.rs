//! Rows of the audit as people read them: with what their ids are called.
//! Knows nothing of where names are looked up.

use pipecast_store::audit::{Named, Names, Row};
use pipecast_store::{Reader, Result};
use serde::Serialize;

use super::Line;

/// A row with what its ids are called.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditEntry)]
pub struct Told {
    #[serde(flatten)]
    line: Line,
    /// For people: what the ids of the row are called. It is no part of what was hashed.
    names: LineNames,
}

/// What the ids of a row are called: the resource as it was called then where the row tells it, everything else as it is called today.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditNames)]
struct LineNames {
    /// Of `user_id`.
    user: Option<LineName>,
    /// Of `token_id`.
    token: Option<LineName>,
    /// Of `project_id`.
    project: Option<LineName>,
    /// Of `resource_id`.
    resource: Option<LineName>,
}

/// What an id is called.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditName)]
struct LineName {
    /// Null where nobody knows it any more, or it never had one.
    #[schema(example = "ada")]
    name: Option<String>,
    /// Whether it is deleted, revoked or gone by now.
    deleted: bool,
}

impl Told {
    /// Rows with their names, looked up for all of them together.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn all(reader: &Reader, rows: Vec<Row>) -> Result<Vec<Told>> {
        let names = reader.audit_names(&rows).await?;
        Ok(rows.into_iter().map(|row| Told::new(row, &names)).collect())
    }

    /// One row with its names.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn one(reader: &Reader, row: Row) -> Result<Told> {
        let names = reader.audit_names(std::slice::from_ref(&row)).await?;
        Ok(Told::new(row, &names))
    }

    fn new(row: Row, names: &Names) -> Told {
        let shown = |named: &Named| LineName {
            name: named.name.clone(),
            deleted: named.is_gone,
        };
        let names = LineNames {
            user: row.user_id.and_then(|id| names.user(id)).map(shown),
            token: row.token_id.and_then(|id| names.token(id)).map(shown),
            project: row.project_id.and_then(|id| names.project(id)).map(shown),
            resource: names.resource(&row).as_ref().map(shown),
        };
        Told { line: row.into(), names }
    }
}
