//! Requests that came under a key: what was answered, for the same request to be answered again and not to be done twice.
//! Knows nothing of requests.

use pipecast_model::Timestamp;

use crate::engine::on;
use crate::error::Attempt;
use crate::sealed::{Keyring, Place, Plain, Unsealable};
use crate::writer::Tx;
use crate::{Error, Result};

/// Where answers are sealed.
const SEALED: (&str, &str) = ("idempotent_answers", "sealed");

/// What is known of a key of somebody.
pub enum Known {
    /// Nothing: this transaction has it to itself. Its row is written under this id once there is an answer.
    New(i64),
    /// It was used, and this was kept for it.
    Answered(Plain),
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    sealed: String,
}

impl Tx {
    /// Looks a key of somebody up, and takes it where it is new. Whoever comes with the same key meanwhile waits for this transaction. Which
    /// request it was used for stands in what is kept for it: `request_hash` is not written any more.
    ///
    /// # Errors
    /// `Corrupt` where the answer does not open, as after the loss of a key.
    pub async fn take_key(&mut self, caller: &str, key_hash: &str, ring: &Keyring, now: Timestamp) -> Result<Known> {
        const TAKE: &str = "
            INSERT INTO idempotent_answers (caller, key_hash, request_hash, created_at, sealed) VALUES ($1, $2, '', $3, '')
            ON CONFLICT (caller, key_hash) DO NOTHING
            RETURNING id";
        const FIND: &str = "SELECT id, sealed FROM idempotent_answers WHERE caller = $1 AND key_hash = $2";
        let taken: Option<i64> = on!(&mut self.on, |db| sqlx::query_scalar(TAKE)
            .bind(caller)
            .bind(key_hash)
            .bind(now)
            .fetch_optional(&mut **db)
            .await)
        .attempted("take an idempotency key")?;
        if let Some(id) = taken {
            return Ok(Known::New(id));
        }
        let row: Row =
            on!(&mut self.on, |db| sqlx::query_as(FIND).bind(caller).bind(key_hash).fetch_one(&mut **db).await).attempted("look an idempotency key up")?;
        let plain = ring.open(&place(row.id), &row.sealed).map_err(|error: Unsealable| Error::Corrupt {
            what: format!("the answer {} that is kept for its idempotency key: {error}", row.id),
        })?;
        Ok(Known::Answered(plain))
    }

    /// Keeps the answer to the request that has taken a key.
    pub async fn keep_answer(&mut self, id: i64, answer: &[u8], ring: &Keyring) -> Result<()> {
        const SQL: &str = "UPDATE idempotent_answers SET sealed = $2 WHERE id = $1";
        let sealed = ring.seal(&place(id), answer);
        on!(&mut self.on, |db| sqlx::query(SQL).bind(id).bind(&sealed).execute(&mut **db).await.map(drop)).attempted("keep an answer")
    }

    /// Forgets answers from before a time, at most `limit`; says how many.
    pub async fn forget_answers(&mut self, before: Timestamp, limit: i64) -> Result<u64> {
        const SQL: &str = "
            DELETE FROM idempotent_answers
            WHERE id IN (SELECT id FROM idempotent_answers WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(before)
            .bind(limit)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("forget answers")
    }
}

fn place(id: i64) -> Place {
    let (table, column) = SEALED;
    Place {
        table,
        column,
        row: id.to_string(),
        schema: 1,
    }
}
