//! A client that sends exactly what a test says, wrong things included, over one connection a request.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::traces;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request in the making.
#[derive(Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn get(path: &str) -> Request {
        Request::new("GET", path)
    }

    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        let length = body.len();
        Request {
            body,
            ..Request::new("POST", path)
        }
        .header("Content-Length", length)
    }

    pub fn with_body(method: &'static str, path: &str, body: &str) -> Request {
        Request {
            method,
            ..Request::post(path, body)
        }
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub fn new(method: &'static str, path: &str) -> Request {
        Request {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header, also beside one of the same name.
    pub fn header(mut self, name: &str, value: impl ToString) -> Request {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Takes headers of this name away.
    pub fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self
    }

    /// The same to another path, with another signature of GitHub.
    pub fn redirected(mut self, path: &str, signature: String) -> Request {
        self.path = path.to_owned();
        self.without("x-hub-signature-256").header("X-Hub-Signature-256", signature)
    }

    /// Sends the body in HTTP/1.1 chunks instead of with its length.
    pub fn chunked(mut self, size: usize) -> Request {
        let chunks = self
            .body
            .chunks(size)
            .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        self.body = chunks.collect::<Vec<u8>>();
        self.body.extend(b"0\r\n\r\n");
        self.without("content-length").header("Transfer-Encoding", "chunked")
    }

    /// The bytes before the body.
    pub fn head(&self, address: SocketAddr) -> String {
        let host = if self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            String::new()
        } else {
            format!("Host: {address}\r\n")
        };
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{} {} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n", self.method, self.path)
    }

    /// Sends it and waits for the answer.
    pub async fn send(self, address: SocketAddr) -> Answer {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        stream.write_all(self.head(address).as_bytes()).await.expect("the server reads");
        // The server may answer and hang up before it has read a body that it does not want.
        let _ = stream.write_all(&self.body).await;
        let answer = Answer::read(stream).await;
        let cookies: Vec<&str> = answer.header("set-cookie").into_iter().collect();
        let Request { method, path, headers, body } = &self;
        traces::look_at(method, path, headers, body, answer.status, &answer.body, &cookies);
        answer
    }

    /// Sends it and waits for the head of the answer alone: a stream has no end.
    pub async fn send_for_head(self, address: SocketAddr) -> Answer {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        stream.write_all(self.head(address).as_bytes()).await.expect("the server reads");
        stream.write_all(&self.body).await.expect("the server reads");
        let mut head = Vec::new();
        let reading = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a whole head"));
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time");
        Answer::parse(&head)
    }
}

impl Answer {
    /// Reads to the end of the connection.
    pub async fn read(mut stream: TcpStream) -> Answer {
        let mut bytes = Vec::new();
        // A reset after the answer is an end like any other.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
        Answer::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .expect("a status");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Answer {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a header, in the order in which they came.
    pub fn headers<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let own = self.headers.iter().filter(move |(own, _)| own == name);
        own.map(|(_, value)| value.as_str()).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of a problem, after a look at whether it is one.
    pub fn problem(&self) -> String {
        let body = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{body}");
        assert_eq!(body["status"], self.status);
        assert_eq!(Some(body["request_id"].as_str().unwrap()), self.header("x-request-id"));
        body["code"].as_str().unwrap().to_owned()
    }
}
