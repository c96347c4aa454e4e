//! Sessions and the tokens that carry them on, each of which is used once.
//! Knows nothing of how a token looks: whoever asks has its hash.

use pipecast_model::{SessionId, Timestamp, UserId};
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;
use crate::{Direction, Reader, Result};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When they logged in.
    pub created_at: Timestamp,
    /// When it was carried on last.
    pub last_seen_at: Timestamp,
    /// When whoever has it proved last who they are.
    pub proved_at: Timestamp,
    /// When it ends in any case.
    pub expires_at: Timestamp,
    /// Where they came from.
    pub ip: Option<String>,
    /// What they came with.
    pub user_agent: Option<String>,
}

/// A token that carries a session on, as it was found.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Refresh {
    /// Its session.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When its generation began: with the first use of one of the generation before.
    pub begun_at: Timestamp,
    /// When it was used, if it was.
    pub used_at: Option<Timestamp>,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// When whoever has the session proved last who they are.
    pub proved_at: Timestamp,
    /// When the session ends in any case.
    pub session_expires_at: Timestamp,
    /// Whether the session has ended.
    pub is_ended: bool,
}

/// A token to be that carries a session on.
#[derive(Clone, Copy, Debug)]
pub struct NewRefresh<'a> {
    /// Its session.
    pub session: SessionId,
    /// Its hash.
    pub hash: &'a [u8],
    /// When its generation began.
    pub begun_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// Which open sessions of a user; the newest first, unless it says otherwise.
#[derive(Clone, Debug)]
pub struct SessionQuery {
    /// Whose.
    pub user: UserId,
    /// Only this one.
    pub only: Option<SessionId>,
    /// Not this one.
    pub except: Option<SessionId>,
    /// By when they were opened.
    pub direction: Direction,
    /// Go on after this place: when a session was opened, and its id. It may have ended since.
    pub after: Option<(Timestamp, SessionId)>,
    /// At most this many.
    pub limit: i64,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By its own user.
    Logout,
    /// By somebody who may.
    Revoked,
    /// A token of it came a second time: one of two has stolen it.
    Reused,
    /// The password was changed.
    Password,
    /// A backup was restored, in which it was open.
    Restored,
}

impl Ended {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Ended::Logout => "logout",
            Ended::Revoked => "revoked",
            Ended::Reused => "reused",
            Ended::Password => "password",
            Ended::Restored => "restored",
        }
    }
}

const FIND_REFRESH: &str = "
    SELECT r.session_id, s.user_id, coalesce(r.begun_at, r.issued_at) AS begun_at, r.used_at, r.expires_at,
        coalesce(s.proved_at, s.created_at) AS proved_at, s.expires_at AS session_expires_at, s.ended_at IS NOT NULL AS is_ended
    FROM refresh_tokens r
    JOIN sessions s ON s.id = r.session_id
    WHERE r.hash = $1";

impl Reader {
    /// The token with this hash.
    pub async fn find_refresh(&self, hash: &[u8]) -> Result<Option<Refresh>> {
        on!(&self.on, |db| sqlx::query_as(FIND_REFRESH).bind(hash).fetch_optional(db).await).attempted("look for a session")
    }

