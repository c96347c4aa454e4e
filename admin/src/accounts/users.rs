//! Users as they are made and changed. There is always an admin left who can come in.
//! Knows nothing of requests.

use pipecast_auth::Shown;
use pipecast_model::{Role, Timestamp, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{Ended, Login, NewUser, Tx, User};
use serde_json::{Value, json};

use super::confirmation::Person;
use super::{Accounts, Error, Owner, check};
use crate::once::{self, Answer, Once};

mod exchange;

pub(crate) use exchange::{Line, standing};

/// Whose password is changed.
#[derive(Clone, Copy)]
enum Whose<'a> {
    /// That of somebody else, who may have lost it to another: nothing that they came in with is good any more.
    Anothers,
    /// One's own, as whoever was verified so, in this session, which goes on.
    Own(Person<'a>, &'a Login),
}

impl Accounts {
    /// Makes an account, once for each key of a client; `shape` makes the body of the answer.
    ///
    /// # Errors
    /// `NameTaken`, `Weak`, `Guessable`, `Busy`, `Key`.
    pub async fn create_user(
        &self,
        mut user: NewUser,
        password: Option<Shown>,
        by: By,
        once: Option<&Once>,
        shape: impl FnOnce(User) -> Value,
    ) -> Result<Answer, Error> {
        if let Some(password) = password {
            let owner = Owner {
                name: &user.name,
                email: user.email.as_deref(),
                has_totp: false,
            };
            user.password = Some(self.hash(password.expose(), owner).await?);
        }
        let mut tx = self.writer.begin().await?;
        let making = async |tx: &mut Tx| {
            let id = tx.create_user(&user).await?.ok_or(Error::NameTaken)?;
            let created = tx.hold_user(id).await?.ok_or(Error::Gone)?;
            tx.audit(Entry::new(by, "user.create").on("user", id, &created.name).after(told(&created)));
            Ok::<_, Error>(Answer::new(format!("/admin/v1/users/{id}"), created.version, shape(created)))
        };
        let answer = once::once(&mut tx, once, making).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Changes an account as `change` says, which sees it as it is now. Whoever may not come in any more has no session and no token left.
    ///
    /// # Errors
    /// Those of `change`; `Gone`, `NameTaken`, `LastAdmin`.
    pub async fn change_user<E: From<Error>>(&self, id: UserId, by: By, change: impl FnOnce(&mut User) -> Result<(), E>) -> Result<User, E> {
        let mut tx = self.writer.begin().await.map_err(Error::from)?;
        let mut user = tx.hold_user(id).await.map_err(Error::from)?.ok_or(Error::Gone)?;
        let before = user.clone();
        change(&mut user)?;
        let changed = write(&mut tx, &before, &user).await?;
        if takes_an_admin(&before, &changed) {
            keep_an_admin(&mut tx).await?;
        }
        let action = match (before.deleted_at, changed.deleted_at) {
            (None, Some(_)) => "user.delete",
            (Some(_), None) => "user.restore",
            _ => "user.update",
        };
        tx.audit(Entry::new(by, action).on("user", id, &changed.name).changed(told(&before), told(&changed)));
        tx.commit().await.map_err(Error::from)?;
        self.gatekeeper.forget();
        Ok(changed)
    }

    /// Gives a user another password. All their sessions end, and their tokens.
    ///
    /// # Errors
    /// `Gone`, `Weak`, `Guessable`, `Busy`.
    pub async fn set_password(&self, id: UserId, password: &Shown, by: By) -> Result<(), Error> {
        self.put_password(id, password, Whose::Anothers, by).await
    }

    /// Gives oneself another password, for which one has to know the one before. All other sessions end; tokens stay.
    ///
    /// # Errors
    /// `Refused`, `Wait`, `Weak`, `Guessable`, `Busy`, `Ended`.
    pub async fn change_password(&self, person: Person<'_>, before: &str, password: &Shown, by: By) -> Result<(), Error> {
        let verified = self.confirm_password(person, before, &by).await?;
        self.put_password(person.user, password, Whose::Own(person, &verified), by).await
    }

    async fn put_password(&self, id: UserId, password: &Shown, whose: Whose<'_>, by: By) -> Result<(), Error> {
        let user = self.reader.find_user(id).await?.filter(|user| user.deleted_at.is_none()).ok_or(Error::Gone)?;
        let phc = self.hash(password.expose(), owner(&user)).await?;
        let mut tx = self.writer.begin().await?;
        if let Whose::Own(person, verified) = whose {
            person.check_still(&mut tx, verified).await?;
        }
        // Hashing takes its time, and a factor may have gone meanwhile beside which a shorter one would do.
        let user = tx.hold_user(id).await?.filter(|user| user.deleted_at.is_none()).ok_or(Error::Gone)?;
        check(password.expose(), &owner(&user))?;
        tx.set_password(id, &phc).await?;
        match whose {
            Whose::Own(person, _) => drop(tx.end_sessions(id, Some(person.session), Ended::Password).await?),
            Whose::Anothers => {
                tx.end_sessions(id, None, Ended::Password).await?;
                tx.revoke_tokens(id).await?;
            }
        }
        tx.audit(Entry::new(by, "user.password").on("user", id, &user.name));
        tx.commit().await?;
        self.gatekeeper.forget();
        Ok(())
    }

    /// Ends all sessions of a user, and says how many.
    ///
    /// # Errors
    /// `Store`.
    pub async fn end_sessions(&self, id: UserId, by: By) -> Result<u64, Error> {
        let mut tx = self.writer.begin().await?;
        let ended = tx.end_sessions(id, None, Ended::Revoked).await?;
        tx.audit(Entry::new(by, "user.end_sessions").on("user", id, ""));
        tx.commit().await?;
        self.gatekeeper.forget();
        Ok(ended)
    }
}

/// Whose password it is to be.
fn owner(user: &User) -> Owner<'_> {
    Owner {
        name: &user.name,
        email: user.email.as_deref(),
        has_totp: user.has_totp,
    }
}

