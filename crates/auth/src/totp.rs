//! Codes of an authenticator app: RFC 6238 with SHA-1, six digits and thirty seconds, which is what all apps have.
//! Knows nothing of where its secret lies.

use aws_lc_rs::hmac;
use pipecast_model::Timestamp;

use crate::secret::random;

/// Seconds of one code.
const STEP: i64 = 30;
/// Codes before and after the current one that are taken as well, for clocks that differ.
const AROUND: i64 = 1;

/// A fresh secret, 160 bits as RFC 4226 recommends.
pub fn fresh_secret() -> [u8; 20] {
    random()
}

/// A secret as people type it: RFC 4648, without padding.
pub fn base32(secret: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = |at: usize| u16::from(secret.get(at / 8).copied().unwrap_or(0)) << 8 | u16::from(secret.get(at / 8 + 1).copied().unwrap_or(0));
    let letter = |at: usize| char::from(LETTERS[usize::from(bits(at) >> (11 - at % 8) & 31)]);
    (0..secret.len() * 8).step_by(5).map(letter).collect()
}

/// What an app reads from a picture.
pub fn uri(secret: &[u8], account: &str) -> String {
    let account: String = account
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("otpauth://totp/Pipecast:{account}?secret={}&issuer=Pipecast", base32(secret))
}

/// The step of a code that is right now and later than `last`, so that none is taken twice.
pub fn step_of(secret: &[u8], code: &str, now: Timestamp, last: i64) -> Option<i64> {
    let current = now.0.div_euclid(STEP * 1_000_000);
    let is_right = |step: &i64| *step > last && crate::secret::same(code_at(secret, *step).as_bytes(), code.as_bytes());
    // All of them are looked at, so that the time does not tell which one it was.
    let steps = current - AROUND..=current + AROUND;
    steps.fold(None, |found, step| if is_right(&step) { Some(step) } else { found })
}

/// The code of a step.
pub fn code_at(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[tag.len() - 1] & 15);
    let number = u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret and times of RFC 6238, appendix B, with the last six of their eight digits.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_standard() {
        for (second, code) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")] {
            assert_eq!(code_at(SECRET, second / STEP), code);
        }
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
        assert_eq!(base32(b"f"), "MY");
        assert_eq!(uri(b"foobar", "a b"), "otpauth://totp/Pipecast:a%20b?secret=MZXW6YTBOI&issuer=Pipecast");
    }

    #[test]
    fn a_code_is_taken_once_and_around_its_time() {
        let at = |second: i64| Timestamp(second * 1_000_000);

        assert_eq!(step_of(SECRET, "287082", at(59), 0), Some(1));
        assert_eq!(step_of(SECRET, "287082", at(65), 0), Some(1));
        assert_eq!(step_of(SECRET, "287082", at(59), 1), None);
        assert_eq!(step_of(SECRET, "287082", at(159), 0), None);
        assert_eq!(step_of(SECRET, "28708", at(59), 0), None);
    }
}
