//! Second factors: an authenticator app, and codes for the day it is lost.
//! Knows nothing of requests.

use std::time::Duration;

use pipecast_auth::throttle::Subject;
use pipecast_auth::{Kind, Shown, hash, mint, totp};
use pipecast_model::{Timestamp, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::sealed::Plain;
use pipecast_store::{Ended, Login, Totp};
use tracing::error;

use super::attempts::Failure;
use super::{Accounts, Error, Person, is_short_alone};

/// Recovery codes of one user.
const CODES: usize = 10;

/// How long a secret is on offer: whoever leaves it on a screen does not leave it there for ever.
const OFFERED_FOR: Duration = Duration::from_secs(600);

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

    /// A fresh secret for an app, on offer for ten minutes to somebody who was verified. It is asked for from its first code on.
    ///
    /// # Errors
    /// `FactorExists` where one is asked for already; `Keys`; `Refused`, `SecondFactor`, `Ended` where what was verified does not hold any more.
    pub async fn offer_factor(&self, person: Person<'_>, verified: &Login) -> Result<[u8; 20], Error> {
        let (secret, ring) = (totp::fresh_secret(), self.keys.ring()?);
        let mut tx = self.writer.begin().await?;
        person.check_still(&mut tx, verified).await?;
        tx.offer_totp(person.user, &secret, &ring).await?.ok_or(Error::FactorExists)?;
        tx.commit().await?;
        Ok(secret)
    }

    /// From the first right code on the factor is asked for. Returns the recovery codes, which are shown once. Codes are tried here no faster than at a
    /// login.
    ///
    /// # Errors
    /// `SecondFactor` where the code is wrong, `Wait`, `FactorExists`, `NotOffered`, `Ended`.
    pub async fn confirm_factor(&self, person: Person<'_>, code: &str, by: By) -> Result<Vec<Shown>, Error> {
        let factor = Subject::Factor(person.user);
        let _turn = self.attempt(&[&factor]).await?;
        let offered = self.reader.find_totp(person.user).await?.ok_or(Error::NotOffered)?;
        if offered.confirmed_at.is_some() {
            return Err(Error::FactorExists);
        }
        let now = Timestamp::now();
        if offered.created_at <= now.minus(OFFERED_FOR) {
            return Err(Error::NotOffered);
        }
        let step = self.opened(&offered).and_then(|secret| totp::step_of(&secret, code, now, offered.last_step));
        let Some(step) = step else {
            let failure = Failure {
                action: "second_factor.confirm",
                user: Some(person.user),
                why: "wrong code",
                subjects: &[&factor],
            };
            self.note_failure(failure, &by).await?;
            return Err(Error::SecondFactor);
        };
        let minted: Vec<_> = (0..CODES).map(|_| mint(Kind::Recovery)).collect();
        let hashes: Vec<_> = minted.iter().map(|code| code.hash).collect();
        let mut tx = self.writer.begin().await?;
        let login = tx.hold_login(person.user).await?.ok_or(Error::Gone)?;
        if !tx.has_session(person.session).await? {
            return Err(Error::Ended);
        }
        if !tx.confirm_totp(&offered, step).await? {
            return Err(if login.has_totp { Error::FactorExists } else { Error::NotOffered });
        }
        tx.replace_recovery_codes(person.user, &hashes).await?;
        tx.forget_login_failures(&factor.key()).await?;
        tx.audit(Entry::new(by, "second_factor.on").on("user", person.user, ""));
        tx.commit().await?;
        Ok(minted.into_iter().map(|code| code.shown).collect())
    }

    /// Takes the factor of somebody away who was verified by this password.
    ///
    /// # Errors
    /// `Gone` where there is none; `ShortWithout`; `Refused`, `SecondFactor`, `Ended` where what was verified does not hold any more.
    pub async fn remove_factor(&self, person: Person<'_>, verified: &Login, password: &str, by: By) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        person.check_still(&mut tx, verified).await?;
        if !tx.remove_totp(person.user).await? {
            return Err(Error::Gone);
        }
        if is_short_alone(password) {
            return Err(Error::ShortWithout);
        }
        tx.audit(Entry::new(by, "second_factor.off").on("user", person.user, ""));
        tx.commit().await?;
        Ok(())
    }

    /// Takes somebody else's factor away, who has lost it, and ends their sessions. A password of theirs that is too short without it opens no other one:
    /// what is kept of it does not tell its length, so the next login does.
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
