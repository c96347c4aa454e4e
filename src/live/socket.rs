//! A WebSocket as the body of its own handshake: polled by the connection's task, it reads what the client says and yields frames
//! that all sockets share. Nothing is spawned and nothing is queued per socket.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use pipecast_http::{Code, Meter, Onlooker, Problem};
use pipecast_model::Timestamp;

use super::Terms;
use super::connection::{Connection, jittered};
use super::frame;
use super::inbound::{Broken, Inbound, Message};
use super::mux::Mux;
use super::protocol::{self, code};
use super::rights::{News, Rights};
use super::showing::{SOON, Showing};

/// A socket that always has something to send still listens after so many frames.
const LISTEN_AFTER: usize = 64;

/// Who shows no token within this time is sent away.
pub const AUTH_WAIT: Duration = Duration::from_secs(5);

/// With so many answers unsent, no further command is read: a client that does not read what it asked for waits.
const MOST_ANSWERS: usize = 256;

/// The body of a handshake.
pub struct Socket {
    connection: Connection,
    inbound: Inbound,
    settings: Rc<Terms>,
    /// Frames that go before any state: greetings, pongs, answers. Bounded by `MOST_ANSWERS` and the answers to one command.
    control: VecDeque<Bytes>,
    mux: Option<Box<Mux>>,
    /// Where it comes from; a plain socket, which has no commands, has none.
    origin: Option<Box<Origin>>,
    /// A token that is being verified.
    showing: Option<Box<Showing>>,
    is_v1: bool,
    /// The client was told that its token ends soon.
    is_warned: bool,
    heard: Instant,
    pinged: Option<Instant>,
    ends: Instant,
    /// When it was last seen to watch something, where it takes commands.
    used: Instant,
    /// Until when its commands have been paid for.
    paid_until: Instant,
    phase: Phase,
    /// Frames that went out since the client was last listened to.
    unheard: usize,
}

/// Where a socket comes from.
pub struct Origin {
    /// Notices which commands are denied.
    pub onlooker: Option<Onlooker>,
    /// What guesses on it cost, and whom.
    pub meter: Meter,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The close frame is in `control`; after it nothing follows.
    Closing,
    Closed,
}

impl Socket {
    /// A socket that starts with what its connection watches; with a mux it also takes `sub` and `unsub`.
    pub fn new(connection: Connection, inbound: Inbound, settings: Rc<Terms>, is_v1: bool, mux: Option<Mux>, origin: Option<Origin>) -> Self {
        let now = Instant::now();
        let mut socket = Socket {
            ends: now
                + if mux.as_ref().is_some_and(Mux::waits_for_token) {
                    AUTH_WAIT
                } else {
                    jittered(settings.lifetime)
                },
            connection,
            inbound,
            control: VecDeque::new(),
            mux: mux.map(Box::new),
            origin: origin.map(Box::new),
            showing: None,
            is_v1,
            is_warned: false,
            heard: now,
            pinged: None,
            used: now,
            paid_until: now,
            phase: Phase::Open,
            unheard: 0,
            settings,
        };
        if is_v1 {
            let conn = format!("c_{:08x}", rand::random::<u32>());
            let settings = &socket.settings;
            socket.control.push_back(frame::text(&protocol::hello(
                &conn,
                settings.ping,
                settings.pong,
                settings.max_topics,
                socket.connection.rights().and_then(Rights::ends),
            )));
        }
        socket
    }

    /// Puts a frame before all states.
    pub fn say(&mut self, json: &str) {
        self.control.push_back(frame::text(json));
    }

    /// Says goodbye; everything that still waits is dropped.
    pub fn close(&mut self, code: u16, reason: &str) {
        if self.phase == Phase::Open {
            metrics::counter!("pipecast_closes_total", "code" => code.to_string()).increment(1);
            self.control.clear();
            self.control.push_back(frame::close(code, reason));
            self.phase = Phase::Closing;
        }
    }

    /// What goes out next: greetings and answers before states, and no states once it is closing.
    fn next_frame(&mut self) -> Option<Bytes> {
        match self.control.pop_front() {
            None if self.phase == Phase::Open => self.connection.take(),
            control => control,
        }
    }

