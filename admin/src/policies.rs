//! Retention policies as operators make, change and take them away. Every such change is made here.
//! Knows nothing of requests, nor of how anything is taken away; what a caller may do was asked before.

use std::sync::Arc;
use std::time::Duration;

use pipecast_model::ProjectId;
use pipecast_model::quantity::told_duration;
use pipecast_store::audit::{By, Entry};
use pipecast_store::{MadePolicy, Reader, RetentionPolicy, Writer};
use serde_json::{Value, json};

/// Why something about a policy was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The project has a policy.
    #[error("the project has a policy")]
    Taken,
    /// There is no such project.
    #[error("there is no such project")]
    NoProject,
    /// There are as many as are heeded.
    #[error("there are {} policies, and no more", pipecast_store::MOST_POLICIES)]
    Full,
    /// Somebody else has changed it meanwhile; it has this version now.
    #[error("it has changed meanwhile")]
    Stale(i64),
    /// The project has no policy.
    #[error("the project {0} has no policy")]
    Gone(ProjectId),
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
}

/// How long what is kept, in microseconds; none: as everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// Bodies of deliveries.
    pub bodies: Option<i64>,
    /// The ledger.
    pub deliveries: Option<i64>,
}

/// What is done about policies.
pub struct Policies {
    reader: Reader,
    writer: Arc<Writer>,
}

impl Policies {
    /// Those of this database.
    pub fn new(reader: Reader, writer: Arc<Writer>) -> Policies {
        Policies { reader, writer }
    }

    /// Reads them.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The policy of a project.
    ///
    /// # Errors
    /// `Gone`, `Store`.
    pub async fn find(&self, project: ProjectId) -> Result<RetentionPolicy, Error> {
        self.reader.find_retention_policy(project).await?.ok_or(Error::Gone(project))
    }

    /// Gives a project a policy of its own.
    ///
    /// # Errors
    /// `Taken`, `NoProject`, `Full`, `Store`.
    pub async fn make(&self, project: ProjectId, ages: Ages, by: By) -> Result<RetentionPolicy, Error> {
        let mut tx = self.writer.begin().await?;
        let policy = match tx.create_retention_policy(project, ages.bodies, ages.deliveries).await? {
            MadePolicy::Made(policy) => policy,
            MadePolicy::Taken => return Err(Error::Taken),
            MadePolicy::NoProject => return Err(Error::NoProject),
            MadePolicy::Full => return Err(Error::Full),
        };
        tx.audit(entry(by, "retention_policy.create", project).after(told(&policy)));
        tx.commit().await?;
        Ok(policy)
    }

    /// Changes a policy that is as `before` says.
    ///
    /// # Errors
    /// `Stale`, `Gone`, `Store`.
    pub async fn change(&self, before: &RetentionPolicy, ages: Ages, by: By) -> Result<RetentionPolicy, Error> {
        let wanted = RetentionPolicy {
            bodies: ages.bodies,
            deliveries: ages.deliveries,
            ..before.clone()
        };
        let mut tx = self.writer.begin().await?;
        let Some(policy) = tx.update_retention_policy(&wanted).await? else {
            drop(tx);
            return Err(Error::Stale(self.find(before.project_id).await?.version));
        };
        tx.audit(entry(by, "retention_policy.update", policy.project_id).changed(told(before), told(&policy)));
        tx.commit().await?;
        Ok(policy)
    }

    /// Takes a policy away that is as `before` says.
    ///
    /// # Errors
    /// `Stale`, `Gone`, `Store`.
    pub async fn remove(&self, before: &RetentionPolicy, by: By) -> Result<(), Error> {
        let mut tx = self.writer.begin().await?;
        if !tx.delete_retention_policy(before.project_id, before.version).await? {
            drop(tx);
            return Err(Error::Stale(self.find(before.project_id).await?.version));
        }
        tx.audit(entry(by, "retention_policy.delete", before.project_id).before(told(before)));
        Ok(tx.commit().await?)
    }
}

/// An age as it is written.
pub(crate) fn told_age(micros: i64) -> String {
    told_duration(Duration::from_micros(micros.unsigned_abs()))
}

/// What the audit is told of a policy.
fn told(policy: &RetentionPolicy) -> Value {
    json!({ "bodies": policy.bodies.map(told_age), "deliveries": policy.deliveries.map(told_age) })
}

fn entry(by: By, action: &'static str, project: ProjectId) -> Entry {
    Entry::new(by, action).on("retention_policy", project, "").of(project)
}
