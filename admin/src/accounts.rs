//! Accounts: the first admin, logins, and sessions that go on and end. Every change of them is made here.
//! Knows nothing of requests; what a caller may do was asked before.

use std::sync::Arc;
use std::time::Duration;

use pipecast_auth::guessable::{Guessable, is_guessable};
use pipecast_auth::{Busy, Cost, Gatekeeper, Passwords, Shown};
use pipecast_model::{Permission, Timestamp};
use pipecast_store::sealed::{Keys, KeysError};
use pipecast_store::{Reader, Writer};

use crate::once::KeyRefused;

mod asked;
mod attempts;
mod confirmation;
mod entry;
mod factor;
mod generation;
mod keyring;
mod members;
mod setup;
pub(crate) mod tokens;
pub(crate) mod users;

pub use confirmation::{Person, Proved, Retyped};
pub use entry::{Opened, TICKET_LIFETIME, Typed};
pub use members::NotAdded;
pub use setup::Founder;
pub use tokens::Wanted;

use asked::Asked;
use attempts::Turns;
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
    /// A session was carried on as often as it may be within a minute.
    #[error("the session is carried on too often; wait {0:?}")]
    TooOften(Duration),
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
    /// A password that is too short or too long.
    #[error("{0}")]
    Weak(&'static str),
    /// A password that is tried first.
    #[error("{0}")]
    Guessable(&'static str),
    /// There is no such thing, or not any more.
    #[error("it is not there")]
    Gone,
    /// Somebody else has changed it meanwhile; it has this version now.
    #[error("it has changed meanwhile")]
    Stale(i64),
    /// Nobody would be left who may do everything.
    #[error("this is the last admin")]
    LastAdmin,
    /// The second factor is there already.
    #[error("there is a second factor already")]
    FactorExists,
    /// No second factor was offered, or too long ago, or another one since.
    #[error("no second factor is on offer")]
    NotOffered,
    /// The password is right, and too short to be asked for without a second factor.
    #[error("the password is too short to be asked for alone")]
    ShortAlone,
    /// The second factor stays as long as the password is too short without it.
    #[error("the password is too short to take the second factor away")]
    ShortWithout,
    /// Another token, which begins so, has taken its place and is good.
    #[error("the token {0} has taken its place")]
    Replaced(String),
    /// A token cannot have what its user has not.
    #[error("a token cannot have what its user has not")]
    Beyond(Vec<Permission>),
    /// There is nothing to seal with.
    #[error("secrets cannot be sealed")]
    Keys(#[from] KeysError),
    /// A key of the client's is no good for this request, or not yet.
    #[error(transparent)]
    Key(#[from] KeyRefused),
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
    /// Whether it is known what stored passwords cost.
    costs: tokio::sync::OnceCell<()>,
    /// Who is logging in.
    turns: Turns,
    /// Who was asked for a code.
    asked: Asked,
    /// What signs sessions.
    keyring: Keyring,
    /// What seals.
    keys: Arc<Keys>,
    settings: Settings,
}

impl Accounts {
    /// Nobody has come in yet.
    ///
    /// # Errors
    /// Where the cost is none that argon2 has.
    pub fn new(
        reader: Reader,
        writer: Arc<Writer>,
        gatekeeper: Arc<Gatekeeper>,
        keys: Arc<Keys>,
        settings: Settings,
    ) -> Result<Accounts, pipecast_auth::NoCost> {
        Ok(Accounts {
            reader,
            writer,
            gatekeeper,
            passwords: Passwords::new(settings.cost)?,
            costs: tokio::sync::OnceCell::new(),
            turns: Turns::default(),
            asked: Asked::default(),
            keyring: Keyring::default(),
            keys,
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

    /// Lets people in.
    pub fn gatekeeper(&self) -> &Arc<Gatekeeper> {
        &self.gatekeeper
    }

    /// Whether it is the password of this hash. It takes as long whatever that cost, and without one.
    ///
    /// # Errors
    /// `Busy`, `Store`.
    async fn verify(&self, phc: Option<&str>, password: &str) -> Result<bool, Error> {
        let look = async || {
            self.passwords.reckon_with(&self.reader.list_password_costs().await?);
            Ok::<_, Error>(())
        };
        self.costs.get_or_try_init(look).await?;
        Ok(self.passwords.verify(phc, password).await?)
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// `Weak`, `Guessable`, `Busy`.
    async fn hash(&self, password: &str, owner: Owner<'_>) -> Result<String, Error> {
        check(password, &owner)?;
        let (text, name, email) = (Shown::new(password), owner.name.to_owned(), owner.email.unwrap_or_default().to_owned());
        let judged = tokio::task::spawn_blocking(move || refuse_guessable(text.expose(), &[name.as_str(), email.as_str()]));
        judged.await.map_err(|_| Error::Busy(Busy))??;
        Ok(self.passwords.hash(password).await?)
    }
}

/// Whose password it is to be.
pub(super) struct Owner<'a> {
    /// What they log in with.
    pub(super) name: &'a str,
    /// Where they are written to.
    pub(super) email: Option<&'a str>,
    /// Whether a second factor is asked for besides.
    pub(super) has_totp: bool,
}

/// Characters of a password that is asked for alone.
const LEAST_ALONE: usize = 15;

/// Characters of one that is asked for beside a second factor.
const LEAST: usize = 8;

/// Bytes of a password.
const MOST: usize = 256;

/// Whether a password is too short to be asked for without a second factor.
fn is_short_alone(password: &str) -> bool {
    password.chars().count() < LEAST_ALONE
}

/// The least that a password has to be (NIST SP 800-63B-4): long, and not what is tried first. Nothing is said about its letters.
fn check(password: &str, owner: &Owner<'_>) -> Result<(), Error> {
    if password.chars().count() < LEAST || (is_short_alone(password) && !owner.has_totp) {
        return Err(Error::Weak("it has at least 15 characters, or 8 where a second factor is asked for"));
    }
    if password.len() > MOST {
        return Err(Error::Weak("it has at most 256 bytes"));
    }
    Ok(())
}

/// Takes its time, so it is for a thread of its own.
fn refuse_guessable(password: &str, about: &[&str]) -> Result<(), Error> {
    match is_guessable(password, about) {
        None => Ok(()),
        Some(Guessable::Own) => Err(Error::Guessable(
            "the name or the address of its owner is in it; take something that nobody knows of them",
        )),
        Some(Guessable::Common) => Err(Error::Guessable(
            "it is among those that are tried first, or made of a few that are; take several words that do not belong together, or a random one",
        )),
    }
}

fn after(now: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
}
