//! Names as lists search them, for rows that were written before they were kept so: in lower case, whatever their script.
//! Knows nothing of what is searched.

use pipecast_model::{TokenId, UserId};

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;

const ATTEMPTED: &str = "fold the names of users and tokens";

impl Tx {
    /// Folds the names of at most `limit` users and of as many tokens whose names are not folded yet, and says how many those were.
    pub async fn fold_names(&mut self, limit: i64) -> Result<u64> {
        Ok(self.fold_users(limit).await? + self.fold_tokens(limit).await?)
    }

    async fn fold_users(&mut self, limit: i64) -> Result<u64> {
        const DUE: &str = "
            SELECT id, display_name, email, version
            FROM users
            WHERE (display_name IS NOT NULL AND display_name_folded IS NULL) OR (email IS NOT NULL AND email_folded IS NULL)
            ORDER BY id
            LIMIT $1";
        // Whoever writes another name meanwhile folds it, and counts the version up.
        const FOLD: &str = "UPDATE users SET (display_name_folded, email_folded) = ($3, $4) WHERE id = $1 AND version = $2";
        let due: Vec<(UserId, Option<String>, Option<String>, i64)> =
            on!(&mut self.on, |db| sqlx::query_as(DUE).bind(limit).fetch_all(&mut **db).await).attempted(ATTEMPTED)?;
        for (id, display_name, email, version) in &due {
            on!(&mut self.on, |db| sqlx::query(FOLD)
                .bind(id)
                .bind(version)
                .bind(display_name.as_deref().map(str::to_lowercase))
                .bind(email.as_deref().map(str::to_lowercase))
                .execute(&mut **db)
                .await
                .map(drop))
            .attempted(ATTEMPTED)?;
        }
        Ok(due.len() as u64)
    }

    async fn fold_tokens(&mut self, limit: i64) -> Result<u64> {
        const DUE: &str = "SELECT id, name, version FROM api_tokens WHERE name_folded IS NULL ORDER BY id LIMIT $1";
        const FOLD: &str = "UPDATE api_tokens SET name_folded = $3 WHERE id = $1 AND version = $2";
        let due: Vec<(TokenId, String, i64)> = on!(&mut self.on, |db| sqlx::query_as(DUE).bind(limit).fetch_all(&mut **db).await).attempted(ATTEMPTED)?;
        for (id, name, version) in &due {
            on!(&mut self.on, |db| sqlx::query(FOLD)
                .bind(id)
                .bind(version)
                .bind(name.to_lowercase())
                .execute(&mut **db)
                .await
                .map(drop))
            .attempted(ATTEMPTED)?;
        }
        Ok(due.len() as u64)
    }
}
