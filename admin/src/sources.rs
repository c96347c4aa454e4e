//! Sources as operators make, change and end them, with secrets that are shown once. Every change of them is made here.
//! Knows nothing of requests; what a caller may do was asked before.

use std::sync::Arc;
use std::time::Duration;

use pipecast_model::source::SHORTEST_SECRET;
use pipecast_model::{Host, SecretId, SecretKind, Source, SourceId, Timestamp, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::sealed::{Keyring, Keys, KeysError};
use pipecast_store::source::{NewSource, SourceChange};
use pipecast_store::{Reader, Tx, Writer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::once::{self, Answer, KeyRefused, Once};

pub mod exchange;
mod minting;

use minting::{random_key, settle};

/// The shortest secret that somebody may bring along, in characters.
pub const SHORTEST: usize = SHORTEST_SECRET;
/// The longest one.
pub const LONGEST: usize = 256;
/// How long a secret is still believed after another one took its place, where nothing is said.
pub const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that may be.
pub const LONGEST_OVERLAP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Most secrets of a source that are live at once.
pub const MOST_LIVE: usize = 2;

/// Why something about a source was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such source or secret.
    #[error("it is not there")]
    Gone,
    /// It stands in the configuration, and is changed there.
    #[error("the source stands in the configuration; change it there")]
    Configured,
    /// Two secrets are live, so there is no room for another.
    #[error("two secrets are live already; end the older one first")]
    Full,
    /// A secret that somebody brought along.
    #[error("{0}")]
    Secret(&'static str),
    /// A key of the client's is no good for this request, or not yet.
    #[error(transparent)]
    Key(#[from] KeyRefused),
    /// Somebody else has the end of the path.
    #[error("another source has this key")]
    KeyTaken,
    /// There is nothing to seal with.
    #[error("secrets cannot be sealed")]
    Keys(#[from] KeysError),
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
}

/// A source to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whom it connects to.
    pub host: Host,
    /// What it is called.
    pub name: String,
    /// Whether its deliveries are believed from the start.
    pub enabled: bool,
    /// Hours without a delivery after which it is silent.
    pub silent_after: Option<i64>,
    /// Who makes it.
    pub created_by: Option<UserId>,
}

/// A secret to be.
#[derive(Clone, Default)]
pub struct WantedSecret {
    /// One that somebody brings along; none: a fresh one.
    pub text: Option<Zeroizing<String>>,
    /// The kind of a fresh one; none: the host's usual one.
    pub kind: Option<SecretKind>,
}

/// Another secret to be, in the place of those that a source has.
pub struct Rotation {
    /// It itself.
    pub secret: WantedSecret,
    /// How long those before it are still believed.
    pub overlap: Duration,
    /// Who does it.
    pub by: By,
}

/// A source with a secret that is shown this once.
pub struct Made {
    /// As it is now.
    pub source: Source,
    /// The new secret.
    pub id: SecretId,
    /// It itself.
    pub secret: Zeroizing<String>,
}

/// What is done about sources.
pub struct Sources {
    reader: Reader,
    writer: Arc<Writer>,
    keys: Arc<Keys>,
    /// Where hosts reach this service, as in `https://ci.example.org`.
    origin: Option<String>,
}

impl Sources {
    /// Sources of this database, sealed with these keys.
    pub fn new(reader: Reader, writer: Arc<Writer>, keys: Arc<Keys>, origin: Option<String>) -> Sources {
        Sources { reader, writer, keys, origin }
    }

    /// Reads sources.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What seals their secrets.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The path at which a source is delivered to, and the whole address where that is known.
    pub fn address(&self, source: &Source) -> (String, Option<String>) {
        let path = format!("/webhooks/{}/{}", source.host, source.key);
        let url = self.origin.as_ref().map(|origin| format!("{origin}{path}"));
        (path, url)
    }

    /// Makes a source with its first secret, once for each key of a client; `shape` makes the body of the answer.
    ///
    /// # Errors
    /// `Secret`, `Key`, `Keys`, `Store`.
    pub async fn make(&self, wanted: Wanted, secret: WantedSecret, by: By, once: Option<&Once>, shape: impl FnOnce(&Made) -> Value) -> Result<Answer, Error> {
        let ring = self.keys.ring()?;
        let mut tx = self.writer.begin().await?;
        let making = async |tx: &mut Tx| {
            let made = make(tx, wanted, random_key(), secret, &ring).await?;
            tx.audit(about(&made.source, by, "source.create").after(told(&made.source)));
            Ok::<_, Error>(Answer::new(place(&made.source), made.source.version, shape(&made)).with_secret())
        };
        let answer = once::once(&mut tx, once, making).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Changes a source as `change` says, which sees it as it is now: its name, whether it is enabled, its hours, whether it is deleted.
    ///
    /// # Errors
    /// Those of `change`; `Gone`, `Configured`, `Store`.
    pub async fn change<E: From<Error>>(&self, id: SourceId, by: By, change: impl FnOnce(&mut Source) -> Result<(), E>) -> Result<Source, E> {
        let mut tx = self.writer.begin().await.map_err(Error::from)?;
        let changed = change_in(&mut tx, id, by, change).await?;
        tx.commit().await.map_err(Error::from)?;
        Ok(changed)
    }

    /// Gives a source another secret, once for each key of a client; `shape` makes the body of the answer. Those before it are believed for
    /// `overlap` longer.
    ///
    /// # Errors
    /// Those of `check`, which sees the source as it is now; `Full`, `Secret`, `Key`, `Gone`, `Configured`, `Keys`, `Store`.
    pub async fn rotate<E>(
        &self,
        id: SourceId,
        rotation: Rotation,
        once: Option<&Once>,
        check: impl FnOnce(&Source) -> Result<(), E>,
        shape: impl FnOnce(&Made) -> Value,
    ) -> Result<Answer, E>
    where
        E: From<Error> + From<KeyRefused> + From<pipecast_store::Error>,
    {
        let ring = self.keys.ring().map_err(Error::from)?;
        let mut tx = self.writer.begin().await?;
        let rotating = async |tx: &mut Tx| {
            let source = hold(tx, id).await?;
            check(&source)?;
            let made = replace(tx, &source, rotation, &ring).await?;
            Ok::<_, E>(Answer::new(place(&made.source), made.source.version, shape(&made)).with_secret())
        };
        let answer = once::once(&mut tx, once, rotating).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Ends a secret at once. Without any secret nothing of the source is believed.
    ///
    /// # Errors
    /// Those of `check`; `Gone`, `Configured`, `Store`.
    pub async fn end_secret<E: From<Error>>(&self, id: SourceId, secret: SecretId, by: By, check: impl FnOnce(&Source) -> Result<(), E>) -> Result<Source, E> {
        let mut tx = self.writer.begin().await.map_err(Error::from)?;
        let before = hold(&mut tx, id).await?;
        check(&before)?;
        if !tx.remove_secret(id, secret, Timestamp::now()).await.map_err(Error::from)? {
            return Err(Error::Gone.into());
        }
        let source = hold(&mut tx, id).await?;
        tx.audit(about(&source, by, "source.end_secret").changed(told(&before), told(&source)));
        tx.commit().await.map_err(Error::from)?;
        Ok(source)
    }
}

/// A source that operators made, kept from others until the transaction ends.
async fn hold(tx: &mut Tx, id: SourceId) -> Result<Source, Error> {
    match tx.hold_source(id).await? {
        Some(source) if source.managed => Ok(source),
        // What is left of one that was purged.
        Some(source) if source.deleted_at.is_some() => Err(Error::Gone),
        Some(_) => Err(Error::Configured),
        None => Err(Error::Gone),
    }
}

async fn make(tx: &mut Tx, wanted: Wanted, key: String, secret: WantedSecret, ring: &Keyring) -> Result<Made, Error> {
    let (kind, text) = settle(wanted.host, secret)?;
    let now = Timestamp::now();
    let new = NewSource {
        host: wanted.host,
        key,
        name: wanted.name,
        enabled: wanted.enabled,
        silent_after: wanted.silent_after,
        created_by: wanted.created_by.map(|user| user.0),
    };
    let source = tx.make_source(&new, now).await?.ok_or(Error::KeyTaken)?;
    let id = tx.add_secret(source, kind, &text, ring, now).await?;
    Ok(Made {
        source: hold(tx, source).await?,
        id,
        secret: text,
    })
}

async fn replace(tx: &mut Tx, source: &Source, rotation: Rotation, ring: &Keyring) -> Result<Made, Error> {
    let Rotation { secret, overlap, by } = rotation;
    let now = Timestamp::now();
    let live = source.secrets.iter().filter(|secret| secret.is_live(now)).count();
    if live >= MOST_LIVE && !overlap.is_zero() {
        return Err(Error::Full);
    }
    let (kind, text) = settle(source.host, secret)?;
    let end = Timestamp(now.0.saturating_add(i64::try_from(overlap.as_micros()).unwrap_or(i64::MAX)));
    let id = tx.add_secret(source.id, kind, &text, ring, now).await?;
    tx.end_secrets_before(source.id, id, end, now).await?;
    let after = hold(tx, source.id).await?;
    tx.audit(about(&after, by, "source.rotate_secret").changed(told(source), told(&after)));
    Ok(Made {
        source: after,
        id,
        secret: text,
    })
}

async fn change_in<E: From<Error>>(tx: &mut Tx, id: SourceId, by: By, change: impl FnOnce(&mut Source) -> Result<(), E>) -> Result<Source, E> {
    let mut source = hold(tx, id).await?;
    let before = source.clone();
    change(&mut source)?;
    let now = Timestamp::now();
    let (action, version) = match (before.deleted_at, source.deleted_at) {
        (None, Some(_)) => ("source.delete", tx.delete_source(id, before.version, now).await),
        (Some(_), None) => ("source.restore", tx.restore_source(id, before.version, now).await),
        (Some(_), Some(_)) => return Err(Error::Gone.into()),
        (None, None) => {
            let wanted = SourceChange {
                name: source.name,
                enabled: source.enabled,
                silent_after: source.silent_after,
            };
            ("source.update", tx.change_source(id, before.version, &wanted, now).await)
        }
    };
    // Held since it was read, so it is at this version.
    version.map_err(Error::from)?.ok_or(Error::Gone)?;
    let after = hold(tx, id).await?;
    tx.audit(about(&after, by, action).changed(told(&before), told(&after)));
    Ok(after)
}

/// Where one is in the API.
fn place(source: &Source) -> String {
    format!("/admin/v1/sources/{}", source.id)
}

fn about(source: &Source, by: By, action: &'static str) -> Entry {
    Entry::new(by, action).on("source", source.id, source.name.as_deref().unwrap_or(&source.key))
}

/// What the audit is told of a source: of its secrets that they are there, and until when.
fn told(source: &Source) -> Value {
    let keys = source
        .secrets
        .iter()
        .map(|secret| json!({"id": secret.id, "kind": secret.kind, "not_after": secret.not_after}));
    json!({
        "host": source.host,
        "key": source.key,
        "name": source.name,
        "enabled": source.enabled,
        "silent_after_hours": source.silent_after,
        "deleted_at": source.deleted_at,
        "signed_with": keys.collect::<Vec<_>>(),
    })
}

/// Makes a source like a line; one that was deleted comes back.
async fn apply(tx: &mut Tx, source: &Source, line: &exchange::Line, now: Timestamp) -> Result<(), Error> {
    let mut version = source.version;
    if source.deleted_at.is_some() {
        version = tx.restore_source(source.id, version, now).await?.ok_or(Error::Gone)?;
    }
    let wanted = SourceChange {
        name: Some(line.name.clone()),
        enabled: line.enabled,
        silent_after: line.silent_after_hours,
    };
    tx.change_source(source.id, version, &wanted, now).await?.ok_or(Error::Gone).map(drop)
}
