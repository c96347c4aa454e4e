//! Sealed columns: what is secret in the database can be read with a key that is not in it.
//! Knows nothing of what is sealed, nor of who may read it.
//!
//! A value is encrypted with a key of its own, and that one with a key of the [`Keyring`]:
//!
//! ```text
//! v1|a256gcm|KID|WRAPPED KEY|NONCE|CIPHERTEXT        the last three in base64url
//! ```
//!
//! Both steps are AES-256-GCM. The ciphertext belongs to one [`Place`]: moved to another row, column or table it does not open. The wrapped key
//! names its key of the ring, so a new key of the ring needs no value to be encrypted anew, see `rotation`.

use std::fmt;
use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

mod file;
mod keyring;
mod keys;
mod rotation;

pub use file::KeyFileError;
pub use keyring::{Keyring, Kid, RingError};
pub use keys::{Keys, KeysError};
pub use rotation::{Pass, Remaining};

/// What every sealed value of this build begins with: the version of the form, and the algorithm of both steps.
const FORM: &str = "v1|a256gcm";

/// Where a sealed value stands. It opens nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// What names the row: its id, and with it whatever must not be exchanged under it.
    pub row: String,
    /// Counts how the plain value is to be understood; another one needs another count.
    pub schema: u32,
}

impl Place {
    /// What the ciphertext is bound to. The row stands last, so that nothing in it can pass for something else.
    fn bound(&self) -> String {
        let Place { table, column, row, schema } = self;
        format!("{table}|{column}|{schema}|{row}")
    }
}

/// What was sealed, as it was before. Wiped from memory when it is dropped; it has no `Debug`, so that nothing can print it.
pub struct Plain(Zeroizing<Vec<u8>>);

impl Plain {
    /// As text.
    ///
    /// # Errors
    /// `Malformed` where it is none.
    pub fn as_text(&self) -> Result<&str, Unsealable> {
        std::str::from_utf8(&self.0).map_err(|_| Unsealable::Malformed)
    }
}

impl Deref for Plain {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Why a sealed value cannot be opened. No variant has anything secret in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// It was sealed with a key that is not on the ring.
    #[error("it is sealed with the key {0}, which is not among the keys of this process")]
    NoKey(Kid),
    /// It is not as it was sealed, or was sealed for another row.
    #[error("it does not open: it was changed, or belongs to another row")]
    Broken,
    /// It is no sealed value.
    #[error("it is not in the form of a sealed value")]
    Malformed,
    /// It was sealed by a newer build.
    #[error("it is sealed in the form {0:?}, which this build does not know")]
    Unknown(String),
}

/// A sealed value taken apart.
#[derive(Clone, PartialEq, Eq)]
struct Sealed {
    kid: Kid,
    wrapped: Vec<u8>,
    nonce: [u8; keyring::NONCE],
    ciphertext: Vec<u8>,
}

impl Sealed {
    fn read(text: &str) -> Result<Sealed, Unsealable> {
        let parts: Vec<&str> = text.split('|').collect();
        let [version, algorithm, kid, wrapped, nonce, ciphertext] = parts[..] else {
            return Err(Unsealable::Malformed);
        };
        if (version, algorithm) != ("v1", "a256gcm") {
            return Err(Unsealable::Unknown(format!("{version}|{algorithm}").chars().take(40).collect()));
        }
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Unsealable::Malformed);
        Ok(Sealed {
            kid: kid.parse().map_err(|_| Unsealable::Malformed)?,
            wrapped: bytes(wrapped)?,
            nonce: bytes(nonce)?.try_into().map_err(|_| Unsealable::Malformed)?,
            ciphertext: bytes(ciphertext)?,
        })
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let Sealed {
            kid,
            wrapped,
            nonce,
            ciphertext,
        } = self;
        write!(f, "{FORM}|{kid}|{}|{}|{}", text(wrapped), text(nonce), text(ciphertext))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn place(row: &str) -> Place {
        Place {
            table: "source_secrets",
            column: "sealed",
            row: row.to_owned(),
            schema: 1,
        }
    }

