//! Durations and sizes as people write them: a whole number and its unit.
//! Knows nothing of what is measured.

use std::time::Duration;

use serde::Serialize;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SettingKind)]
pub enum Kind {
    /// As `30s` or `7d`.
    Duration,
    /// Bytes, as `512MiB`.
    Size,
    /// A whole number.
    Number,
    /// Anything else.
    Text,
}

/// Units of durations in milliseconds, the largest first.
const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of sizes in bytes, the largest first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `"250ms"`, `"30s"`, `"5m"`, `"4h"`, `"7d"`. `"0s"` is zero.
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &DURATIONS).map(Duration::from_millis)
}

/// Reads `"512B"`, `"64KiB"`, `"25MiB"`, `"1GiB"`, in bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

/// Writes a duration with the largest unit that leaves nothing over; less than a millisecond is left out.
pub fn told_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 { "0s".to_owned() } else { told(millis, &DURATIONS) }
}

/// Writes a size with the largest unit that leaves nothing over.
pub fn told_size(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { told(bytes, &SIZES) }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, word) = (text[..end].parse::<u64>().ok()?, text[end..].trim_start());
    let (_, unit) = units.iter().find(|(own, _)| *own == word)?;
    number.checked_mul(*unit)
}

fn told(number: u64, units: &[(&str, u64)]) -> String {
    let (word, unit) = units.iter().find(|(_, unit)| number.is_multiple_of(*unit)).unwrap_or(&("", 1));
    format!("{}{word}", number / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_their_unit() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_duration("0s"), Some(Duration::ZERO));
        assert_eq!(parse_size("25MiB"), Some(25 << 20));
        assert_eq!(parse_size("64 KiB"), Some(64 << 10));
        for text in ["", "30", "s", "-1s", "1.5h", "1w", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for text in ["25", "25MB", "25mib", "MiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_told_is_read_back() {
        for text in ["0s", "250ms", "90s", "5m", "26h", "7d"] {
            assert_eq!(parse_duration(text).map(told_duration).as_deref(), Some(text));
        }
        for text in ["0B", "513B", "64KiB", "25MiB", "3GiB"] {
            assert_eq!(parse_size(text).map(told_size).as_deref(), Some(text));
        }
    }
}
