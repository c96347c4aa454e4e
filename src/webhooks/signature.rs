//! How hosts and CI tools sign what they send: one row of a table for each scheme, and one function that judges by it.
//! Knows nothing of hosts' policies; which schemes a path accepts is written in the host's own file.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use pipecast_model::Timestamp;

use crate::config::Secret;

/// How far a signed time may be from ours, in both directions (Standard Webhooks).
const TOLERANCE: Duration = Duration::from_secs(300);

/// Most signatures that are looked at in one header; a sender that rotates its secret has two.
const MOST_SIGNATURES: usize = 8;

/// Why a delivery is not believed. The words go to log, metrics and ledger, never to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No secret is configured for its source.
    #[error("no_secret")]
    NoSecret,
    /// Its source is not configured.
    #[error("unknown_source")]
    UnknownSource,
    /// Its source is disabled or deleted.
    #[error("disabled_source")]
    Disabled,
    /// It carries no signature, or an empty one.
    #[error("missing_signature")]
    Missing,
    /// What it carries is no signature of this scheme.
    #[error("malformed_signature")]
    Malformed,
    /// It is signed with another secret, or is not what was signed.
    #[error("bad_signature")]
    Mismatch,
    /// Its signed time is too far from ours.
    #[error("stale_signature")]
    Stale,
}

