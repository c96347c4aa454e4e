//! Tokens that are shown on an open socket: the command `auth`, before anything else or to go on when the first token ends.
//! Knows nothing of frames and topics.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use pipecast_auth::{Entrant, Gatekeeper, Presented, Refusal};
use pipecast_http::{Known, Meter, Problem};
use pipecast_model::Timestamp;

use super::rights::Rights;

/// A token whose end is nearer than this is announced.
pub const SOON: std::time::Duration = std::time::Duration::from_secs(30);

/// A token that is being verified.
pub struct Showing {
    cid: Option<i64>,
    verdict: LocalBoxFuture<'static, Result<Rights, Problem>>,
}

impl Showing {
    /// Begins to verify. Who guesses pays by `meter`.
    pub fn new(cid: Option<i64>, token: String, gatekeeper: Arc<Gatekeeper>, meter: Meter) -> Showing {
        let verdict = async move {
            let entrant = prove(&gatekeeper, &meter, &token).await?;
            let ends = end_of(&gatekeeper, &token);
            Ok(Rights::of(&Known::new(gatekeeper, entrant), ends))
        };
        Showing {
            cid,
            verdict: verdict.boxed_local(),
        }
    }

    /// The verdict, with the number of the command.
    ///
    /// # Errors
    /// `token_refused`, `too_many`, `unavailable`.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Option<i64>, Result<Rights, Problem>)> {
        self.verdict.poll_unpin(cx).map(|verdict| (self.cid, verdict))
    }
}

/// Whose token it is, where it is shown elsewhere than in a header. A token that is new here is looked at only while its address has not
/// guessed too often, and one that is no good is a guess.
///
/// # Errors
/// `token_refused`, `too_many`, `unavailable`.
pub async fn prove(gatekeeper: &Gatekeeper, meter: &Meter, token: &str) -> Result<Entrant, Problem> {
    let shown = Presented::Bearer(token);
    let is_known_to_be_bad = matches!(gatekeeper.recall(shown), Some(Err(_)));
    if is_known_to_be_bad || !gatekeeper.remembers(shown) {
        meter.check_impostor()?;
    }
    gatekeeper.admit(shown).await.map_err(|refusal| {
        if matches!(refusal, Refusal::Invalid) {
            // The one that uses it up is told what is wrong with it; the next ones are not looked at.
            drop(meter.take_impostor());
        }
        refusal.into()
    })
}

/// When a token ends by itself; tokens of programs end with what they stand for.
pub fn end_of(gatekeeper: &Gatekeeper, token: &str) -> Option<Timestamp> {
    gatekeeper.end_of(token).filter(|ends| *ends < Timestamp(i64::MAX))
}
