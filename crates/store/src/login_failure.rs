//! Failed logins, counted where no restart and no full cache makes them forgotten.
//! Knows nothing of what a subject is, nor of how long one has to wait.

use pipecast_model::Timestamp;
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;
use crate::{Reader, Result};

/// What has failed under one subject.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LoginFailures {
    /// Whose, as whoever counts names it.
    pub subject: String,
    /// How often.
    pub failures: i64,
    /// The first of them.
    pub first_at: Timestamp,
    /// The last of them.
    pub last_at: Timestamp,
}

/// When what is counted under a subject begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// Where the last failure is older than this.
    IfLastBefore(Timestamp),
    /// Where the first one is.
    IfFirstBefore(Timestamp),
}

impl Reader {
    /// What has failed under these subjects.
    pub async fn list_login_failures(&self, subjects: &[String]) -> Result<Vec<LoginFailures>> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new("SELECT subject, failures, first_at, last_at FROM login_failures WHERE subject IN (");
            let mut list = sql.separated(", ");
            for subject in subjects {
                list.push_bind(subject.as_str());
            }
            sql.push(")").build_query_as().fetch_all(db).await
        })
        .attempted("read failed logins")
    }
}

impl Tx {
    /// Counts one more failure under a subject, and says which one it is.
    pub async fn note_login_failure(&mut self, subject: &str, now: Timestamp, anew: Anew) -> Result<i64> {
        const SQL: &str = "
            INSERT INTO login_failures (subject, failures, first_at, last_at) VALUES ($1, 1, $2, $2)
            ON CONFLICT (subject) DO UPDATE
            SET failures = CASE WHEN login_failures.last_at < $3 OR login_failures.first_at < $4 THEN 1 ELSE login_failures.failures + 1 END,
                first_at = CASE WHEN login_failures.last_at < $3 OR login_failures.first_at < $4 THEN excluded.first_at ELSE login_failures.first_at END,
                last_at = excluded.last_at
            RETURNING failures";
        let (last, first) = match anew {
            Anew::IfLastBefore(last) => (last, Timestamp(i64::MIN)),
            Anew::IfFirstBefore(first) => (Timestamp(i64::MIN), first),
        };
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(subject)
            .bind(now)
            .bind(last)
            .bind(first)
            .fetch_one(&mut **db)
            .await)
        .attempted("count a failed login")
    }

    /// Forgets what has failed under a subject.
    pub async fn forget_login_failures(&mut self, subject: &str) -> Result<()> {
        const SQL: &str = "DELETE FROM login_failures WHERE subject = $1";
        on!(&mut self.on, |db| sqlx::query(SQL).bind(subject).execute(&mut **db).await.map(drop)).attempted("forget failed logins")
    }
}