    fn listen(&mut self, cx: &mut Context<'_>) {
        while self.phase == Phase::Open && self.control.len() < MOST_ANSWERS {
            let Poll::Ready(message) = self.inbound.poll_message(cx) else {
                return;
            };
            self.heard = Instant::now();
            match message {
                Ok(Message::Pong) => {}
                Ok(Message::Close) => self.close(code::DONE, ""),
                Ok(message) => {
                    if self.settings.commands.take(&mut self.paid_until, self.heard) {
                        self.hear(message);
                    } else {
                        self.close(code::RATE_LIMITED, "rate_limited;retry_ms=1000");
                    }
                }
                Err(Broken::TooBig) => self.close(code::TOO_BIG, "too_big"),
                Err(Broken::NotUtf8) => self.close(code::NOT_UTF8, "not_utf8"),
                Err(Broken::Protocol) => self.close(code::PROTOCOL, "protocol"),
                Err(Broken::Gone) => self.phase = Phase::Closed,
            }
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Ping(payload) => self.control.push_back(frame::pong(&payload)),
            Message::Text(text) if self.is_v1 => match (protocol::shown(&text), &mut self.mux) {
                (Some((cid, token)), _) => self.show(cid, token),
                (None, mux) => match mux {
                    Some(mux) => {
                        let answers = mux.hear(&text, &mut self.connection);
                        answers.iter().for_each(|answer| self.say(answer));
                    }
                    None => self.hear_outside_mux(&text),
                },
            },
            // A plain socket has no commands: what it says is no reason to part.
            _ => {}
        }
    }

    fn hear_outside_mux(&mut self, text: &str) {
        match serde_json::from_str::<protocol::Command>(text) {
            Ok(protocol::Command::Pong) => {}
            Ok(_) => self.say(&protocol::error(
                None,
                "bad_request",
                "this path watches one topic; open /ws for sub and unsub",
                false,
            )),
            Err(_) => self.say(&protocol::error(
                None,
                "unknown_command",
                "commands are JSON objects with cmd: sub, unsub, auth or pong",
                false,
            )),
        }
    }

    /// One token at a time: the rate of commands bounds how many.
    fn show(&mut self, cid: Option<i64>, token: String) {
        if self.showing.is_some() {
            self.say(&protocol::error(cid, "bad_request", "another token is being verified", true));
            return;
        }
        let Some(origin) = &self.origin else { return };
        let showing = Showing::new(cid, token, Arc::clone(&self.settings.gatekeeper), origin.meter.clone());
        self.showing = Some(Box::new(showing));
    }

    fn look_at_what_was_shown(&mut self, cx: &mut Context<'_>) {
        let Some(showing) = &mut self.showing else { return };
        let Poll::Ready((cid, verdict)) = showing.poll(cx) else { return };
        self.showing = None;
        match verdict {
            Ok(rights) if self.connection.rights().is_some_and(|before| before.user() != rights.user()) => {
                self.note_denied("auth", Code::Forbidden);
                self.say(&protocol::error(
                    cid,
                    "forbidden",
                    "the token is somebody else's; open another socket for them",
                    false,
                ));
            }
            Ok(rights) => {
                let known = protocol::known(cid, rights.ends());
                if self.connection.set_rights(rights).is_err() {
                    self.close(code::CONNECTION_LIMIT, "connection_limit");
                    return;
                }
                self.say(&known);
                self.is_warned = false;
                if let Some(mux) = &mut self.mux
                    && mux.take_token()
                {
                    self.used = Instant::now();
                    self.ends = self.used + jittered(self.settings.lifetime);
                }
                self.wait(self.settings.ping);
            }
            Err(problem) if problem.code() == Code::TokenRefused => {
                self.note_denied("auth", Code::TokenRefused);
                self.say(&protocol::error(cid, "unauthorized", "the token is not valid, or not any more", false));
            }
            Err(problem) if problem.code() == Code::TooMany => self.close(code::RATE_LIMITED, "rate_limited;retry_ms=1000"),
            Err(_) => self.say(&protocol::error(cid, "unavailable", "the token cannot be verified now", true)),
        }
    }

    fn note_denied(&self, command: &str, code: Code) {
        if let Some(onlooker) = self.origin.as_ref().and_then(|origin| origin.onlooker.as_ref()) {
            onlooker.note_denial(self.connection.actor(), command, &Problem::new(code));
        }
    }

    /// What has become of the caller's rights.
    fn heed(&mut self) {
        match self.connection.news() {
            None => {}
            Some(News::Gone) => self.close(code::UNAUTHORIZED, "unauthorized"),
            Some(news) => {
                let lost = self.connection.withdraw();
                if news == News::Changed {
                    self.connection.show_anew();
                }
                if self.mux.is_none() && !lost.is_empty() {
                    self.close(code::FORBIDDEN, "forbidden");
                }
                for topic in lost {
                    self.say(&protocol::error(None, "forbidden", &format!("no access to {topic}"), false));
                    self.say(&protocol::unsubscribed(None, topic));
                }
            }
        }
    }

