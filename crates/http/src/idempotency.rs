//! `Idempotency-Key`: a name that a client gives a request, so that it is done once however often it is sent.
//! Knows nothing of what is done, nor of where answers are kept.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::{Code, Problem};

/// The header.
pub const HEADER: &str = "idempotency-key";
/// Says of an answer that it was given before.
pub const REPLAYED: &str = "idempotent-replayed";
/// Longest key.
const LONGEST: usize = 255;

/// The key of a request, where it has one, and what the request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// What the client calls it.
    pub key: Option<String>,
    /// Its method and path.
    pub operation: String,
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut keys = request.headers().get_all(HEADER);
        let operation = format!("{} {}", request.method(), request.path());
        let key = match (keys.next(), keys.next()) {
            (None, _) => return ready(Ok(IdempotencyKey { key: None, operation })),
            (Some(key), None) => key.to_str().ok().map(|key| key.trim().trim_matches('"').to_owned()),
            (Some(_), Some(_)) => None,
        };
        let is_one = |key: &String| !key.is_empty() && key.len() <= LONGEST && key.bytes().all(|byte| byte.is_ascii_graphic());
        ready(
            key.filter(is_one)
                .map(|key| IdempotencyKey { key: Some(key), operation })
                .ok_or_else(|| Problem::new(Code::Malformed).detail("Idempotency-Key is one text of 1 to 255 letters, digits and signs without spaces")),
        )
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn key(values: &[&str]) -> Result<Option<String>, Code> {
        let request = values
            .iter()
            .fold(TestRequest::default(), |request, value| request.append_header((HEADER, *value)));
        let key = IdempotencyKey::extract(&request.to_http_request()).into_inner();
        key.map(|named| named.key).map_err(|problem| problem.code())
    }

    #[test]
    fn a_key_is_one_text_without_spaces() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&["\"8e03978e-40d5\""]), Ok(Some("8e03978e-40d5".to_owned())));
        for wrong in [&["two words"][..], &[""], &["a", "b"]] {
            assert_eq!(key(wrong), Err(Code::Malformed), "{wrong:?}");
        }
        assert_eq!(key(&["x".repeat(256).as_str()]), Err(Code::Malformed));
    }
}
