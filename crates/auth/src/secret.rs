//! Secrets that are shown once: how they are made and written, and the hash that is kept of them.
//! Knows nothing of where the hash lies.
//!
//! All have 256 random bits, so a plain SHA-256 is enough: there is nothing to guess that a slow hash or a pepper would protect.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of 256 bits: 62^43 is more than 2^256.
const SECRET: usize = 43;
/// Characters of the part of a token that is no secret.
const PREFIX: usize = 8;
/// Characters of the sum, by which a scanner tells a token from noise.
const SUM: usize = 6;

/// What a secret is for; it begins with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The way to the first admin.
    Setup,
    /// Carries a session on.
    Refresh,
    /// A recovery code.
    Recovery,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Kind::Setup => "pcsu_",
            Kind::Refresh => "pcrt_",
            Kind::Recovery => "",
        }
    }
}

/// A secret on its way to the one who is shown it. `Debug` does not show it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Shown {
        Shown(text.into())
    }

    /// The text itself, for the one place that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(…)")
    }
}

/// A secret and what is kept of it.
#[derive(Clone, Debug)]
pub struct Minted {
    /// To be shown once.
    pub shown: Shown,
    /// To be kept.
    pub hash: [u8; 32],
}

/// A fresh secret.
pub fn mint(kind: Kind) -> Minted {
    let text = match kind {
        Kind::Recovery => {
            let text = random_text(16).to_lowercase();
            format!("{}-{}-{}-{}", &text[..4], &text[4..8], &text[8..12], &text[12..])
        }
        kind => format!("{}{}", kind.prefix(), base62(&random::<32>(), SECRET)),
    };
    Minted {
        hash: hash(&text),
        shown: Shown(text),
    }
}

/// A fresh token of a program, `pcst_<8>_<43>_<6>`, with the first of its parts.
pub fn mint_token() -> (String, Minted) {
    let prefix = random_text(PREFIX);
    let body = format!("pcst_{prefix}_{}", base62(&random::<32>(), SECRET));
    let text = format!("{body}_{}", sum(&body));
    let minted = Minted {
        hash: hash(&text),
        shown: Shown(text),
    };
    (prefix, minted)
}

/// Whether a text claims to be a token of a program.
pub fn is_ours(text: &str) -> bool {
    text.starts_with("pcst_")
}

/// The part of a token that is no secret, where the whole is well-formed and its sum is right.
pub fn prefix_of(token: &str) -> Option<&str> {
    let rest = token.strip_prefix("pcst_")?;
    let mut parts = rest.split('_');
    let (prefix, secret, end) = (parts.next()?, parts.next()?, parts.next()?);
    // It is looked up as it is, and anybody can reckon the sum of anything.
    let is_plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_whole = parts.next().is_none() && is_plain && prefix.len() == PREFIX && secret.len() == SECRET && end.len() == SUM;
    let body = token.get(..token.len().checked_sub(SUM + 1)?)?;
    (is_whole && sum(body) == end).then_some(prefix)
}

/// What is kept of a secret.
pub fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

/// So many random letters and digits.
pub fn random_text(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // 248 is the largest multiple of 62 in a byte, so every digit is as likely.
        let bytes = random::<32>();
        let digits = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        text.extend(digits.take(length - text.len()));
    }
    text
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// A number of any size in digits of base 62, with leading zeros.
fn base62(bytes: &[u8], length: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; length];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    digits.into_iter().map(char::from).collect()
}

