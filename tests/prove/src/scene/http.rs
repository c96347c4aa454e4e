//! A keep-alive HTTP/1.1 connection of a client that takes whatever nginx answers, of any length.
//! Knows nothing of what is asked.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, out of its chunks.
    pub body: Vec<u8>,
}

/// A connection, opened with the first request and again after each end.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
}

/// A GET of `path`.
pub fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes()
}

impl Connection {
    /// To `address`; an answer that takes longer than `patience` is a failure.
    pub fn new(address: SocketAddr, patience: Duration) -> Self {
        Connection {
            address,
            patience,
            stream: None,
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// Whatever the network says, `TimedOut` after the patience, `InvalidData` for what is not HTTP/1.1.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<Answer> {
        timeout(self.patience, self.exchange(request)).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut stream = match self.stream.take().filter(is_quiet) {
            Some(open) => open,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(request).await?;
        let mut received = Vec::new();
        let end = loop {
            if let Some(end) = find(&received, b"\r\n\r\n") {
                break end;
            }
            read(&mut stream, &mut received).await?;
        };
        let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
        received.drain(..end + 4);
        let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
        let body = if header("transfer-encoding") == Some("chunked") {
            read_chunks(&mut stream, received).await?
        } else {
            let length: usize = header("content-length").map_or(Ok(0), str::parse).map_err(|_| io::ErrorKind::InvalidData)?;
            while received.len() < length {
                read(&mut stream, &mut received).await?;
            }
            received
        };
        if header("connection") != Some("close") {
            self.stream = Some(stream);
        }
        Ok(Answer { status, body })
    }
}

/// Whether the other side has neither ended it meanwhile nor said anything unasked.
fn is_quiet(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

async fn read_chunks(stream: &mut TcpStream, mut received: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = find(&received, b"\r\n") {
                break end;
            }
            read(stream, &mut received).await?;
        };
        let size = std::str::from_utf8(&received[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or(io::ErrorKind::InvalidData)?;
        while received.len() < end + 2 + size + 2 {
            read(stream, &mut received).await?;
        }
        body.extend_from_slice(&received[end + 2..end + 2 + size]);
        received.drain(..end + 2 + size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
