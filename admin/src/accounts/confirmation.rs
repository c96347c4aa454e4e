//! Proofs inside a session: that whoever has it also knows the password, and has the second factor where there is one. What a stolen session is not to be
//! enough for asks for that.
//! Knows nothing of what it is needed for, nor of requests.

use std::net::IpAddr;

use pipecast_auth::Shown;
use pipecast_auth::throttle::{Subject, Subjects};
use pipecast_model::{SessionId, Timestamp, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{Login, Tx};

use super::attempts::Failure;
use super::entry::check_still;
use super::{Accounts, Error};

/// The word of the audit, for what was right as for what was wrong.
const ACTION: &str = "password.confirm";

/// Somebody in their session.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// Who.
    pub user: UserId,
    /// What they log in with.
    pub name: &'a str,
    /// Their session.
    pub session: SessionId,
    /// Where failures are counted besides; `None` where nobody here knows.
    pub network: Option<IpAddr>,
}

/// What is typed in once more.
#[derive(Clone, Copy)]
pub struct Retyped<'a> {
    /// The password.
    pub password: &'a str,
    /// A code of the second factor.
    pub code: Option<&'a str>,
}

/// A session whose bearer has just proved who they are.
#[derive(Clone, Debug)]
pub struct Proved {
    /// For requests; tells when it was proved.
    pub access: Shown,
    /// When.
    pub at: Timestamp,
}

impl Person<'_> {
    /// That they still are who they were verified as, in a session that is still open: an admin who takes both from a thief meanwhile is not undone by what
    /// the thief began before. Their row is locked until the transaction ends.
    ///
    /// # Errors
    /// `Refused`, `SecondFactor`, `Ended`.
    pub(super) async fn check_still(&self, tx: &mut Tx, verified: &Login) -> Result<(), Error> {
        check_still(tx, verified).await?;
        match tx.has_session(self.session).await? {
            true => Ok(()),
            false => Err(Error::Ended),
        }
    }
}

impl Accounts {
    /// Stamps the session of somebody who types in their password once more, and a code where one is asked for, and signs an access token that says so. Access
    /// tokens from before say what they said: whoever has stolen one gains nothing by it.
    ///
    /// # Errors
    /// `Refused`, `SecondFactor`, `Wait`, `Busy`, `Ended`.
    pub async fn confirm(&self, person: Person<'_>, typed: Retyped<'_>, by: By) -> Result<Proved, Error> {
        let login = self.confirm_password(person, typed.password, &by).await?;
        let factor = Subject::Factor(person.user);
        if login.has_totp {
            let code = typed.code.ok_or(Error::SecondFactor)?;
            let _turn = self.attempt(&[&factor]).await?;
            if !self.takes_code(person.user, code).await? {
                let subjects = Subjects::of(person.name, person.network);
                let counted = [Some(&factor), subjects.address.as_ref(), Some(&subjects.account)];
                self.confirmation_refused(person.user, "wrong code", &counted.into_iter().flatten().collect::<Vec<_>>(), &by)
                    .await?;
                return Err(Error::SecondFactor);
            }
        }
        let pair = self.keyring.pair(&self.writer).await?;
        let now = Timestamp::now();
        let mut tx = self.writer.begin().await?;
        check_still(&mut tx, &login).await?;
        if !tx.prove_session(person.session, now).await? {
            return Err(Error::Ended);
        }
        tx.forget_login_failures(&factor.key()).await?;
        tx.audit(Entry::new(by, ACTION).on("user", person.user, person.name));
        tx.commit().await?;
        Ok(Proved {
            access: self.sign_access(&pair, person.user, person.session, now),
            at: now,
        })
    }

    /// That somebody who has a session also knows the password. Whoever has stolen the session guesses no faster than at a login, and keeps
    /// nobody from logging in by that, but from the address that they guess from.
    ///
    /// # Errors
    /// `Refused`, `Wait`, `Busy`.
    pub async fn confirm_password(&self, person: Person<'_>, password: &str, by: &By) -> Result<Login, Error> {
        let (inside, subjects) = (Subject::Confirmation(person.session), Subjects::of(person.name, person.network));
        let counted = [Some(&inside), subjects.address.as_ref(), Some(&subjects.account)];
        let counted: Vec<&Subject> = counted.into_iter().flatten().collect();
        let _turn = self.attempt(&counted).await?;
        let login = self.reader.find_login_of(person.user).await?;
        let phc = login.as_ref().filter(|login| !login.is_disabled).and_then(|login| login.password.as_deref());
        let is_right = self.verify(phc, password).await?;
        let Some(login) = login.filter(|_| is_right) else {
            self.confirmation_refused(person.user, "", &counted, by).await?;
            return Err(Error::Refused);
        };
        self.forget_failures(&inside).await?;
        Ok(login)
    }

    async fn confirmation_refused(&self, user: UserId, why: &'static str, subjects: &[&Subject], by: &By) -> Result<(), Error> {
        let failure = Failure {
            action: ACTION,
            user: Some(user),
            why,
            subjects,
        };
        self.note_failure(failure, by).await
    }
}
