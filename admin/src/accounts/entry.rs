//! Coming in and going on: logins, the tokens that carry a session on, and how it ends.
//! Knows nothing of cookies and headers.

use std::time::Duration;

use pipecast_auth::throttle::{self, Subjects};
use pipecast_auth::{Audience, Claims, Kind, Shown, hash, mint};
use pipecast_model::{SessionId, Timestamp, UserId};
use pipecast_store::audit::{Actor, By, Entry};
use pipecast_store::{Ended, Login, Session};
use tracing::warn;

use super::{Accounts, Error, after};

/// How long a ticket is good.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(30);

/// A token that comes again within so many microseconds of its use was sent twice by its owner, as by two tabs at once.
const GRACE: i64 = 10_000_000;

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
    ///
    /// # Errors
    /// `Refused`, `SecondFactor`, `Wait`, `Busy`.
    pub async fn log_in(&self, name: &str, password: &str, code: Option<&str>, from: &By) -> Result<Opened, Error> {
        let subjects = Subjects::of(name, from.ip);
        if self.settings.throttle {
            let failures = self.reader.list_login_failures(&subjects.all()).await?;
            if let Some(wait) = subjects.wait(&failures, Timestamp::now()) {
                return Err(Error::Wait(wait));
            }
        }
        let login = self.reader.find_login(name).await?;
        let phc = login.as_ref().filter(|login| !login.is_disabled).and_then(|login| login.password.as_deref());
        let known = login.as_ref().map(|login| login.id);
        let is_right = self.passwords.verify(phc, password).await?;
        let Some(login) = login.filter(|_| is_right) else {
            self.note_failure(&subjects, known, from).await?;
            return Err(Error::Refused);
        };
        if login.has_totp && !self.takes_code(login.id, code).await? {
            if code.is_some() {
                self.note_failure(&subjects, known, from).await?;
            }
            return Err(Error::SecondFactor);
        }
        let opened = self.open(&login, &subjects, from).await?;
        self.renew_hash(&login, password).await;
        Ok(opened)
    }

    async fn open(&self, login: &Login, subjects: &Subjects, from: &By) -> Result<Opened, Error> {
        let pair = self.keyring.pair(&self.writer).await?;
        let now = Timestamp::now();
        let session = Session {
            id: SessionId::fresh(),
            user_id: login.id,
            created_at: now,
            last_seen_at: now,
            expires_at: after(now, self.settings.session),
            ip: from.ip.map(|address| address.to_string()),
            user_agent: from.user_agent.clone(),
        };
        let (minted, rests_until) = (mint(Kind::Refresh), after(now, self.settings.refresh));
        let mut tx = self.writer.begin().await?;
        tx.forget_login_failures(&subjects.pair).await?;
        tx.open_session(&session).await?;
        tx.add_refresh(session.id, &minted.hash, rests_until).await?;
        tx.audit(Entry::new(as_user(from, login.id), "session.open").on("session", session.id, ""));
        tx.commit().await?;
        let claims = Claims::new(self.gatekeeper.issuer(), login.id, session.id, self.settings.access);
        Ok(Opened {
            session: session.id,
            user: login.id,
            access: Shown::new(pair.sign(&claims, Audience::Access)),
            refresh: minted.shown,
            rests_until,
        })
    }

    /// Carries a session on: the token is used up, and there is another one. One that comes again has been stolen, from either of the
    /// two who have it, so the session ends.
    ///
    /// # Errors
    /// `Ended`.
    pub async fn carry_on(&self, token: &str) -> Result<Opened, Error> {
        let pair = self.keyring.pair(&self.writer).await?;
        let now = Timestamp::now();
        let mut tx = self.writer.begin().await?;
        let Some(used) = tx.use_refresh(&hash(token), now).await? else {
            return Err(Error::Ended);
        };
        if used.is_ended || used.expires_at <= now || used.session_expires_at <= now {
            return Err(Error::Ended);
        }
        if used.used_at.is_some_and(|before| now.0 - before.0 > GRACE) {
            warn!(session.id = %used.session_id, user.id = %used.user_id, "a token of a session came a second time, so the session is ended");
            tx.end_session(used.session_id, Ended::Reused).await?;
            tx.audit(Entry::new(By::system(), "session.reused").on("session", used.session_id, "").denied());
            tx.commit().await?;
            return Err(Error::Ended);
        }
        let rests_until = after(now, self.settings.refresh).min(used.session_expires_at);
        let minted = mint(Kind::Refresh);
        tx.add_refresh(used.session_id, &minted.hash, rests_until).await?;
        tx.touch_session(used.session_id, now).await?;
        tx.commit().await?;
        let claims = Claims::new(self.gatekeeper.issuer(), used.user_id, used.session_id, self.settings.access);
        Ok(Opened {
            session: used.session_id,
            user: used.user_id,
            access: Shown::new(pair.sign(&claims, Audience::Access)),
            refresh: minted.shown,
            rests_until,
        })
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
    async fn note_failure(&self, subjects: &Subjects, known: Option<UserId>, from: &By) -> Result<(), Error> {
        metrics::counter!("pipecast_logins_total", "outcome" => "refused").increment(1);
        let now = Timestamp::now();
        let mut tx = self.writer.begin().await?;
        // What was typed as a name may be a password, so only names that there are stand in the audit, as ids.
        let id = known.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        tx.audit(Entry::new(from.clone(), "session.open").on("user", id, "").denied());
        if !self.settings.throttle {
            tx.commit().await?;
            return Ok(());
        }
        tx.note_login_failure(&subjects.pair, now, now.minus(throttle::FORGOTTEN_AFTER)).await?;
        tx.note_login_failure(&subjects.network, now, now.minus(throttle::window())).await?;
        tx.note_login_failure(&subjects.account, now, now.minus(throttle::FORGOTTEN_AFTER)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A hash that was made at another cost is made anew, now that the password is known. Where that fails, the next login does it.
    async fn renew_hash(&self, login: &Login, password: &str) {
        let Some(phc) = login.password.as_deref().filter(|phc| self.passwords.is_outdated(phc)) else {
            return;
        };
        debug_assert!(!phc.is_empty());
        let renewed = async {
            let phc = self.passwords.hash(password).await?;
            let mut tx = self.writer.begin().await?;
            tx.set_password(login.id, &phc).await?;
            tx.commit().await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = renewed.await {
            warn!(%error, "cannot renew the hash of a password; the next login tries again");
        }
    }
}

/// The same visit, now that it is known whose it is.
fn as_user(from: &By, user: UserId) -> By {
    By {
        actor: Actor::User(user),
        ..from.clone()
    }
}
