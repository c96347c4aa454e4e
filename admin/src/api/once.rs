//! Creations that may come again under one `Idempotency-Key`: what the key stands for, and the answer, given once more where it was given before.
//! Knows nothing of what is made.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use pipecast_http::conditional::created;
use pipecast_http::idempotency::REPLAYED;
use pipecast_http::{Code, IdempotencyKey, Known, Problem, Visit};
use pipecast_store::Credential;
use pipecast_store::sealed::Keys;
use serde::Serialize;

use crate::once::{Answer, KeyRefused, Once};

/// When to ask again for the answer to a request that is under way. It was waited for before.
const AGAIN: Duration = Duration::from_secs(1);

/// What a client named its request, with what it asks for; none where it named it nothing.
///
/// # Errors
/// `unavailable` where there is no key to seal the answer with.
pub(super) fn named<T: Serialize>(known: &Known, visit: &Visit, key: IdempotencyKey, body: &T, keys: &Keys) -> Result<Option<Once>, Problem> {
    let IdempotencyKey { key: Some(key), operation } = key else { return Ok(None) };
    let ring = keys.ring().map_err(|error| Problem::ours(Code::Unavailable, &error))?;
    let body = zeroize::Zeroizing::new(serde_json::to_string(body).expect("a body is plain JSON"));
    Ok(Some(Once::new(caller(known), known.by(visit), &key, &[&operation, &body], ring)))
}

/// The answer to a creation, which says so where it is not the first.
pub(super) fn answered(answer: &Answer) -> HttpResponse {
    let mut response = created(answer.version, &answer.location, &answer.body);
    if answer.again {
        response
            .headers_mut()
            .insert(HeaderName::from_static(REPLAYED), HeaderValue::from_static("true"));
    }
    response
}

/// Whose keys a caller's are: a person's, or a program's.
fn caller(known: &Known) -> String {
    match known.credential() {
        Credential::Session(_) => format!("user:{}", known.bearing().user),
        Credential::Token(token) => format!("token:{token}"),
    }
}

impl From<KeyRefused> for Problem {
    fn from(refused: KeyRefused) -> Self {
        match refused {
            KeyRefused::OtherRequest => Problem::new(Code::Invalid).detail("this Idempotency-Key was used for another request; use a new one"),
            KeyRefused::UnderWay => Problem::new(Code::Conflict)
                .detail("the first request with this Idempotency-Key is still under way; send this one again for its answer")
                .retry_exactly(AGAIN),
        }
    }
}