    /// How long the token that was shown is good; `None` where it does not end by itself.
    fn token_left(&self) -> Option<Duration> {
        let left = self.connection.rights()?.ends()?.0.saturating_sub(Timestamp::now().0);
        Some(Duration::from_micros(u64::try_from(left).unwrap_or(0)))
    }

    /// How long it may go on without a topic; `None` where it watches one.
    fn idle_left(&self) -> Option<Duration> {
        let is_idle = self.mux.is_some() && self.connection.topics() == 0;
        is_idle.then(|| self.settings.idle.saturating_sub(self.used.elapsed()))
    }

    /// Looks at the clock after `wanted`, or sooner where something ends before.
    fn wait(&self, wanted: Duration) {
        let mut wanted = wanted.min(self.ends.saturating_duration_since(Instant::now()));
        wanted = wanted.min(self.idle_left().unwrap_or(wanted));
        if let Some(left) = self.token_left() {
            wanted = wanted.min(if self.is_v1 && left > SOON { left - SOON } else { left });
        }
        self.connection.seat.wait(wanted);
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        let quiet = now.duration_since(self.heard);
        let token_left = self.token_left();
        if let Some(mux) = &mut self.mux
            && mux.was_used(&self.connection)
        {
            self.used = now;
        }
        if self.is_v1 && !self.is_warned && token_left.is_some_and(|left| left <= SOON) {
            self.is_warned = true;
            self.say(&protocol::expiring(token_left.unwrap_or_default().as_millis() as u64));
        }
        match self.pinged {
            _ if token_left == Some(Duration::ZERO) => self.close(code::TOKEN_EXPIRED, "token_expired"),
            _ if now >= self.ends && self.mux.as_ref().is_some_and(|mux| mux.waits_for_token()) => self.close(code::UNAUTHORIZED, "unauthorized"),
            _ if now >= self.ends => self.close(code::LIFETIME, "lifetime"),
            _ if self.idle_left() == Some(Duration::ZERO) => self.close(code::NO_TOPIC, "no_topic"),
            Some(pinged) if self.heard < pinged && now.duration_since(pinged) >= self.settings.pong => self.close(code::NO_PONG, "no_pong"),
            // A page cannot see the frames by which its browser answers, so a v1 socket hears from us even where we hear from it.
            Some(pinged) if self.is_v1 && now.duration_since(pinged) < self.settings.ping => {
                self.wait(self.settings.ping - now.duration_since(pinged));
            }
            _ if self.is_v1 || quiet >= self.settings.ping => {
                self.control.push_back(frame::PING);
                if self.is_v1 {
                    self.say(&protocol::ping());
                }
                self.pinged = Some(now);
                self.wait(self.settings.pong.min(self.settings.ping));
            }
            _ => self.wait(self.settings.ping.saturating_sub(quiet)),
        }
    }

    fn leave(&mut self, retry_ms: u64) {
        let goodbye = self.is_v1.then(|| frame::text(&protocol::reconnect(retry_ms, "drain")));
        self.close(code::RESTART, &format!("restart;retry_ms={retry_ms}"));
        if self.phase == Phase::Closing
            && let Some(goodbye) = goodbye
        {
            self.control.push_front(goodbye);
        }
    }
}

impl MessageBody for Socket {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let socket = self.get_mut();
        // The connection asks for one frame after another until there is none, so the rest is done once for all of them.
        if socket.unheard < LISTEN_AFTER
            && let Some(frame) = socket.next_frame()
        {
            socket.unheard += 1;
            return Poll::Ready(Some(Ok(frame)));
        }
        socket.unheard = 0;
        let calls = socket.connection.seat.sleep(cx.waker());
        if let Some(retry_ms) = calls.leave {
            socket.leave(retry_ms);
        }
        // What the client has said comes first: a pong may lie there already.
        socket.listen(cx);
        socket.heed();
        socket.look_at_what_was_shown(cx);
        if calls.clock {
            socket.look_at_the_clock();
        }
        if let Some(mux) = &mut socket.mux
            && socket.phase == Phase::Open
        {
            let onlooker = socket.origin.as_ref().and_then(|origin| origin.onlooker.as_ref());
            let answers = mux.poll_joins(&mut socket.connection, onlooker, cx);
            answers.iter().for_each(|answer| socket.say(answer));
        }
        match socket.next_frame() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if socket.phase == Phase::Open => Poll::Pending,
            None => {
                socket.phase = Phase::Closed;
                Poll::Ready(None)
            }
        }
    }
}
