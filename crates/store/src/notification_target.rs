//! Notification targets: whom to tell when a pipeline ends in a certain way. A model only: nothing is sent yet.
//! Where one is reached is sealed: the address of a webhook, of which the host alone is read here, or the mailboxes of those who get mail.

use pipecast_model::{ProjectId, Timestamp};
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::Attempt;
use crate::query::Direction;
use crate::sealed::{Keyring, Place, Unsealable};
use crate::writer::Tx;
use crate::{Reader, Result};

/// Where the address of a target stands: a URL.
pub fn place_of_destination(id: i64) -> Place {
    Place {
        table: "notification_targets",
        column: "sealed_url",
        row: id.to_string(),
        schema: 1,
    }
}

/// Where the mailboxes of a target stand, in the same column: addresses, one a line.
pub fn place_of_recipients(id: i64) -> Place {
    Place {
        schema: 2,
        ..place_of_destination(id)
    }
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct NotificationTarget {
    /// Its id.
    pub id: i64,
    /// What may be changed.
    #[sqlx(flatten)]
    pub fields: TargetFields,
    /// At which host it is reached; none: it is not known where.
    pub url_host: Option<String>,
    /// Where it is reached, sealed; none: it is not known where.
    pub sealed_url: Option<String>,
    /// How often it was changed.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What may be changed of a target.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TargetFields {
    /// For people.
    pub name: String,
    /// By which way it is told.
    pub kind: String,
    /// Of which project; none: of all.
    pub project_id: Option<ProjectId>,
    /// Of which statuses, with spaces between.
    pub statuses: String,
    /// Whether it is told at all.
    pub enabled: bool,
}

/// Which targets.
#[derive(Clone, Debug, Default)]
pub struct TargetQuery {
    /// Only of this project.
    pub project: Option<ProjectId>,
    /// Only that are told in this way.
    pub kind: Option<String>,
    /// Only those that are told, or only those that are not.
    pub enabled: Option<bool>,
    /// Which way, by id.
    pub direction: Direction,
    /// Go on after this one.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: i64,
}

impl NotificationTarget {
    /// Who gets mail, of a target that is told by mail; empty where nobody is known.
    ///
    /// # Errors
    /// `Unsealable` where the key is gone or the row was changed.
    pub fn recipients(&self, ring: &Keyring) -> std::result::Result<Vec<String>, Unsealable> {
        let Some(sealed) = &self.sealed_url else { return Ok(Vec::new()) };
        let plain = ring.open(&place_of_recipients(self.id), sealed)?;
        Ok(plain.as_text()?.lines().map(str::to_owned).collect())
    }
}

impl Reader {
    /// A page of targets by id.
    pub async fn list_notification_targets(&self, query: &TargetQuery) -> Result<Vec<NotificationTarget>> {
        const SQL: &str = "
            SELECT id, name, kind, project_id, statuses, enabled, url_host, sealed_url, version, created_at, updated_at
            FROM notification_targets
            WHERE TRUE";
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(SQL);
            if let Some(project) = query.project {
                sql.push(" AND project_id = ").push_bind(project);
            }
            if let Some(kind) = &query.kind {
                sql.push(" AND kind = ").push_bind(kind);
            }
            if let Some(enabled) = query.enabled {
                sql.push(" AND enabled = ").push_bind(enabled);
            }
            query.direction.page(&mut sql, "id", query.after);
            sql.push_bind(query.limit).build_query_as().fetch_all(db).await
        })
        .attempted("list notification targets")
    }

    /// One of them.
    pub async fn find_notification_target(&self, id: i64) -> Result<Option<NotificationTarget>> {
        const SQL: &str = "
            SELECT id, name, kind, project_id, statuses, enabled, url_host, sealed_url, version, created_at, updated_at
            FROM notification_targets
            WHERE id = $1";
        on!(&self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await).attempted("find a notification target")
    }
}

impl Tx {
    /// Makes one. `None` where its project does not exist.
    pub async fn create_notification_target(&mut self, fields: &TargetFields) -> Result<Option<NotificationTarget>> {
        const SQL: &str = "
            INSERT INTO notification_targets (name, kind, project_id, statuses, enabled, version, created_at, updated_at)
            SELECT $1, $2, $3, $4, $5, 1, $6, $6
            WHERE $3 IS NULL OR EXISTS (SELECT 1 FROM projects WHERE id = $3)
            RETURNING id, name, kind, project_id, statuses, enabled, url_host, sealed_url, version, created_at, updated_at";
        on!(&mut self.on, |db| sqlx::query_as(SQL)
            .bind(&fields.name)
            .bind(&fields.kind)
            .bind(fields.project_id)
            .bind(&fields.statuses)
            .bind(fields.enabled)
            .bind(Timestamp::now())
            .fetch_optional(&mut **db)
            .await)
        .attempted("make a notification target")
    }

    /// Changes one that still has its version. `None` where it has another one, is gone, or its project does not exist.
    pub async fn update_notification_target(&mut self, target: &NotificationTarget) -> Result<Option<NotificationTarget>> {
        const SQL: &str = "
            UPDATE notification_targets
            SET (name, kind, project_id, statuses, enabled, version, updated_at) = ($3, $4, $5, $6, $7, version + 1, $8)
            WHERE id = $1 AND version = $2 AND ($5 IS NULL OR EXISTS (SELECT 1 FROM projects WHERE id = $5))
            RETURNING id, name, kind, project_id, statuses, enabled, url_host, sealed_url, version, created_at, updated_at";
        let fields = &target.fields;
        on!(&mut self.on, |db| sqlx::query_as(SQL)
            .bind(target.id)
            .bind(target.version)
            .bind(&fields.name)
            .bind(&fields.kind)
            .bind(fields.project_id)
            .bind(&fields.statuses)
            .bind(fields.enabled)
            .bind(Timestamp::now())
            .fetch_optional(&mut **db)
            .await)
        .attempted("change a notification target")
    }

    /// Keeps where a target is reached, sealed, with the host of it to be shown. Returns it as it is kept.
    pub async fn keep_destination(&mut self, id: i64, host: &str, url: &str, ring: &Keyring) -> Result<String> {
        let sealed = ring.seal(&place_of_destination(id), url.as_bytes());
        self.write_destination(id, Some(host), Some(&sealed)).await?;
        Ok(sealed)
    }

    /// Keeps who gets mail, sealed. Returns it as it is kept. No address has a line break in it.
    pub async fn keep_recipients(&mut self, id: i64, recipients: &[String], ring: &Keyring) -> Result<String> {
        let sealed = ring.seal(&place_of_recipients(id), recipients.join("\n").as_bytes());
        self.write_destination(id, None, Some(&sealed)).await?;
        Ok(sealed)
    }

    /// Forgets where a target is reached.
    pub async fn forget_destination(&mut self, id: i64) -> Result<()> {
        self.write_destination(id, None, None).await
    }

    async fn write_destination(&mut self, id: i64, host: Option<&str>, sealed: Option<&str>) -> Result<()> {
        const SQL: &str = "UPDATE notification_targets SET (url_host, sealed_url) = ($2, $3) WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(id)
            .bind(host)
            .bind(sealed)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("keep where a target is reached")
    }

    /// Takes one away that still has this version. `false` where it has another one, or is gone.
    pub async fn delete_notification_target(&mut self, id: i64, version: i64) -> Result<bool> {
        const SQL: &str = "DELETE FROM notification_targets WHERE id = $1 AND version = $2";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(id)
            .bind(version)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("delete a notification target")?;
        Ok(rows == 1)
    }
}
