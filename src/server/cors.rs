//! Pages of other origins (CORS): none, or those that `server.cors_origins` names, each compared as a whole.
//! Knows nothing of who asks: a page that may read answers still has to show what everybody has to show.

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName};
use actix_web::middleware::Condition;

/// Seconds for which a browser remembers what it may send; Chromium's own limit is two hours.
const REMEMBERED: usize = 600;

/// What such a page may send. Not `X-Pipecast`, which says that a page is ours.
static SENT: [HeaderName; 7] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
];

/// What it may read beside the few headers that every page may.
static SHOWN: [HeaderName; 7] = [
    header::ETAG,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("x-request-id"),
];

/// Lets pages of these origins read answers and send what [`SENT`] names; with no origin there is nothing in the way of a request.
///
/// A page of another origin is answered like a program, without a word that would let it read the answer: pages of ours send their origin
/// as well, so nobody is turned away for having one.
pub(super) fn pages_of(origins: &[String]) -> Condition<Cors> {
    let cors = Cors::default()
        .allowed_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allowed_headers(SENT.clone())
        .expose_headers(SHOWN.clone())
        .supports_credentials()
        .block_on_origin_mismatch(false)
        .max_age(REMEMBERED);
    let cors = origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin));
    Condition::new(!origins.is_empty(), cors)
}
