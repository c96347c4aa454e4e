//! Who gets mail: addresses of mailboxes as somebody types them in.
//! Knows nothing of targets, nor of whether there is such a mailbox.

use pipecast_http::Faults;

/// Addresses of one target.
const MOST: usize = 50;
/// Bytes of an address, as in a path of RFC 5321 (4.5.3.1.3) without its brackets.
const LONGEST: usize = 254;
/// Bytes before the `@` (RFC 5321, 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;
/// Bytes between two dots of a domain (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;

/// Addresses without what surrounds them, each once. What is wrong with one is said of its place.
pub(super) fn checked(faults: &mut Faults, addresses: Vec<String>) -> Vec<String> {
    faults.note(addresses.is_empty(), "/recipients", "empty", "name at least one address");
    faults.note(addresses.len() > MOST, "/recipients", "too_many", format!("there are at most {MOST} addresses"));
    let mut kept: Vec<String> = Vec::new();
    for (at, address) in addresses.iter().take(MOST).enumerate() {
        let (address, path) = (address.trim(), format!("/recipients/{at}"));
        faults.note(address.len() > LONGEST, &path, "too_long", format!("it has at most {LONGEST} bytes"));
        faults.note(!is_address(address), &path, "no_address", "it is no address like ada@example.org");
        if !kept.iter().any(|known| known.eq_ignore_ascii_case(address)) {
            kept.push(address.to_owned());
        }
    }
    kept
}

/// Whether it is the address of a mailbox as people have them: a dot-atom (RFC 5322, 3.2.3), `@`, and a domain with a dot in it. Quoted names,
/// addresses of IP and letters beyond ASCII are none; neither is anything that could end a line or begin another address in a header.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_atom = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte));
    let is_label = |label: &str| {
        let is_within = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(is_within) && !label.starts_with('-') && !label.ends_with('-')
    };
    local.len() <= LONGEST_LOCAL && local.split('.').all(is_atom) && domain.contains('.') && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_have_them_are_taken() {
        for good in [
            "ada@example.org",
            "a.b+ci@mail.example.co.uk",
            "o'neil@x-y.example",
            "1@2.io",
            "_-_@EXAMPLE.org",
        ] {
            assert!(is_address(good), "{good}");
        }
    }

    #[test]
    fn what_is_none_or_could_be_more_than_one_is_not() {
        let long = format!("{}@example.org", "x".repeat(65));
        let label = format!("a@{}.org", "x".repeat(64));
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@localhost",
            "ada@example..org",
            "ada@-x.org",
            "ada@example.org.",
            ".ada@example.org",
            "a..b@example.org",
            "ada@b@example.org",
            "ada lovelace@example.org",
            "Ada <ada@example.org>",
            "ada@example.org,bob@example.org",
            "ada@example.org\r\nBcc: eve@example.org",
            "\"ada\"@example.org",
            "ada@[192.0.2.1]",
            "ädä@example.org",
            &long,
            &label,
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn each_is_kept_once_and_what_is_wrong_has_its_place() {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut faults = Faults::default();
        let kept = checked(&mut faults, texts(&[" ada@example.org ", "ADA@example.org", "bob@example.org"]));
        assert_eq!(kept, ["ada@example.org", "bob@example.org"]);
        assert!(faults.end().is_ok());

        for wrong in [Vec::new(), texts(&["ada@example.org"; 51]), texts(&["ada@example.org", "bob"])] {
            let mut faults = Faults::default();
            checked(&mut faults, wrong);
            assert!(faults.end().is_err());
        }
    }
}
