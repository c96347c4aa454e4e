//! Secrets and keys as they come about: fresh ones, and whether one that somebody brings along will do.
//! Knows nothing of sources.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipecast_model::source::{Unfit, check_secret};
use pipecast_model::{Host, SecretKind, hexadecimal};
use zeroize::Zeroizing;

use super::{Error, LONGEST, SHORTEST, WantedSecret};

/// Letters of the end of a source's path: 130 bits, so that nobody finds one by trying.
const KEY: usize = 26;

/// The secret that is meant, and its kind.
pub(super) fn settle(host: Host, wanted: WantedSecret) -> Result<(SecretKind, Zeroizing<String>), Error> {
    let Some(text) = wanted.text else {
        let kind = wanted.kind.unwrap_or(SecretKind::of(host, ""));
        if SecretKind::of(host, prefix(kind)) != kind {
            return Err(Error::Secret("this host has no such kind of secret"));
        }
        return Ok((kind, fresh(kind)));
    };
    let kind = SecretKind::of(host, &text);
    if wanted.kind.is_some_and(|wanted| wanted != kind) {
        return Err(Error::Secret(
            "it is not of this kind; a signing token begins with whsec_, and only GitLab has them",
        ));
    }
    if !(SHORTEST..=LONGEST).contains(&text.chars().count()) {
        return Err(Error::Secret("it has 24 to 256 characters"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Secret("it has letters, digits and signs of ASCII alone, and no spaces"));
    }
    match check_secret(kind, &text) {
        Ok(()) => Ok((kind, text)),
        Err(Unfit::Placeholder) => Err(Error::Secret("it is a placeholder, which everybody guesses")),
        Err(Unfit::NoSigningToken) => Err(Error::Secret("after whsec_ it has at least 24 bytes in base64")),
    }
}

fn prefix(kind: SecretKind) -> &'static str {
    if kind == SecretKind::SigningToken {
        SecretKind::SIGNING_TOKEN_PREFIX
    } else {
        ""
    }
}

/// 256 random bits as the host wants to have them.
fn fresh(kind: SecretKind) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).expect("the system has random numbers");
    match kind {
        SecretKind::SigningToken => Zeroizing::new(format!("{}{}", prefix(kind), STANDARD.encode(*bytes))),
        SecretKind::Hmac | SecretKind::Token => Zeroizing::new(hexadecimal::write(&*bytes)),
    }
}

/// The end of a path that nobody guesses.
pub(super) fn random_key() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0; KEY];
    rand::fill(&mut bytes).expect("the system has random numbers");
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn settled(host: Host, text: Option<&str>, kind: Option<SecretKind>) -> Result<(SecretKind, String), Error> {
        let text = text.map(|text| Zeroizing::new(text.to_owned()));
        settle(host, WantedSecret { text, kind }).map(|(kind, text)| (kind, text.to_string()))
    }

    #[test]
    fn a_fresh_secret_has_what_its_host_wants() {
        let (kind, text) = settled(Host::Github, None, None).unwrap();
        assert_eq!((kind, text.len()), (SecretKind::Hmac, 64));
        assert_eq!(settled(Host::Gitlab, None, None).unwrap().0, SecretKind::Token);
        let (kind, text) = settled(Host::Gitlab, None, Some(SecretKind::SigningToken)).unwrap();
        assert_eq!((kind, check_secret(kind, &text)), (SecretKind::SigningToken, Ok(())));
        for (host, kind) in [
            (Host::Github, SecretKind::Token),
            (Host::Github, SecretKind::SigningToken),
            (Host::Gitlab, SecretKind::Hmac),
        ] {
            assert!(settled(host, None, Some(kind)).is_err(), "{host} {kind}");
        }
        assert_ne!(settled(Host::Github, None, None).unwrap().1, settled(Host::Github, None, None).unwrap().1);
    }

    #[test]
    fn a_secret_that_is_brought_along_is_long_enough_and_what_it_says() {
        let long = "0123456789abcdefghijklmn".to_owned();
        assert_eq!(settled(Host::Github, Some(&long), None).unwrap(), (SecretKind::Hmac, long.clone()));
        assert_eq!(settled(Host::Gitlab, Some(&long), None).unwrap().0, SecretKind::Token);

        for wrong in [
            &long[1..],
            &"xy".repeat(129),
            &"x".repeat(24),
            "two words that are long enough",
            "ümlautümlautümlautümlautümlaut",
        ] {
            assert!(settled(Host::Github, Some(wrong), None).is_err(), "{wrong}");
        }
        assert!(settled(Host::Gitlab, Some("whsec_not base64 but long enough"), None).is_err());
        assert!(settled(Host::Gitlab, Some("whsec_dG9vIHNob3J0"), None).is_err());
        assert!(settled(Host::Gitlab, Some(&long), Some(SecretKind::SigningToken)).is_err());
    }

    #[test]
    fn a_key_is_of_letters_that_survive_every_path() {
        let key = random_key();

        assert_eq!(key.len(), KEY);
        assert!(key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert_ne!(key, random_key());
    }
}
