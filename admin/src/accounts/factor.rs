//! Second factors: an authenticator app, and codes for the day it is lost.
//! Knows nothing of requests.

use pipecast_auth::{Kind, Shown, hash, mint, totp};
use pipecast_model::{Timestamp, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::sealed::Plain;
use pipecast_store::{Ended, Totp};
use tracing::error;

use super::{Accounts, Error};

/// Recovery codes of one user.
const CODES: usize = 10;

impl Accounts {
    /// How many recovery codes are left, where a second factor is asked for.
    ///
    /// # Errors
    /// `Store`.
    pub async fn find_factor(&self, user: UserId) -> Result<Option<i64>, Error> {
        match self.reader.find_totp(user).await? {
            Some(factor) if factor.confirmed_at.is_some() => Ok(Some(self.reader.count_recovery_codes(user).await?)),
            _ => Ok(None),
        }
    }

    /// A fresh secret for an app, asked for from its first code on.
    ///
    /// # Errors
    /// `FactorExists` where one is asked for already, `Keys`.
    pub async fn offer_factor(&self, user: UserId) -> Result<[u8; 20], Error> {
        let (secret, ring) = (totp::fresh_secret(), self.keys.ring()?);
        let mut tx = self.writer.begin().await?;
        if !tx.offer_totp(user, &secret, &ring).await? {
            return Err(Error::FactorExists);
        }
        tx.commit().await?;
        Ok(secret)
    }

    /// From the first right code on the factor is asked for. Returns the recovery codes, which are shown once.
    ///
    /// # Errors
    /// `SecondFactor` where the code is wrong, `FactorExists`, `Gone` where none was offered.
    pub async fn confirm_factor(&self, user: UserId, code: &str, by: By) -> Result<Vec<Shown>, Error> {
        let offered = self.reader.find_totp(user).await?.ok_or(Error::Gone)?;
        let secret = self.opened(&offered).ok_or(Error::SecondFactor)?;
        let step = totp::step_of(&secret, code, Timestamp::now(), offered.last_step).ok_or(Error::SecondFactor)?;
        let minted: Vec<_> = (0..CODES).map(|_| mint(Kind::Recovery)).collect();
        let hashes: Vec<_> = minted.iter().map(|code| code.hash).collect();
        let mut tx = self.writer.begin().await?;
        if !tx.confirm_totp(user, step).await? {
            return Err(Error::FactorExists);
        }
        tx.replace_recovery_codes(user, &hashes).await?;
        tx.audit(Entry::new(by, "second_factor.on").on("user", user, ""));
        tx.commit().await?;
        Ok(minted.into_iter().map(|code| code.shown).collect())
    }

    /// Takes the factor away.
    ///
    /// # Errors
    /// `Gone` where there is none.
    pub async fn remove_factor(&self, user: UserId, by: By) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        if !tx.remove_totp(user).await? {
            return Err(Error::Gone);
        }
        tx.audit(Entry::new(by, "second_factor.off").on("user", user, ""));
        tx.commit().await?;
        Ok(())
    }

    /// Takes somebody else's factor away, who has lost it, and ends their sessions.
    ///
    /// # Errors
    /// `Gone` where there is none.
    pub async fn drop_factor(&self, user: UserId, by: By) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        let owner = tx.hold_user(user).await?.ok_or(Error::Gone)?;
        if !tx.remove_totp(user).await? {
            return Err(Error::Gone);
        }
        tx.end_sessions(user, None, Ended::Revoked).await?;
        tx.audit(Entry::new(by, "second_factor.off").on("user", user, &owner.name));
        tx.commit().await?;
        self.gatekeeper.forget();
        Ok(())
    }

    /// Whether a code is right, of the app or for recovery; either is taken once.
    pub(super) async fn takes_code(&self, user: UserId, code: &str) -> Result<bool, Error> {
        let Some(factor) = self.reader.find_totp(user).await? else {
            return Ok(false);
        };
        let code = code.trim().to_lowercase();
        let step = self
            .opened(&factor)
            .and_then(|secret| totp::step_of(&secret, &code, Timestamp::now(), factor.last_step));
        let mut tx = self.writer.begin().await?;
        let is_taken = match step {
            Some(step) => tx.take_totp_step(user, step).await?,
            None => tx.use_recovery_code(user, &hash(&code)).await?,
        };
        tx.commit().await?;
        Ok(is_taken)
    }

    /// The secret of an app. Where its key is missing no code of the app is right, and recovery codes are still good.
    fn opened(&self, factor: &Totp) -> Option<Plain> {
        let ring = self.keys.ring();
        let opened = ring
            .map_err(|error| error.to_string())
            .and_then(|ring| factor.open(&ring).map_err(|error| error.to_string()));
        opened.map_err(|why| error!("the secret of a second factor does not open: {why}")).ok()
    }
}