/// One way to sign.
#[derive(Debug)]
pub struct Scheme {
    /// Its word in the table.
    pub word: &'static str,
    /// The header that carries the signature, in lower case.
    pub header: &'static str,
    hash: Hash,
    layout: Layout,
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, Debug)]
enum Encoding {
    /// Lower-case hex.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// What the header looks like, and with it what was signed.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// One signature of the body after a prefix.
    One { prefix: &'static str },
    /// Several of them, with commas between; those with another prefix are of other versions.
    Several { prefix: &'static str },
    /// `timestamp=T,signature=S` over `T.body`.
    Stamped,
    /// `v1,S v1,S` over `id.T.body`, id and T in headers of their own; the secret is base64 after `whsec_`.
    StandardWebhooks,
}

use Encoding::{Base64, Hex};
use Hash::{Sha1, Sha256, Sha512};
use Layout::{One, Several, Stamped, StandardWebhooks};

/// GitHub, GitHub Enterprise Server, and whoever imitates them.
pub static GITHUB: Scheme = Scheme::new("github", "x-hub-signature-256", Sha256, One { prefix: "sha256=" }, Hex);
/// Standard Webhooks, GitLab 19 among them.
pub static STANDARD_WEBHOOKS: Scheme = Scheme::new("standard-webhooks", "webhook-signature", Sha256, StandardWebhooks, Base64);

/// Every scheme that can be judged. A scheme here is accepted nowhere until a path's policy names it.
pub static SCHEMES: [&Scheme; 15] = [
    &GITHUB,
    &STANDARD_WEBHOOKS,
    &Scheme::new("github-sha1", "x-hub-signature", Sha1, One { prefix: "sha1=" }, Hex),
    &Scheme::new("github-sha512", "x-hub-signature", Sha512, One { prefix: "sha512=" }, Hex),
    &Scheme::new("bitbucket", "x-hub-signature", Sha256, One { prefix: "sha256=" }, Hex),
    &Scheme::new("gitea", "x-gitea-signature", Sha256, One { prefix: "" }, Hex),
    &Scheme::new("forgejo", "x-forgejo-signature", Sha256, One { prefix: "" }, Hex),
    &Scheme::new("circleci", "circleci-signature", Sha256, Several { prefix: "v1=" }, Hex),
    &Scheme::new("buildkite", "x-buildkite-signature", Sha256, Stamped, Hex),
    &Scheme::new("generic-sha1", "x-signature", Sha1, One { prefix: "" }, Hex),
    &Scheme::new("generic-sha256", "x-signature", Sha256, One { prefix: "" }, Hex),
    &Scheme::new("generic-sha512", "x-signature", Sha512, One { prefix: "" }, Hex),
    &Scheme::new("generic-base64", "x-hub-signature", Sha256, One { prefix: "sha256=" }, Base64),
    &Scheme::new("generic-several", "x-hub-signature-256", Sha256, Several { prefix: "sha256=" }, Hex),
    &Scheme::new("generic-several-plain", "x-signature", Sha256, Several { prefix: "" }, Hex),
];

impl Scheme {
    const fn new(word: &'static str, header: &'static str, hash: Hash, layout: Layout, encoding: Encoding) -> Scheme {
        Scheme {
            word,
            header,
            hash,
            layout,
            encoding,
        }
    }

    /// Whether `body`, byte for byte as it came, is signed with `secret`. Takes the same time whatever is wrong with the signature.
    ///
    /// # Errors
    /// Why it is not believed. A secret or a signature that is empty is never believed.
    pub fn verify(&self, secret: &Secret, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Distrust> {
        if secret.is_empty() {
            return Err(Distrust::NoSecret);
        }
        let header = only(headers, self.header)?;
        match self.layout {
            One { prefix } => {
                let signature = header.strip_prefix(prefix).ok_or(Distrust::Malformed)?;
                self.compare(secret.expose().as_bytes(), &[body], &[self.decode(signature)?])
            }
            Several { prefix } => {
                let signatures = self.decode_all(header.split(',').map(str::trim), prefix)?;
                self.compare(secret.expose().as_bytes(), &[body], &signatures)
            }
            Stamped => {
                let (stamp, signature) = header.split_once(',').ok_or(Distrust::Malformed)?;
                let stamp = stamp.strip_prefix("timestamp=").ok_or(Distrust::Malformed)?;
                let signature = signature.strip_prefix("signature=").ok_or(Distrust::Malformed)?;
                let signature = self.decode(signature)?;
                self.compare(secret.expose().as_bytes(), &[stamp.as_bytes(), b".", body], &[signature])?;
                fresh(stamp, now)
            }
            StandardWebhooks => {
                let (id, stamp) = (only(headers, "webhook-id")?, only(headers, "webhook-timestamp")?);
                let key = secret
                    .expose()
                    .strip_prefix("whsec_")
                    .and_then(|key| KEY_BASE64.decode(key).ok())
                    .filter(|key| !key.is_empty());
                let signatures = self.decode_all(header.split(' '), "v1,")?;
                let key = key.ok_or(Distrust::NoSecret)?;
                self.compare(&key, &[id.as_bytes(), b".", stamp.as_bytes(), b".", body], &signatures)?;
                fresh(stamp, now)
            }
        }
    }

    /// Whether one of `signatures` is that of `parts`. All are looked at, so that the time tells nothing.
    fn compare(&self, key: &[u8], parts: &[&[u8]], signatures: &[Vec<u8>]) -> Result<(), Distrust> {
        let mut context = hmac::Context::with_key(&hmac::Key::new(self.hash.algorithm(), key));
        for part in parts {
            context.update(part);
        }
        let expected = context.sign();
        let equal = signatures
            .iter()
            .filter(|signature| constant_time::verify_slices_are_equal(expected.as_ref(), signature).is_ok());
        if equal.count() > 0 { Ok(()) } else { Err(Distrust::Mismatch) }
    }

    fn decode_all<'a>(&self, texts: impl Iterator<Item = &'a str>, prefix: &str) -> Result<Vec<Vec<u8>>, Distrust> {
        let ours = texts.take(MOST_SIGNATURES).filter_map(|text| text.strip_prefix(prefix));
        let signatures: Vec<_> = ours.filter_map(|text| self.decode(text).ok()).collect();
        if signatures.is_empty() { Err(Distrust::Malformed) } else { Ok(signatures) }
    }

    fn decode(&self, text: &str) -> Result<Vec<u8>, Distrust> {
        let bytes = match self.encoding {
            Hex => decode_hex(text),
            Base64 => STANDARD.decode(text).ok(),
        };
        bytes.filter(|bytes| bytes.len() == self.hash.length()).ok_or(Distrust::Malformed)
    }
}

impl Hash {
    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Sha256 => hmac::HMAC_SHA256,
            Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn length(self) -> usize {
        match self {
            Sha1 => 20,
            Sha256 => 32,
            Sha512 => 64,
        }
    }
}

/// Whether the header carries `secret` itself. Digests are compared, so that not even its length shows.
///
/// # Errors
/// Why it is not believed.
pub fn verify_plain(secret: &Secret, headers: &HeaderMap, header: &str) -> Result<(), Distrust> {
    if secret.is_empty() {
        return Err(Distrust::NoSecret);
    }
    let given = digest::digest(&digest::SHA256, only(headers, header)?.as_bytes());
    let expected = digest::digest(&digest::SHA256, secret.expose().as_bytes());
    constant_time::verify_slices_are_equal(given.as_ref(), expected.as_ref()).map_err(|_| Distrust::Mismatch)
}

/// The one value of a header. Two of them would let a sender show us one and a proxy the other.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Distrust> {
    let mut values = headers.get_all(name);
    let value = values.next().ok_or(Distrust::Missing)?;
    if values.next().is_some() {
        return Err(Distrust::Malformed);
    }
    match value.to_str() {
        Ok("") => Err(Distrust::Missing),
        Ok(text) => Ok(text),
        Err(_) => Err(Distrust::Malformed),
    }
}

fn fresh(stamp: &str, now: Timestamp) -> Result<(), Distrust> {
    let seconds: i64 = stamp.parse().map_err(|_| Distrust::Malformed)?;
    let age = now.0.abs_diff(seconds.saturating_mul(1_000_000));
    if u128::from(age) <= TOLERANCE.as_micros() {
        Ok(())
    } else {
        Err(Distrust::Stale)
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// Senders differ in whether they pad a key.
static KEY_BASE64: GeneralPurpose = GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));
