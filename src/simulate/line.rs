//! One keep-alive HTTP/1.1 connection that sends requests which are bytes already.
//! Written by hand because a general client costs more CPU per request than the intake that it is to measure beside.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest head and longest body of an answer; a longer one is an error.
const LONGEST: usize = 64 * 1024;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: bytes::Bytes,
}

/// A connection, opened with the first request and again after each that failed.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    patience: Duration,
    stream: Option<(TcpStream, BytesMut)>,
}

impl Line {
    /// To `address`; an answer that takes longer than `patience` is a failure.
    pub fn new(address: SocketAddr, patience: Duration) -> Self {
        Line {
            address,
            patience,
            stream: None,
        }
    }

    /// Sends a request and waits for its answer. After an error nobody knows whether the other side has it.
    ///
    /// # Errors
    /// Whatever the network says, `TimedOut` after the patience, `InvalidData` for what is not HTTP/1.1 with a length.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<Answer> {
        let (mut stream, mut buffer) = match self.stream.take().filter(|(stream, _)| is_quiet(stream)) {
            Some(open) => open,
            None => (self.connect().await?, BytesMut::with_capacity(4 * 1024)),
        };
        let exchange = async {
            stream.write_all(request).await?;
            read_answer(&mut stream, &mut buffer).await
        };
        let (answer, stays_open) = timeout(self.patience, exchange).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if stays_open {
            self.stream = Some((stream, buffer));
        }
        Ok(answer)
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = timeout(self.patience, TcpStream::connect(self.address))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Whether the other side has neither closed the connection meanwhile nor said anything unasked.
fn is_quiet(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<(Answer, bool)> {
    let head = loop {
        if let Some(head) = parse_head(buffer)? {
            break head;
        }
        read_more(stream, buffer).await?;
    };
    while buffer.len() < head.length + head.body {
        read_more(stream, buffer).await?;
    }
    buffer.advance(head.length);
    let body = buffer.split_to(head.body).freeze();
    Ok((Answer { status: head.status, body }, head.stays_open))
}

async fn read_more(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<()> {
    if buffer.len() > LONGEST {
        return Err(invalid("the answer is too long"));
    }
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

struct Head {
    status: u16,
    length: usize,
    body: usize,
    stays_open: bool,
}

fn parse_head(buffer: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[..end]).map_err(|_| invalid("the head of the answer is not text"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
        .ok_or_else(|| invalid("the answer is not HTTP/1.1"))?;
    let mut head = Head {
        status,
        length: end + 4,
        body: 0,
        stays_open: true,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.body = value
                .parse()
                .ok()
                .filter(|length| *length <= LONGEST)
                .ok_or_else(|| invalid("the length of the answer is wrong"))?;
        } else if name.eq_ignore_ascii_case("connection") {
            head.stays_open = !value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(invalid("the answer has no length"));
        }
    }
    Ok(Some(head))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each connection with the given bytes, in pieces, and then closes it.
    async fn answering(pieces: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 64];
                for piece in pieces {
                    let _ = stream.read(&mut asked).await;
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn two_requests_go_over_one_connection_and_a_closed_one_is_opened_again() {
        let address = answering(&[
            "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        ])
        .await;
        let mut line = Line::new(address, Duration::from_secs(5));

        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(line.send(b"POST / HTTP/1.1\r\n\r\n").await.unwrap().status);
        }

        assert_eq!(statuses, [202, 503, 202, 503]);
    }

    #[tokio::test]
    async fn an_answer_that_ends_too_early_is_a_failure() {
        let address = answering(&["HTTP/1.1 202 Accepted\r\ncontent-length: 10\r\n\r\n{}"]).await;

        let error = Line::new(address, Duration::from_secs(5)).send(b"POST / HTTP/1.1\r\n\r\n").await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn silence_is_a_failure_after_the_patience() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut line = Line::new(listener.local_addr().unwrap(), Duration::from_millis(50));

        assert_eq!(line.send(b"POST / HTTP/1.1\r\n\r\n").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
