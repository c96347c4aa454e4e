//! How late a telling is. Each host's intake computes it; everything else only compares.

use std::fmt;
use std::str::FromStr;

use crate::{Status, Timestamp};

/// A totally ordered stamp on a fact: three numbers, compared from left to right.
///
/// GitHub orders the tellings of one attempt by rank and then by time, because its times tie and its deliveries overtake
/// each other. GitLab may legally go back from failed or manual to running, so there the newest time decides and the rank
/// only breaks ties. Two tellings with the same version are ordered by what they say ([`crate::Told`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version([i64; 3]);

impl Version {
    /// Loses to every other version: for facts that are only good until somebody knows better.
    pub const WEAK: Version = Version([i64::MIN; 3]);

    /// Attempt, then rank, then the newest time in the body. For runs that never go back within one attempt.
    pub fn by_rank(attempt: i64, status: Status, newest: Option<Timestamp>) -> Self {
        Version([attempt, status.rank(), newest.unwrap_or_default().0])
    }

    /// The newest time in the body, then rank. For runs that may be opened again.
    pub fn by_time(newest: Option<Timestamp>, status: Status) -> Self {
        Version([newest.unwrap_or_default().0, status.rank(), 0])
    }

    /// The time alone. For names, addresses and other facts without a life of their own.
    pub fn at(time: Option<Timestamp>) -> Self {
        Version([time.unwrap_or_default().0, 0, 0])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.0;
        write!(f, "{first}.{second}.{third}")
    }
}

/// The text is not three numbers with dots between.
#[derive(Debug, thiserror::Error)]
#[error("not a version: {0:?}")]
pub struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.splitn(3, '.').map(str::parse::<i64>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(first)), Some(Ok(second)), Some(Ok(third))) => Ok(Version([first, second, third])),
            _ => Err(NotAVersion(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_reads_back() {
        for version in [Version::WEAK, Version::by_rank(2, Status::Running, Some(Timestamp(17))), Version::at(None)] {
            assert_eq!(version.to_string().parse::<Version>().expect("our own text"), version);
        }
        assert!("1.2".parse::<Version>().is_err());
    }
}