    /// A page of the open sessions of a user, by when they were opened.
    pub async fn list_sessions(&self, query: &SessionQuery) -> Result<Vec<Session>> {
        const SELECT: &str = "
            SELECT id, user_id, created_at, last_seen_at, coalesce(proved_at, created_at) AS proved_at, expires_at, ip, user_agent
            FROM sessions
            WHERE ended_at IS NULL AND user_id = ";
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(SELECT);
            sql.push_bind(query.user).push(" AND expires_at > ").push_bind(Timestamp::now());
            if let Some(only) = query.only {
                sql.push(" AND id = ").push_bind(only);
            }
            if let Some(except) = query.except {
                sql.push(" AND id <> ").push_bind(except);
            }
            query.direction.page_by_two(&mut sql, ["created_at", "id"], query.after);
            sql.push_bind(query.limit);
            sql.build_query_as().fetch_all(db).await
        })
        .attempted("list sessions")
    }

    /// One session, if it is open.
    pub async fn find_session(&self, id: SessionId) -> Result<Option<Session>> {
        const SQL: &str = "
            SELECT id, user_id, created_at, last_seen_at, coalesce(proved_at, created_at) AS proved_at, expires_at, ip, user_agent
            FROM sessions
            WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
        on!(&self.on, |db| sqlx::query_as(SQL).bind(id).bind(Timestamp::now()).fetch_optional(db).await).attempted("read a session")
    }

    /// Whether a user has opened a session from this address since then.
    pub async fn has_opened_session(&self, user: UserId, since: Timestamp, ip: Option<&str>) -> Result<bool> {
        const SQL: &str = "SELECT count(*) FROM sessions WHERE user_id = $1 AND created_at >= $2 AND coalesce(ip, '') = $3";
        let opened: i64 = on!(&self.on, |db| sqlx::query_scalar(SQL)
            .bind(user)
            .bind(since)
            .bind(ip.unwrap_or_default())
            .fetch_one(db)
            .await)
        .attempted("look whether a session was opened")?;
        Ok(opened > 0)
    }

    /// When whoever has a session proved last who they are, if it is open.
    pub async fn find_proof(&self, id: SessionId) -> Result<Option<Timestamp>> {
        const SQL: &str = "
            SELECT coalesce(proved_at, created_at)
            FROM sessions
            WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
        on!(&self.on, |db| sqlx::query_scalar(SQL).bind(id).bind(Timestamp::now()).fetch_optional(db).await).attempted("look when somebody proved who they are")
    }
}

impl Tx {
    /// Opens a session.
    pub async fn open_session(&mut self, session: &Session) -> Result<()> {
        const SQL: &str = "
            INSERT INTO sessions (id, user_id, created_at, last_seen_at, proved_at, expires_at, ip, user_agent)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(session.id)
            .bind(session.user_id)
            .bind(session.created_at)
            .bind(session.last_seen_at)
            .bind(session.proved_at)
            .bind(session.expires_at)
            .bind(&session.ip)
            .bind(&session.user_agent)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("open a session")
    }

    /// Adds a token that carries a session on.
    pub async fn add_refresh(&mut self, token: &NewRefresh<'_>) -> Result<()> {
        const SQL: &str = "INSERT INTO refresh_tokens (hash, session_id, issued_at, begun_at, expires_at) VALUES ($1, $2, $3, $4, $5)";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(token.hash)
            .bind(token.session)
            .bind(Timestamp::now())
            .bind(token.begun_at)
            .bind(token.expires_at)
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("carry a session on")
    }

