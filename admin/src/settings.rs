//! Settings that are changed while the service runs: what each process was configured with, and what the database lays over it.
//! Knows nothing of single settings: the composition root says which there are, and what fits.

use std::collections::HashMap;
use std::sync::Arc;

use pipecast_model::quantity::Kind;
use pipecast_model::{Timestamp, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{Reader, StoredSetting, Writer};
use serde::Serialize;
use serde_json::json;

/// A setting that may be changed.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Section and name.
    pub key: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// What this process is configured with.
    pub configured: String,
    /// The least that it may be, as it is written.
    pub least: Option<&'static str>,
    /// The most that it may be.
    pub most: Option<&'static str>,
    /// What it does.
    pub about: String,
}

/// Says what would fit in the place of a value that does not: of this key, this text.
pub type Check = fn(&str, &str) -> std::result::Result<(), String>;

/// The settings that may be changed.
pub struct Settings {
    offers: Vec<Offer>,
    check: Check,
    reader: Reader,
    writer: Arc<Writer>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was set here, and holds for every process.
    Database,
    /// The file, the environment or the default of the process that answers.
    Configuration,
}

/// A setting as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Setting {
    /// Section and name, as in the configuration file.
    #[schema(example = "retention.bodies")]
    pub key: String,
    /// How its values are written.
    pub kind: Kind,
    /// What holds.
    #[schema(example = "7d")]
    pub value: String,
    /// Where that comes from.
    pub from: Origin,
    /// What holds where nothing is set here.
    #[schema(example = "7d")]
    pub configured: String,
    /// The least that it may be.
    pub least: Option<&'static str>,
    /// The most that it may be.
    pub most: Option<&'static str>,
    /// What it does.
    pub about: String,
    /// How often it was changed here.
    pub version: i64,
    /// When it was changed here last.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub updated_at: Option<Timestamp>,
    /// By whom.
    pub updated_by: Option<UserId>,
}

/// Why a setting was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that name, or it cannot be changed while the service runs.
    #[error("there is no setting {0} that can be changed here")]
    Unknown(String),
    /// The value does not fit; what would.
    #[error("{0}")]
    Unfit(String),
    /// It has another version by now.
    #[error("the setting has changed meanwhile")]
    Stale(Box<Setting>),
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
}

impl Settings {
    /// These, checked by this, and kept there; the reader is the primary's.
    pub fn new(offers: Vec<Offer>, check: Check, reader: Reader, writer: Arc<Writer>) -> Settings {
        Settings { offers, check, reader, writer }
    }

    /// All of them.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(&self) -> Result<Vec<Setting>, Error> {
        let mut stored: HashMap<String, StoredSetting> = self.reader.list_settings().await?.into_iter().map(|row| (row.key.clone(), row)).collect();
        Ok(self.offers.iter().map(|offer| shown(offer, stored.remove(offer.key))).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// `Unknown`, `Store`.
    pub async fn find(&self, key: &str) -> Result<Setting, Error> {
        let all = self.list().await?;
        all.into_iter()
            .find(|setting| setting.key == key)
            .ok_or_else(|| Error::Unknown(key.chars().take(80).collect()))
    }

    /// Changes one that still has this version, for every process; without a value it is what each is configured with again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set(&self, key: &str, value: Option<&str>, version: i64, by: By) -> Result<Setting, Error> {
        let unknown = || Error::Unknown(key.chars().take(80).collect());
        let offer = self.offers.iter().find(|offer| offer.key == key).ok_or_else(unknown)?;
        let before = self.find(key).await?;
        if let Some(value) = value {
            (self.check)(key, value).map_err(Error::Unfit)?;
        }
        let mut tx = self.writer.begin().await?;
        let Some(stored) = tx.write_setting(key, value, version, by.user()).await? else {
            drop(tx);
            return Err(Error::Stale(Box::new(self.find(key).await?)));
        };
        let set = |setting: &Setting| (setting.from == Origin::Database).then(|| setting.value.clone());
        tx.audit(
            Entry::new(by, "setting.update")
                .on("setting", key, key)
                .changed(json!({ "value": set(&before) }), json!({ "value": value })),
        );
        tx.commit().await?;
        Ok(shown(offer, Some(stored)))
    }
}

fn shown(offer: &Offer, stored: Option<StoredSetting>) -> Setting {
    let set = stored.as_ref().and_then(|row| row.value.clone());
    Setting {
        key: offer.key.to_owned(),
        kind: offer.kind,
        from: if set.is_some() { Origin::Database } else { Origin::Configuration },
        value: set.unwrap_or_else(|| offer.configured.clone()),
        configured: offer.configured.clone(),
        least: offer.least,
        most: offer.most,
        about: offer.about.clone(),
        version: stored.as_ref().map_or(0, |row| row.version),
        updated_at: stored.as_ref().map(|row| row.updated_at),
        updated_by: stored.and_then(|row| row.updated_by),
    }
}