/// CRC-32 (IEEE 802.3) in base 62.
fn sum(text: &str) -> String {
    let crc = text.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    base62(&(!crc).to_be_bytes(), SUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_its_prefix_and_hides_the_rest() {
        let (prefix, minted) = mint_token();
        let text = minted.shown.expose();

        assert_eq!(prefix_of(text), Some(prefix.as_str()));
        assert_eq!(text.len(), 5 + 8 + 1 + 43 + 1 + 6);
        assert_eq!(format!("{minted:?}").matches(text).count(), 0);
        assert!(same(&hash(text), &minted.hash) && !same(&hash(text), &hash("another")));
    }

    /// Whether the text is what the pattern says, which knows literals and runs of letters and digits.
    fn fits(mut pattern: &str, mut text: &str) -> bool {
        while let Some((literal, rest)) = pattern.split_once("[0-9A-Za-z]{") {
            let (count, after) = rest.split_once('}').expect("a count");
            let run = text
                .strip_prefix(literal)
                .and_then(|rest| rest.split_at_checked(count.parse().expect("a count")));
            match run {
                Some((run, left)) if run.bytes().all(|byte| byte.is_ascii_alphanumeric()) => (pattern, text) = (after, left),
                _ => return false,
            }
        }
        pattern == text
    }

    #[test]
    fn tokens_look_as_scanners_are_told() {
        let told = include_str!("../../../docs/api.md");
        for begin in ["pcst_", "pcrt_", "pcsu_"] {
            let of_it = told.split('`').filter(|word| word.starts_with(&format!("{begin}[")));
            let patterns: Vec<_> = of_it.collect();
            let [pattern] = patterns[..] else { panic!("{begin}: {patterns:?}") };
            for _ in 0..50 {
                let minted = match begin {
                    "pcst_" => mint_token().1,
                    "pcrt_" => mint(Kind::Refresh),
                    _ => mint(Kind::Setup),
                };
                let text = minted.shown.expose();
                assert!(fits(pattern, text), "{pattern}");
                assert!(!fits(pattern, &text[..text.len() - 1]) && !fits(pattern, &format!("{text}0")), "{pattern}");
            }
        }
    }

    #[test]
    fn what_is_no_token_has_no_prefix() {
        let (_, minted) = mint_token();
        let text = minted.shown.expose();
        let (flipped, last) = text.split_at(text.len() - 1);
        let flipped = format!("{flipped}{}", if last == "0" { "1" } else { "0" });

        for wrong in [
            "",
            "pcst_",
            "pcst___",
            "pcst_a_b_c",
            &text[1..],
            &flipped,
            &format!("{text}_"),
            "pcst_ünïcödé_x_y",
        ] {
            assert_eq!(prefix_of(wrong), None, "{wrong}");
        }
        let body = format!("pcst_\0\0\0\0\0\0\0\0_{}", "0".repeat(SECRET));
        assert_eq!(prefix_of(&format!("{body}_{}", sum(&body))), None);
    }

    #[test]
    fn the_sum_is_the_one_that_everybody_knows() {
        // The check value of CRC-32.
        assert_eq!(sum("123456789"), base62(&0xCBF4_3926_u32.to_be_bytes(), 6));
        assert_eq!(base62(&[0xff; 32], SECRET).len(), SECRET);
        assert_eq!(base62(&[0, 62], 3), "010");
    }

    #[test]
    fn whatever_we_mint_is_masked_in_the_audit() {
        use pipecast_store::audit::without_tokens;

        let beginnings = include_str!("secret.rs")
            .split('"')
            .filter(|text| text.len() == 5 && text.starts_with("pc") && text.ends_with('_'));
        let beginnings: std::collections::BTreeSet<&str> = beginnings.collect();

        assert!(beginnings.len() >= 3, "{beginnings:?}");
        for beginning in beginnings {
            assert_eq!(without_tokens(&format!("a note of {beginning}0123")), "a note of ***");
        }
        for minted in [mint(Kind::Setup), mint(Kind::Refresh), mint_token().1] {
            assert_eq!(without_tokens(minted.shown.expose()), "***");
        }
    }

    #[test]
    fn secrets_are_never_the_same() {
        let mut all: Vec<_> = (0..100).map(|_| mint(Kind::Refresh).shown.expose().to_owned()).collect();
        all.sort();
        all.dedup();

        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|text| text.starts_with("pcrt_") && text.len() == 48));
    }
}
