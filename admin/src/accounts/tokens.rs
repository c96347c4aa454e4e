//! Tokens of programs as they are made, replaced and ended.
//! Knows nothing of requests.

use std::time::Duration;

use pipecast_auth::{Grants, Minted, mint_token};
use pipecast_model::{Permission, ProjectId, Timestamp, TokenId, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{ApiToken, NewToken, Tx};
use serde_json::{Value, json};

use super::{Accounts, Error, after};
use crate::once::{self, Answer, KeyRefused, Once};

mod exchange;

pub(crate) use exchange::{Issued, Line};

/// A token to be, as its user wants it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is for.
    pub name: String,
    /// What it may.
    pub scopes: Vec<Permission>,
    /// Only in this project.
    pub project: Option<ProjectId>,
    /// How long.
    pub lifetime: Duration,
}

impl Accounts {
    /// Makes a token that may no more than `grants`, once for each key of a client. `shape` makes the body of the answer, with the secret, which is
    /// nowhere else.
    ///
    /// # Errors
    /// `Beyond` where the user may not do it all themselves, `Gone` where there is no such project, `Key`.
    pub async fn create_token(
        &self,
        user: UserId,
        grants: &Grants,
        wanted: Wanted,
        by: By,
        once: Option<&Once>,
        shape: impl FnOnce(ApiToken, &Minted) -> Value,
    ) -> Result<Answer, Error> {
        check(grants, &wanted)?;
        if let Some(project) = wanted.project
            && !self.reader.has_project(project).await?
        {
            return Err(Error::Gone);
        }
        let mut tx = self.writer.begin().await?;
        let making = async |tx: &mut Tx| {
            let (token, minted) = make(tx, user, &wanted).await?;
            tx.audit(Entry::new(by, "token.create").on("token", token.id, &token.name).after(told(&token)));
            Ok::<_, Error>(answer(token, &minted, shape))
        };
        let answer = once::once(&mut tx, once, making).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Changes a token as `change` says, which sees it as it is now.
    ///
    /// # Errors
    /// Those of `change`; `Gone`.
    pub async fn change_token<E: From<Error>>(&self, id: TokenId, by: By, change: impl FnOnce(&mut ApiToken) -> Result<(), E>) -> Result<ApiToken, E> {
        let mut tx = self.writer.begin().await.map_err(Error::from)?;
        let mut token = tx.hold_token(id).await.map_err(Error::from)?.ok_or(Error::Gone)?;
        let before = told(&token);
        change(&mut token)?;
        tx.write_token(&token).await.map_err(Error::from)?;
        let action = if token.revoked_at.is_some() { "token.revoke" } else { "token.update" };
        tx.audit(Entry::new(by, action).on("token", id, &token.name).changed(before, told(&token)));
        tx.commit().await.map_err(Error::from)?;
        self.gatekeeper.forget();
        token.version += 1;
        Ok(token)
    }

    /// Makes a token that takes the place of another one, which is good for `overlap` besides; once for each key of a client.
    ///
    /// # Errors
    /// Those of `check`; `Gone`, `Replaced`, `Key`.
    pub async fn rotate_token<E: From<Error>>(
        &self,
        id: TokenId,
        overlap: Duration,
        by: By,
        once: Option<&Once>,
        check: impl FnOnce(&ApiToken) -> Result<(), E>,
        shape: impl FnOnce(ApiToken, &Minted) -> Value,
    ) -> Result<Answer, E> {
        let mut tx = self.writer.begin().await.map_err(Error::from)?;
        let rotating = async |tx: &mut Tx| {
            let old = tx.hold_token(id).await?.ok_or(Error::Gone)?;
            check(&old).map_err(Stopped::Checked)?;
            let (token, minted) = replace(tx, old, overlap, by).await?;
            Ok::<_, Stopped<E>>(answer(token, &minted, shape))
        };
        let answer = once::once(&mut tx, once, rotating).await.map_err(Stopped::into_error)?;
        tx.commit().await.map_err(Error::from)?;
        self.gatekeeper.forget();
        Ok(answer)
    }
}

/// Why a token was not replaced.
enum Stopped<E> {
    /// The caller's own check says so.
    Checked(E),
    /// It could not be done.
    Failed(Error),
}

impl<E> From<Error> for Stopped<E> {
    fn from(error: Error) -> Self {
        Stopped::Failed(error)
    }
}

impl<E> From<pipecast_store::Error> for Stopped<E> {
    fn from(error: pipecast_store::Error) -> Self {
        Stopped::Failed(error.into())
    }
}

impl<E> From<KeyRefused> for Stopped<E> {
    fn from(error: KeyRefused) -> Self {
        Stopped::Failed(error.into())
    }
}

impl<E: From<Error>> Stopped<E> {
    fn into_error(self) -> E {
        match self {
            Stopped::Checked(error) => error,
            Stopped::Failed(error) => error.into(),
        }
    }
}

/// That somebody with these grants may have such a token.
fn check(grants: &Grants, wanted: &Wanted) -> Result<(), Error> {
    let beyond = |permission: &Permission| match wanted.project {
        Some(project) => permission.is_of_the_whole() || !grants.may_in(*permission, project),
        None => !grants.may_somewhere(*permission),
    };
    match wanted.scopes.iter().copied().filter(beyond).collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        beyond => Err(Error::Beyond(beyond)),
    }
}

