//! Fields of a webhook's body that are never wrong: null, absent and a value of another type all read as nothing.
//! Knows nothing of hosts; only text that is not JSON at all is an error.

use pipecast_model::{Reading, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// No text that is kept is longer, in bytes. Names and ids are keys in the database, and PostgreSQL refuses index entries
/// above some 2,700 bytes.
const LONGEST_TEXT: usize = 1_000;

/// Reads the body as `T`.
///
/// # Errors
/// `Unprocessable` where it is no JSON object. The text of the body never shows in the reason, because it may hold secrets.
pub(super) fn read<T: DeserializeOwned>(body: &str) -> Result<T, Reading> {
    let unreadable = |why: String| Reading::Unprocessable(why);
    if !body.trim_ascii_start().starts_with('{') {
        return Err(unreadable("the body is not a JSON object".to_owned()));
    }
    serde_json::from_str(body).map_err(|error| unreadable(format!("the body is not JSON: it breaks at line {} column {}", error.line(), error.column())))
}

/// A text that says something: an empty one counts as absent. Letters that are for machines are left out, see [`is_shown`].
#[derive(Clone, Debug, Default)]
pub(super) struct Text(pub(super) Option<String>);

impl Text {
    /// The text, to look at.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Its first line: the title of a commit message.
    pub(super) fn first_line(&self) -> Option<String> {
        self.get()?.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    }
}

impl From<Text> for Option<String> {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = parse::<String>(raw(deserializer)?);
        Ok(Text(text.map(storable).filter(|text| !text.trim().is_empty())))
    }
}

/// An integer, also where it is written as text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number(pub(super) Option<i64>);

impl From<Number> for Option<i64> {
    fn from(number: Number) -> Self {
        number.0
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Number(raw(deserializer)?.trim_matches('"').parse().ok()))
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flag(pub(super) Option<bool>);

impl From<Flag> for Option<bool> {
    fn from(flag: Flag) -> Self {
        flag.0
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Flag(parse(raw(deserializer)?)))
    }
}

/// A moment in any of the forms that hosts write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Instant(pub(super) Option<Timestamp>);

impl From<Instant> for Option<Timestamp> {
    fn from(instant: Instant) -> Self {
        instant.0
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = raw(deserializer)?;
        Ok(Instant(match parse::<i64>(raw) {
            Some(number) => Timestamp::from_epoch(number),
            None => parse::<String>(raw).and_then(|text| Timestamp::parse(&text)),
        }))
    }
}

/// The latest of some moments.
pub(super) fn newest(instants: impl IntoIterator<Item = Instant>) -> Option<Timestamp> {
    instants.into_iter().filter_map(|instant| instant.0).max()
}

/// An object inside the body.
#[derive(Clone, Debug)]
pub(super) struct Part<T>(pub(super) Option<T>);

impl<T> Default for Part<T> {
    fn default() -> Self {
        Part(None)
    }
}

impl<T> Part<T> {
    /// A field of the object, where it is there and has it.
    pub(super) fn and<'a, U>(&'a self, field: impl FnOnce(&'a T) -> Option<U>) -> Option<U> {
        self.0.as_ref().and_then(field)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = raw(deserializer)?;
        // Without this look a list would be read as the object's fields in their order.
        Ok(Part(raw.starts_with('{').then(|| parse(raw)).flatten()))
    }
}

/// A list of objects; what is no such object in it is passed over.
#[derive(Clone, Debug)]
pub(super) struct Parts<T>(pub(super) Vec<T>);

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Parts(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Parts<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts: Option<Vec<Part<T>>> = parse(raw(deserializer)?);
        Ok(Parts(parts.into_iter().flatten().filter_map(|part| part.0).collect()))
    }
}

/// The next value's JSON, unread.
fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    <&'de RawValue>::deserialize(deserializer).map(RawValue::get)
}

fn parse<'de, T: Deserialize<'de>>(raw: &'de str) -> Option<T> {
    serde_json::from_str(raw).ok()
}

fn storable(mut text: String) -> String {
    text.retain(is_shown);
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    text
}

/// Whether a letter is for whoever reads. Control characters are not: PostgreSQL cannot store NUL, and the others drive terminals in which
/// somebody prints an answer of ours. Nor are those that turn the direction of what follows, by which a branch shows as another one (Trojan
/// Source, CVE-2021-42574). The marks of Arabic and Hebrew (U+061C, U+200E, U+200F) turn nothing and stay, as ends of lines and tabs do.
fn is_shown(letter: char) -> bool {
    match letter {
        '\n' | '\t' => true,
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => false,
        _ => !letter.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Body {
        name: Text,
        id: Number,
        good: Flag,
        at: Instant,
        part: Part<Inner>,
        parts: Parts<Inner>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        id: Number,
    }

    #[test]
    fn a_field_of_another_type_is_absent_and_spoils_nothing_else() {
        for wrong in [r#""7x""#, "1.5", "null", "[1]", "{}", "18446744073709551616", "true"] {
            let body: Body = read(&format!(r#"{{"id": {wrong}, "at": {wrong}, "part": {wrong}, "parts": {wrong}, "name": "ok"}}"#)).expect("an object");

            assert_eq!(body.name.get(), Some("ok"), "{wrong}");
            assert_eq!((body.id.0, body.at.0, body.parts.0.len()), (None, None, 0), "{wrong}");
            assert_eq!(body.part.0.is_some(), wrong == "{}", "{wrong}");
        }
        let body: Body = read(r#"{"name": 7, "good": "yes", "parts": [1, {"id": "5"}, [6]]}"#).expect("an object");
        assert_eq!((body.name.get(), body.good.0), (None, None));
        assert_eq!(body.parts.0.iter().map(|inner| inner.id.0).collect::<Vec<_>>(), [Some(5)]);
    }

    #[test]
    fn a_text_is_short_and_fit_for_every_database() {
        let long = format!(r#"{{"name": "a\u0000{}"}}"#, "ü".repeat(600));

        let name = read::<Body>(&long).expect("an object").name.0.expect("a text");

        assert_eq!(name.len(), 999);
        assert!(!name.contains('\0'));
    }

    #[test]
    fn letters_that_drive_terminals_or_turn_directions_are_left_out_and_no_others() {
        let told = r#"{"name": "fix\u001b[2J\u0007\u009b1m/\u202etxt.exe\u2066\u2069\r\n second \u007fline\t\u200f\u05d0 \ud83d\udc69\u200d\ud83d\udd27"}"#;

        let name = read::<Body>(told).expect("an object").name;

        assert_eq!(name.get(), Some("fix[2J1m/txt.exe\n second line\t\u{200f}א 👩\u{200d}🔧"));
        assert_eq!(name.first_line().as_deref(), Some("fix[2J1m/txt.exe"));
    }

    #[test]
    fn a_body_that_is_no_object_says_where_it_breaks_and_never_what_it_holds() {
        for (body, reason) in [
            (r#"["secret"]"#, "the body is not a JSON object"),
            (r#""secret""#, "the body is not a JSON object"),
            ("", "the body is not a JSON object"),
            ("{\"id\": 1,\n \"name\": secret}", "the body is not JSON: it breaks at line 2 column 10"),
        ] {
            assert_eq!(read::<Body>(body).expect_err("unreadable"), Reading::Unprocessable(reason.to_owned()));
        }
    }
}