/// An account as the audit shows it.
fn told(user: &User) -> Value {
    json!({
        "name": user.name, "display_name": user.display_name, "email": user.email, "role": user.role,
        "disabled": user.disabled_at.is_some(), "deleted": user.deleted_at.is_some(),
    })
}

/// Whether somebody may come in.
fn is_in(user: &User) -> bool {
    user.disabled_at.is_none() && user.deleted_at.is_none()
}

/// Whether it is an admin who can come in.
fn is_admin(user: &User) -> bool {
    is_in(user) && user.has_password && user.role == Some(Role::Admin)
}

/// Whether there is one admin less by this change.
fn takes_an_admin(before: &User, user: &User) -> bool {
    is_admin(before) && !is_admin(user)
}

/// That an admin is left, after what was written. Two who take each other's role away at once would both see the other one, so the look comes
/// after the writing, and in a row that both of them have to write.
async fn keep_an_admin(tx: &mut Tx) -> Result<(), Error> {
    tx.hold_admins().await?;
    match tx.count_admins().await? {
        0 => Err(Error::LastAdmin),
        _ => Ok(()),
    }
}

/// Writes an account as it is to be; whether an admin is left is for the caller to see to.
async fn write(tx: &mut Tx, before: &User, user: &User) -> Result<User, Error> {
    if !tx.write_user(user).await? {
        return Err(Error::NameTaken);
    }
    // For good: who comes back logs in, and makes new tokens.
    if is_in(before) && !is_in(user) {
        tx.end_sessions(user.id, None, Ended::Revoked).await?;
        tx.revoke_tokens(user.id).await?;
    }
    tx.hold_user(user.id).await?.ok_or(Error::Gone)
}

/// When an account was disabled, by what is wanted now.
pub(crate) fn disabled_at(before: Option<Timestamp>, disabled: bool) -> Option<Timestamp> {
    disabled.then(|| before.unwrap_or_else(Timestamp::now))
}
