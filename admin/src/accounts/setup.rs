//! The first admin: by a token that the first start prints, or by a command on the machine. There is no account before that, and no
//! password that anybody could know.
//! Knows nothing of requests.

use std::time::Duration;

use pipecast_auth::{Kind, Shown, hash, mint, same};
use pipecast_model::{Role, Timestamp, UserId};
use pipecast_store::NewUser;
use pipecast_store::audit::{By, Entry};

use super::{Accounts, Error, Owner, after};

/// How long a setup token is good.
const GOOD_FOR: Duration = Duration::from_secs(3600);

/// Who is to be the first admin.
#[derive(Clone, Debug)]
pub struct Founder {
    /// What they will log in with.
    pub name: String,
    /// Their password.
    pub password: Shown,
}

impl Founder {
    fn as_owner(&self) -> Owner<'_> {
        Owner {
            name: &self.name,
            email: None,
            has_totp: false,
        }
    }
}

impl Accounts {
    /// A fresh token for the first admin, in the place of the one before; `None` where there has been an admin.
    ///
    /// # Errors
    /// `Store`.
    pub async fn offer_setup(&self) -> Result<Option<Shown>, Error> {
        if self.reader.is_set_up().await? {
            return Ok(None);
        }
        let minted = mint(Kind::Setup);
        let mut tx = self.writer.begin().await?;
        if !tx.offer_setup(&minted.hash, after(Timestamp::now(), GOOD_FOR)).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(minted.shown))
    }

    /// Makes the first admin. Of two at once with the same token one is it, and the other has come too late.
    ///
    /// # Errors
    /// `NoSetup`, `Weak`, `Guessable`, `Busy`, `NameTaken`.
    pub async fn set_up(&self, token: &str, founder: &Founder, by: By) -> Result<UserId, Error> {
        // Before anything is done that takes its time; what decides is the transaction.
        let (offer, shown) = (self.reader.find_setup().await?, hash(token));
        if !offer.is_some_and(|offer| same(&offer.hash, &shown) && offer.expires_at > Timestamp::now()) {
            return Err(Error::NoSetup);
        }
        let password = self.hash(founder.password.expose(), founder.as_owner()).await?;
        let mut tx = self.writer.begin().await?;
        if !tx.use_setup(&shown).await? {
            return Err(Error::NoSetup);
        }
        let id = tx.create_user(&admin(founder, password)).await?.ok_or(Error::NameTaken)?;
        tx.audit(Entry::new(by, "setup.use").on("user", id, &founder.name));
        tx.commit().await?;
        Ok(id)
    }

    /// Makes an admin, for whoever may run commands where the database is.
    ///
    /// # Errors
    /// `Weak`, `Guessable`, `Busy`, `NameTaken`.
    pub async fn create_admin(&self, founder: &Founder) -> Result<UserId, Error> {
        let password = self.hash(founder.password.expose(), founder.as_owner()).await?;
        let mut tx = self.writer.begin().await?;
        let id = tx.create_user(&admin(founder, password)).await?.ok_or(Error::NameTaken)?;
        tx.close_setup().await?;
        tx.audit(Entry::new(By::system(), "user.create").on("user", id, &founder.name));
        tx.commit().await?;
        Ok(id)
    }
}

fn admin(founder: &Founder, password: String) -> NewUser {
    NewUser {
        name: founder.name.trim().to_owned(),
        display_name: None,
        email: None,
        role: Some(Role::Admin),
        password: Some(password),
    }
}
