//! Query strings: what a handler does not name is refused by name, so that a typo never reads as "no filter".
//! Knows nothing of single parameters.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use crate::{Code, Fault, Problem};

/// The query of a request as a `T`, which has `#[serde(deny_unknown_fields)]`.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

/// No parameters at all.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Several words with commas between, as in `status=running,queued`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words<T>(pub Vec<T>);

impl<T> Default for Words<T> {
    fn default() -> Self {
        Words(Vec::new())
    }
}

/// That a request has no query: a change to which nobody has a parameter to give is not made where somebody gives one, as `dry_run` to what
/// has no dry run.
///
/// # Errors
/// `invalid_query`.
pub(crate) fn nothing(request: &HttpRequest) -> Result<(), Problem> {
    Query::<Nothing>::extract(request).into_inner().map(drop)
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.split(',')
            .map(|word| T::deserialize(word.into_deserializer()))
            .collect::<Result<_, _>>()
            .map(Words)
    }
}

impl<T> Deref for Query<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // No text that we keep has a NUL in it, and not every database takes one.
        if request.query_string().contains("%00") {
            return ready(Err(Problem::new(Code::InvalidQuery).detail("a parameter has a NUL character in it")));
        }
        let text = request.query_string();
        ready(match web::Query::<T>::from_query(text) {
            Ok(query) => Ok(Query(query.into_inner())),
            Err(error) => Err(refused::<T>(text, &because(&error))),
        })
    }
}

/// The problem with a query, with the parameter that it is about: serde names one that is unknown or there twice; one whose value does not fit
/// is the one that does not fit either when it is alone.
fn refused<T: DeserializeOwned>(query: &str, why: &str) -> Problem {
    let named = |start: &str| why.strip_prefix(start).and_then(|rest| rest.split('`').next());
    let fits_not = |pair: &&str| web::Query::<T>::from_query(pair).is_err_and(|error| because(&error) == why);
    let alone = || query.split('&').find(fits_not).and_then(|pair| pair.split('=').next());
    let fault = match (named("unknown field `"), named("duplicate field `"), named("missing field `")) {
        (Some(name), _, _) => Fault::parameter(name, "unknown", "there is no such parameter"),
        (_, Some(name), _) => Fault::parameter(name, "twice", "it is there more than once"),
        (_, _, Some(name)) => Fault::parameter(name, "missing", "it has to be there"),
        _ => match alone() {
            Some(name) => Fault::parameter(name, "unfit", why.to_owned()),
            None => return Problem::new(Code::InvalidQuery).detail(why.to_owned()),
        },
    };
    Problem::new(Code::InvalidQuery).detail(why.to_owned()).faults(vec![fault])
}

/// serde's sentence without the frame that actix puts around it.
fn because(error: &actix_web::error::QueryPayloadError) -> String {
    let text = error.to_string();
    text.strip_prefix("Query deserialize error: ").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;
    use serde_json::{Value, json};

    use super::*;
    use crate::Limit;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        #[serde(default, rename = "limit")]
        _limit: Limit,
        #[serde(rename = "archived")]
        _archived: Option<bool>,
    }

    async fn fault(query: &str) -> Value {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let problem = Query::<Filter>::extract(&request).into_inner().expect_err("a mistake");
        let body = to_bytes(problem.error_response().into_body()).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("json");
        json!([body["errors"][0]["pointer"], body["errors"][0]["code"]])
    }

    #[actix_web::test]
    async fn a_mistake_names_its_parameter() {
        assert_eq!(fault("nam=1").await, json!(["?nam", "unknown"]));
        assert_eq!(fault("limit=1&limit=2").await, json!(["?limit", "twice"]));
        assert_eq!(fault("archived=true&limit=0").await, json!(["?limit", "unfit"]));
        assert_eq!(fault("limit=9&archived=perhaps").await, json!(["?archived", "unfit"]));
    }
}
