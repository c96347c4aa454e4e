//! Whether a text will do as the secret of a source, whoever brings it along: an operator over HTTP, or a setting.
//! Knows nothing of where it comes from.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::SecretKind;

/// Shorter ones can be guessed from a single delivery, by whoever sees one, in characters.
pub const SHORTEST_SECRET: usize = 24;

/// Bytes of the key in a signing token (Standard Webhooks: 24 to 64).
const SHORTEST_KEY: usize = 24;

/// What stands in examples, ours among them, without the signs between the words. Whoever tries secrets tries these first.
const PLACEHOLDERS: [&str; 29] = [
    "12345678",
    "admin",
    "changeit",
    "changeme",
    "changethis",
    "default",
    "example",
    "github",
    "gitlab",
    "mysecret",
    "password",
    "pipecast",
    "placeholder",
    "replaceme",
    "secret",
    "secrettoken",
    "somesecret",
    "supersecret",
    "test",
    "testing",
    "todo",
    "token",
    "topsecret",
    "webhook",
    "webhooksecret",
    "yoursecret",
    "yoursecrethere",
    "yourwebhooksecret",
    "yourtoken",
];

/// Senders differ in whether they pad a key.
static KEY: GeneralPurpose = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It stands in examples, or is one letter over and over.
    #[error("it is a placeholder, which everybody guesses")]
    Placeholder,
    /// It signs nothing.
    #[error("it is no signing token: that is whsec_ and at least 24 bytes in base64")]
    NoSigningToken,
}

/// That the text is no placeholder, and that a signing token is one. Its length is for whoever asks to judge.
///
/// # Errors
/// What is wrong with it.
pub fn check_secret(kind: SecretKind, text: &str) -> Result<(), Unfit> {
    if is_placeholder(text.strip_prefix(SecretKind::SIGNING_TOKEN_PREFIX).unwrap_or(text)) {
        return Err(Unfit::Placeholder);
    }
    match kind {
        SecretKind::SigningToken if !is_signing_token(text) => Err(Unfit::NoSigningToken),
        _ => Ok(()),
    }
}

fn is_placeholder(text: &str) -> bool {
    let mut letters = text.chars();
    let is_one_letter = letters.next().is_none_or(|first| letters.all(|letter| letter == first));
    let plain: String = text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    is_one_letter || PLACEHOLDERS.contains(&plain.as_str())
}

fn is_signing_token(text: &str) -> bool {
    let key = text.strip_prefix(SecretKind::SIGNING_TOKEN_PREFIX).map(|key| KEY.decode(key));
    matches!(key, Some(Ok(key)) if key.len() >= SHORTEST_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_secrets() {
        for placeholder in [
            "changeme",
            "Change-Me!",
            "SECRET",
            "your_webhook_secret",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "   ",
            "whsec_changeme",
            "whsec_",
        ] {
            assert_eq!(check_secret(SecretKind::Hmac, placeholder), Err(Unfit::Placeholder), "{placeholder:?}");
        }
        for secret in ["9f2c", "a secret of our own", "changeme-9f2c41d07b", "hunter2"] {
            assert_eq!(check_secret(SecretKind::Hmac, secret), Ok(()), "{secret:?}");
        }
    }

    #[test]
    fn a_signing_token_has_a_key_with_or_without_padding() {
        for token in [
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3OA==",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3OA",
        ] {
            assert_eq!(check_secret(SecretKind::SigningToken, token), Ok(()), "{token}");
        }
        for broken in [
            "whsec_eA==",
            "whsec_not base64 but long enough",
            "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "whsec_dG9vIHNob3J0",
        ] {
            assert_eq!(check_secret(SecretKind::SigningToken, broken), Err(Unfit::NoSigningToken), "{broken}");
        }
        assert_eq!(check_secret(SecretKind::Token, "whsec_eA=="), Ok(()), "GitHub signs with it as it is");
    }
}
