//! Names that people give to things: without what surrounds them, wherever they are read.
//! Knows nothing of what they name, nor of how long they may be.

use serde::{Deserialize, Deserializer};

/// What has a text in it that can lose what surrounds it.
pub trait Trim {
    /// It without the white space at either end.
    #[must_use]
    fn trim(self) -> Self;
}

impl Trim for String {
    fn trim(self) -> String {
        match str::trim(&self) {
            same if same.len() == self.len() => self,
            less => less.to_owned(),
        }
    }
}

impl<T: Trim> Trim for Option<T> {
    fn trim(self) -> Option<T> {
        self.map(Trim::trim)
    }
}

/// Reads a name: `#[serde(deserialize_with = "trimmed")]`. Two that look the same are the same then, whichever way they came in.
///
/// # Errors
/// Those of the text.
pub fn trimmed<'de, D: Deserializer<'de>, T: Deserialize<'de> + Trim>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(deserializer).map(Trim::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Named {
        #[serde(deserialize_with = "trimmed")]
        name: String,
        #[serde(default, deserialize_with = "trimmed")]
        other: Option<String>,
    }

    #[test]
    fn a_name_is_read_without_what_surrounds_it() {
        let named: Named = serde_json::from_str(r#"{"name":" ada\n","other":"\tbob and eve "}"#).expect("names");
        assert_eq!((named.name.as_str(), named.other.as_deref()), ("ada", Some("bob and eve")));

        let named: Named = serde_json::from_str(r#"{"name":"ada"}"#).expect("a name");
        assert_eq!((named.name.as_str(), named.other), ("ada", None));
        assert!(serde_json::from_str::<Named>(r#"{"other":"bob"}"#).is_err(), "it has to be there");
    }
}
