//! A watcher that never gives up: it reads a plain WebSocket, comes back with `since` whenever it is cut off, and remembers the
//! newest state of each topic. Knows nothing of why it was cut off.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The service pings after 25 s of silence and so must be heard within that and a little more.
const SILENCE: Duration = Duration::from_secs(40);

/// What a watcher has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Sequence and status of each topic.
    pub states: HashMap<String, (i64, String)>,
    /// How often it connected.
    pub connects: u64,
    /// States that came with a lower sequence than the one before, on one connection or over two.
    pub fallen: u64,
    cursor: Option<String>,
}

/// A watcher of one path.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// As in `/ws/pipeline/7`.
    pub path: String,
    /// What it has seen so far.
    pub seen: Arc<Mutex<Seen>>,
}

/// The fields of a frame that matter; an entry of the monitor's snapshot has the same.
#[derive(Deserialize)]
struct Frame {
    topic: String,
    status: String,
    seq: Option<i64>,
    id: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    pipelines: Vec<Frame>,
}

impl Watcher {
    /// Watches `path` until it is dropped with its task.
    pub fn new(path: String) -> Self {
        Watcher { path, seen: Arc::default() }
    }

    /// Never returns.
    pub async fn watch(self, address: SocketAddr) {
        loop {
            let _ = self.watch_once(address).await;
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn watch_once(&self, address: SocketAddr) -> io::Result<()> {
        let since = self.seen().cursor.as_ref().map(|cursor| format!("?since={cursor}")).unwrap_or_default();
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET {}{since} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n",
            self.path
        );
        stream.write_all(request.as_bytes()).await?;
        let mut received = Vec::new();
        let head = loop {
            read(&mut stream, &mut received).await?;
            if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break received.drain(..end + 4).collect::<Vec<u8>>();
            }
        };
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.seen().connects += 1;
        loop {
            while let Some((opcode, payload)) = take_frame(&mut received) {
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

    fn note(&self, frame: Frame) {
        let mut seen = self.seen();
        if let Some(data) = frame.data.filter(|_| frame.topic == "monitor") {
            for entry in data.pipelines {
                seen.note(entry.topic, entry.seq, entry.status);
            }
            return;
        }
        if !self.path.ends_with("monitor") {
            seen.cursor = frame.id;
        }
        seen.note(frame.topic, frame.seq, frame.status);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while looking")
    }
}

impl Seen {
    fn note(&mut self, topic: String, seq: Option<i64>, status: String) {
        let seq = seq.unwrap_or_default();
        if self.states.get(&topic).is_some_and(|(last, _)| seq < *last) {
            self.fallen += 1;
        }
        // Taken as it comes, even where it fell: a watcher that had to be cleverer than that would hide the fault.
        self.states.insert(topic, (seq, status));
    }
}

async fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    match timeout(SILENCE, stream.read_buf(received)).await.map_err(|_| io::ErrorKind::TimedOut)?? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
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
