//! The words of the live protocol that are not states: greetings, answers, errors and commands. Text in, text out.

use std::time::Duration;

use pipecast_model::{Timestamp, Topic};
use serde::Deserialize;
use serde_json::{Value, json};

/// The subprotocol with greetings, pings and commands.
pub const V1: &str = "pipecast.v1";

/// Close codes. 4000–4499 ask the client to come back, 4500–4999 ask it to stop.
pub mod code {
    /// Nothing more to say, or the client left.
    pub const DONE: u16 = 1000;
    /// The socket has lived long enough: come back at once.
    pub const LIFETIME: u16 = 1001;
    /// The client broke the WebSocket protocol.
    pub const PROTOCOL: u16 = 1002;
    /// Text that is not UTF-8.
    pub const NOT_UTF8: u16 = 1007;
    /// A frame larger than `live.inbound_frame`.
    pub const TOO_BIG: u16 = 1009;
    /// The service restarts: come back after `retry_ms`.
    pub const RESTART: u16 = 1012;
    /// The token has ended: come back with another one.
    pub const TOKEN_EXPIRED: u16 = 4401;
    /// No pong in time.
    pub const NO_PONG: u16 = 4412;
    /// More commands than `live.commands_per_second`.
    pub const RATE_LIMITED: u16 = 4429;
    /// The client asked for something that cannot be.
    pub const BAD_REQUEST: u16 = 4500;
    /// Nobody is known by what was shown, or not any more: log in.
    pub const UNAUTHORIZED: u16 = 4501;
    /// The caller may not read this.
    pub const FORBIDDEN: u16 = 4503;
    /// The address or the account has as many connections as it may.
    pub const CONNECTION_LIMIT: u16 = 4505;
    /// It takes commands and has watched nothing for `live.idle`: open another once there is something to watch.
    pub const NO_TOPIC: u16 = 4506;
}

/// What a client may say.
#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
pub enum Command {
    /// Watch topics.
    Sub {
        /// Echoed in every answer.
        cid: Option<i64>,
        /// Which, each with the cursor that the client holds.
        topics: Vec<Wanted>,
    },
    /// Stop watching topics.
    Unsub {
        /// Echoed in every answer.
        cid: Option<i64>,
        /// Which.
        topics: Vec<String>,
    },
    /// Present a token.
    Auth {
        /// Echoed in the answer.
        cid: Option<i64>,
        /// An access token, or a token of a program.
        token: String,
    },
    /// Answer to a ping; any inbound byte counts as one.
    Pong,
}

/// The token that a command shows, with the number of the command; `None` for any other command.
pub fn shown(text: &str) -> Option<(Option<i64>, String)> {
    match serde_json::from_str::<Command>(text) {
        Ok(Command::Auth { cid, token }) => Some((cid, token)),
        _ => None,
    }
}

impl Command {
    /// How many topics it names.
    pub fn topics(&self) -> usize {
        match self {
            Command::Sub { topics, .. } => topics.len(),
            Command::Unsub { topics, .. } => topics.len(),
            Command::Auth { .. } | Command::Pong => 0,
        }
    }
}

/// A topic with the cursor that the client holds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// `"pipeline:42"`
    Topic(String),
    /// `{"topic":"pipeline:42","since":"kqzxbtwm-1830"}`
    Since {
        /// The topic.
        topic: String,
        /// The cursor of the last frame that the client applied.
        since: Option<String>,
    },
}

impl Wanted {
    /// The topic's text and the cursor.
    pub fn parts(&self) -> (&str, Option<&str>) {
        match self {
            Wanted::Topic(topic) => (topic, None),
            Wanted::Since { topic, since } => (topic, since.as_deref()),
        }
    }
}

/// The first frame of a `pipecast.v1` socket.
pub fn hello(conn: &str, ping: Duration, pong: Duration, max_topics: usize, token_ends: Option<Timestamp>) -> String {
    json!({"type": "hello", "conn": conn, "ping_ms": ping.as_millis() as u64, "pong_ms": pong.as_millis() as u64,
        "max_topics": max_topics, "token_exp": token_ends, "server_time": Timestamp::now()})
    .to_string()
}

/// The token that was shown is good.
pub fn known(cid: Option<i64>, token_ends: Option<Timestamp>) -> String {
    json!({"type": "auth", "cid": cid, "state": "ok", "token_exp": token_ends}).to_string()
}

/// The token ends soon: show another one, or the socket ends with it.
pub fn expiring(in_ms: u64) -> String {
    json!({"type": "auth", "state": "expiring", "in_ms": in_ms}).to_string()
}

/// A topic is being watched from now on.
pub fn subscribed(cid: Option<i64>, topic: Topic, resumed: bool, id: Option<&str>) -> String {
    json!({"type": "subscribed", "cid": cid, "topic": topic, "resumed": resumed, "id": id}).to_string()
}

/// A topic is not watched any more.
pub fn unsubscribed(cid: Option<i64>, topic: Topic) -> String {
    json!({"type": "unsubscribed", "cid": cid, "topic": topic}).to_string()
}

/// Something that the client asked for cannot be done; the socket stays open.
pub fn error(cid: Option<i64>, code: &str, message: &str, retryable: bool) -> String {
    json!({"type": "error", "cid": cid, "code": code, "message": message, "retryable": retryable}).to_string()
}

/// Proof of life that a page can see.
pub fn ping() -> String {
    json!({"type": "ping", "server_time": Timestamp::now()}).to_string()
}

/// Goodbye: come back after so many milliseconds.
pub fn reconnect(after_ms: u64, reason: &str) -> String {
    json!({"type": "reconnect", "after_ms": after_ms, "reason": reason}).to_string()
}

/// The snapshot of a topic that has no state yet.
pub fn unknown(topic: Topic) -> String {
    json!({"type": "snapshot", "topic": topic, "status": "unknown", "timestamp": Timestamp::now(), "id": Value::Null, "seq": 0, "data": Value::Null})
        .to_string()
}

/// One page of the monitor's snapshot; `entries` are JSON objects.
pub fn page(entries: &[String], complete: bool) -> String {
    let timestamp = Timestamp::now();
    let entries = entries.join(",");
    format!(r#"{{"type":"snapshot","topic":"monitor","status":"live","timestamp":"{timestamp}","complete":{complete},"data":{{"pipelines":[{entries}]}}}}"#)
}
