//! The audit: who did what, written in the transaction of what they did, and never changed.
//! Knows nothing of who may do what, and takes nobody's word for what is secret.
//!
//! Rows are numbered without gaps. Each has a hash over itself and the hash of the row before it, and the head has the number and the
//! hash of the newest: so a row that was changed, taken out, put elsewhere or cut off at the end shows. Whoever can write everything
//! could write the whole chain anew; that shows against an [`Anchor`] that was kept somewhere else.

use std::net::IpAddr;

use pipecast_model::{ProjectId, Timestamp, TokenId, UserId};
use serde_json::Value;
use sqlx::QueryBuilder;

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;

mod chain;
mod names;
mod reading;
mod redact;
mod verify;

pub use chain::{Anchor, BadAnchor, Row};
pub use names::{Named, Names};
pub use reading::AuditQuery;
pub use redact::without_tokens;
pub use verify::{Finding, Verification};

/// Rows in one statement.
const TOGETHER: usize = 200;

/// Characters of a label, a user agent or an id that are kept.
const LONGEST_TEXT: usize = 300;

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person in a session.
    User(UserId),
    /// A program with a token of a person.
    Token(TokenId, UserId),
    /// Pipecast itself, or whoever runs its commands on the machine.
    System,
    /// Nobody that we know: a refused login, or a setup.
    Anonymous,
}

impl Actor {
    fn word(self) -> &'static str {
        match self {
            Actor::User(_) => "user",
            Actor::Token(..) => "token",
            Actor::System => "system",
            Actor::Anonymous => "anonymous",
        }
    }
}

/// Who asked for something, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// The client's address, as far as it is known.
    pub ip: Option<IpAddr>,
    /// What the client calls itself; anything can stand here.
    pub user_agent: Option<String>,
    /// Under which our log speaks of the request.
    pub request_id: Option<String>,
}

impl By {
    /// Pipecast itself, or a command on the machine.
    pub fn system() -> By {
        By::actor(Actor::System)
    }

    /// The person, also where a token of theirs was used.
    pub fn user(&self) -> Option<UserId> {
        match self.actor {
            Actor::User(user) | Actor::Token(_, user) => Some(user),
            Actor::System | Actor::Anonymous => None,
        }
    }

    /// Somebody of whom no more is known.
    pub fn actor(actor: Actor) -> By {
        By {
            actor,
            ip: None,
            user_agent: None,
            request_id: None,
        }
    }
}

/// Whether it was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Done {
    /// It was.
    #[default]
    Ok,
    /// It was refused, and nothing has changed.
    Denied,
}

impl Done {
    fn word(self) -> &'static str {
        match self {
            Done::Ok => "ok",
            Done::Denied => "denied",
        }
    }
}

/// What somebody did, for `Tx::audit`.
///
/// ```
/// # use pipecast_store::audit::{By, Entry};
/// # use serde_json::json;
/// let entry = Entry::new(By::system(), "source.update")
///     .on("source", 7, "acme")
///     .changed(json!({"name": "acme"}), json!({"name": "Acme"}));
/// ```
#[derive(Clone, Debug)]
pub struct Entry {
    by: By,
    action: &'static str,
    done: Done,
    project: Option<ProjectId>,
    resource: Option<(&'static str, String, String)>,
    before: Option<Value>,
    after: Option<Value>,
}

impl Entry {
    /// `action` is a resource and a verb: `source.create`, `session.login`.
    pub fn new(by: By, action: &'static str) -> Entry {
        Entry {
            by,
            action,
            done: Done::Ok,
            project: None,
            resource: None,
            before: None,
            after: None,
        }
    }

    /// What it was done to: its kind, its id, and what it was called at that time.
    pub fn on(mut self, kind: &'static str, id: impl ToString, label: impl Into<String>) -> Entry {
        self.resource = Some((kind, id.to_string(), label.into()));
        self
    }

    /// The project that it belongs to.
    pub fn of(mut self, project: ProjectId) -> Entry {
        self.project = Some(project);
        self
    }

    /// It was refused.
    pub fn denied(mut self) -> Entry {
        self.done = Done::Denied;
        self
    }

    /// What it was like before.
    pub fn before(mut self, before: Value) -> Entry {
        self.before = Some(before);
        self
    }

    /// What it has become, or what was asked for. Secrets are not to stand in it; what looks like one is masked all the same.
    pub fn after(mut self, after: Value) -> Entry {
        self.after = Some(after);
        self
    }

