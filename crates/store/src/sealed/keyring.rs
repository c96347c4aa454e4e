//! The keys that seal: how they are written, which of them are no keys at all, and what is done with them.
//! Knows nothing of where they are kept.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipecast_model::hexadecimal;
use zeroize::Zeroizing;

use super::{FORM, Place, Plain, Sealed, Unsealable};

/// Bytes of a key.
const KEY: usize = 32;
/// Bytes of a nonce.
pub(super) const NONCE: usize = 12;
/// Bytes of a tag.
const TAG: usize = 16;
/// Letters of a key's name.
const KID: usize = 12;

/// Different bytes that 32 random ones have at least; fewer have been written by hand.
const LEAST_DIFFERENT: usize = 16;

/// The name of a key, made of the key itself: so the same key has the same name everywhere, and another one never has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(String);

impl Kid {
    fn of(key: &[u8; KEY]) -> Kid {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"pipecast: the name of this key");
        Kid(hexadecimal::write(&tag.as_ref()[..KID / 2]))
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Kid {
    type Err = RingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_one = text.len() == KID && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if is_one { Ok(Kid(text.to_owned())) } else { Err(RingError::NoKid) }
    }
}

/// Why something is no ring of keys. No variant has anything of a key in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// There is no key at all.
    #[error("there is no key in it")]
    Empty,
    /// A line is something else.
    #[error("line {0} is no key: a key is 32 random bytes in base64; `pipecast keys generate` prints one")]
    NoKey(usize),
    /// A line was thought up, or copied from somewhere.
    #[error("line {0} is a placeholder and no random key; `pipecast keys generate` prints one")]
    Placeholder(usize),
    /// A key stands there twice.
    #[error("line {0} has a key that is there already")]
    Twice(usize),
    /// A text names no key.
    #[error("a key is named by 12 hexadecimal digits; `pipecast keys list` shows them")]
    NoKid,
    /// There is no key of this name.
    #[error("there is no key {0}")]
    Absent(Kid),
    /// It seals, so it is needed.
    #[error("the key {0} seals what is new; make another one the first")]
    Sealing(Kid),
}

/// Keys by their names. The first one seals; all of them open. Wiped from memory when it is dropped; it has no `Debug`.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<(Kid, Zeroizing<[u8; KEY]>)>,
}

impl Keyring {
    /// A ring with one fresh key.
    pub fn generate() -> Keyring {
        let key = random();
        Keyring {
            keys: vec![(Kid::of(&key), key)],
        }
    }

    /// Reads keys, one a line or with commas between, the one that seals first. What stands after `#` is a remark.
    ///
    /// # Errors
    /// `Empty`, `NoKey`, `Placeholder`, `Twice`.
    pub fn read(text: &str) -> Result<Keyring, RingError> {
        let mut keys: Vec<(Kid, Zeroizing<[u8; KEY]>)> = Vec::new();
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let words = lines
            .enumerate()
            .flat_map(|(at, line)| line.split([',', ' ', '\t']).map(move |word| (at + 1, word.trim())));
        for (line, word) in words.filter(|(_, word)| !word.is_empty()) {
            let bytes = Zeroizing::new(STANDARD.decode(word).map_err(|_| no_key(line, word))?);
            let key: [u8; KEY] = bytes.as_slice().try_into().map_err(|_| no_key(line, word))?;
            let key = Zeroizing::new(key);
            if is_placeholder(&key) {
                return Err(RingError::Placeholder(line));
            }
            let kid = Kid::of(&key);
            if keys.iter().any(|(known, _)| *known == kid) {
                return Err(RingError::Twice(line));
            }
            keys.push((kid, key));
        }
        if keys.is_empty() { Err(RingError::Empty) } else { Ok(Keyring { keys }) }
    }

