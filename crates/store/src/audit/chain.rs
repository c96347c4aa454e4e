//! Rows of the audit and how each is chained to the one before.
//! Knows nothing of the database.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use pipecast_model::{ProjectId, Timestamp, TokenId, UserId, hexadecimal};

/// What stands before the first row.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its number, without gaps from 1 on.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// `user`, `token`, `system`, `anonymous`.
    pub actor: String,
    /// The person, also where a token of theirs was used.
    pub user_id: Option<UserId>,
    /// The token.
    pub token_id: Option<TokenId>,
    /// A resource and a verb: `source.create`.
    pub action: String,
    /// `ok` or `denied`.
    pub outcome: String,
    /// The project that it belongs to.
    pub project_id: Option<ProjectId>,
    /// What kind of thing it was done to.
    pub resource_type: Option<String>,
    /// Its id.
    pub resource_id: Option<String>,
    /// What it was called then.
    pub resource_label: Option<String>,
    /// What was different before: JSON, as it was hashed.
    pub before: Option<String>,
    /// What it has become: JSON, as it was hashed.
    pub after: Option<String>,
    /// The client's address.
    pub ip: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// SHA-256 in hex over the hash of the row before, as 32 bytes, and this row's canonical form.
    pub hash: String,
}

impl Row {
    /// What is hashed: every column but the hash, in this order, as one JSON array without spaces; instants in microseconds, UUIDs
    /// as text, `before` and `after` as the text that they are.
    pub fn canonical(&self) -> String {
        let columns = serde_json::json!([
            self.seq,
            self.at.0,
            self.actor,
            self.user_id,
            self.token_id,
            self.action,
            self.outcome,
            self.project_id,
            self.resource_type,
            self.resource_id,
            self.resource_label,
            self.before,
            self.after,
            self.ip,
            self.user_agent,
            self.request_id,
        ]);
        columns.to_string()
    }

    /// The hash that it has to have behind a row with this one.
    pub(super) fn hash_after(&self, before: &str) -> String {
        let mut bytes = unhex(before);
        bytes.extend_from_slice(self.canonical().as_bytes());
        hexadecimal::write(digest(&SHA256, &bytes).as_ref())
    }
}

/// The bytes of a hash. What is no hash stands for itself, so that it cannot stand for one.
fn unhex(text: &str) -> Vec<u8> {
    let bytes = |text: &str| {
        let pairs = (0..text.len())
            .step_by(2)
            .map(|at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
        pairs.collect::<Option<Vec<u8>>>()
    };
    bytes(text).unwrap_or_else(|| text.as_bytes().to_vec())
}

/// A row by its number and hash: it vouches for itself and everything before it. Written `SEQ:HASH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The row's number; 0 stands before the first.
    pub seq: i64,
    /// The row's hash.
    pub hash: String,
}

impl Anchor {
    /// Before the first row.
    pub(super) fn genesis() -> Anchor {
        Anchor {
            seq: 0,
            hash: GENESIS.to_owned(),
        }
    }

    /// Puts a row behind this one and moves on to it.
    pub(super) fn append(&mut self, mut row: Row) -> Row {
        row.seq = self.seq + 1;
        row.hash = row.hash_after(&self.hash);
        self.seq = row.seq;
        self.hash.clone_from(&row.hash);
        row
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

/// Not an anchor.
#[derive(Debug, thiserror::Error)]
#[error("an anchor is SEQ:HASH, a number and 64 hex digits, as `pipecast audit verify` prints it")]
pub struct BadAnchor;

impl FromStr for Anchor {
    type Err = BadAnchor;

    fn from_str(text: &str) -> Result<Self, BadAnchor> {
        let (seq, hash) = text.trim().split_once(':').ok_or(BadAnchor)?;
        let seq = seq.parse().ok().filter(|seq| *seq >= 0).ok_or(BadAnchor)?;
        let is_hash = hash.len() == GENESIS.len() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash
            .then(|| Anchor {
                seq,
                hash: hash.to_ascii_lowercase(),
            })
            .ok_or(BadAnchor)
    }
}
