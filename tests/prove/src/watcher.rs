//! A watcher that never gives up: it reads a socket or an event stream, comes back with its cursor whenever it is cut off, and
//! remembers the newest state of each topic. Knows nothing of why it was cut off.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipecast_model::Timestamp;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::ledger::States;

/// The service pings after 25 s of silence and so must be heard within that and a little more.
const SILENCE: Duration = Duration::from_secs(40);

/// How long a watcher that was cut off waits.
const COMES_BACK_AFTER: Duration = Duration::from_millis(250);

/// What a watcher has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Sequence and status of each topic.
    pub states: HashMap<String, (i64, String)>,
    /// How often it connected.
    pub connects: u64,
    /// States that came with a lower sequence than the one before, on one connection or over two: when and which.
    pub fallen: Vec<String>,
    /// When each new state of a pipeline was first seen, where that is recorded.
    pub sightings: Vec<Sighting>,
    cursor: Option<String>,
}

/// A new state that was seen.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// Which pipeline.
    pub pipeline: i64,
    /// Its sequence.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
}

/// How a watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A WebSocket without a subprotocol.
    Plain,
    /// A WebSocket of `pipecast.v1`.
    V1,
    /// Server-sent events.
    Events,
}

/// A watcher of one path.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// Whom it asks.
    pub address: SocketAddr,
    /// As in `pipeline/7`.
    pub path: String,
    form: Form,
    records: bool,
    /// Whether it is always the same edge that answers.
    is_pinned: bool,
    seen: Arc<Mutex<Seen>>,
}

/// What a socket or a stream says; only the first two tell a state.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame {
    Snapshot(State),
    StatusChange(State),
    #[serde(other)]
    Other,
}

/// The fields of a state that matter; an entry of the monitor's snapshot has the same.
#[derive(Deserialize)]
struct State {
    topic: String,
    status: String,
    seq: Option<i64>,
    id: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    pipelines: Vec<State>,
}

impl Watcher {
    /// Watches `path` at `address` in this form until it is dropped with its task.
    pub fn new(address: SocketAddr, path: &str, form: Form) -> Self {
        Watcher {
            address,
            path: path.to_owned(),
            form,
            records: false,
            is_pinned: true,
            seen: Arc::default(),
        }
    }

    /// The same, and it remembers when it saw each state of a pipeline.
    pub fn recording(self) -> Self {
        Watcher { records: true, ..self }
    }

    /// The same through a proxy, behind which another edge may answer each time.
    pub fn behind_a_proxy(self) -> Self {
        Watcher { is_pinned: false, ..self }
    }

    /// Never returns.
    pub async fn watch(self) {
        loop {
            let _ = self.watch_once().await;
            sleep(COMES_BACK_AFTER).await;
        }
    }

    /// What it shows otherwise than `states`, which are those of the database; empty where it knows the truth.
    pub fn differences(&self, states: &States) -> Vec<String> {
        let seen = self.seen();
        let expected: Vec<String> = match self.path.as_str() {
            "monitor" => states.keys().filter(|topic| topic.starts_with("pipeline:")).cloned().collect(),
            one => vec![one.replace('/', ":")],
        };
        expected
            .iter()
            // What does not exist, or not any more because it was merged into another, is shown as unknown.
            .filter(|topic| match states.get(*topic) {
                None => seen.states.get(*topic).is_some_and(|(_, status)| status != "unknown"),
                there => seen.states.get(*topic) != there,
            })
            .map(|topic| {
                format!(
                    "{} shows {topic} as {:?}, the database as {:?}",
                    self.name(),
                    seen.states.get(topic),
                    states.get(topic)
                )
            })
            .collect()
    }

    /// How it is called in an account.
    fn name(&self) -> String {
        format!("{} ({:?}) at {}", self.path, self.form, self.address)
    }

    /// Every fall, with whose it was.
    pub fn falls(&self) -> Vec<String> {
        self.seen().fallen.iter().map(|fall| format!("{}: {fall}", self.name())).collect()
    }

    async fn watch_once(&self) -> io::Result<()> {
        let address = self.address;
        let mut stream = timeout(SILENCE, TcpStream::connect(address)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.write_all(self.request(address).as_bytes()).await?;
        let mut received = Vec::new();
        let head = loop {
            read(&mut stream, &mut received).await?;
            if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break received.drain(..end + 4).collect::<Vec<u8>>();
            }
        };
        let expected: &[u8] = if self.form == Form::Events { b"HTTP/1.1 200" } else { b"HTTP/1.1 101" };
        if !head.starts_with(expected) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.seen().connects += 1;
        if !self.is_pinned && self.path == "monitor" {
            // The monitor has no cursor, so an edge that is behind cannot know that this watcher has come from one that was not. Its
            // snapshot takes the place of all that was seen.
            self.seen().states.clear();
        }
        let mut events = Vec::new();
        loop {
            if self.form == Form::Events {
                take_chunks(&mut received, &mut events)?;
                while let Some(line) = take_line(&mut events) {
                    if let Some(data) = line.strip_prefix(b"data: ") {
                        self.note(serde_json::from_slice(data)?);
                    }
                }
            }
            while let Some((opcode, payload)) = (self.form != Form::Events).then(|| take_frame(&mut received)).flatten() {
                match opcode {
                    0x81 => self.note(serde_json::from_slice(&payload)?),
                    // A pong with the mask of zeros, which leaves the payload as it is.
                    0x89 => {
                        stream
                            .write_all(&[&[0x8A, 0x80 | payload.len() as u8, 0, 0, 0, 0], &payload[..]].concat())
                            .await?
                    }
                    _ => return Ok(()),
                }
            }
            read(&mut stream, &mut received).await?;
        }
    }

