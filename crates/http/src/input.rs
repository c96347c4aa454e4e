//! Bodies of requests: read within a limit and a deadline, and taken apart so that a mistake names its place.
//! Knows nothing of single fields.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Code, Fault, Problem, query};

/// How large a body may be, and how long it may take to arrive.
pub(crate) struct Bounds {
    /// In bytes.
    pub most: usize,
    /// From its first byte to its last.
    pub deadline: Duration,
}

/// Those of a login and its like.
const SHORT: Bounds = Bounds { most: 4 * 1024, ..SMALL };

/// Those of a body that is about one thing, or some.
pub(crate) const SMALL: Bounds = Bounds {
    most: 1024 * 1024,
    deadline: Duration::from_secs(10),
};

/// The JSON body of a request as a `T`, which has `#[serde(deny_unknown_fields)]`. Such a request has no query.
#[derive(Clone, Debug)]
pub struct Input<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Input<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let unasked = query::nothing(request);
        let body = read(request, payload, &["application/json"], &SMALL);
        Box::pin(async move {
            unasked?;
            parse(&body.await?).map(Input)
        })
    }
}

/// The same for what is typed in by whoever wants to come in: a name, a password, a code. Nobody has to be known to send one, so it is short.
#[derive(Clone, Debug)]
pub struct Short<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Short<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let unasked = query::nothing(request);
        let body = read(request, payload, &["application/json"], &SHORT);
        Box::pin(async move {
            unasked?;
            parse(&body.await?).map(Short)
        })
    }
}

/// The bytes of a body of one of these types, within these bounds.
pub(crate) fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    types: &'static [&'static str],
    bounds: &'static Bounds,
) -> LocalBoxFuture<'static, Result<Vec<u8>, Problem>> {
    let Bounds { most, deadline } = *bounds;
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_encoded = request.headers().contains_key(header::CONTENT_ENCODING);
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut payload = payload.take();
    Box::pin(async move {
        if !types.contains(&kind.as_str()) {
            return Err(Problem::new(Code::UnsupportedType).detail(format!("send a body of type {}", types.join(" or "))));
        }
        if is_encoded {
            return Err(Problem::new(Code::UnsupportedEncoding));
        }
        let too_large = || Problem::new(Code::TooLarge).detail(format!("the limit is {most} bytes"));
        if declared.is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        let reading = async {
            while let Some(chunk) = payload.next().await {
                let chunk = chunk.map_err(|error| Problem::new(Code::Malformed).detail(format!("the body cannot be read: {error}")))?;
                if body.len() + chunk.len() > most {
                    return Err(too_large());
                }
                body.extend_from_slice(&chunk);
            }
            Ok(())
        };
        tokio::time::timeout(deadline, reading).await.map_err(|_| Problem::new(Code::BodyTimeout))??;
        Ok(body)
    })
}

/// A body as a `T`: `malformed` where it is no JSON, `invalid` where it is none of ours.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde would take a list for a struct, member by member.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(invalid("", "the body is a list and should be an object"));
    }
    let value = take_apart(body)?;
    match nul(body) {
        Some(at) => Err(has_nul(&at)),
        None => Ok(value),
    }
}

fn take_apart<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reading = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reading);
    let malformed = |error: &serde_json::Error| Problem::new(Code::Malformed).detail(format!("the body is no JSON: {error}"));
    match read {
        Ok(value) => reading.end().map(|()| value).map_err(|error| malformed(&error)),
        Err(error) => Err(match error.inner().classify() {
            serde_json::error::Category::Data => invalid(&pointer(error.path()), &error.inner().to_string()),
            _ if error.inner().to_string().starts_with("recursion limit") => Problem::new(Code::Malformed).detail("the body is nested deeper than 127 levels"),
            // Where a word is wanted and something else stands, serde_json calls that a mistake in JSON.
            _ if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => invalid(&pointer(error.path()), "it has another form than is wanted"),
            _ => malformed(error.inner()),
        }),
    }
}

