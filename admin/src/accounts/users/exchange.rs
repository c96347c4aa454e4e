//! Accounts as lines of text that can be brought to another installation. What they come in with is not in them.
//! Knows nothing of requests.

use pipecast_model::name::trimmed;
use pipecast_model::{Role, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{Direction, NewUser, Tx, User, UserQuery};
use serde::{Deserialize, Serialize};

use super::{disabled_at, is_in, keep_an_admin, takes_an_admin, told, write};
use crate::accounts::{Accounts, Error};
use crate::exchange::{Action, Exported, Need, PAGE, Rehearsal, Step, different};

/// An account in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserLine)]
pub struct Line {
    /// What they log in with, by which they are known again.
    #[serde(deserialize_with = "trimmed")]
    #[schema(example = "ada")]
    pub name: String,
    /// What they are called.
    #[serde(default, deserialize_with = "trimmed")]
    pub display_name: Option<String>,
    /// Where they are written to.
    #[serde(default, deserialize_with = "trimmed")]
    pub email: Option<String>,
    /// What they are everywhere.
    #[serde(default)]
    pub role: Option<Role>,
    /// Whether they may not come in.
    #[serde(default)]
    pub disabled: bool,
    /// Whether they can log in with a password. It stays where it is; an import passes this over.
    #[serde(default)]
    pub has_password: bool,
}

impl From<User> for Line {
    fn from(user: User) -> Self {
        Line {
            name: user.name,
            display_name: user.display_name,
            email: user.email,
            role: user.role,
            disabled: user.disabled_at.is_some(),
            has_password: user.has_password,
        }
    }
}

impl Line {
    /// Which members of an account it would change.
    fn changes(&self, user: &User) -> Vec<&'static str> {
        different([
            ("name", user.name != self.name),
            ("display_name", user.display_name != self.display_name),
            ("email", user.email != self.email),
            ("role", user.role != self.role),
            ("disabled", user.disabled_at.is_some() != self.disabled),
        ])
    }

    fn apply(&self, user: &mut User) {
        user.name.clone_from(&self.name);
        user.display_name.clone_from(&self.display_name);
        user.email.clone_from(&self.email);
        user.role = self.role;
        user.disabled_at = disabled_at(user.disabled_at, self.disabled);
    }
}

impl Accounts {
    /// A page of the accounts that are not deleted, by id.
    ///
    /// # Errors
    /// `Store`.
    pub async fn export_users(&self, after: Option<UserId>) -> Result<Exported<Line, UserId>, Error> {
        let query = UserQuery {
            direction: Direction::Up,
            after,
            limit: PAGE,
            ..UserQuery::default()
        };
        let users = self.reader.list_users(&query).await?;
        Ok(Exported::of(users, |user| user.id, Line::from))
    }

    /// Makes accounts like these lines, in one transaction, and says what that is. `may_give` is asked for each role that somebody gets. With
    /// `Rehearsal::Dry` nothing is done. Whether an admin is left is seen at its end, so the order of the lines is free.
    ///
    /// # Errors
    /// Those of `may_give`; `LastAdmin`, `NameTaken`, `Store`.
    pub async fn import_users<E: From<Error>>(
        &self,
        lines: &[(usize, Line)],
        rehearsal: Rehearsal,
        by: &By,
        may_give: impl Fn(Role) -> Result<(), E>,
    ) -> Result<Vec<Step>, E> {
        let mut tx = self.writer.begin().await.map_err(Error::from)?;
        let (mut steps, mut judge) = (Vec::with_capacity(lines.len()), false);
        for (number, line) in lines {
            let Imported { step, given, takes_an_admin } = import(&mut tx, *number, line, by).await?;
            given.map_or(Ok(()), &may_give)?;
            judge |= takes_an_admin;
            steps.push(step);
        }
        if judge {
            keep_an_admin(&mut tx).await?;
        }
        if rehearsal == Rehearsal::Real {
            tx.commit().await.map_err(Error::from)?;
            self.gatekeeper.forget();
        }
        Ok(steps)
    }
}

/// What somebody is everywhere who may come in.
pub(crate) fn standing(user: &User) -> Option<Role> {
    user.role.filter(|_| is_in(user))
}

/// What was done for a line.
struct Imported {
    step: Step,
    /// The role that somebody has got by it.
    given: Option<Role>,
    /// Whether there is one admin less.
    takes_an_admin: bool,
}

async fn import(tx: &mut Tx, number: usize, line: &Line, by: &By) -> Result<Imported, Error> {
    let there = tx.hold_user_named(&line.name).await?;
    let is_new = there.is_none();
    let before = match there {
        Some(user) => user,
        None => make(tx, line).await?,
    };
    let mut changes = line.changes(&before);
    let mut after = before.clone();
    if !changes.is_empty() {
        line.apply(&mut after);
        after = write(tx, &before, &after).await?;
    }
    let stood = if is_new { None } else { standing(&before) };
    let given = standing(&after).filter(|role| stood != Some(*role));
    let entry = Entry::new(by.clone(), "user.import").on("user", after.id, &after.name);
    let action = match (is_new, changes.is_empty()) {
        (true, _) => {
            tx.audit(entry.after(told(&after)));
            changes.clear();
            Action::Create
        }
        (false, true) => Action::Keep,
        (false, false) => {
            tx.audit(entry.changed(told(&before), told(&after)));
            Action::Update
        }
    };
    let step = Step {
        line: number,
        thing: after.name.clone(),
        action,
        changes,
        needs: (!after.has_password).then_some(Need::Password),
    };
    Ok(Imported {
        step,
        given,
        takes_an_admin: takes_an_admin(&before, &after),
    })
}

/// An account without a password.
async fn make(tx: &mut Tx, line: &Line) -> Result<User, Error> {
    let new = NewUser {
        name: line.name.clone(),
        display_name: line.display_name.clone(),
        email: line.email.clone(),
        role: line.role,
        password: None,
    };
    let id = tx.create_user(&new).await?.ok_or(Error::NameTaken)?;
    tx.hold_user(id).await?.ok_or(Error::Gone)
}