async fn make(tx: &mut Tx, user: UserId, wanted: &Wanted) -> Result<(ApiToken, Minted), Error> {
    let new = |prefix, hash| NewToken {
        id: TokenId::fresh(),
        prefix,
        hash,
        user_id: user,
        name: wanted.name.clone(),
        scopes: Permission::write_list(&wanted.scopes),
        project_id: wanted.project,
        expires_at: after(Timestamp::now(), wanted.lifetime),
        rotated_from: None,
    };
    add(tx, new).await
}

async fn replace(tx: &mut Tx, mut old: ApiToken, overlap: Duration, by: By) -> Result<(ApiToken, Minted), Error> {
    let now = Timestamp::now();
    let heirs = tx.list_heirs(&old).await?;
    if let Some(heir) = heirs.iter().find(|heir| heir.revoked_at.is_none() && heir.expires_at > now) {
        return Err(Error::Replaced(heir.prefix.clone()));
    }
    // Whichever was replaced ends sooner than it was made for; one that was not has the lifetime of all.
    let lifetimes = heirs.iter().chain([&old]).map(|token| token.expires_at.0.saturating_sub(token.created_at.0));
    let lifetime = Duration::from_micros(lifetimes.max().and_then(|longest| u64::try_from(longest).ok()).unwrap_or(0));
    let new = |prefix, hash| NewToken {
        id: TokenId::fresh(),
        prefix,
        hash,
        user_id: old.user_id,
        name: old.name.clone(),
        scopes: old.scopes.clone(),
        project_id: old.project_id,
        expires_at: after(now, lifetime),
        rotated_from: Some(old.id),
    };
    let added = add(tx, new).await?;
    old.expires_at = old.expires_at.min(after(now, overlap));
    tx.write_token(&old).await?;
    tx.audit(Entry::new(by, "token.rotate").on("token", old.id, &old.name).after(told(&added.0)));
    Ok(added)
}

fn answer(token: ApiToken, minted: &Minted, shape: impl FnOnce(ApiToken, &Minted) -> Value) -> Answer {
    let (location, version) = (format!("/admin/v1/tokens/{}", token.id), token.version);
    Answer::new(location, version, shape(token, minted)).with_secret()
}

/// A token as the audit shows it.
fn told(token: &ApiToken) -> Value {
    json!({
        "prefix": token.prefix, "name": token.name, "scopes": token.scopes, "project_id": token.project_id,
        "expires_at": token.expires_at, "revoked": token.revoked_at.is_some(),
    })
}

/// Another prefix is tried where one is taken: there are 62^8 of them.
async fn add(tx: &mut Tx, new: impl Fn(String, Vec<u8>) -> NewToken) -> Result<(ApiToken, Minted), Error> {
    loop {
        let (prefix, minted) = mint_token();
        let token = new(prefix, minted.hash.to_vec());
        if tx.add_token(&token).await? {
            return Ok((tx.hold_token(token.id).await?.ok_or(Error::Gone)?, minted));
        }
    }
}
