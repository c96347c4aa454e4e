//! Tokens of programs: what they are limited to, how long they hold, and when they were used last.
//! Knows nothing of how a token looks: whoever asks has its prefix, and compares the hash.

use pipecast_model::{ProjectId, Timestamp, TokenId, UserId};
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::Attempt;
use crate::query::{Direction, containing};
use crate::writer::Tx;
use crate::{Reader, Result};

macro_rules! select_tokens {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.prefix, t.user_id, u.name AS user_name, t.name, t.scopes, t.project_id, t.created_at, t.expires_at, t.revoked_at,
                t.last_used_at, t.last_used_ip, t.rotated_from, t.version
            FROM api_tokens t
            JOIN users u ON u.id = t.user_id ",
            $rest
        )
    };
}

/// A token of a program; what is secret in it is not kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// The part of it that is no secret.
    pub prefix: String,
    /// Whose rights it has at most.
    pub user_id: UserId,
    /// Their name.
    pub user_name: String,
    /// What it is for.
    pub name: String,
    /// Permissions with spaces between.
    pub scopes: String,
    /// Only in this project.
    pub project_id: Option<ProjectId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// From where.
    pub last_used_ip: Option<String>,
    /// The token that it takes the place of.
    pub rotated_from: Option<TokenId>,
    /// Counts its changes.
    pub version: i64,
}

/// A token to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// The part of it that is no secret.
    pub prefix: String,
    /// The hash of the whole.
    pub hash: Vec<u8>,
    /// Whose rights it has at most.
    pub user_id: UserId,
    /// What it is for.
    pub name: String,
    /// Permissions with spaces between.
    pub scopes: String,
    /// Only in this project.
    pub project_id: Option<ProjectId>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// The token that it takes the place of.
    pub rotated_from: Option<TokenId>,
}

/// Which tokens.
#[derive(Clone, Debug, Default)]
pub struct TokenQuery {
    /// Only of this user.
    pub user: Option<UserId>,
    /// Only those that are limited to this project.
    pub project: Option<ProjectId>,
    /// And of those only the ones that are limited to this one, as for whoever is limited to it too.
    pub within: Option<ProjectId>,
    /// Only whose name contains this, in any case.
    pub text: Option<String>,
    /// Which way, by id.
    pub direction: Direction,
    /// Go on after this one.
    pub after: Option<TokenId>,
    /// At most this many.
    pub limit: i64,
}

impl Reader {
    /// The id and hash of the token with this prefix, whether it is good or not.
    pub async fn find_token_hash(&self, prefix: &str) -> Result<Option<(TokenId, Vec<u8>)>> {
        const SQL: &str = "SELECT id, hash FROM api_tokens WHERE prefix = $1";
        on!(&self.on, |db| sqlx::query_as(SQL).bind(prefix).fetch_optional(db).await).attempted("look for a token")
    }

    /// One token.
    pub async fn find_token(&self, id: TokenId) -> Result<Option<ApiToken>> {
        const SQL: &str = select_tokens!("WHERE t.id = $1");
        on!(&self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await).attempted("read a token")
    }

    /// A page of tokens that were not ended; expired ones are among them.
    pub async fn list_tokens(&self, query: &TokenQuery) -> Result<Vec<ApiToken>> {
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(select_tokens!("WHERE t.revoked_at IS NULL"));
            if let Some(user) = query.user {
                sql.push(" AND t.user_id = ").push_bind(user);
            }
            for project in [query.project, query.within].into_iter().flatten() {
                sql.push(" AND t.project_id = ").push_bind(project);
            }
            if let Some(text) = &query.text {
                // What an older build has written is not folded yet.
                sql.push(" AND coalesce(t.name_folded, lower(t.name)) LIKE ")
                    .push_bind(containing(text))
                    .push(" ESCAPE '\\'");
            }
            query.direction.page(&mut sql, "t.id", query.after);
            sql.push_bind(query.limit).build_query_as().fetch_all(db).await
        })
        .attempted("list tokens")
    }
}