    fn request(&self, address: SocketAddr) -> String {
        let Watcher { path, form, .. } = self;
        let cursor = self.seen().cursor.clone();
        let since = cursor.as_ref().map(|cursor| format!("?since={cursor}")).unwrap_or_default();
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n";
        match form {
            Form::Plain => format!("GET /ws/{path}{since} HTTP/1.1\r\nhost: {address}\r\n{upgrade}\r\n"),
            Form::V1 => format!("GET /ws/{path}{since} HTTP/1.1\r\nhost: {address}\r\n{upgrade}sec-websocket-protocol: pipecast.v1\r\n\r\n"),
            Form::Events => {
                let seen = cursor.map(|cursor| format!("last-event-id: {cursor}\r\n")).unwrap_or_default();
                format!("GET /sse/{path} HTTP/1.1\r\nhost: {address}\r\n{seen}\r\n")
            }
        }
    }

    fn note(&self, frame: Frame) {
        let (Frame::Snapshot(frame) | Frame::StatusChange(frame)) = frame else {
            return;
        };
        let mut seen = self.seen();
        if let Some(data) = frame.data.filter(|_| frame.topic == "monitor") {
            for entry in data.pipelines {
                seen.note(entry.topic, entry.seq, entry.status, self.records);
            }
            return;
        }
        if !self.path.ends_with("monitor") {
            seen.cursor = frame.id;
        }
        seen.note(frame.topic, frame.seq, frame.status, self.records);
    }

    /// What it has seen so far.
    pub fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while looking")
    }
}

impl Seen {
    fn note(&mut self, topic: String, seq: Option<i64>, status: String, records: bool) {
        let seq = seq.unwrap_or_default();
        let last = self.states.get(&topic).map(|(last, _)| *last);
        if let Some(last) = last.filter(|last| seq < *last) {
            let fall = format!(
                "{} {topic} fell from {last} to {seq} ({status}) on connection {}",
                Timestamp::now(),
                self.connects
            );
            self.fallen.push(fall);
        }
        let pipeline = topic.strip_prefix("pipeline:").and_then(|id| id.parse().ok());
        if let (Some(pipeline), true, true) = (pipeline, records, last.is_none_or(|last| last < seq)) {
            let at = Timestamp::now();
            self.sightings.push(Sighting { pipeline, seq, at });
        }
        // Taken as it comes, even where it fell: a watcher that had to be cleverer than that would hide the fault.
        self.states.insert(topic, (seq, status));
    }
}

/// Gives each watcher some time to know what the database knows, and tells of those that do not.
pub async fn wrong(watchers: &[Watcher], states: &States, patience: Duration) -> Vec<String> {
    let deadline = Instant::now() + patience;
    loop {
        let wrong: Vec<String> = watchers.iter().flat_map(|watcher| watcher.differences(states)).collect();
        if wrong.is_empty() || Instant::now() > deadline {
            return wrong;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    match timeout(SILENCE, stream.read_buf(received)).await.map_err(|_| io::ErrorKind::TimedOut)?? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Moves what whole chunks of the transfer encoding carry. A proxy cuts them where it likes, in the middle of a line too.
fn take_chunks(received: &mut Vec<u8>, content: &mut Vec<u8>) -> io::Result<()> {
    while let Some(end) = received.windows(2).position(|two| two == b"\r\n") {
        let length = std::str::from_utf8(&received[..end])
            .ok()
            .and_then(|length| usize::from_str_radix(length, 16).ok());
        let length = length.ok_or(io::ErrorKind::InvalidData)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Whole only with the line end behind it.
        let Some(chunk) = received.get(end + 2..end + 4 + length) else { break };
        content.extend_from_slice(&chunk[..length]);
        received.drain(..end + 4 + length);
    }
    Ok(())
}

/// The first whole line, without its end.
fn take_line(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = received.iter().position(|byte| *byte == b'\n')?;
    let mut line: Vec<u8> = received.drain(..=end).collect();
    line.truncate(line.trim_ascii_end().len());
    Some(line)
}

/// The first whole frame: its first byte and its payload.
fn take_frame(received: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let first = *received.first()?;
    let (length, header) = match *received.get(1)? {
        126 => (u16::from_be_bytes(received.get(2..4)?.try_into().ok()?) as usize, 4),
        127 => (usize::try_from(u64::from_be_bytes(received.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let payload = received.get(header..header + length)?.to_vec();
    received.drain(..header + length);
    Some((first, payload))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_state_that_is_older_than_one_before_is_a_fall() {
        let mut seen = Seen::default();
        for (seq, status) in [(1, "queued"), (3, "running"), (3, "running"), (2, "queued")] {
            seen.note("pipeline:1".to_owned(), Some(seq), status.to_owned(), true);
        }

        assert_eq!(seen.fallen.len(), 1);
        assert_eq!(seen.states["pipeline:1"], (2, "queued".to_owned()));
        assert_eq!(seen.sightings.iter().map(|sighting| sighting.seq).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn chunks_may_be_cut_in_the_middle_of_a_line() {
        let (mut received, mut content) = (b"5\r\ndata:\r\n7\r\n hello".to_vec(), Vec::new());

        take_chunks(&mut received, &mut content).unwrap();
        assert_eq!(content, b"data:");
        received.extend_from_slice(b"\n\r\n");
        take_chunks(&mut received, &mut content).unwrap();

        assert_eq!(take_line(&mut content).unwrap(), b"data: hello");
        received.extend_from_slice(b"0\r\n\r\n");
        assert!(take_chunks(&mut received, &mut content).is_err(), "the end of the stream");
    }
}
