//! A value together with how late it was told: the atom of every merge.

use crate::Version;

/// What has been told of one field, if anything: the value of the greatest version so far.
///
/// `merge` keeps the greater of two tellings and lets anything win over nothing. It is the maximum of a total order (version
/// first, the value itself where two versions tie), so it is associative, commutative and idempotent, and so is every
/// record whose fields merge one by one. That is why redelivered and reordered webhooks are harmless.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told<T>(Option<(Version, T)>);

impl<T> Default for Told<T> {
    fn default() -> Self {
        Told(None)
    }
}

impl<T: Ord> Told<T> {
    /// A telling of `value` at `version`; nothing where the host left the field out.
    pub fn new(version: Version, value: impl Into<Option<T>>) -> Self {
        Told(value.into().map(|value| (version, value)))
    }

    /// The later of both tellings.
    pub fn merge(self, other: Self) -> Self {
        self.max(other)
    }

    /// The value, where one has been told.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|(_, value)| value)
    }

    /// How late the value was told.
    pub fn version(&self) -> Option<Version> {
        self.0.as_ref().map(|(version, _)| *version)
    }

    /// The value by itself.
    pub fn into_value(self) -> Option<T> {
        self.0.map(|(_, value)| value)
    }
}
