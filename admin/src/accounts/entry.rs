//! Coming in and going on: logins, the tokens that carry a session on, and how it ends.
//! Knows nothing of cookies and headers.

use std::net::IpAddr;
use std::time::Duration;

use pipecast_auth::throttle::{Subject, Subjects};
use pipecast_auth::{Audience, Claims, Kind, Shown, SigningPair, hash, mint};
use pipecast_model::{SessionId, Timestamp, UserId};
use pipecast_store::audit::{Actor, By, Entry};
use pipecast_store::{Ended, Login, NewRefresh, Refresh, Session, Tx};
use tracing::warn;

use super::attempts::Failure;
use super::generation::{self, Verdict};
use super::{Accounts, Error, after, is_short_alone};

/// How long a ticket is good.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(30);

/// Tokens that a session gets within `A_MINUTE`, the first one included. Each page that is loaded takes one, so this is far above what somebody
/// does with fifteen tabs. It bounds what a session costs the database, one write a second; nobody guesses a token of 256 bits more easily by it.
const TOKENS: i64 = 60;
const A_MINUTE: Duration = Duration::from_secs(60);

/// What is typed in.
#[derive(Clone, Copy)]
pub struct Typed<'a> {
    /// The name.
    pub name: &'a str,
    /// The password.
    pub password: &'a str,
    /// A code of the second factor.
    pub code: Option<&'a str>,
}

/// A session as its owner gets it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its id.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// For requests, for some minutes.
    pub access: Shown,
    /// For going on, once.
    pub refresh: Shown,
    /// Until when it can rest.
    pub rests_until: Timestamp,
}

impl Accounts {
    /// Opens a session for whoever knows the password, and the code where one is asked for. Takes as long for a name that does not exist.
    /// `network` is where failures are counted besides; `None` where nobody here knows.
    ///
    /// # Errors
    /// `Refused`, `SecondFactor`, `ShortAlone`, `Wait`, `Busy`.
    pub async fn log_in(&self, typed: Typed<'_>, network: Option<IpAddr>, from: &By) -> Result<Opened, Error> {
        let subjects = Subjects::of(typed.name, network);
        let _turn = self.attempt(&subjects.all()).await?;
        let login = self.reader.find_login(typed.name).await?;
        let phc = login.as_ref().filter(|login| !login.is_disabled).and_then(|login| login.password.as_deref());
        let known = login.as_ref().map(|login| login.id);
        let is_right = self.verify(phc, typed.password).await?;
        let Some(login) = login.filter(|_| is_right) else {
            self.refused(known, "", &subjects.all(), from).await?;
            return Err(Error::Refused);
        };
        let factor = Subject::Factor(login.id);
        if login.has_totp {
            let Some(code) = typed.code else {
                metrics::counter!("pipecast_logins_total", "outcome" => "code_missing").increment(1);
                self.asked.note(&subjects.pair, login.id, from, Timestamp::now());
                return Err(Error::SecondFactor);
            };
            // By whoever has the password, from wherever: so it cannot be tried from many networks at once.
            let _turn = self.attempt(&[&factor]).await?;
            if !self.takes_code(login.id, code).await? {
                let counted = [&[&factor][..], &subjects.all()].concat();
                self.refused(known, "wrong code", &counted, from).await?;
                return Err(Error::SecondFactor);
            }
        } else if is_short_alone(typed.password) {
            // Its owner had a second factor when they took it, and somebody has taken that away.
            self.refused(known, "password too short", &subjects.all(), from).await?;
            return Err(Error::ShortAlone);
        }
        let opened = self.open(&login, &[&subjects.pair, &factor], from).await;
        if matches!(opened, Err(Error::Refused)) {
            self.refused(known, "", &subjects.all(), from).await?;
        }
        let opened = opened?;
        self.renew_hash(&login, typed.password).await;
        Ok(opened)
    }

    /// Opens a session for somebody who was verified. What was verified may not hold any more.
    async fn open(&self, login: &Login, forgiven: &[&Subject], from: &By) -> Result<Opened, Error> {
        let pair = self.keyring.pair(&self.writer).await?;
        let now = Timestamp::now();
        let session = Session {
            id: SessionId::fresh(),
            user_id: login.id,
            created_at: now,
            last_seen_at: now,
            proved_at: now,
            expires_at: after(now, self.settings.session),
            ip: from.ip.map(|address| address.to_string()),
            user_agent: from.user_agent.clone(),
        };
        let (minted, rests_until) = (mint(Kind::Refresh), after(now, self.settings.refresh));
        let mut tx = self.writer.begin().await?;
        check_still(&mut tx, login).await?;
        for subject in forgiven {
            tx.forget_login_failures(&subject.key()).await?;
        }
        tx.open_session(&session).await?;
        let first = NewRefresh {
            session: session.id,
            hash: &minted.hash,
            begun_at: now,
            expires_at: rests_until,
        };
        tx.add_refresh(&first).await?;
        tx.audit(Entry::new(as_user(from, login.id), "session.open").on("session", session.id, ""));
        tx.commit().await?;
        Ok(Opened {
            session: session.id,
            user: login.id,
            access: self.sign_access(&pair, login.id, session.id, now),
            refresh: minted.shown,
            rests_until,
        })
    }

