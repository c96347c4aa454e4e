//! Accounts as lines of text that can be brought to another installation. What they come in with is not in them.
//! Knows nothing of requests.

use pipecast_model::Role;
use pipecast_store::audit::{By, Entry};
use pipecast_store::{NewUser, Tx, User, UserQuery};
use serde::{Deserialize, Serialize};

use super::{disabled_at, told, write};
use crate::accounts::{Accounts, Error};
use crate::exchange::{Action, Need, PAGE, Rehearsal, Step, different};

/// An account in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserLine)]
pub struct Line {
    /// What they log in with, by which they are known again.
    #[schema(example = "ada")]
    pub name: String,
    /// What they are called.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Where they are written to.
    #[serde(default)]
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
            ("name", user.name != self.name.trim()),
            ("display_name", user.display_name != self.display_name),
            ("email", user.email != self.email),
            ("role", user.role != self.role),
            ("disabled", user.disabled_at.is_some() != self.disabled),
        ])
    }

    fn apply(&self, user: &mut User) {
        self.name.trim().clone_into(&mut user.name);
        user.display_name.clone_from(&self.display_name);
        user.email.clone_from(&self.email);
        user.role = self.role;
        user.disabled_at = disabled_at(user.disabled_at, self.disabled);
    }
}

impl Accounts {
    /// Every account that is not deleted, by id.
    ///
    /// # Errors
    /// `Store`.
    pub async fn export_users(&self) -> Result<Vec<Line>, Error> {
        let mut lines = Vec::new();
        let mut after = None;
        loop {
            let query = UserQuery {
                after,
                limit: PAGE,
                ..UserQuery::default()
            };
            let page = self.reader.list_users(&query).await?;
            after = page.last().map(|user| user.id);
            let is_last = i64::try_from(page.len()).is_ok_and(|length| length < PAGE);
            lines.extend(page.into_iter().map(Line::from));
            if is_last {
                return Ok(lines);
            }
        }
    }

    /// Makes accounts like these lines, in one transaction, and says what that is. With `Rehearsal::Dry` nothing is done.
    ///
    /// # Errors
    /// `LastAdmin`, `NameTaken`, `Store`.
    pub async fn import_users(&self, lines: &[Line], rehearsal: Rehearsal, by: &By) -> Result<Vec<Step>, Error> {
        let mut tx = self.writer.begin().await?;
        let mut steps = Vec::with_capacity(lines.len());
        for (at, line) in lines.iter().enumerate() {
            steps.push(import(&mut tx, at + 1, line, by).await?);
        }
        if rehearsal == Rehearsal::Real {
            tx.commit().await?;
            self.gatekeeper.forget();
        }
        Ok(steps)
    }
}

async fn import(tx: &mut Tx, number: usize, line: &Line, by: &By) -> Result<Step, Error> {
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
    Ok(Step {
        line: number,
        thing: after.name,
        action,
        changes,
        needs: (!after.has_password).then_some(Need::Password),
    })
}

/// An account without a password.
async fn make(tx: &mut Tx, line: &Line) -> Result<User, Error> {
    let new = NewUser {
        name: line.name.trim().to_owned(),
        display_name: line.display_name.clone(),
        email: line.email.clone(),
        role: line.role,
        password: None,
    };
    let id = tx.create_user(&new).await?.ok_or(Error::NameTaken)?;
    tx.hold_user(id).await?.ok_or(Error::Gone)
}
