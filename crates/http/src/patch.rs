//! Merge patches (RFC 7396): what is not named stays, null takes away, all else replaces.
//! Knows nothing of what is patched.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use pipecast_model::name::Trim;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::{Faults, Problem, input, query};

/// The body of a PATCH as a `T`, whose members are [`Field`]s with `#[serde(default)]`. Such a request has no query.
#[derive(Clone, Debug)]
pub struct Patch<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Patch<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let unasked = query::nothing(request);
        let body = input::read(request, payload, &["application/merge-patch+json", "application/json"], &input::SMALL);
        Box::pin(async move {
            unasked?;
            input::parse(&body.await?).map(Patch)
        })
    }
}

/// What a patch says of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Nothing: it stays.
    #[default]
    Kept,
    /// Null: it is taken away.
    Cleared,
    /// What it is from now on.
    Set(T),
}

impl<T> Field<T> {
    /// The value that is set, if one is.
    pub fn value(&self) -> Option<&T> {
        match self {
            Field::Set(value) => Some(value),
            Field::Kept | Field::Cleared => None,
        }
    }

    /// Does it to a member that may be absent.
    pub fn apply(self, member: &mut Option<T>) {
        match self {
            Field::Kept => {}
            Field::Cleared => *member = None,
            Field::Set(value) => *member = Some(value),
        }
    }

    /// Does it to a member that has to be there; null is noted as a fault.
    pub fn apply_to(self, member: &mut T, path: &str, faults: &mut Faults) {
        match self {
            Field::Kept => {}
            Field::Cleared => {
                faults.note(true, path, "missing", "it has to be there");
            }
            Field::Set(value) => *member = value,
        }
    }
}

impl<T: Trim> Trim for Field<T> {
    fn trim(self) -> Field<T> {
        match self {
            Field::Set(value) => Field::Set(value.trim()),
            Field::Kept => Field::Kept,
            Field::Cleared => Field::Cleared,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|value| value.map_or(Field::Cleared, Field::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Change {
        #[serde(default)]
        name: Field<String>,
    }

    fn change(text: &str) -> Result<Field<String>, Problem> {
        input::parse::<Change>(text.as_bytes()).map(|change| change.name)
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_away() {
        let mut name = Some("ada".to_owned());

        change("{}").expect("a patch").apply(&mut name);
        assert_eq!(name.as_deref(), Some("ada"));
        change(r#"{"name":"bob"}"#).expect("a patch").apply(&mut name);
        assert_eq!(name.as_deref(), Some("bob"));
        change(r#"{"name":null}"#).expect("a patch").apply(&mut name);
        assert_eq!(name, None);
    }

    #[test]
    fn a_mistake_names_its_place_and_no_json_is_no_patch() {
        let code = |text| change(text).expect_err("a mistake").code().word();

        assert_eq!(
            (code("{"), code("[]"), code(r#"{"nam":1}"#), code(r#"{"name":1}"#)),
            ("malformed", "invalid", "invalid", "invalid")
        );
        let mut faults = Faults::default();
        Field::<String>::Cleared.apply_to(&mut "ada".to_owned(), "/name", &mut faults);
        assert!(faults.end().is_err());
    }
}