    /// Carries a session on: the token is used up, and there is another one. One that shows that two have the session ends it, because one
    /// of the two has stolen it.
    ///
    /// # Errors
    /// `Ended`, `TooOften`.
    pub async fn carry_on(&self, token: &str) -> Result<Opened, Error> {
        let pair = self.keyring.pair(&self.writer).await?;
        let (now, hash) = (Timestamp::now(), hash(token));
        let mut tx = self.writer.begin().await?;
        let Some(used) = tx.use_refresh(&hash, now).await? else {
            return Err(Error::Ended);
        };
        if used.is_ended || used.expires_at <= now || used.session_expires_at <= now {
            return Err(Error::Ended);
        }
        let is_other_carried_on = tx.is_carried_on(&used, &hash, generation::settles(&used)).await?;
        let begun_at = match generation::judge(&used, is_other_carried_on, now) {
            Verdict::GoesOn(begun_at) => begun_at,
            Verdict::Stolen => {
                warn!(session.id = %used.session_id, user.id = %used.user_id, "two have a session, so it is ended: one of its tokens came that was used before");
                tx.end_session(used.session_id, Ended::Reused).await?;
                tx.audit(Entry::new(By::system(), "session.reused").on("session", used.session_id, "").denied());
                tx.commit().await?;
                return Err(Error::Ended);
            }
        };
        self.check_pace(&mut tx, &used, now).await?;
        let rests_until = after(now, self.settings.refresh).min(used.session_expires_at);
        let minted = mint(Kind::Refresh);
        let next = NewRefresh {
            session: used.session_id,
            hash: &minted.hash,
            begun_at,
            expires_at: rests_until,
        };
        tx.add_refresh(&next).await?;
        tx.touch_session(used.session_id, now).await?;
        tx.commit().await?;
        Ok(Opened {
            session: used.session_id,
            user: used.user_id,
            access: self.sign_access(&pair, used.user_id, used.session_id, used.proved_at),
            refresh: minted.shown,
            rests_until,
        })
    }

    /// An access token of a session whose bearer proved then who they are.
    pub(super) fn sign_access(&self, pair: &SigningPair, user: UserId, session: SessionId, proved_at: Timestamp) -> Shown {
        let claims = Claims::new(self.gatekeeper.issuer(), user, session, self.settings.access).proved_at(proved_at);
        Shown::new(pair.sign(&claims, Audience::Access))
    }

    /// That a session has not had all the tokens that it gets within a minute.
    async fn check_pace(&self, tx: &mut Tx, used: &Refresh, now: Timestamp) -> Result<(), Error> {
        if !self.settings.throttle {
            return Ok(());
        }
        let oldest = tx.nth_refresh(used.session_id, TOKENS - 1).await?;
        let left = oldest.map(|oldest| after(oldest, A_MINUTE).0.saturating_sub(now.0));
        match left.and_then(|left| u64::try_from(left).ok()).filter(|left| *left > 0) {
            Some(left) => Err(Error::TooOften(Duration::from_micros(left))),
            None => Ok(()),
        }
    }

    /// What opens one socket for a page of this origin.
    ///
    /// # Errors
    /// `Store`.
    pub async fn ticket(&self, user: UserId, session: SessionId, origin: Option<String>) -> Result<Shown, Error> {
        let pair = self.keyring.pair(&self.writer).await?;
        let claims = Claims {
            origin,
            ..Claims::new(self.gatekeeper.issuer(), user, session, TICKET_LIFETIME)
        };
        Ok(Shown::new(pair.sign(&claims, Audience::Ticket)))
    }

    /// Ends a session; `false` where it had ended.
    ///
    /// # Errors
    /// `Store`.
    pub async fn end(&self, session: SessionId, why: Ended, by: By) -> Result<bool, Error> {
        let mut tx = self.writer.begin().await?;
        let ended = tx.end_session(session, why).await?;
        if ended {
            tx.audit(Entry::new(by, "session.end").on("session", session, why.word()));
        }
        tx.commit().await?;
        Ok(ended)
    }

    /// Counts a failed login, whether there is such an account or not.
    async fn refused(&self, user: Option<UserId>, why: &'static str, subjects: &[&Subject], from: &By) -> Result<(), Error> {
        metrics::counter!("pipecast_logins_total", "outcome" => "refused").increment(1);
        let failure = Failure {
            action: "session.open",
            user,
            why,
            subjects,
        };
        self.note_failure(failure, from).await
    }

    /// A hash that was made at another cost is made anew, now that the password is known. Where that fails, the next login does it; where
    /// there is another password meanwhile, there is nothing to do.
    async fn renew_hash(&self, login: &Login, password: &str) {
        let Some(before) = login.password.as_deref().filter(|phc| self.passwords.is_outdated(phc)) else {
            return;
        };
        let renewed = async {
            let phc = self.passwords.hash(password).await?;
            let mut tx = self.writer.begin().await?;
            tx.renew_password(login.id, before, &phc).await?;
            tx.commit().await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = renewed.await {
            warn!(%error, "cannot renew the hash of a password; the next login tries again");
        }
    }
}

/// That somebody still has the password and the factor that they were verified by, and may come in. They are locked until the transaction
/// ends, so whoever changes that now ends the session that is opened or proved here too.
pub(super) async fn check_still(tx: &mut Tx, verified: &Login) -> Result<(), Error> {
    match tx.hold_login(verified.id).await? {
        // The same password may have been hashed anew.
        Some(now) if now.is_disabled || now.password_changed_at != verified.password_changed_at => Err(Error::Refused),
        Some(now) if now.has_totp && !verified.has_totp => Err(Error::SecondFactor),
        Some(_) => Ok(()),
        None => Err(Error::Refused),
    }
}

/// The same visit, now that it is known whose it is.
fn as_user(from: &By, user: UserId) -> By {
    By {
        actor: Actor::User(user),
        ..from.clone()
    }
}
