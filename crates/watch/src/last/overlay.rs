//! A value that lies over ours because another program told it.

use std::sync::Arc;

use pipecast_model::{Epoch, Status, Timestamp, Topic};
use serde_json::{Map, Value};

use super::Last;
use crate::telling::Telling;

/// What another program told, and what it lies over.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    pub(crate) telling: Telling,
    /// From when its time counts.
    pub(crate) since: Timestamp,
    pub(crate) told: Told,
    /// Our value beneath; `None` where there is none.
    pub(crate) beneath: Option<Arc<Last>>,
}

/// How another program told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It published it.
    Event,
    /// It stands in the cache, and is worth nothing once it does not.
    Value,
}

impl Last {
    /// What another program told at `now`, over our value `beneath`.
    pub(crate) fn overlay(topic: Topic, telling: Telling, told: Told, beneath: Option<Arc<Last>>, now: Timestamp) -> Self {
        // Nobody knows today what became so tomorrow.
        let timestamp = telling.at.unwrap_or(now).min(now);
        let since = match told {
            Told::Event => now,
            Told::Value => timestamp,
        };
        Last {
            topic,
            status: telling.status.unwrap_or_default(),
            timestamp,
            epoch: beneath.as_ref().map_or_else(|| Epoch(String::new()), |beneath| beneath.epoch.clone()),
            seq: beneath.as_ref().map_or(0, |beneath| beneath.seq),
            id: None,
            is_gone: false,
            is_restored: false,
            fields: fields(topic, &telling, timestamp, beneath.as_deref()),
            overlay: Some(Overlay { telling, since, told, beneath }),
            renderings: Default::default(),
            home: Default::default(),
        }
    }

    /// Our value, as it is shown again once nothing lies over it.
    pub(crate) fn restored(&self) -> Self {
        Last {
            is_restored: true,
            ..self.clone()
        }
    }

    /// A topic that has no value of ours, once nothing lies there any more.
    pub(crate) fn nothing(topic: Topic, now: Timestamp) -> Self {
        Last {
            topic,
            status: Status::Unknown,
            timestamp: now,
            epoch: Epoch(String::new()),
            seq: 0,
            id: None,
            is_gone: true,
            is_restored: true,
            fields: format!(r#""topic":"{topic}","status":"unknown","timestamp":"{now}","epoch":null,"seq":null,"id":null,"data":null"#),
            overlay: None,
            renderings: Default::default(),
            home: Default::default(),
        }
    }

    /// Our value: this one, or the one beneath.
    pub(crate) fn ours(self: &Arc<Self>) -> Option<Arc<Last>> {
        match &self.overlay {
            Some(overlay) => overlay.beneath.clone(),
            None => self.id.is_some().then(|| Arc::clone(self)),
        }
    }
}

fn fields(topic: Topic, telling: &Telling, timestamp: Timestamp, beneath: Option<&Last>) -> String {
    let mut passed = telling.fields.clone();
    let mut said = Map::new();
    said.insert("topic".into(), topic.to_string().into());
    said.insert("status".into(), telling.word.as_str().into());
    // What the word means where we know it, else what the teller says of it.
    let their_state = passed.remove("state");
    let their_outcome = passed.remove("outcome");
    let known = |status: Status| (Some(status.state().into()), status.outcome().map(Value::from));
    let (state, outcome) = telling.status.map_or((their_state, their_outcome), known);
    said.insert("state".into(), state.unwrap_or_default());
    said.insert("outcome".into(), outcome.unwrap_or_default());
    said.insert("timestamp".into(), timestamp.to_string().into());
    for cursor in ["epoch", "seq", "id"] {
        said.insert(cursor.into(), Value::Null);
    }
    if telling.status.is_some_and(Status::is_terminal) {
        said.insert("terminal".into(), true.into());
    }
    said.insert("data".into(), beneath.map(|beneath| data(beneath, &telling.word)).unwrap_or_default());
    said.extend(passed);
    let object = Value::Object(said).to_string();
    object[1..object.len() - 1].to_owned()
}

/// What we know of the pipeline, with the status that is told of it.
fn data(beneath: &Last, word: &str) -> Value {
    let mut whole: Value = serde_json::from_str(&beneath.entry()).unwrap_or_default();
    let mut data = whole["data"].take();
    if let Some(status) = data.get_mut("status") {
        *status = word.into();
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beneath() -> Arc<Last> {
        const TEXT: &str = r#"{"v":1,"topic":"pipeline:42","status":"success","timestamp":"2026-11-21T10:02:31Z","epoch":"kqzxbtwm","seq":1842,
            "data":{"id":42,"status":"success"}}"#;
        Arc::new(Last::new(&serde_json::from_str(TEXT).expect("an announcement")))
    }

    fn overlay(text: &str, beneath: Option<Arc<Last>>) -> (Last, Value) {
        let telling = Telling::read(text.as_bytes()).expect("a telling");
        let now = Timestamp::parse("2026-11-21T11:00:00Z").expect("an instant");
        let last = Last::overlay(beneath.as_ref().map_or(beneath_topic(), |last| last.topic), telling, Told::Value, beneath, now);
        let frame = serde_json::from_str(&last.json("status_change")).expect("JSON");
        (last, frame)
    }

    fn beneath_topic() -> Topic {
        "pipeline:42".parse().expect("a topic")
    }

    #[test]
    fn another_programs_word_lies_over_what_we_know_and_has_no_cursor() {
        let (last, frame) = overlay(r#"{"status":"failed","timestamp":"2026-11-21T10:30:00","progress":50}"#, Some(beneath()));

        assert_eq!(
            frame,
            serde_json::json!({"type": "status_change", "topic": "pipeline:42", "status": "failed", "state": "completed", "outcome": "failure",
                "timestamp": "2026-11-21T10:30:00Z", "epoch": null, "seq": null, "id": null, "terminal": true, "progress": 50,
                "data": {"id": 42, "status": "failed"}})
        );
        assert_eq!((last.word(), last.status, last.id.as_deref()), ("failed", Status::Failure, None));
        assert!(!beneath().replaces(&last), "what it lies over is no news");
    }

    #[test]
    fn a_time_is_capped_at_receipt_and_an_unknown_word_means_nothing() {
        let (last, frame) = overlay(r#"{"status":"deploying","timestamp":"2027-01-01T00:00:00Z","state":"theirs"}"#, None);

        assert_eq!(frame["timestamp"], "2026-11-21T11:00:00Z");
        assert_eq!(
            (&frame["state"], &frame["outcome"], &frame["data"]),
            (&"theirs".into(), &Value::Null, &Value::Null)
        );
        assert!(beneath().replaces(&last), "any value of ours is newer than none");
    }
}