    /// Both: of two objects only the fields that differ are kept.
    pub fn changed(self, before: Value, after: Value) -> Entry {
        let (before, after) = redact::differences(before, after);
        self.before(before).after(after)
    }

    /// Its row, but for what the chain gives it.
    fn into_row(self, at: Timestamp) -> Row {
        let (user_id, token_id) = match self.by.actor {
            Actor::User(user) => (Some(user), None),
            Actor::Token(token, user) => (Some(user), Some(token)),
            Actor::System | Actor::Anonymous => (None, None),
        };
        let (kind, id, label) = match self.resource {
            Some((kind, id, label)) => (Some(kind.to_owned()), Some(kept(&id)), Some(kept(&label))),
            None => (None, None, None),
        };
        Row {
            seq: 0,
            at,
            actor: self.by.actor.word().to_owned(),
            user_id,
            token_id,
            action: self.action.to_owned(),
            outcome: self.done.word().to_owned(),
            project_id: self.project,
            resource_type: kind,
            resource_id: id,
            resource_label: label,
            before: self.before.map(redact::told),
            after: self.after.map(redact::told),
            ip: self.by.ip.map(|ip| ip.to_canonical().to_string()),
            user_agent: self.by.user_agent.as_deref().map(kept),
            request_id: self.by.request_id.as_deref().map(kept),
            hash: String::new(),
        }
    }
}

/// As much of somebody else's text as is kept, without what could spoil a log line or a column.
fn kept(text: &str) -> String {
    without_tokens(text).chars().filter(|letter| !letter.is_control()).take(LONGEST_TEXT).collect()
}

impl Tx {
    /// Notes what somebody did. It stands in the audit once this transaction is committed, and not at all if it is not.
    pub fn audit(&mut self, entry: Entry) {
        self.unwritten.audit.push(entry);
    }

    /// Writes the rows, the last thing before the commit: whoever else wants to append waits from here on until this transaction ends.
    pub(crate) async fn write_audit(&mut self) -> Result<()> {
        const ATTEMPTED: &str = "write the audit";
        let entries = std::mem::take(&mut self.unwritten.audit);
        if entries.is_empty() {
            return Ok(());
        }
        // Takes the lock of the row, and reads what the transaction before this one has left there.
        const APPEND: &str = "UPDATE audit_head SET seq = seq + $1 WHERE id = 1 RETURNING seq, hash";
        let count = i64::try_from(entries.len()).expect("they fit into memory");
        let (last, hash): (i64, String) = on!(&mut self.on, |db| sqlx::query_as(APPEND).bind(count).fetch_one(&mut **db).await).attempted(ATTEMPTED)?;
        let now = Timestamp::now();
        let mut head = Anchor { seq: last - count, hash };
        let rows: Vec<Row> = entries.into_iter().map(|entry| head.append(entry.into_row(now))).collect();
        for rows in rows.chunks(TOGETHER) {
            on!(&mut self.on, |db| {
                let mut sql = QueryBuilder::new(
                    "INSERT INTO audit (seq, at, actor, user_id, token_id, action, outcome, project_id, resource_type, resource_id, resource_label,
                        before, after, ip, user_agent, request_id, hash) ",
                );
                sql.push_values(rows, |mut values, row| {
                    values
                        .push_bind(row.seq)
                        .push_bind(row.at)
                        .push_bind(&row.actor)
                        .push_bind(row.user_id)
                        .push_bind(row.token_id)
                        .push_bind(&row.action)
                        .push_bind(&row.outcome)
                        .push_bind(row.project_id)
                        .push_bind(&row.resource_type)
                        .push_bind(&row.resource_id)
                        .push_bind(&row.resource_label)
                        .push_bind(&row.before)
                        .push_bind(&row.after)
                        .push_bind(&row.ip)
                        .push_bind(&row.user_agent)
                        .push_bind(&row.request_id)
                        .push_bind(&row.hash);
                });
                sql.build().execute(&mut **db).await.map(drop)
            })
            .attempted(ATTEMPTED)?;
        }
        const HEAD: &str = "UPDATE audit_head SET hash = $1 WHERE id = 1";
        on!(&mut self.on, |db| sqlx::query(HEAD).bind(&head.hash).execute(&mut **db).await.map(drop)).attempted(ATTEMPTED)
    }
}