    /// As [`Keyring::read`] reads it.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(128 + self.keys.len() * 64));
        text.push_str("# Keys of pipecast: the first one seals, all of them open. Keep a copy apart from the backups.\n");
        for (kid, key) in &self.keys {
            text.push_str(&Zeroizing::new(STANDARD.encode(key.as_slice())));
            text.push_str(&format!(" # {kid}\n"));
        }
        text
    }

    /// The name of the key that seals.
    pub fn sealing(&self) -> Kid {
        self.keys[0].0.clone()
    }

    /// The names of all keys, the one that seals first.
    pub fn kids(&self) -> impl Iterator<Item = &Kid> {
        self.keys.iter().map(|(kid, _)| kid)
    }

    /// Whether there is a key of this name.
    pub fn has(&self, kid: &Kid) -> bool {
        self.key(kid).is_some()
    }

    /// The same ring with a fresh key that seals.
    pub fn with_new_key(&self) -> Keyring {
        let mut keys = Keyring::generate().keys;
        keys.extend(self.keys.iter().cloned());
        Keyring { keys }
    }

    /// The same ring with another of its keys to seal.
    ///
    /// # Errors
    /// `Absent`.
    pub fn sealing_with(&self, kid: &Kid) -> Result<Keyring, RingError> {
        let at = self
            .keys
            .iter()
            .position(|(known, _)| known == kid)
            .ok_or_else(|| RingError::Absent(kid.clone()))?;
        let mut keys = self.keys.clone();
        keys[..=at].rotate_right(1);
        Ok(Keyring { keys })
    }

    /// The same ring without a key.
    ///
    /// # Errors
    /// `Absent`, and `Sealing` for the key that seals.
    pub fn without(&self, kid: &Kid) -> Result<Keyring, RingError> {
        if !self.has(kid) {
            return Err(RingError::Absent(kid.clone()));
        }
        if self.sealing() == *kid {
            return Err(RingError::Sealing(kid.clone()));
        }
        let keys = self.keys.iter().filter(|(known, _)| known != kid).cloned().collect();
        Ok(Keyring { keys })
    }

    /// Seals a value for its place.
    pub fn seal(&self, place: &Place, plain: &[u8]) -> String {
        let key = random();
        let mut ciphertext = with_room(plain);
        let nonce = encrypt(&key, place.bound().as_bytes(), &mut ciphertext);
        let sealed = Sealed {
            kid: self.sealing(),
            wrapped: self.wrap(&key),
            nonce,
            ciphertext,
        };
        sealed.to_string()
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// As [`Unsealable`] says.
    pub fn open(&self, place: &Place, sealed: &str) -> Result<Plain, Unsealable> {
        let sealed = Sealed::read(sealed)?;
        let key = self.unwrap(&sealed)?;
        decrypt(&key, sealed.nonce, place.bound().as_bytes(), sealed.ciphertext).map(Plain)
    }

    /// The same value, its key wrapped with the key that seals now; `None` where it is already. Needs no place, and changes nothing of
    /// where the value opens.
    ///
    /// # Errors
    /// As [`Unsealable`] says.
    pub fn rewrap(&self, sealed: &str) -> Result<Option<String>, Unsealable> {
        let sealed = Sealed::read(sealed)?;
        let key = self.unwrap(&sealed)?;
        if sealed.kid == self.sealing() {
            return Ok(None);
        }
        let rewrapped = Sealed {
            kid: self.sealing(),
            wrapped: self.wrap(&key),
            ..sealed
        };
        Ok(Some(rewrapped.to_string()))
    }

    fn wrap(&self, key: &[u8; KEY]) -> Vec<u8> {
        let (kid, own) = &self.keys[0];
        let mut wrapped = with_room(key);
        let nonce = encrypt(own, wrapping(kid).as_bytes(), &mut wrapped);
        [&nonce[..], &wrapped].concat()
    }

    fn unwrap(&self, sealed: &Sealed) -> Result<Zeroizing<[u8; KEY]>, Unsealable> {
        let own = self.key(&sealed.kid).ok_or_else(|| Unsealable::NoKey(sealed.kid.clone()))?;
        let (nonce, wrapped) = sealed.wrapped.split_first_chunk::<NONCE>().ok_or(Unsealable::Malformed)?;
        let key = decrypt(own, *nonce, wrapping(&sealed.kid).as_bytes(), wrapped.to_vec())?;
        let key: [u8; KEY] = key.as_slice().try_into().map_err(|_| Unsealable::Malformed)?;
        Ok(Zeroizing::new(key))
    }

    fn key(&self, kid: &Kid) -> Option<&[u8; KEY]> {
        self.keys.iter().find(|(known, _)| known == kid).map(|(_, key)| &**key)
    }
}

/// What a wrapped key is bound to.
fn wrapping(kid: &Kid) -> String {
    format!("pipecast key|{FORM}|{kid}")
}