    /// Marks the token with this hash as used and returns it as it was before. Of two at once one sees it unused, and of two tokens of one
    /// session one sees what the other has done: the session is locked until the transaction ends.
    pub async fn use_refresh(&mut self, hash: &[u8], now: Timestamp) -> Result<Option<Refresh>> {
        const LOCK: &str = "
            UPDATE sessions SET last_seen_at = last_seen_at
            WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = $1)";
        const USE: &str = "UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL";
        const ATTEMPTED: &str = "use up a token";
        on!(&mut self.on, |db| sqlx::query(LOCK).bind(hash).execute(&mut **db).await.map(drop)).attempted(ATTEMPTED)?;
        let found: Option<Refresh> = on!(&mut self.on, |db| sqlx::query_as(FIND_REFRESH).bind(hash).fetch_optional(&mut **db).await).attempted(ATTEMPTED)?;
        on!(&mut self.on, |db| sqlx::query(USE).bind(hash).bind(now).execute(&mut **db).await.map(drop)).attempted(ATTEMPTED)?;
        Ok(found)
    }

    /// Whether another token of the same generation than the one with this hash was used after an instant.
    pub async fn is_carried_on(&mut self, token: &Refresh, hash: &[u8], after: Timestamp) -> Result<bool> {
        const SQL: &str = "
            SELECT count(*) FROM refresh_tokens
            WHERE session_id = $1 AND coalesce(begun_at, issued_at) = $2 AND hash <> $3 AND used_at > $4";
        let others: i64 = on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(token.session_id)
            .bind(token.begun_at)
            .bind(hash)
            .bind(after)
            .fetch_one(&mut **db)
            .await)
        .attempted("look who carries a session on")?;
        Ok(others > 0)
    }

    /// When a token of a session was issued, counted from the newest, which is 0; `None` where there were not so many.
    pub async fn nth_refresh(&mut self, session: SessionId, number: i64) -> Result<Option<Timestamp>> {
        const SQL: &str = "SELECT issued_at FROM refresh_tokens WHERE session_id = $1 ORDER BY issued_at DESC LIMIT 1 OFFSET $2";
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(session)
            .bind(number)
            .fetch_optional(&mut **db)
            .await)
        .attempted("look how often a session was carried on")
    }

    /// Notes that the session was carried on.
    pub async fn touch_session(&mut self, id: SessionId, now: Timestamp) -> Result<()> {
        const SQL: &str = "UPDATE sessions SET last_seen_at = $2 WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL).bind(id).bind(now).execute(&mut **db).await.map(drop)).attempted("note that a session goes on")
    }

    /// Whether a session is open, as this transaction sees it: whoever ends all those of a user holds the user's row before.
    pub async fn has_session(&mut self, id: SessionId) -> Result<bool> {
        const SQL: &str = "SELECT count(*) FROM sessions WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
        let open: i64 = on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(id)
            .bind(Timestamp::now())
            .fetch_one(&mut **db)
            .await)
        .attempted("look whether a session is open")?;
        Ok(open > 0)
    }

    /// Notes that whoever has the session has proved who they are; `false` where it has ended.
    pub async fn prove_session(&mut self, id: SessionId, now: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE sessions SET proved_at = $2 WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(id)
            .bind(now)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("note that somebody proved who they are")?;
        Ok(rows == 1)
    }

    /// Ends a session; `false` where it had ended.
    pub async fn end_session(&mut self, id: SessionId, why: Ended) -> Result<bool> {
        const SQL: &str = "UPDATE sessions SET ended_at = $2, ended_by = $3 WHERE id = $1 AND ended_at IS NULL";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(id)
            .bind(Timestamp::now())
            .bind(why.word())
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("end a session")?;
        Ok(rows == 1)
    }

    /// Ends all sessions of a user but `except`, and says how many.
    pub async fn end_sessions(&mut self, user: UserId, except: Option<SessionId>, why: Ended) -> Result<u64> {
        const SQL: &str = "
            UPDATE sessions SET ended_at = $2, ended_by = $3
            WHERE user_id = $1 AND ended_at IS NULL AND id <> $4";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user)
            .bind(Timestamp::now())
            .bind(why.word())
            .bind(except.map_or(uuid::Uuid::nil(), |id| id.0))
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("end the sessions of a user")
    }

    /// Takes away sessions that are over, tokens that cannot be used any more and keys that nobody needs, at most `limit` of each.
    /// Says how many rows went.
    pub async fn prune_accounts(&mut self, now: Timestamp, limit: i64) -> Result<u64> {
        const SQL: [&str; 4] = [
            "DELETE FROM refresh_tokens WHERE hash IN (SELECT hash FROM refresh_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
            "DELETE FROM signing_keys WHERE id IN (SELECT id FROM signing_keys WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
            "DELETE FROM login_failures WHERE subject IN (SELECT subject FROM login_failures WHERE last_at < $1 - 86400000000 ORDER BY last_at LIMIT $2)",
        ];
        let mut gone = 0;
        for sql in SQL {
            gone += on!(&mut self.on, |db| sqlx::query(sql)
                .bind(now)
                .bind(limit)
                .execute(&mut **db)
                .await
                .map(|done| done.rows_affected()))
            .attempted("take away sessions that are over")?;
        }
        Ok(gone)
    }
}
