//! Members of projects as they are added, changed and removed. What they may is asked anew everywhere at once.
//! Knows nothing of requests; what a caller may do was asked before.

use pipecast_model::{ProjectId, Role, UserId};
use pipecast_store::Membership;
use pipecast_store::audit::{By, Entry};
use serde_json::{Value, json};

use super::{Accounts, Error};

/// Why somebody did not become a member.
#[derive(Debug, thiserror::Error)]
pub enum NotAdded {
    /// Nobody has this name.
    #[error("there is no such user")]
    Unknown,
    /// They are one.
    #[error("they are a member already")]
    IsOne,
    /// There is no such project.
    #[error("there is no such project")]
    NoProject,
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
}

impl Accounts {
    /// Makes the user of this name a member of a project.
    ///
    /// # Errors
    /// See [`NotAdded`].
    pub async fn add_member(&self, project: ProjectId, user_name: &str, role: Role, by: By) -> Result<Membership, NotAdded> {
        let user = self.reader.find_login(user_name).await?.ok_or(NotAdded::Unknown)?;
        let mut tx = self.writer.begin().await?;
        match tx.add_membership(project, user.id, role).await? {
            None => return Err(NotAdded::IsOne),
            Some(false) => return Err(NotAdded::NoProject),
            Some(true) => {}
        }
        let member = tx.stored_membership(project, user.id).await?.ok_or(NotAdded::Unknown)?;
        tx.audit(entry(by, "member.add", &member).after(told(role)));
        tx.commit().await?;
        self.gatekeeper.forget();
        Ok(member)
    }

    /// Makes a member something else, as `change` says, which sees what they are now.
    ///
    /// # Errors
    /// Those of `change`; `Gone`, `Stale`, `Store`.
    pub async fn change_member<E: From<Error>>(
        &self,
        project: ProjectId,
        user: UserId,
        by: By,
        change: impl FnOnce(&Membership) -> Result<Role, E>,
    ) -> Result<Membership, E> {
        let mut tx = self.writer.begin().await.map_err(Error::from)?;
        let before = tx.stored_membership(project, user).await.map_err(Error::from)?.ok_or(Error::Gone)?;
        let role = change(&before)?;
        if !tx.change_membership(project, user, role, before.version).await.map_err(Error::from)? {
            drop(tx);
            return Err(self.overtaken(project, user).await.into());
        }
        let member = tx.stored_membership(project, user).await.map_err(Error::from)?.ok_or(Error::Gone)?;
        tx.audit(entry(by, "member.update", &member).changed(told(before.role), told(role)));
        tx.commit().await.map_err(Error::from)?;
        self.gatekeeper.forget();
        Ok(member)
    }

    /// Ends a membership that `check` agrees to, which sees what they are now.
    ///
    /// # Errors
    /// Those of `check`; `Gone`, `Stale`, `Store`.
    pub async fn remove_member<E: From<Error>>(
        &self,
        project: ProjectId,
        user: UserId,
        by: By,
        check: impl FnOnce(&Membership) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut tx = self.writer.begin().await.map_err(Error::from)?;
        let before = tx.stored_membership(project, user).await.map_err(Error::from)?.ok_or(Error::Gone)?;
        check(&before)?;
        if !tx.end_membership(project, user, before.version).await.map_err(Error::from)? {
            drop(tx);
            return Err(self.overtaken(project, user).await.into());
        }
        tx.audit(entry(by, "member.remove", &before).before(told(before.role)));
        tx.commit().await.map_err(Error::from)?;
        self.gatekeeper.forget();
        Ok(())
    }

    /// Somebody was faster.
    async fn overtaken(&self, project: ProjectId, user: UserId) -> Error {
        match self.reader.find_membership(project, user).await {
            Ok(Some(now)) => Error::Stale(now.version),
            Ok(None) => Error::Gone,
            Err(error) => Error::Store(error),
        }
    }
}

fn entry(by: By, action: &'static str, member: &Membership) -> Entry {
    Entry::new(by, action).on("user", member.user_id, &member.user_name).of(member.project_id)
}

fn told(role: Role) -> Value {
    json!({ "role": role })
}
