//! What another program says of a pipeline, in whatever form it says it. Knows nothing of what becomes of it.
//!
//! A bare word, a JSON string, or a JSON object with `status` and perhaps `timestamp`; other fields are passed on. The word stays
//! as it is written; what it means is known for our own words and for a few that others use.

use pipecast_model::{Announcement, EnvelopeError, Status, Timestamp};
use serde_json::{Map, Value};

/// Longer words are not taken.
const LONGEST_WORD: usize = 100;

/// Fields that are ours to say, or that would promise what another program cannot keep: it has no sequence of ours.
const OURS: [&str; 10] = ["v", "type", "topic", "status", "timestamp", "epoch", "seq", "id", "generation", "terminal"];

/// A status as another program tells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Telling {
    /// As it is written.
    pub(crate) word: String,
    /// What it means, where that is known.
    pub(crate) status: Option<Status>,
    /// When it became so, by the clock of whoever tells it.
    pub(crate) at: Option<Timestamp>,
    /// Everything else that was said.
    pub(crate) fields: Map<String, Value>,
}

impl Telling {
    /// Reads what is written at a pipeline's key or told on its channel; `None` where no status is in it.
    pub(crate) fn read(text: &[u8]) -> Option<Telling> {
        match serde_json::from_slice(text) {
            Ok(Value::Object(fields)) => Self::from_object(fields),
            Ok(Value::String(word)) => Self::from_word(&word),
            Ok(_) => None,
            Err(_) => Self::from_word(std::str::from_utf8(text).ok()?),
        }
    }

    /// Whether it says nothing that `other` does not say too.
    pub(crate) fn is_part_of(&self, other: &Telling) -> bool {
        self.word == other.word && (self.at.is_none() || self.at == other.at) && self.fields.iter().all(|(name, value)| other.fields.get(name) == Some(value))
    }

    fn from_word(text: &str) -> Option<Telling> {
        let word = text.trim();
        let is_word = !word.is_empty() && word.len() <= LONGEST_WORD && !word.starts_with(['{', '[']) && !word.contains(char::is_control);
        is_word.then(|| Telling {
            word: word.to_owned(),
            status: meaning(word),
            at: None,
            fields: Map::new(),
        })
    }

    fn from_object(mut fields: Map<String, Value>) -> Option<Telling> {
        let mut telling = Self::from_word(fields.get("status")?.as_str()?)?;
        telling.at = match fields.get("timestamp") {
            Some(Value::String(text)) => Timestamp::parse(text),
            Some(Value::Number(number)) => number.as_f64().and_then(|seconds| Timestamp::from_epoch(seconds as i64)),
            _ => None,
        };
        fields.retain(|name, _| !OURS.contains(&name.as_str()));
        telling.fields = fields;
        Some(telling)
    }
}

/// What has come over the bus on a topic.
pub(crate) enum Heard {
    /// One of ours.
    Ours(Announcement),
    /// One of ours in a form that this build does not know.
    Strange(EnvelopeError),
    /// Another program's word.
    Foreign(Telling),
    /// Nothing that says how anything is doing.
    Noise,
}

impl Heard {
    pub(crate) fn read(message: &[u8]) -> Heard {
        let error = match Announcement::read(message) {
            Ok(announcement) => return Heard::Ours(announcement),
            Err(error) => error,
        };
        let is_ours = serde_json::from_slice::<Value>(message).is_ok_and(|value| value["epoch"].is_string() && value["seq"].is_i64());
        match Telling::read(message) {
            _ if is_ours => Heard::Strange(error),
            Some(telling) => Heard::Foreign(telling),
            None => Heard::Noise,
        }
    }
}

fn meaning(word: &str) -> Option<Status> {
    match word.to_ascii_lowercase().as_str() {
        "failed" => Some(Status::Failure),
        "canceled" => Some(Status::Cancelled),
        "pending" => Some(Status::Queued),
        "timeout" => Some(Status::TimedOut),
        ours => Status::from_word(ours),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Option<Status>, Option<Timestamp>, String) {
        let Telling { word, status, at, fields } = Telling::read(text.as_bytes()).expect(text);
        (word, status, at, Value::from(fields).to_string())
    }

    #[test]
    fn words_strings_and_objects_are_understood() {
        let at = Timestamp::parse("2026-11-21T10:00:00.5Z");
        let running = Some(Status::Running);

        assert_eq!(read(" running\n"), ("running".into(), running, None, "{}".into()));
        assert_eq!(read(r#""running""#), ("running".into(), running, None, "{}".into()));
        assert_eq!(
            read(r#"{"type":"status_change","status":"running","timestamp":"2026-11-21T10:00:00.500000","progress":50}"#),
            ("running".into(), running, at, r#"{"progress":50}"#.into()),
            "an instant without a zone is UTC"
        );
        assert_eq!(read(r#"{"status":"running","seq":7,"id":"x-7","epoch":1}"#).3, "{}", "cursors are ours alone");
    }

    #[test]
    fn a_word_stays_as_it_is_written_and_means_what_is_known() {
        for (word, status) in [
            ("Failed", Some(Status::Failure)),
            ("canceled", Some(Status::Cancelled)),
            ("pending", Some(Status::Queued)),
            ("timeout", Some(Status::TimedOut)),
            ("SUCCESS", Some(Status::Success)),
            ("deploying to mars", None),
        ] {
            assert_eq!(read(word).0, word);
            assert_eq!(read(word).1, status, "{word}");
        }
    }

    #[test]
    fn what_tells_no_status_is_no_telling() {
        let long = "x".repeat(LONGEST_WORD + 1);
        for text in [
            "",
            "  ",
            "7",
            "null",
            "[1]",
            "{",
            "{}",
            r#"{"status":7}"#,
            r#"{"status":""}"#,
            "two\nlines",
            &long,
        ] {
            assert_eq!(Telling::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Telling::read(b"\xff\xfe"), None);
    }

    #[test]
    fn an_announcement_that_cannot_be_read_is_still_ours() {
        let strange = br#"{"v":9,"epoch":"kqzxbtwm","seq":7,"status":"levitating"}"#;
        let newer = br#"{"v":2,"topic":"pipeline:7","status":"running","timestamp":"2026-11-21T10:00:00Z","epoch":"kqzxbtwm","seq":3,"data":null}"#;

        assert!(matches!(Heard::read(strange), Heard::Strange(EnvelopeError::Unknown(9))));
        assert!(
            matches!(Heard::read(newer), Heard::Strange(EnvelopeError::Unknown(2))),
            "it would fit, and may mean something else"
        );
        assert!(matches!(Heard::read(b"running"), Heard::Foreign(_)));
        assert!(matches!(Heard::read(br#"{"type":"log"}"#), Heard::Noise));
    }
}
