//! Accounts: the first admin, logins, and sessions that go on and end. Every change of them is made here.
//! Knows nothing of requests; what a caller may do was asked before.

use std::sync::Arc;
use std::time::Duration;

use pipecast_auth::{Busy, Cost, Gatekeeper, Passwords};
use pipecast_model::{Permission, Timestamp};
use pipecast_store::{Reader, Writer};

use crate::once::OtherRequest;

mod entry;
mod factor;
mod keyring;
mod setup;
pub(crate) mod tokens;
pub(crate) mod users;

pub use entry::{Opened, TICKET_LIFETIME};
pub use setup::Founder;
pub use tokens::Wanted;

use keyring::Keyring;

/// How long what is good, and what a password costs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long an access token is good.
    pub access: Duration,
    /// How long a session may rest before it ends.
    pub refresh: Duration,
    /// When a session ends in any case.
    pub session: Duration,
    /// What a password costs.
    pub cost: Cost,
    /// Whether failed logins make further ones wait.
    pub throttle: bool,
}

/// Why something about an account was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Name and password do not belong together, or may not come in.
    #[error("name or password is wrong")]
    Refused,
    /// The password is right, and the code of the second factor is missing or wrong.
    #[error("a code of the second factor is needed")]
    SecondFactor,
    /// Too much has failed; for so long nothing is tried.
    #[error("too many logins have failed; wait {0:?}")]
    Wait(Duration),
    /// Too many passwords are being checked.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The token that carries the session on is none, or not any more.
    #[error("the session has ended")]
    Ended,
    /// There has been an admin, or the token is none.
    #[error("there is no such setup")]
    NoSetup,
    /// Another account has this name.
    #[error("the name is taken")]
    NameTaken,
    /// A password that is too easy.
    #[error("{0}")]
    Weak(&'static str),
    /// There is no such thing, or not any more.
    #[error("it is not there")]
    Gone,
    /// Nobody would be left who may do everything.
    #[error("this is the last admin")]
    LastAdmin,
    /// The second factor is there already.
    #[error("there is a second factor already")]
    FactorExists,
    /// A token cannot have what its user has not.
    #[error("a token cannot have what its user has not")]
    Beyond(Vec<Permission>),
    /// A key of the client's was used for another request.
    #[error(transparent)]
    OtherRequest(#[from] OtherRequest),
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
}

/// What is done about accounts.
pub struct Accounts {
    reader: Reader,
    writer: Arc<Writer>,
    gatekeeper: Arc<Gatekeeper>,
    passwords: Passwords,
    keyring: Keyring,
    settings: Settings,
}

impl Accounts {
    /// Nobody has come in yet.
    ///
    /// # Errors
    /// Where the cost is none that argon2 has.
    pub fn new(reader: Reader, writer: Arc<Writer>, gatekeeper: Arc<Gatekeeper>, settings: Settings) -> Result<Accounts, pipecast_auth::NoCost> {
        Ok(Accounts {
            reader,
            writer,
            gatekeeper,
            passwords: Passwords::new(settings.cost)?,
            keyring: Keyring::default(),
            settings,
        })
    }

    /// How long what is good.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Reads accounts.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Changes accounts.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Lets people in.
    pub fn gatekeeper(&self) -> &Arc<Gatekeeper> {
        &self.gatekeeper
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// `Weak`, `Busy`.
    pub async fn hash(&self, password: &str, name: &str, has_totp: bool) -> Result<String, Error> {
        check(password, name, has_totp)?;
        Ok(self.passwords.hash(password).await?)
    }
}

/// The least that a password has to be (NIST SP 800-63B-4): long, and not what everybody tries first. Nothing is said about its letters.
fn check(password: &str, name: &str, has_totp: bool) -> Result<(), Error> {
    let letters = password.chars().count();
    if letters < 8 || (letters < 15 && !has_totp) {
        return Err(Error::Weak("it has at least 15 characters, or 8 where a second factor is asked for"));
    }
    if password.len() > 256 {
        return Err(Error::Weak("it has at most 256 bytes"));
    }
    let folded = password.to_lowercase();
    let mut first = password.chars();
    let one = first.next();
    if first.all(|letter| Some(letter) == one) || (name.len() >= 4 && folded.contains(&name.to_lowercase())) {
        return Err(Error::Weak("it is one letter again and again, or the name is in it"));
    }
    Ok(())
}

fn after(now: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
}
