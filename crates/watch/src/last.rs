//! The last value of a topic, with the bytes that answers and sockets make of it.

use std::sync::OnceLock;

use bytes::Bytes;
use pipecast_model::{Announcement, Epoch, PipelineId, ProjectId, Status, Timestamp, Topic};
use serde::Deserialize;
use serde_json::{Map, Value};

mod overlay;

pub(crate) use overlay::{Overlay, Told};

/// The forms in which a value leaves this node. Each is made once, by whoever needs it first, and shared from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendering {
    /// The answer of the status endpoint.
    StatusBody,
    /// The `ETag` of that answer, quotes included.
    StatusTag,
    /// The value as a WebSocket frame of type `snapshot`.
    SocketSnapshot,
    /// The value as a WebSocket frame of type `status_change`.
    SocketChange,
    /// The value as a server-sent event `snapshot`.
    EventSnapshot,
    /// The value as a server-sent event `status_change`.
    EventChange,
}

/// One value of one topic. Never changes once it is made.
#[derive(Clone, Debug)]
pub struct Last {
    /// What it is about.
    pub topic: Topic,
    /// How it is doing; `Unknown` for a word of another program that Pipecast does not know.
    pub status: Status,
    /// When the change became known.
    pub timestamp: Timestamp,
    /// The epoch of `seq`.
    pub epoch: Epoch,
    /// Counts the changes of the topic. What another program told has the one of ours that it lies over, 0 where there is none.
    pub seq: i64,
    /// The cursor `<epoch>-<seq>`; `None` for what another program told.
    pub id: Option<String>,
    /// The topic's row is gone, as when a pipeline has been merged into another; there is nothing to show of it.
    pub is_gone: bool,
    /// Another program's word lay over it and is gone, so whoever holds its cursor may show that word.
    pub is_restored: bool,
    /// What another program told, where it did.
    pub(crate) overlay: Option<Overlay>,
    /// The fields of a live frame, without `type` and without braces: `"topic":…,"data":…`.
    fields: String,
    renderings: [OnceLock<Bytes>; 6],
    /// Looked for when somebody first asks.
    home: OnceLock<Home>,
}

/// What a value says of where its thing belongs.
#[derive(Clone, Copy, Debug, Default)]
struct Home {
    project: Option<ProjectId>,
    pipeline: Option<PipelineId>,
}

impl Last {
    /// The value that an announcement carries.
    pub fn new(announcement: &Announcement) -> Self {
        let id = announcement.id();
        Last {
            topic: announcement.topic,
            status: announcement.status,
            timestamp: announcement.timestamp,
            epoch: announcement.epoch.clone(),
            seq: announcement.seq,
            is_gone: announcement.data.get() == "null",
            is_restored: false,
            overlay: None,
            fields: fields(announcement, &id),
            id: Some(id),
            renderings: Default::default(),
            home: OnceLock::new(),
        }
    }

    /// The project that a pipeline belongs to, as we know it; another program's word is not asked. `None` for what is no pipeline of ours.
    pub fn project(&self) -> Option<ProjectId> {
        self.home().project
    }

    /// The pipeline that an execution belongs to, as this value of ours says it. `None` for what is no execution of ours.
    pub fn pipeline(&self) -> Option<PipelineId> {
        self.home().pipeline
    }

    fn home(&self) -> Home {
        #[derive(Deserialize)]
        struct Entry {
            data: Option<Data>,
        }
        #[derive(Deserialize)]
        struct Data {
            project: Option<Project>,
            pipeline_id: Option<PipelineId>,
        }
        #[derive(Deserialize)]
        struct Project {
            id: ProjectId,
        }

        if let Some(overlay) = &self.overlay {
            return overlay.beneath.as_ref().map(|beneath| beneath.home()).unwrap_or_default();
        }
        let read = || {
            let data = serde_json::from_str::<Entry>(&self.entry()).ok()?.data?;
            Some(Home {
                project: data.project.map(|project| project.id),
                pipeline: data.pipeline_id,
            })
        };
        *self.home.get_or_init(|| read().unwrap_or_default())
    }

    /// The status as it is written, by us or by another program.
    pub fn word(&self) -> &str {
        self.overlay.as_ref().map_or(self.status.word(), |overlay| &overlay.telling.word)
    }

    /// What another program told besides status and time; `None` where the value is ours.
    pub fn foreign(&self) -> Option<&Map<String, Value>> {
        self.overlay.as_ref().map(|overlay| &overlay.telling.fields)
    }

    /// The cursor of our newest value: this one, or the one that another program's word lies over.
    pub fn cursor(&self) -> Option<String> {
        match &self.overlay {
            Some(overlay) => overlay.beneath.as_ref()?.id.clone(),
            None => self.id.clone(),
        }
    }

    /// The value as one JSON object, with `kind` as its `type`.
    pub fn json(&self, kind: &str) -> String {
        format!("{{\"type\":\"{kind}\",{}}}", self.fields)
    }

    /// The value as an entry of a snapshot of many: the same object without `type`.
    pub fn entry(&self) -> String {
        format!("{{{}}}", self.fields)
    }

    /// The rendering, made by `make` if nobody has needed it before.
    pub fn rendering(&self, which: Rendering, make: impl FnOnce(&Last) -> Bytes) -> &Bytes {
        self.renderings[which as usize].get_or_init(|| make(self))
    }

    /// Whether this value of ours is to replace `older`: a later one of the same epoch, or any of another epoch. What another
    /// program told stands as long as the value of ours that it lies over would.
    pub fn replaces(&self, older: &Last) -> bool {
        self.epoch != older.epoch || self.seq > older.seq
    }
}

fn fields(announcement: &Announcement, id: &str) -> String {
    let Announcement {
        v: _,
        topic,
        status,
        previous_status,
        timestamp,
        epoch,
        seq,
        data,
    } = announcement;
    let status_word = status.word();
    let mut fields = format!(r#""topic":"{topic}","status":"{status_word}","#);
    if let Some(previous) = previous_status {
        fields.push_str(&format!(r#""previous_status":"{}","#, previous.word()));
    }
    fields.push_str(&format!(r#""timestamp":"{timestamp}","epoch":"{epoch}","seq":{seq},"id":"{id}","#));
    if status.is_terminal() {
        fields.push_str(r#""terminal":true,"#);
    }
    fields.push_str(r#""data":"#);
    fields.push_str(data.get());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_json_is_the_frame_of_the_contract() {
        let announcement: Announcement = serde_json::from_str(
            r#"{"v":1,"topic":"pipeline:42","status":"success","previous_status":"running","timestamp":"2026-11-21T10:02:31.004Z","epoch":"kqzxbtwm","seq":1842,"data":{"a":1}}"#,
        )
        .expect("an announcement");

        let last = Last::new(&announcement);

        assert_eq!(
            last.json("status_change"),
            r#"{"type":"status_change","topic":"pipeline:42","status":"success","previous_status":"running","timestamp":"2026-11-21T10:02:31.004Z","epoch":"kqzxbtwm","seq":1842,"id":"kqzxbtwm-1842","terminal":true,"data":{"a":1}}"#
        );
    }
}
