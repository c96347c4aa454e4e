//! Conditional requests (RFC 9110, section 13): a version as `ETag`, changes that name the version they are a change of, and 304.
//! Knows nothing of what is versioned.

use std::future::{Ready, ready};
use std::hash::Hasher;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderName};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::Serialize;

use crate::{Code, Problem};

/// The `ETag` of a version, whatever else is shown beside it.
pub fn etag(version: i64) -> String {
    format!("\"v{version}\"")
}

/// Whether a tag names this version: as it is, or with what was shown beside it, as in `"v7-1f0c"`.
pub fn names(tag: &str, version: i64) -> bool {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let inner = tag.strip_prefix("\"v").and_then(|tag| tag.strip_suffix('"'));
    inner.is_some_and(|inner| inner.split('-').next() == Some(version.to_string().as_str()))
}

/// The `ETag` of what is shown: its version, and a hash over all of it. Much that is shown changes without its version (when it was heard of or
/// used last, how it stands), and whoever asks for that again is not to be told that nothing is new.
fn etag_of(version: i64, body: &[u8]) -> String {
    format!("\"v{version}-{}\"", hash(body))
}

/// Not for secrets: nobody gains anything by a second body of the same hash.
fn hash(body: &[u8]) -> String {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    hasher.write(body);
    format!("{:016x}", hasher.finish())
}

/// The version that a change is a change of: `If-Match`, without which nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfMatch(Vec<String>);

impl IfMatch {
    /// That it is a change of what is there now.
    ///
    /// # Errors
    /// `stale`, with the version that is there.
    pub fn check(&self, version: i64) -> Result<(), Problem> {
        match self.0.iter().any(|tag| tag == "*" || names(tag, version)) {
            true => Ok(()),
            false => Err(stale(version)),
        }
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let tags = tags(request, &header::IF_MATCH);
        ready(match tags.is_empty() {
            true => Err(Problem::new(Code::PreconditionRequired).detail("send the ETag that you have read in If-Match")),
            false => Ok(IfMatch(tags)),
        })
    }
}

/// Whether the client has what goes under this tag.
pub fn is_known(request: &HttpRequest, own: &str) -> bool {
    tags(request, &header::IF_NONE_MATCH).iter().any(|tag| tag == own || tag == "*")
}

/// That somebody has changed it meanwhile, and to what version.
pub fn stale(version: i64) -> Problem {
    let own = etag(version);
    Problem::new(Code::Stale)
        .detail(format!("it is {own} now; read it again, and change that"))
        .etag(own)
}

/// The answer to a reading of something with a version: 304 where the client has just this.
pub fn show<T: Serialize>(request: &HttpRequest, version: i64, body: &T) -> HttpResponse {
    let body = json(body);
    answer(request, etag_of(version, &body), body)
}

/// The answer to a reading of something without a version.
pub fn show_as_it_is<T: Serialize>(request: &HttpRequest, body: &T) -> HttpResponse {
    let body = json(body);
    answer(request, format!("\"{}\"", hash(&body)), body)
}

fn answer(request: &HttpRequest, own: String, body: Vec<u8>) -> HttpResponse {
    let is_known = is_known(request, &own);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, own));
    response.insert_header((header::CACHE_CONTROL, "no-cache"));
    if is_known {
        response.finish()
    } else {
        response.content_type("application/json").body(body)
    }
}

/// The answer to a change: the thing as it is now.
pub fn changed<T: Serialize>(version: i64, body: &T) -> HttpResponse {
    let body = json(body);
    HttpResponse::Ok()
        .insert_header((header::ETAG, etag_of(version, &body)))
        .content_type("application/json")
        .body(body)
}

/// The answer to a creation: the thing, and where it is from now on. What is shown this once is not in a later reading, so its `ETag` is the
/// version alone.
pub fn created<T: Serialize>(version: i64, location: &str, body: &T) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((header::ETAG, etag(version)))
        .insert_header((header::LOCATION, location))
        .json(body)
}

fn json<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).expect("what is shown is plain JSON")
}

/// The tags of a header. A proxy that compresses makes strong ones weak; they name the same version.
fn tags(request: &HttpRequest, name: &HeaderName) -> Vec<String> {
    let lists = request.headers().get_all(name).filter_map(|list| list.to_str().ok());
    let tags = lists.flat_map(|list| list.split(',')).map(str::trim).filter(|tag| !tag.is_empty());
    tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn if_match(value: Option<&str>) -> Result<IfMatch, Problem> {
        let request = value.map_or_else(TestRequest::default, |value| TestRequest::default().insert_header((header::IF_MATCH, value)));
        IfMatch::extract(&request.to_http_request()).into_inner()
    }

    #[test]
    fn a_change_names_the_version_that_it_is_a_change_of() {
        let check = |value| if_match(value).and_then(|given| given.check(7)).map_err(|problem| problem.code());

        assert_eq!(check(None), Err(Code::PreconditionRequired));
        assert_eq!(check(Some("\"v6\"")), Err(Code::Stale));
        assert_eq!(check(Some("v7")), Err(Code::Stale));
        assert_eq!(check(Some("\"v70\"")), Err(Code::Stale));
        for current in ["\"v7\"", "W/\"v7\"", "\"v7-1f0c\"", "\"v6\", \"v7\"", "*"] {
            assert_eq!(check(Some(current)), Ok(()), "{current}");
        }
    }

    #[test]
    fn who_has_it_is_not_sent_it_again_and_what_has_no_version_of_its_own_is() {
        let with = |value: &str| TestRequest::default().insert_header((header::IF_NONE_MATCH, value)).to_http_request();
        let first = show(&with("\"v7\""), 7, &1);
        let tag = first.headers().get(header::ETAG).expect("set").to_str().expect("text").to_owned();

        assert_eq!((first.status().as_u16(), names(&tag, 7)), (200, true));
        assert_eq!(show(&with(&tag), 7, &1).status(), 304);
        assert_eq!(show(&with(&format!("W/{tag}")), 7, &1).status(), 304);
        assert_eq!(show(&with(&tag), 7, &2).status(), 200, "the same version is shown otherwise now");
        assert_eq!(show(&with(&tag), 8, &1).status(), 200);
        assert_eq!(show_as_it_is(&with(&tag), &1).status(), 200);
    }
}