impl Tx {
    /// Adds a token. `false` where the prefix is taken.
    pub async fn add_token(&mut self, token: &NewToken) -> Result<bool> {
        const SQL: &str = "
            INSERT INTO api_tokens (id, prefix, hash, user_id, name, name_folded, scopes, project_id, created_at, expires_at, rotated_from,
                version)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)
            ON CONFLICT (prefix) DO NOTHING";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(token.id)
            .bind(&token.prefix)
            .bind(&token.hash)
            .bind(token.user_id)
            .bind(&token.name)
            .bind(token.name.to_lowercase())
            .bind(&token.scopes)
            .bind(token.project_id)
            .bind(Timestamp::now())
            .bind(token.expires_at)
            .bind(token.rotated_from)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("add a token")?;
        Ok(rows == 1)
    }

    /// A token as this transaction sees it, and locked until it ends.
    pub async fn hold_token(&mut self, id: TokenId) -> Result<Option<ApiToken>> {
        const LOCK: &str = "UPDATE api_tokens SET version = version WHERE id = $1";
        const SQL: &str = select_tokens!("WHERE t.id = $1");
        on!(&mut self.on, |db| sqlx::query(LOCK).bind(id).execute(&mut **db).await.map(drop)).attempted("lock a token")?;
        on!(&mut self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(&mut **db).await).attempted("read a token")
    }

    /// All tokens that have taken the place of one, and those that have taken theirs, good or not.
    pub async fn list_heirs(&mut self, of: &ApiToken) -> Result<Vec<ApiToken>> {
        // A token that takes the place of another one is the same user's, by whom they are found.
        const SQL: &str = select_tokens!(
            "WHERE t.id IN (
                WITH RECURSIVE heirs (id) AS (
                    SELECT a.id FROM api_tokens a WHERE a.user_id = $1 AND a.rotated_from = $2
                    UNION SELECT a.id FROM api_tokens a JOIN heirs h ON a.rotated_from = h.id WHERE a.user_id = $1
                )
                SELECT id FROM heirs
            )
            ORDER BY t.created_at, t.id"
        );
        on!(&mut self.on, |db| sqlx::query_as(SQL).bind(of.user_id).bind(of.id).fetch_all(&mut **db).await)
            .attempted("list what has taken the place of a token")
    }

    /// Writes the name and the end of a token, and counts its version up.
    pub async fn write_token(&mut self, token: &ApiToken) -> Result<()> {
        const SQL: &str = "
            UPDATE api_tokens SET (name, name_folded, expires_at, revoked_at, version) = ($2, $3, $4, $5, version + 1)
            WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(token.id)
            .bind(&token.name)
            .bind(token.name.to_lowercase())
            .bind(token.expires_at)
            .bind(token.revoked_at)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("write a token")
    }

    /// Ends all tokens of a user, and says how many.
    pub async fn revoke_tokens(&mut self, user: UserId) -> Result<u64> {
        const SQL: &str = "UPDATE api_tokens SET (revoked_at, version) = ($2, version + 1) WHERE user_id = $1 AND revoked_at IS NULL";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user)
            .bind(Timestamp::now())
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("end the tokens of a user")
    }

    /// Notes when tokens were used last.
    pub async fn note_token_uses(&mut self, uses: &[(TokenId, Timestamp, Option<String>)]) -> Result<()> {
        const SQL: &str = "
            UPDATE api_tokens SET (last_used_at, last_used_ip) = ($2, $3)
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
        for (id, at, ip) in uses {
            on!(&mut self.on, |db| sqlx::query(SQL)
                .bind(id)
                .bind(at)
                .bind(ip)
                .execute(&mut **db)
                .await
                .map(drop))
            .attempted("note the uses of tokens")?;
        }
        Ok(())
    }
}
