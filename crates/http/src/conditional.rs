//! Conditional requests (RFC 9110, section 13): a version as `ETag`, changes that name the version they are a change of, and 304.
//! Knows nothing of what is versioned.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderName};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::Serialize;

use crate::{Code, Problem};

/// The `ETag` of a version.
pub fn etag(version: i64) -> String {
    format!("\"v{version}\"")
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
        let own = etag(version);
        match self.0.iter().any(|tag| *tag == own || tag == "*") {
            true => Ok(()),
            false => Err(Problem::new(Code::Stale)
                .detail(format!("it is {own} now; read it again, and change that"))
                .etag(own)),
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

/// The answer to a reading of something with a version: 304 where the client has it.
pub fn show<T: Serialize>(request: &HttpRequest, version: i64, body: &T) -> HttpResponse {
    let own = etag(version);
    let is_known = is_known(request, &own);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, own));
    response.insert_header((header::CACHE_CONTROL, "no-cache"));
    if is_known { response.finish() } else { response.json(body) }
}

/// The answer to a change: the thing as it is now.
pub fn changed<T: Serialize>(version: i64, body: &T) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::ETAG, etag(version))).json(body)
}

/// The answer to a creation: the thing, and where it is from now on.
pub fn created<T: Serialize>(version: i64, location: &str, body: &T) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((header::ETAG, etag(version)))
        .insert_header((header::LOCATION, location))
        .json(body)
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
        for current in ["\"v7\"", "W/\"v7\"", "\"v6\", \"v7\"", "*"] {
            assert_eq!(check(Some(current)), Ok(()), "{current}");
        }
    }

    #[test]
    fn who_has_it_is_not_sent_it_again() {
        let with = |value: &str| TestRequest::default().insert_header((header::IF_NONE_MATCH, value)).to_http_request();

        assert_eq!(show(&with("\"v7\""), 7, &1).status(), 304);
        assert_eq!(show(&with("\"v6\""), 7, &1).status(), 200);
    }
}
