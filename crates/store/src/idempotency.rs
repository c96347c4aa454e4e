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
    /// Nothing: this transaction has it to itself, and a place for the answer once there is one.
    New(Slot),
    /// It was used, and this was kept for it.
    Answered(Plain),
    /// Another transaction has it and has not come to an end for as long as one waits for a lock. This one is broken by that.
    UnderWay,
    /// It was used with a build from before that did not seal the answer for its caller and key, so nobody is told it again.
    Older,
}

/// Where the answer to a request is to be kept.
pub struct Slot {
    id: i64,
    place: Place,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    sealed: String,
}

impl Tx {
    /// Looks a key of somebody up, and takes it where it is new. Whoever comes with the same key meanwhile waits for this transaction,
    /// on PostgreSQL for as long as `lock_timeout` says. Which request it was used for stands in what is kept for it: `request_hash` is not written any more.
    ///
    /// # Errors
    /// `Corrupt` where the answer does not open, as after the loss of a key.
    pub async fn take_key(&mut self, caller: &str, key_hash: &str, ring: &Keyring, now: Timestamp) -> Result<Known> {
        const TAKE: &str = "
            INSERT INTO idempotent_answers (caller, key_hash, request_hash, created_at, sealed) VALUES ($1, $2, '', $3, '')
            ON CONFLICT (caller, key_hash) DO NOTHING
            RETURNING id";
        const FIND: &str = "SELECT id, sealed FROM idempotent_answers WHERE caller = $1 AND key_hash = $2";
        let taken: sqlx::Result<Option<i64>> = on!(&mut self.on, |db| sqlx::query_scalar(TAKE)
            .bind(caller)
            .bind(key_hash)
            .bind(now)
            .fetch_optional(&mut **db)
            .await);
        if taken.as_ref().is_err_and(waited_in_vain) {
            return Ok(Known::UnderWay);
        }
        if let Some(id) = taken.attempted("take an idempotency key")? {
            let place = place(id, caller, key_hash);
            return Ok(Known::New(Slot { id, place }));
        }
        let row: Row =
            on!(&mut self.on, |db| sqlx::query_as(FIND).bind(caller).bind(key_hash).fetch_one(&mut **db).await).attempted("look an idempotency key up")?;
        match ring.open(&place(row.id, caller, key_hash), &row.sealed) {
            Ok(plain) => Ok(Known::Answered(plain)),
            Err(Unsealable::Broken) if ring.open(&older_place(row.id), &row.sealed).is_ok() => Ok(Known::Older),
            Err(error) => Err(Error::Corrupt {
                what: format!("the answer {} that is kept for its idempotency key: {error}", row.id),
            }),
        }
    }

    /// Keeps the answer to the request that has taken a key.
    pub async fn keep_answer(&mut self, Slot { id, place }: Slot, answer: &[u8], ring: &Keyring) -> Result<()> {
        const SQL: &str = "UPDATE idempotent_answers SET sealed = $2 WHERE id = $1";
        let sealed = ring.seal(&place, answer);
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

/// Whether PostgreSQL gave up on a lock. On SQLite a transaction has waited for all others when it begins.
fn waited_in_vain(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}

/// With whose answer it is and to which key: whoever may write the row makes it nobody else's.
fn place(id: i64, caller: &str, key_hash: &str) -> Place {
    let (table, column) = SEALED;
    Place {
        table,
        column,
        row: format!("{id}/{caller}/{key_hash}"),
        schema: 2,
    }
}

/// Where builds from before have sealed them. Answers are kept for a day, so nobody needs this a release later.
fn older_place(id: i64) -> Place {
    Place {
        row: id.to_string(),
        schema: 1,
        ..place(id, "", "")
    }
}