fn random() -> Zeroizing<[u8; KEY]> {
    let mut key = Zeroizing::new([0; KEY]);
    rand::fill(&mut *key).expect("the system has random numbers");
    key
}

fn cipher(key: &[u8; KEY]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key of 32 bytes"))
}

/// A copy with room for a tag: it is encrypted where it is, so nothing plain is left behind by growing.
fn with_room(plain: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(plain.len() + TAG);
    text.extend_from_slice(plain);
    text
}

/// Encrypts in place, with the tag behind. Nonces are random: a value's own key encrypts once, and a key of the ring far less often than the
/// 2^32 times that random nonces are good for.
fn encrypt(key: &[u8; KEY], bound: &[u8], text: &mut Vec<u8>) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    rand::fill(&mut nonce).expect("the system has random numbers");
    let sealed = cipher(key).seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), text);
    sealed.expect("a secret is far smaller than 64 GiB");
    nonce
}

fn decrypt(key: &[u8; KEY], nonce: [u8; NONCE], bound: &[u8], ciphertext: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
    let mut text = Zeroizing::new(ciphertext);
    let opened = cipher(key).open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut text);
    let length = opened.map_err(|_| Unsealable::Broken)?.len();
    text.truncate(length);
    Ok(text)
}

/// What is so plainly no key that somebody has put it there for the time being is called that.
fn no_key(line: usize, word: &str) -> RingError {
    let word = word.to_ascii_lowercase();
    let is_for_now = ["changeme", "change-me", "change_me", "placeholder", "example", "secret", "your", "todo"];
    if is_for_now.iter().any(|wanted| word.contains(wanted)) {
        RingError::Placeholder(line)
    } else {
        RingError::NoKey(line)
    }
}

/// Text, a pattern, or few different bytes: what a person writes and chance does not.
fn is_placeholder(key: &[u8; KEY]) -> bool {
    let mut seen = [false; 256];
    key.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    let is_text = key.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let step = key[1].wrapping_sub(key[0]);
    let is_ladder = key.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    different < LEAST_DIFFERENT || is_text || is_ladder
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn refusal(text: &str) -> RingError {
        match Keyring::read(text) {
            Ok(_) => panic!("{text} was taken"),
            Err(error) => error,
        }
    }

    #[test]
    fn a_ring_is_read_as_it_was_written() {
        let ring = Keyring::generate().with_new_key();

        let read = Keyring::read(&ring.text()).unwrap();

        assert_eq!(read.kids().collect::<Vec<_>>(), ring.kids().collect::<Vec<_>>());
        assert_eq!(read.sealing(), ring.sealing());
        let line = STANDARD.encode(*ring.keys[1].1);
        assert_eq!(
            Keyring::read(&format!("{line},{}", STANDARD.encode(*ring.keys[0].1))).unwrap().kids().count(),
            2
        );
    }

    #[test]
    fn placeholders_are_refused() {
        let ladder: Vec<u8> = (0..32).collect();
        for bytes in [
            [0; 32].as_slice(),
            &[0xff; 32],
            b"0123456789abcdef0123456789abcdef",
            b"changemechangemechangemechangeme",
            &ladder,
        ] {
            assert_eq!(refusal(&STANDARD.encode(bytes)), RingError::Placeholder(1));
        }
        assert_eq!(refusal("# the key\nchangeme"), RingError::Placeholder(2));
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line() {
        let key = STANDARD.encode(*random());

        assert_eq!(refusal(""), RingError::Empty);
        assert_eq!(refusal("# only a remark\n"), RingError::Empty);
        assert_eq!(refusal(&format!("{key}\nhunter2")), RingError::NoKey(2));
        assert_eq!(refusal(&STANDARD.encode([7; 16])), RingError::NoKey(1));
        assert_eq!(refusal(&format!("{key}\n\n{key}")), RingError::Twice(3));
    }

    #[test]
    fn the_first_key_seals_and_is_not_taken_off() {
        let one = Keyring::generate();
        let two = one.with_new_key();

        assert_ne!(two.sealing(), one.sealing());
        assert!(matches!(two.without(&two.sealing()), Err(RingError::Sealing(_))));
        assert_eq!(two.sealing_with(&one.sealing()).unwrap().sealing(), one.sealing());
        assert_eq!(two.without(&one.sealing()).unwrap().kids().count(), 1);
        assert!(matches!(one.without(&two.sealing()), Err(RingError::Absent(_))));
    }
}
