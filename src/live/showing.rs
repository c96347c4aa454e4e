//! Tokens that are shown on an open socket: the command `auth`, before anything else or to go on when the first token ends.
//! Knows nothing of frames and topics.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use pipecast_auth::{Gatekeeper, Presented, Refusal};
use pipecast_http::Known;
use pipecast_model::Timestamp;

use super::rights::Rights;

/// A token whose end is nearer than this is announced.
pub const SOON: std::time::Duration = std::time::Duration::from_secs(30);

/// A token that is being verified.
pub struct Showing {
    cid: Option<i64>,
    verdict: LocalBoxFuture<'static, Result<Rights, Refusal>>,
}

impl Showing {
    /// Begins to verify.
    pub fn new(cid: Option<i64>, token: String, gatekeeper: Arc<Gatekeeper>) -> Showing {
        let verdict = async move {
            let entrant = gatekeeper.admit(Presented::Bearer(&token)).await?;
            let ends = end_of(&gatekeeper, &token);
            Ok(Rights::of(&Known::new(gatekeeper, entrant), ends))
        };
        Showing {
            cid,
            verdict: verdict.boxed_local(),
        }
    }

    /// The verdict, with the number of the command.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Option<i64>, Result<Rights, Refusal>)> {
        self.verdict.poll_unpin(cx).map(|verdict| (self.cid, verdict))
    }
}

/// When a token ends by itself; tokens of programs end with what they stand for.
pub fn end_of(gatekeeper: &Gatekeeper, token: &str) -> Option<Timestamp> {
    gatekeeper.end_of(token).filter(|ends| *ends < Timestamp(i64::MAX))
}
