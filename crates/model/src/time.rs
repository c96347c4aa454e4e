//! An instant with microseconds, and the many ways in which hosts write one.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Microseconds since the Unix epoch, UTC. RFC 3339 outside, a 64-bit integer in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, sqlx::Type)]
#[sqlx(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The current instant.
    pub fn now() -> Self {
        Timestamp(Utc::now().timestamp_micros())
    }

    /// Reads every form met at Git hosts: RFC 3339 with any fraction, `2016-08-12 15:23:28 UTC`,
    /// `2021-04-28 21:50:00 +0200`, a date and time without zone (taken as UTC), and epoch seconds or milliseconds.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse::<i64>() {
            return Self::from_epoch(number);
        }
        let zoned = DateTime::parse_from_rfc3339(text)
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %z"))
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
        if let Ok(instant) = zoned {
            return Timestamp(instant.timestamp_micros()).within_years();
        }
        let bare = text.strip_suffix(" UTC").unwrap_or(text);
        NaiveDateTime::parse_from_str(bare, "%Y-%m-%d %H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(bare, "%Y-%m-%dT%H:%M:%S%.f"))
            .ok()
            .and_then(|naive| Timestamp(naive.and_utc().timestamp_micros()).within_years())
    }

    /// Years 0 to 9999 are what RFC 3339 can write; an instant outside could not be read back from its own text.
    fn within_years(self) -> Option<Self> {
        const YEAR_0: i64 = -62_167_219_200_000_000;
        const YEAR_10000: i64 = 253_402_300_800_000_000;
        (YEAR_0..YEAR_10000).contains(&self.0).then_some(self)
    }

    /// Epoch seconds, or milliseconds where the number is too large to be seconds before the year 5138.
    pub fn from_epoch(number: i64) -> Option<Self> {
        const LARGEST_SECONDS: u64 = 100_000_000_000;
        let micros = match number {
            0 => None,
            seconds if seconds.unsigned_abs() < LARGEST_SECONDS => seconds.checked_mul(1_000_000),
            millis => millis.checked_mul(1_000),
        };
        micros.and_then(|micros| Timestamp(micros).within_years())
    }

    /// Whole milliseconds from `earlier` to `self`; negative where `self` is the earlier one.
    pub fn millis_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// The instant `duration` before this one.
    pub fn minus(self, duration: std::time::Duration) -> Self {
        Timestamp(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(instant) => f.write_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Timestamp::parse(&text).ok_or_else(|| de::Error::custom(format!("not an instant: {text:?}")))
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .description(Some("An instant, RFC 3339 in UTC"))
            .examples(["2026-11-21T10:00:00.120Z"])
            .into()
    }
}

impl utoipa::ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_hosts_write_is_the_same_instant() {
        let expected = Timestamp::parse("2016-08-12T15:23:28Z").expect("rfc 3339");

        for text in [
            "2016-08-12 15:23:28 UTC",
            "2016-08-12 15:23:28",
            "2016-08-12T15:23:28",
            "2016-08-12 17:23:28 +0200",
            "2016-08-12T17:23:28+0200",
            "2016-08-12T15:23:28.000000Z",
            "1471015408",
            "1471015408000",
        ] {
            assert_eq!(Timestamp::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for text in ["", "yesterday", "2016-13-12T15:23:28Z", "0", "99999999999999999999", "-9223372036854775808"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn it_is_written_as_rfc_3339_in_utc() {
        assert_eq!(Timestamp(1_471_015_408_120_000).to_string(), "2016-08-12T15:23:28.120Z");
    }
}
