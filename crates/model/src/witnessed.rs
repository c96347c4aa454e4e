//! What a node has witnessed of its callers and tells whoever may write: which tokens were used, and who was denied what.
//! Knows nothing of how it is noticed, nor of where it is written.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Timestamp, TokenId, UserId};

/// What a node has witnessed since it told the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnessed {
    /// Tokens that were used, each once.
    pub uses: Vec<TokenUse>,
    /// What was denied.
    pub denials: Vec<Denial>,
}

impl Witnessed {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.uses.is_empty() && self.denials.is_empty()
    }
}

/// The newest use of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUse {
    /// Which.
    pub token: TokenId,
    /// When.
    pub at: Timestamp,
    /// From where, as far as that is known.
    pub ip: Option<IpAddr>,
}

/// One caller who was denied one operation, as often as that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Whoever it is; none for somebody whom we do not know.
    pub user: Option<UserId>,
    /// The token of theirs that they came with.
    pub token: Option<TokenId>,
    /// Method and pattern of the path, as in `GET /admin/v1/users/{id}`; a command on an open socket in the method's place, as in `auth /ws`.
    pub operation: String,
    /// The word of the problem that they were answered with.
    pub code: String,
    /// How often since it was told the last time, at least 1.
    pub count: u64,
    /// When the first of these was.
    pub since: Timestamp,
    /// From where, the first time.
    pub ip: Option<IpAddr>,
    /// What the client called itself, the first time.
    pub user_agent: Option<String>,
    /// The request, the first time.
    pub request_id: String,
}
