//! Takes away for good what was deleted long ago: sources with their sealed secrets, users with everything that is theirs, and tokens that
//! have ended.
//! Knows nothing of how long that is. What it took stands in the audit, by id and name.

use pipecast_model::{Timestamp, TokenId};

use crate::Result;
use crate::audit::{By, Entry};
use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;

/// What `purge` took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Sources.
    pub sources: u64,
    /// Users.
    pub users: u64,
    /// Tokens of programs.
    pub tokens: u64,
}

const ATTEMPTED: &str = "take away what was deleted";

/// What is deleted by operators first and taken away later, and how.
struct Rows {
    /// In words of the audit.
    kind: &'static str,
    action: &'static str,
    /// Ids and names of those that were deleted before a time.
    due: &'static str,
    /// Takes one, unless somebody has restored it meanwhile: so it is looked at again under its lock.
    take: &'static str,
    /// What else goes of one, in this order.
    then: &'static [&'static str],
}

const SOURCES: Rows = Rows {
    kind: "source",
    action: "source.purge",
    due: "
        SELECT id, coalesce(name, key) FROM sources
        WHERE deleted_at IS NOT NULL AND deleted_at < $1 AND managed = TRUE
        ORDER BY deleted_at, id
        LIMIT $2",
    take: "
        UPDATE sources
        SET (managed, name, name_folded, silent_after, created_by) = (FALSE, NULL, '', NULL, NULL)
        WHERE id = $1 AND deleted_at < $2",
    then: &[
        "DELETE FROM source_secrets WHERE source_id = $1",
        "DELETE FROM sources WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM projects WHERE source_id = $1)",
    ],
};

const USERS: Rows = Rows {
    kind: "user",
    action: "user.purge",
    due: "
        SELECT id, name FROM users
        WHERE deleted_at IS NOT NULL AND deleted_at < $1
        ORDER BY deleted_at, id
        LIMIT $2",
    take: "UPDATE users SET version = version WHERE id = $1 AND deleted_at < $2",
    // Tokens that carry a session on go with the session.
    then: &[
        "DELETE FROM sessions WHERE user_id = $1",
        "DELETE FROM api_tokens WHERE user_id = $1",
        "DELETE FROM totp WHERE user_id = $1",
        "DELETE FROM recovery_codes WHERE user_id = $1",
        "DELETE FROM memberships WHERE user_id = $1",
        "DELETE FROM users WHERE id = $1",
    ],
};

impl Tx {
    /// Takes away what was deleted before a time, at most `limit` of each kind. Call it again while it takes `limit` of any.
    ///
    /// A source of which projects tell keeps its row, which has nothing of it left but its host and the end of its path: so that their
    /// history stays, and nothing else is ever delivered there. Tokens that were revoked or have expired before that time go too.
    pub async fn purge(&mut self, before: Timestamp, limit: i64) -> Result<Purged> {
        Ok(Purged {
            sources: self.purge_rows(&SOURCES, before, limit).await?,
            users: self.purge_rows(&USERS, before, limit).await?,
            tokens: self.purge_tokens(before, limit).await?,
        })
    }

    async fn purge_rows(&mut self, rows: &Rows, before: Timestamp, limit: i64) -> Result<u64> {
        let due: Vec<(i64, String)> =
            on!(&mut self.on, |db| sqlx::query_as(rows.due).bind(before).bind(limit).fetch_all(&mut **db).await).attempted(ATTEMPTED)?;
        let mut gone = 0;
        for (id, name) in due {
            let taken = on!(&mut self.on, |db| sqlx::query(rows.take)
                .bind(id)
                .bind(before)
                .execute(&mut **db)
                .await
                .map(|done| done.rows_affected()))
            .attempted(ATTEMPTED)?;
            if taken == 0 {
                continue;
            }
            for sql in rows.then.iter().copied() {
                on!(&mut self.on, |db| sqlx::query(sql).bind(id).execute(&mut **db).await.map(drop)).attempted(ATTEMPTED)?;
            }
            self.audit(Entry::new(By::system(), rows.action).on(rows.kind, id, name));
            gone += 1;
        }
        Ok(gone)
    }

    async fn purge_tokens(&mut self, before: Timestamp, limit: i64) -> Result<u64> {
        // Two statements, each by its index.
        const REVOKED: &str = "
            DELETE FROM api_tokens
            WHERE id IN (SELECT id FROM api_tokens WHERE revoked_at IS NOT NULL AND revoked_at < $1 ORDER BY revoked_at LIMIT $2)
            RETURNING id, name";
        const EXPIRED: &str = "
            DELETE FROM api_tokens
            WHERE id IN (SELECT id FROM api_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
            RETURNING id, name";
        let mut gone: Vec<(TokenId, String)> = Vec::new();
        for sql in [REVOKED, EXPIRED] {
            let went: Vec<(TokenId, String)> =
                on!(&mut self.on, |db| sqlx::query_as(sql).bind(before).bind(limit).fetch_all(&mut **db).await).attempted(ATTEMPTED)?;
            gone.extend(went);
        }
        for (id, name) in &gone {
            self.audit(Entry::new(By::system(), "token.purge").on("token", id, name));
        }
        Ok(gone.len() as u64)
    }
}
