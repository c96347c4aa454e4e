//! Second factors: an authenticator app, and codes for the day it is lost.
//! Knows nothing of requests.

use pipecast_auth::{Kind, Shown, hash, mint, totp};
use pipecast_model::{Timestamp, UserId};

use pipecast_store::audit::{By, Entry};

use super::{Accounts, Error};

/// Recovery codes of one user.
const CODES: usize = 10;

impl Accounts {
    /// A fresh secret for an app, asked for from its first code on.
    ///
    /// # Errors
    /// `FactorExists` where one is asked for already.
    pub async fn offer_factor(&self, user: UserId) -> Result<[u8; 20], Error> {
        let secret = totp::fresh_secret();
        let mut tx = self.writer.begin().await?;
        if !tx.offer_totp(user, &sealed(&secret)).await? {
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
        let step = totp::step_of(&opened(&offered.secret), code, Timestamp::now(), offered.last_step).ok_or(Error::SecondFactor)?;
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

    /// Whether a code is right, of the app or for recovery; either is taken once.
    pub(super) async fn takes_code(&self, user: UserId, code: Option<&str>) -> Result<bool, Error> {
        let (Some(code), Some(factor)) = (code, self.reader.find_totp(user).await?) else {
            return Ok(false);
        };
        let code = code.trim().to_lowercase();
        let step = totp::step_of(&opened(&factor.secret), &code, Timestamp::now(), factor.last_step);
        let mut tx = self.writer.begin().await?;
        let is_taken = match step {
            Some(step) => tx.take_totp_step(user, step).await?,
            None => tx.use_recovery_code(user, &hash(&code)).await?,
        };
        tx.commit().await?;
        Ok(is_taken)
    }
}

/// The one place where a secret of an app is sealed on its way into the database…
fn sealed(secret: &[u8]) -> Vec<u8> {
    secret.to_vec()
}

/// …and opened on its way out.
fn opened(sealed: &[u8]) -> Vec<u8> {
    sealed.to_vec()
}