    fn opened(ring: &Keyring, place: &Place, sealed: &str) -> Result<Vec<u8>, Unsealable> {
        ring.open(place, sealed).map(|plain| plain.to_vec())
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_in_no_other() {
        let ring = Keyring::generate();
        let sealed = ring.seal(&place("7/1"), b"hunter2 hunter2");

        assert_eq!(opened(&ring, &place("7/1"), &sealed).unwrap(), b"hunter2 hunter2");
        for elsewhere in [
            place("7/2"),
            place("8/1"),
            Place {
                table: "users",
                ..place("7/1")
            },
            Place {
                column: "totp",
                ..place("7/1")
            },
            Place { schema: 2, ..place("7/1") },
        ] {
            assert_eq!(opened(&ring, &elsewhere, &sealed), Err(Unsealable::Broken), "{elsewhere:?}");
        }
    }

    #[test]
    fn nothing_of_a_value_shows_in_what_is_stored() {
        let ring = Keyring::generate();

        let (one, other) = (ring.seal(&place("1"), b"the same secret"), ring.seal(&place("1"), b"the same secret"));

        assert_ne!(one, other);
        assert!(!one.contains("secret") && !one.contains(&URL_SAFE_NO_PAD.encode("the same secret")));
    }

    #[test]
    fn every_changed_letter_is_noticed() {
        let ring = Keyring::generate();
        let sealed = ring.seal(&place("1"), b"secret");

        for at in 0..sealed.len() {
            let mut letters: Vec<char> = sealed.chars().collect();
            letters[at] = if letters[at] == 'A' { 'B' } else { 'A' };
            let changed: String = letters.into_iter().collect();
            assert!(opened(&ring, &place("1"), &changed).is_err(), "{at}: {changed}");
        }
    }

    #[test]
    fn pieces_of_two_values_do_not_open_together() {
        let ring = Keyring::generate();
        let (one, other) = (ring.seal(&place("1"), b"one"), ring.seal(&place("1"), b"two"));
        let (one, other): (Vec<&str>, Vec<&str>) = (one.split('|').collect(), other.split('|').collect());

        for piece in 3..6 {
            let mut mixed = one.clone();
            mixed[piece] = other[piece];
            assert_eq!(opened(&ring, &place("1"), &mixed.join("|")), Err(Unsealable::Broken), "{piece}");
        }
    }

    #[test]
    fn another_ring_says_which_key_it_lacks() {
        let (ours, theirs) = (Keyring::generate(), Keyring::generate());
        let sealed = theirs.seal(&place("1"), b"secret");

        assert_eq!(opened(&ours, &place("1"), &sealed), Err(Unsealable::NoKey(theirs.sealing())));
    }

    #[test]
    fn what_is_no_sealed_value_is_told_from_a_newer_one() {
        let ring = Keyring::generate();

        for text in ["", "hunter2", "v1|a256gcm|x", "v1|a256gcm|KID|a|b|c"] {
            assert_eq!(opened(&ring, &place("1"), text), Err(Unsealable::Malformed), "{text}");
        }
        let newer = ring.seal(&place("1"), b"x").replace("v1|a256gcm", "v2|xchacha");
        assert_eq!(opened(&ring, &place("1"), &newer), Err(Unsealable::Unknown("v2|xchacha".to_owned())));
    }

    #[test]
    fn a_new_key_wraps_what_an_old_one_sealed() {
        let old = Keyring::generate();
        let sealed = old.seal(&place("1"), b"secret");
        let both = old.with_new_key();

        let rewrapped = both.rewrap(&sealed).unwrap().expect("it is sealed with the old one");

        assert_eq!(opened(&both, &place("1"), &rewrapped).unwrap(), b"secret");
        assert_eq!(opened(&old, &place("1"), &rewrapped), Err(Unsealable::NoKey(both.sealing())));
        assert_eq!(both.rewrap(&rewrapped).unwrap(), None);
        assert_eq!(opened(&both.without(&old.sealing()).unwrap(), &place("1"), &rewrapped).unwrap(), b"secret");
        assert_eq!(opened(&both, &place("2"), &rewrapped), Err(Unsealable::Broken));
    }
}
