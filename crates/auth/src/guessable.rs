//! Passwords that are tried first: those that have leaked by the ten thousand, words and names and dates, and what is known of their owner.
//! Knows nothing of how long a password has to be.

/// The least that is taken, in guesses by somebody who knows the lists. Eight random characters are just as many: to the measure each has one of ten
/// values. Its score of three begins five guesses later, so scores are not asked for.
const LEAST: u64 = 100_000_000;

/// Shorter names say nothing: nobody means "al" by "balloon".
const SHORTEST_NAME: usize = 4;

/// Why a password is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guessable {
    /// The name or the address of its owner is in it.
    Own,
    /// It has leaked elsewhere, or is made of what everybody uses: words, names, dates, keys in a row, one thing again and again.
    Common,
}

/// Why a password is tried first, if it is. `about` is what its owner is known by: names and addresses. Takes milliseconds of a processor.
pub fn is_guessable(password: &str, about: &[&str]) -> Option<Guessable> {
    let folded = password.to_lowercase();
    let mut known = about.iter().flat_map(|text| parts(text));
    if known.any(|part| part.chars().count() >= SHORTEST_NAME && folded.contains(&part)) {
        return Some(Guessable::Own);
    }
    let about: Vec<&str> = about.iter().copied().filter(|text| !text.is_empty()).collect();
    (zxcvbn::zxcvbn(password, &about).guesses() < LEAST).then_some(Guessable::Common)
}

/// A name; of an address also what stands before the @.
fn parts(text: &str) -> impl Iterator<Item = String> {
    let folded = text.trim().to_lowercase();
    let mailbox = folded.split_once('@').map(|(mailbox, _)| mailbox.to_owned());
    [folded].into_iter().chain(mailbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_leaked_and_what_everybody_uses_is_known() {
        for common in [
            "password1234567",
            "passwordpassword",
            "123456789012345",
            "qwertyuiopasdfgh",
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "P@ssw0rdP@ssw0rd",
            "iloveyouiloveyou",
            "trustno1",
            "letmein123",
        ] {
            assert_eq!(is_guessable(common, &[]), Some(Guessable::Common), "{common}");
        }
    }

    #[test]
    fn what_its_owner_is_known_by_is_no_secret_of_theirs() {
        let about = ["grace", "Grace.Hopper@example.org"];

        for own in ["Grace has a password", "my GRACE.HOPPER is long", "grace.hopper@example.org"] {
            assert_eq!(is_guessable(own, &about), Some(Guessable::Own), "{own}");
        }
        assert_eq!(is_guessable("the balloons over al andalus", &["al"]), None);
    }

    #[test]
    fn a_sentence_and_what_a_manager_makes_are_taken() {
        for good in [
            "correct horse battery staple",
            "kX9#vLq2!mZw",
            "a sentence for somebody",
            "修复上传重试的竞态条件",
            // As short as one may be that has a second factor beside it.
            "vG7rTq2x",
        ] {
            assert_eq!(is_guessable(good, &["ada"]), None, "{good}");
        }
    }
}
