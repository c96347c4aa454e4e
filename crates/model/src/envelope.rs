//! What surrounds everything that travels between processes, which may be of different builds: a version, and what a reader does with
//! one that it does not know. The rule for changing an envelope is ADR 17.

use std::ops::RangeInclusive;

/// Why an envelope cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Written by another build, in a form that this one cannot read: leave it to one that can, never bury it.
    #[error("envelope version {0}, or what is in it, is unknown to this build")]
    Unknown(u64),
    /// Not an envelope at all.
    #[error("malformed envelope: {0}")]
    Malformed(String),
}

/// Sees whether a version is among those that a build reads.
pub(crate) fn check(version: u64, known: RangeInclusive<u8>) -> Result<(), EnvelopeError> {
    let is_known = u8::try_from(version).is_ok_and(|version| known.contains(&version));
    if is_known { Ok(()) } else { Err(EnvelopeError::Unknown(version)) }
}
