//! Query strings: what a handler does not name is refused by name, so that a typo never reads as "no filter".
//! Knows nothing of single parameters.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use crate::{Code, Problem};

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
        ready(
            web::Query::<T>::from_query(request.query_string())
                .map(|query| Query(query.into_inner()))
                .map_err(|error| Problem::new(Code::InvalidQuery).detail(because(&error))),
        )
    }
}

/// serde's sentence without the frame that actix puts around it.
fn because(error: &actix_web::error::QueryPayloadError) -> String {
    let text = error.to_string();
    text.strip_prefix("Query deserialize error: ").map(str::to_owned).unwrap_or(text)
}