/// Where in a JSON text a name or a text with a NUL character in it stands first, as a JSON pointer. No text that we keep has one, and
/// not every database takes one.
pub(crate) fn nul(json: &[u8]) -> Option<String> {
    // JSON has one way to write it. What looks like that may be a backslash and five characters, so it is looked at again.
    if !json.windows(6).any(|six| six == br"\u0000") {
        return None;
    }
    serde_json::from_slice(json).map_or_else(|_| Some(String::new()), |value| nul_below(&value))
}

fn nul_below(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(values) => values.iter().enumerate().find_map(|(at, value)| Some(format!("/{at}{}", nul_below(value)?))),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match name.contains('\0') {
            true => Some(String::new()),
            false => Some(format!("/{}{}", escaped(name), nul_below(value)?)),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The problem with a text at this place that has a NUL character in it.
pub(crate) fn has_nul(at: &str) -> Problem {
    Problem::new(Code::Invalid).faults(vec![Fault::new(at, "nul", "it has a NUL character in it")])
}

/// A name as JSON pointers write it (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A place in a body as a JSON pointer (RFC 6901); as far as it is known.
pub(crate) fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let named = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(escaped(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().map_while(named).map(|name| format!("/{name}")).collect()
}

/// serde names a field in backticks where the field is the mistake; else the mistake is what stands at the place.
pub(crate) fn invalid(at: &str, text: &str) -> Problem {
    let text = text.split(" at line ").next().unwrap_or(text);
    let named = |start: &str| text.strip_prefix(start).and_then(|rest| rest.split('`').next());
    let below = |field: &str| match at.ends_with(&format!("/{field}")) {
        true => at.to_owned(),
        false => format!("{at}/{field}"),
    };
    let fault = match (named("unknown field `"), named("missing field `")) {
        (Some(field), _) => Fault::new(below(field), "unknown", "there is no such field"),
        (_, Some(field)) => Fault::new(below(field), "missing", "it has to be there"),
        _ => Fault::new(at, "invalid", text.to_owned()),
    };
    Problem::new(Code::Invalid).faults(vec![fault])
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(rename = "list")]
        _list: Vec<One>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        #[serde(rename = "number")]
        _number: i64,
    }

    fn fault(body: &str) -> serde_json::Value {
        let problem = parse::<Wanted>(body.as_bytes()).expect_err("a mistake");
        let fault = serde_json::to_value(&problem.errors()[0]).expect("plain JSON");
        serde_json::json!([fault["pointer"], fault["code"]])
    }

    #[test]
    fn a_mistake_names_its_place_however_deep() {
        use serde_json::json;

        assert_eq!(fault(r#"{"list":[{"number":1},{"number":"x"}]}"#), json!(["#/list/1/number", "invalid"]));
        assert_eq!(fault(r#"{"list":[{"nummer":1}]}"#), json!(["#/list/0/nummer", "unknown"]));
        assert_eq!(fault(r#"{"list":[{}]}"#), json!(["#/list/0/number", "missing"]));
        assert_eq!(fault(r#"{"lists":[]}"#), json!(["#/lists", "unknown"]));
        assert_eq!(fault(r#"{"list":{}}"#), json!(["#/list", "invalid"]));
        assert_eq!(parse::<Wanted>(br#"{"list":[]} and more"#).expect_err("more").code(), Code::Malformed);
    }

    #[test]
    fn a_nul_character_is_refused_where_it_stands() {
        type Texts = std::collections::BTreeMap<String, Vec<String>>;
        let at = |body: &str| match parse::<Texts>(body.as_bytes()) {
            Ok(_) => None,
            Err(problem) => {
                let fault = serde_json::to_value(&problem.errors()[0]).expect("plain JSON");
                assert_eq!((problem.code(), &fault["code"]), (Code::Invalid, &"nul".into()));
                Some(fault["pointer"].as_str().expect("a text").to_owned())
            }
        };

        assert_eq!(at(r#"{"a/b":["plain","x\u0000y"]}"#).as_deref(), Some("#/a~1b/1"));
        assert_eq!(at(r#"{"a\u0000":["plain"]}"#).as_deref(), Some("#"));
        assert_eq!(at(r#"{"a":["a backslash, and \\u0000"]}"#), None);
    }
}
