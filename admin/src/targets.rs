//! Notification targets as operators make, change and take them away. Every such change is made here.
//! Knows nothing of requests, nor of how anybody is told; what a caller may do was asked before.

use std::sync::Arc;

use pipecast_model::with_causes;
use pipecast_store::audit::{By, Entry};
use pipecast_store::sealed::{Keys, KeysError};
use pipecast_store::{NotificationTarget, Reader, TargetFields, TargetQuery, Tx, Writer};
use serde_json::{Value, json};
use tracing::warn;
use zeroize::Zeroizing;

/// How a target is told whose destination are mailboxes.
pub const EMAIL: &str = "email";

/// Why something about a target was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such project.
    #[error("there is no such project")]
    NoProject,
    /// Somebody else has changed it meanwhile; it has this version now.
    #[error("it has changed meanwhile")]
    Stale(i64),
    /// There is no such target.
    #[error("there is no target {0}")]
    Gone(i64),
    /// There is nothing to seal with.
    #[error("addresses cannot be sealed")]
    Keys(#[from] KeysError),
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
}

/// Where a target is reached.
pub struct Destination {
    /// The host, which is shown.
    pub host: String,
    /// The whole address, which nobody is shown: whoever has it can write there.
    pub url: Zeroizing<String>,
}

/// What a change says of where a target is reached.
pub enum Reach {
    /// Where it was.
    AsBefore,
    /// Nowhere that is known.
    Nowhere,
    /// There.
    At(Destination),
    /// In these mailboxes, of which there is at least one.
    Mail(Vec<String>),
}

/// A target as its operators see it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its row.
    pub target: NotificationTarget,
    /// Who gets mail. `None` of what is told in another way, and where it cannot be read: the log says why.
    pub recipients: Option<Vec<String>>,
}

/// What is done about targets.
pub struct Targets {
    reader: Reader,
    writer: Arc<Writer>,
    keys: Arc<Keys>,
}

impl Targets {
    /// Those of this database, sealed with these keys.
    pub fn new(reader: Reader, writer: Arc<Writer>, keys: Arc<Keys>) -> Targets {
        Targets { reader, writer, keys }
    }

    /// A page of them.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(&self, query: &TargetQuery) -> Result<Vec<NotificationTarget>, Error> {
        Ok(self.reader.list_notification_targets(query).await?)
    }

    /// One of them with what operators may see of where it is reached.
    pub fn shown(&self, target: NotificationTarget) -> Shown {
        let recipients = self.recipients(&target);
        Shown { target, recipients }
    }

    fn recipients(&self, target: &NotificationTarget) -> Option<Vec<String>> {
        if target.fields.kind != EMAIL {
            return None;
        }
        if target.sealed_url.is_none() {
            return Some(Vec::new());
        }
        let opened = self.keys.ring().map_err(|error| with_causes(&error));
        match opened.and_then(|ring| target.recipients(&ring).map_err(|error| with_causes(&error))) {
            Ok(recipients) => Some(recipients),
            Err(error) => {
                warn!(target.id = target.id, %error, "cannot read who gets mail of notification target {}", target.id);
                None
            }
        }
    }

    /// One of them.
    ///
    /// # Errors
    /// `Gone`, `Store`.
    pub async fn find(&self, id: i64) -> Result<NotificationTarget, Error> {
        self.reader.find_notification_target(id).await?.ok_or(Error::Gone(id))
    }

    /// Makes a target.
    ///
    /// # Errors
    /// `NoProject`, `Keys`, `Store`.
    pub async fn make(&self, fields: &TargetFields, reach: Reach, by: By) -> Result<NotificationTarget, Error> {
        let mut tx = self.writer.begin().await?;
        let mut target = tx.create_notification_target(fields).await?.ok_or(Error::NoProject)?;
        self.reach(&mut tx, &mut target, reach).await?;
        tx.audit(entry(by, "notification_target.create", &target).after(self.told(&target)));
        tx.commit().await?;
        Ok(target)
    }

    /// Changes a target that is as `before` says.
    ///
    /// # Errors
    /// `NoProject`, `Stale`, `Gone`, `Keys`, `Store`.
    pub async fn change(&self, before: &NotificationTarget, fields: TargetFields, reach: Reach, by: By) -> Result<NotificationTarget, Error> {
        let wanted = NotificationTarget { fields, ..before.clone() };
        let mut tx = self.writer.begin().await?;
        let Some(mut target) = tx.update_notification_target(&wanted).await? else {
            drop(tx);
            let now = self.find(before.id).await?.version;
            return Err(if now == before.version { Error::NoProject } else { Error::Stale(now) });
        };
        self.reach(&mut tx, &mut target, reach).await?;
        tx.audit(entry(by, "notification_target.update", &target).changed(self.told(before), self.told(&target)));
        tx.commit().await?;
        Ok(target)
    }

    async fn reach(&self, tx: &mut Tx, target: &mut NotificationTarget, reach: Reach) -> Result<(), Error> {
        match reach {
            Reach::AsBefore => {}
            Reach::Nowhere => {
                tx.forget_destination(target.id).await?;
                (target.url_host, target.sealed_url) = (None, None);
            }
            Reach::At(Destination { host, url }) => {
                let ring = self.keys.ring()?;
                target.sealed_url = Some(tx.keep_destination(target.id, &host, &url, &ring).await?);
                target.url_host = Some(host);
            }
            Reach::Mail(recipients) => {
                let ring = self.keys.ring()?;
                target.sealed_url = Some(tx.keep_recipients(target.id, &recipients, &ring).await?);
            }
        }
        Ok(())
    }

    /// Takes a target away that is as `before` says.
    ///
    /// # Errors
    /// `Stale`, `Gone`, `Store`.
    pub async fn remove(&self, before: &NotificationTarget, by: By) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        if !tx.delete_notification_target(before.id, before.version).await? {
            drop(tx);
            return Err(Error::Stale(self.find(before.id).await?.version));
        }
        tx.audit(entry(by, "notification_target.delete", before).before(self.told(before)));
        Ok(tx.commit().await?)
    }

    /// What the audit is told of a target: of its address the host, and of those who get mail how their addresses begin and end.
    fn told(&self, target: &NotificationTarget) -> Value {
        let fields = &target.fields;
        let recipients = self.recipients(target);
        json!({
            "name": fields.name,
            "kind": fields.kind,
            "project_id": fields.project_id,
            "statuses": fields.statuses.split_whitespace().collect::<Vec<_>>(),
            "enabled": fields.enabled,
            "url_host": target.url_host,
            "recipients": recipients.map(|all| all.iter().map(|address| masked(address)).collect::<Vec<_>>()),
        })
    }
}

fn entry(by: By, action: &'static str, target: &NotificationTarget) -> Entry {
    let entry = Entry::new(by, action).on("notification_target", target.id, &target.fields.name);
    match target.fields.project_id {
        Some(project) => entry.of(project),
        None => entry,
    }
}

/// As much of an address as tells it from others: rows of the audit are kept for ever, and people are not to be.
fn masked(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    format!("{}…@{domain}", local.chars().take(1).collect::<String>())
}
