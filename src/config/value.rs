//! How single values are written in the configuration: durations, sizes, secrets, optional text.
//! Knows nothing of sections or where a value came from.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroize;

pub use pipecast_model::quantity::{parse_duration, parse_size};

/// Something that must never be printed. `Debug` shows whether it is set and nothing else, and there is no `Display`.
/// Wiped from memory when it is dropped.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it; an empty secret is no secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(unset)" } else { "Secret(set)" })
    }
}

pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no duration; write a number and ms, s, m, h or d, as in \"30s\"")))
}

pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_size(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no size; write a number and B, KiB, MiB or GiB, as in \"25MiB\"")))
}

/// Empty text means that it is not set.
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(set)");
        assert_eq!(format!("{:?}", Secret::default()), "Secret(unset)");
    }
}
