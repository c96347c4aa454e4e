//! Second factors: the secret of an authenticator app, sealed before it is written, and codes for the day it is lost.
//! Knows nothing of how a code is made of a secret.

use pipecast_model::{Timestamp, UserId};

use crate::engine::on;
use crate::error::Attempt;
use crate::sealed::{Keyring, Place, Plain, Unsealable};
use crate::writer::Tx;
use crate::{Reader, Result};

/// Where secrets of apps are sealed.
const SEALED: (&str, &str) = ("totp", "sealed");

/// The second factor of a user.
#[derive(Clone, sqlx::FromRow)]
pub struct Totp {
    user_id: UserId,
    sealed: String,
    /// When its secret was offered.
    pub created_at: Timestamp,
    /// Since when it is asked for.
    pub confirmed_at: Option<Timestamp>,
    /// The last step whose code was taken.
    pub last_step: i64,
}

impl Totp {
    /// The secret of the app.
    ///
    /// # Errors
    /// As after the loss of a key, or where somebody has put it into another row.
    pub fn open(&self, ring: &Keyring) -> std::result::Result<Plain, Unsealable> {
        ring.open(&place(self.user_id), &self.sealed)
    }
}

impl Reader {
    /// The second factor of a user, confirmed or not.
    pub async fn find_totp(&self, user: UserId) -> Result<Option<Totp>> {
        const SQL: &str = "SELECT user_id, sealed, created_at, confirmed_at, last_step FROM totp WHERE user_id = $1 AND sealed IS NOT NULL";
        on!(&self.on, |db| sqlx::query_as(SQL).bind(user).fetch_optional(db).await).attempted("read a second factor")
    }

    /// How many recovery codes a user has left.
    pub async fn count_recovery_codes(&self, user: UserId) -> Result<i64> {
        const SQL: &str = "SELECT count(*) FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL";
        on!(&self.on, |db| sqlx::query_scalar(SQL).bind(user).fetch_one(db).await).attempted("count recovery codes")
    }
}

impl Tx {
    /// Puts a secret in the place of one that was not confirmed. `None` where one is.
    pub async fn offer_totp(&mut self, user: UserId, secret: &[u8], ring: &Keyring) -> Result<Option<Totp>> {
        const SQL: &str = "
            INSERT INTO totp (user_id, secret, sealed, created_at, last_step) VALUES ($1, $2, $3, $4, 0)
            ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, created_at = excluded.created_at WHERE totp.confirmed_at IS NULL";
        let offered = Totp {
            user_id: user,
            sealed: ring.seal(&place(user), secret),
            created_at: Timestamp::now(),
            confirmed_at: None,
            last_step: 0,
        };
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user)
            .bind(&b""[..])
            .bind(&offered.sealed)
            .bind(offered.created_at)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("offer a second factor")?;
        Ok((rows == 1).then_some(offered))
    }

    /// From now on what was offered is asked for. `false` where it is not there any more, another one in its place, or asked for already.
    pub async fn confirm_totp(&mut self, offered: &Totp, step: i64) -> Result<bool> {
        const SQL: &str = "UPDATE totp SET (confirmed_at, last_step) = ($3, $4) WHERE user_id = $1 AND sealed = $2 AND confirmed_at IS NULL";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(offered.user_id)
            .bind(&offered.sealed)
            .bind(Timestamp::now())
            .bind(step)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("confirm a second factor")?;
        Ok(rows == 1)
    }

    /// Takes a step, once: `false` where it or a later one was taken.
    pub async fn take_totp_step(&mut self, user: UserId, step: i64) -> Result<bool> {
        const SQL: &str = "UPDATE totp SET last_step = $2 WHERE user_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user)
            .bind(step)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("take a code")?;
        Ok(rows == 1)
    }

    /// Takes a second factor away, with its recovery codes. `false` where there is none.
    pub async fn remove_totp(&mut self, user: UserId) -> Result<bool> {
        const SQL: &str = "DELETE FROM totp WHERE user_id = $1";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("take a second factor away")?;
        self.replace_recovery_codes(user, &[]).await?;
        Ok(rows == 1)
    }

    /// Puts these codes in the place of all before.
    pub async fn replace_recovery_codes(&mut self, user: UserId, hashes: &[[u8; 32]]) -> Result<()> {
        const CLEAR: &str = "DELETE FROM recovery_codes WHERE user_id = $1";
        const ADD: &str = "INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)";
        on!(&mut self.on, |db| sqlx::query(CLEAR).bind(user).execute(&mut **db).await.map(drop)).attempted("replace recovery codes")?;
        for hash in hashes {
            on!(&mut self.on, |db| sqlx::query(ADD)
                .bind(user)
                .bind(&hash[..])
                .execute(&mut **db)
                .await
                .map(drop))
            .attempted("replace recovery codes")?;
        }
        Ok(())
    }

    /// Uses a recovery code up, once.
    pub async fn use_recovery_code(&mut self, user: UserId, hash: &[u8]) -> Result<bool> {
        const SQL: &str = "UPDATE recovery_codes SET used_at = $3 WHERE user_id = $1 AND hash = $2 AND used_at IS NULL";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user)
            .bind(hash)
            .bind(Timestamp::now())
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("use a recovery code")?;
        Ok(rows == 1)
    }
}

/// The user is part of it: a secret that is moved to another one does not open.
fn place(user: UserId) -> Place {
    let (table, column) = SEALED;
    Place {
        table,
        column,
        row: user.to_string(),
        schema: 1,
    }
}
