//! What clients may say in the address of a socket or stream. What is not named here is refused.
//! Knows nothing of what becomes of it.

use actix_web::{FromRequest, HttpRequest};
use pipecast_http::{Problem, Query};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What a client may say in the address of a socket on one topic. A token is not among it: addresses end up in logs. A ticket is, because
/// it is worth nothing by the time it is in one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SocketWishes {
    /// The cursor of the last frame that the client applied.
    pub since: Option<String>,
    /// How much of the protocol it speaks.
    pub profile: Option<Profile>,
    /// Opens this one socket; see `POST /api/ws-tickets`.
    pub ticket: Option<String>,
}

/// What a client may say in the address of a socket that takes commands.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MuxWishes {
    /// Opens this one socket.
    pub ticket: Option<String>,
}

/// How much of the protocol a socket speaks, for clients that cannot name a subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Profile {
    /// States and nothing else.
    Plain,
    /// All of it.
    V1,
}

/// What a client may say in the address of a stream on one topic.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamWishes {
    /// The cursor of the last event that the client applied.
    pub since: Option<String>,
}

/// What a client may say in the address of a stream on many topics.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManyWishes {
    /// With commas between.
    pub topics: String,
}

/// What a request says in its address.
///
/// # Errors
/// `invalid_query`.
pub(super) fn wishes_of<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    Query::<T>::extract(request).into_inner().map(|Query(wishes)| wishes)
}
