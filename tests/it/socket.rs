//! Watchers as the tests see them: a WebSocket and an event stream over a plain TCP connection, byte for byte.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for anything that must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What a socket yields.
#[derive(Debug, PartialEq)]
pub enum Frame {
    Text(Value),
    Ping,
    Pong(Vec<u8>),
    Close(u16, String),
    /// The connection ended without a close frame.
    Gone,
}

/// An open WebSocket.
pub struct Socket {
    stream: TcpStream,
    received: Vec<u8>,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
}

impl Socket {
    /// Opens `path` in the plain profile.
    pub async fn plain(address: SocketAddr, path: &str) -> Socket {
        Socket::open(address, path, &[]).await.expect("a socket")
    }

    /// Opens `path` with the subprotocol `pipecast.v1`.
    pub async fn v1(address: SocketAddr, path: &str) -> Socket {
        Socket::open(address, path, &[("Sec-WebSocket-Protocol", "pipecast.v1")])
            .await
            .expect("a socket")
    }

    /// Opens `path` with these headers on top; the answer's status, and its headers and text, where it is no upgrade.
    pub async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Socket, (u16, String)> {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let host = if headers.iter().any(|(name, _)| *name == "Host") {
            String::new()
        } else {
            format!("Host: {address}\r\n")
        };
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "GET {path} HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n{more}\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let (status, head, received) = read_head(&mut stream).await;
        if status != 101 {
            let mut rest = received;
            let _ = tokio::time::timeout(Duration::from_millis(200), stream.read_to_end(&mut rest)).await;
            return Err((status, format!("{head}\n\n{}", String::from_utf8_lossy(&rest))));
        }
        assert!(head.contains("HSmrc0sMlYUkAGmm5OPpG2HaGWk="), "the accept key of RFC 6455 §1.3: {head}");
        let protocol = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-protocol: "))
            .map(|word| word.trim().to_owned());
        Ok(Socket { stream, received, protocol })
    }

    /// The next frame, within [`PATIENCE`].
    pub async fn next(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("a frame in time")
    }

    /// The next text frame; pings before it are passed over.
    pub async fn json(&mut self) -> Value {
        loop {
            match self.next().await {
                Frame::Text(value) => return value,
                Frame::Ping => {}
                other => panic!("{other:?} instead of text"),
            }
        }
    }

    /// Text frames until one is of `kind`.
    pub async fn json_of(&mut self, kind: &str) -> Value {
        loop {
            let value = self.json().await;
            if value["type"] == kind {
                return value;
            }
        }
    }

    /// The close frame, after whatever comes before it.
    pub async fn close_frame(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Frame::Close(code, reason) => return (code, reason),
                Frame::Gone => panic!("gone without a close frame"),
                _ => {}
            }
        }
    }

    /// Says something.
    pub async fn say(&mut self, value: &Value) {
        self.send(0x81, value.to_string().as_bytes()).await;
    }

    /// Sends one masked frame with the first byte given.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0x80 | 126);
                frame.extend((long as u16).to_be_bytes());
            }
        }
        let mask = [7, 77, 177, 27];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.raw(&frame).await.expect("the server reads");
    }

    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    async fn read(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.take() {
                return frame;
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return Frame::Gone,
                Ok(read) => self.received.extend(&buffer[..read]),
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let received = &self.received;
        let first = *received.first()?;
        let (length, header) = match *received.get(1)? {
            126 => (u16::from_be_bytes(received.get(2..4)?.try_into().expect("two")) as usize, 4),
            127 => (u64::from_be_bytes(received.get(2..10)?.try_into().expect("eight")) as usize, 10),
            short => (usize::from(short), 2),
        };
        let payload = received.get(header..header + length)?.to_vec();
        self.received.drain(..header + length);
        Some(match first {
            0x81 => Frame::Text(serde_json::from_slice(&payload).expect("one text frame is one JSON object")),
            0x89 => Frame::Ping,
            0x8A => Frame::Pong(payload),
            0x88 => Frame::Close(
                payload.get(..2).map_or(1005, |code| u16::from_be_bytes(code.try_into().expect("two"))),
                String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned(),
            ),
            other => panic!("a frame that begins with {other:#x}"),
        })
    }
}

/// An open event stream.
pub struct Stream {
    stream: TcpStream,
    received: Vec<u8>,
    /// The last chunk has come; the connection may stay for another request.
    is_over: bool,
}

/// One server-sent event.
#[derive(Debug)]
pub struct Event {
    pub id: Option<String>,
    pub kind: String,
    pub data: Value,
}

impl Stream {
    /// Opens `path`.
    pub async fn open(address: SocketAddr, path: &str) -> Stream {
        Stream::open_with(address, path, &[]).await
    }

    /// Opens `path` with these headers on top.
    pub async fn open_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Stream {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let (status, head, chunked) = read_head(&mut stream).await;
        assert_eq!(status, 200, "{head}");
        assert!(
            head.contains("content-type: text/event-stream") && head.contains("cache-control: no-store"),
            "{head}"
        );
        let mut opened = Stream {
            stream,
            received: Vec::new(),
            is_over: false,
        };
        opened.unchunk(chunked);
        opened
    }

    /// The next event, within [`PATIENCE`]; `None` at the end of the stream. Comments and `retry` are passed over.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("an event in time")
    }

    /// Reads until the stream ends, within [`PATIENCE`].
    pub async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }

    async fn read(&mut self) -> Option<Event> {
        let mut chunked = Vec::new();
        loop {
            while let Some(end) = self.received.windows(2).position(|pair| pair == b"\n\n") {
                let block = String::from_utf8(self.received.drain(..end + 2).collect()).expect("UTF-8");
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let (Some(kind), Some(data)) = (field("event: "), field("data: ")) {
                    return Some(Event {
                        id: field("id: "),
                        kind,
                        data: serde_json::from_str(&data).expect("JSON"),
                    });
                }
            }
            if self.is_over {
                return None;
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => chunked.extend(&buffer[..read]),
            }
            chunked = self.unchunk(chunked);
        }
    }

    /// Takes whole chunks of HTTP/1.1 out of `bytes` and returns what is left.
    fn unchunk(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        while let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).expect("a size"), 16).expect("a size in hex");
            if bytes.len() < end + 2 + size + 2 {
                break;
            }
            self.is_over |= size == 0;
            self.received.extend(&bytes[end + 2..end + 2 + size]);
            bytes.drain(..end + 2 + size + 2);
        }
        bytes
    }
}

/// Status, head in lower case, and what came after the head.
async fn read_head(stream: &mut TcpStream) -> (u16, String, Vec<u8>) {
    let mut received = Vec::new();
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = received.split_off(end + 4);
            let head = String::from_utf8_lossy(&received).into_owned();
            let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).expect("a status");
            let lower = head.lines().map(|line| {
                line.split_once(": ")
                    .map_or(line.to_owned(), |(name, value)| format!("{}: {value}", name.to_lowercase()))
            });
            return (status, lower.collect::<Vec<_>>().join("\n"), rest);
        }
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .expect("an answer in time")
            .expect("an answer");
        assert!(read > 0, "the server ended the connection before its answer");
        received.extend(&buffer[..read]);
    }
}
