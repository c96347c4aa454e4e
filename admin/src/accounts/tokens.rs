//! Tokens of programs as they are made, replaced and ended.
//! Knows nothing of requests.

use std::time::Duration;

use pipecast_auth::{Grants, Minted, mint_token};
use pipecast_model::{Permission, ProjectId, Timestamp, TokenId, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{ApiToken, NewToken, Tx};
use serde_json::{Value, json};

use super::{Accounts, Error, after};

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
    /// Makes a token that may no more than `grants`. The secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// `Beyond` where the user may not do it all themselves, `Gone` where there is no such project.
    pub async fn create_token(&self, user: UserId, grants: &Grants, wanted: Wanted, by: By) -> Result<(ApiToken, Minted), Error> {
        let beyond = |permission: &Permission| match wanted.project {
            Some(project) => permission.is_of_the_whole() || !grants.may_in(*permission, project),
            None => !grants.may_somewhere(*permission),
        };
        let beyond: Vec<Permission> = wanted.scopes.iter().copied().filter(beyond).collect();
        if !beyond.is_empty() {
            return Err(Error::Beyond(beyond));
        }
        if let Some(project) = wanted.project
            && !self.reader.has_project(project).await?
        {
            return Err(Error::Gone);
        }
        let scopes: Vec<&str> = wanted.scopes.iter().map(|permission| permission.word()).collect();
        let mut tx = self.writer.begin().await?;
        let new = |prefix, hash| NewToken {
            id: TokenId::fresh(),
            prefix,
            hash,
            user_id: user,
            name: wanted.name.clone(),
            scopes: scopes.join(" "),
            project_id: wanted.project,
            expires_at: after(Timestamp::now(), wanted.lifetime),
            rotated_from: None,
        };
        let added = add(&mut tx, new).await?;
        tx.audit(Entry::new(by, "token.create").on("token", added.0.id, &added.0.name).after(told(&added.0)));
        tx.commit().await?;
        Ok(added)
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
        tx.audit(Entry::new(by, "token.change").on("token", id, &token.name).changed(before, told(&token)));
        tx.commit().await.map_err(Error::from)?;
        self.gatekeeper.forget();
        token.version += 1;
        Ok(token)
    }

    /// Makes a token that takes the place of another one, which is good for `overlap` besides.
    ///
    /// # Errors
    /// Those of `check`; `Gone`.
    pub async fn rotate_token<E: From<Error>>(
        &self,
        id: TokenId,
        overlap: Duration,
        by: By,
        check: impl FnOnce(&ApiToken) -> Result<(), E>,
    ) -> Result<(ApiToken, Minted), E> {
        let mut tx = self.writer.begin().await.map_err(Error::from)?;
        let mut old = tx.hold_token(id).await.map_err(Error::from)?.ok_or(Error::Gone)?;
        check(&old)?;
        let now = Timestamp::now();
        let lifetime = Duration::from_micros(u64::try_from(old.expires_at.0 - old.created_at.0).unwrap_or(0));
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
        let added = add(&mut tx, new).await?;
        old.expires_at = old.expires_at.min(after(now, overlap));
        tx.write_token(&old).await.map_err(Error::from)?;
        tx.audit(Entry::new(by, "token.rotate").on("token", old.id, &old.name).after(told(&added.0)));
        tx.commit().await.map_err(Error::from)?;
        self.gatekeeper.forget();
        Ok(added)
    }
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
