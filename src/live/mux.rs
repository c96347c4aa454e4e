//! Many topics on one socket: the commands `sub` and `unsub`.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pipecast_http::{Code, Onlooker, Problem};
use pipecast_model::Topic;
use pipecast_watch::{Bell, Listener, Watch};

use super::Terms;
use super::connection::Connection;
use super::protocol::{self, Command, Wanted};
use super::rights::Rights;
use super::watching::{Form, Watching};

type Join = LocalBoxFuture<'static, Joined>;

/// What came of reading a topic for the first time.
struct Joined {
    /// Of this join and no other: a topic may be left and joined again while it is being read.
    number: u64,
    cid: Option<i64>,
    topic: Topic,
    since: Option<String>,
    result: Result<Listener, Problem>,
}

/// The part of a `/ws` socket that takes commands.
pub struct Mux {
    watch: Watch,
    bell: Arc<Bell>,
    settings: Rc<Terms>,
    /// Nobody is known yet: nothing is watched before a token was shown.
    waits_for_token: bool,
    /// Topics that are being read for the first time. Bounded by `live.max_topics`.
    joins: FuturesUnordered<Join>,
    /// Those of them that somebody still waits for, by their numbers.
    joining: Vec<(u64, Topic)>,
    /// How many joins there were.
    numbers: u64,
    /// Something was asked for since the last look.
    is_used: bool,
}

impl Mux {
    /// A mux without topics.
    pub fn new(watch: Watch, bell: Arc<Bell>, settings: Rc<Terms>, waits_for_token: bool) -> Self {
        Mux {
            waits_for_token,
            watch,
            bell,
            settings,
            joins: FuturesUnordered::new(),
            joining: Vec::new(),
            numbers: 0,
            is_used: false,
        }
    }

    /// Whether nobody is known yet.
    pub fn waits_for_token(&self) -> bool {
        self.waits_for_token
    }

    /// Somebody is known now; `false` where they were before.
    pub fn take_token(&mut self) -> bool {
        std::mem::take(&mut self.waits_for_token)
    }

    /// Whether something is watched, or was asked for since the last look.
    pub fn was_used(&mut self, connection: &Connection) -> bool {
        std::mem::take(&mut self.is_used) || connection.topics() > 0 || !self.joining.is_empty()
    }

    /// Acts on a command and returns the answers that are due at once.
    pub fn hear(&mut self, text: &str, connection: &mut Connection) -> Vec<String> {
        let command = serde_json::from_str::<Command>(text);
        // Each topic has an answer of its own, so what one command may name bounds what it may make us say.
        if let Ok(Command::Sub { cid, topics: _ } | Command::Unsub { cid, topics: _ }) = &command
            && command.as_ref().is_ok_and(|command| command.topics() > self.settings.max_topics)
        {
            let message = format!("a command names at most {} topics", self.settings.max_topics);
            return vec![protocol::error(*cid, "limit_exceeded", &message, false)];
        }
        match command {
            Ok(Command::Sub { cid, topics }) => topics.iter().filter_map(|wanted| self.subscribe(cid, wanted, connection).err()).collect(),
            Ok(Command::Unsub { cid, topics }) => topics.iter().map(|topic| self.unsubscribe(cid, topic, connection)).collect(),
            // The socket takes tokens before anybody else hears of them.
            Ok(Command::Auth { .. } | Command::Pong) => Vec::new(),
            Err(error) => {
                let code = if error.to_string().contains("unknown variant") {
                    "unknown_command"
                } else {
                    "bad_request"
                };
                vec![protocol::error(cid_of(text), code, &format!("cannot read the command: {error}"), false)]
            }
        }
    }

    /// Takes in the topics that have been read, and returns their answers. What is denied among them is noticed by the onlooker.
    pub fn poll_joins(&mut self, connection: &mut Connection, onlooker: Option<&Onlooker>, cx: &mut Context<'_>) -> Vec<String> {
        let denied = |connection: &Connection, problem: &Problem| {
            if let Some(onlooker) = onlooker {
                onlooker.note_denial(connection.actor(), "sub", problem);
            }
        };
        let mut answers = Vec::new();
        while !self.joins.is_empty() {
            let Poll::Ready(Some(joined)) = self.joins.poll_next_unpin(cx) else {
                break;
            };
            let Joined {
                number,
                cid,
                topic,
                since,
                result,
            } = joined;
            let waiting = self.joining.len();
            self.joining.retain(|(other, _)| *other != number);
            if self.joining.len() == waiting {
                continue;
            }
            match result {
                Ok(listener)
                    if connection
                        .rights()
                        .is_some_and(|rights| !rights.may_watch(topic, listener.feed().last().as_deref())) =>
                {
                    denied(connection, &Problem::new(Code::Forbidden));
                    answers.push(no_access(cid, topic));
                }
                Ok(listener) => {
                    let watching = Watching::new(listener, Form::Socket, since.as_deref());
                    answers.push(protocol::subscribed(cid, topic, watching.is_resumed(), watching.id().as_deref()));
                    connection.watch(watching);
                }
                Err(problem) if matches!(problem.code(), Code::Forbidden | Code::NotFound) => {
                    denied(connection, &problem);
                    answers.push(no_access(cid, topic));
                }
                Err(_) => {
                    answers.push(protocol::error(cid, "unavailable", &format!("cannot read {topic} now; try again"), true));
                }
            }
        }
        answers
    }

    fn subscribe(&mut self, cid: Option<i64>, wanted: &Wanted, connection: &Connection) -> Result<(), String> {
        let (text, since) = wanted.parts();
        let topic: Topic = text
            .parse()
            .map_err(|error: pipecast_model::topic::UnknownTopic| protocol::error(cid, "unknown_topic", &error.to_string(), false))?;
        if self.waits_for_token {
            return Err(protocol::error(cid, "unauthorized", "show a token first, with the command auth", false));
        }
        if connection.watches(topic) || self.joining.iter().any(|(_, other)| *other == topic) {
            return Err(protocol::error(cid, "already_subscribed", &format!("{topic} is being watched already"), false));
        }
        if connection.topics() + self.joins.len() >= self.settings.max_topics {
            let message = format!("a socket watches at most {} topics; open another", self.settings.max_topics);
            return Err(protocol::error(cid, "limit_exceeded", &message, false));
        }
        let (watch, bell, since) = (self.watch.clone(), Arc::clone(&self.bell), since.map(str::to_owned));
        let caller = connection.rights().map(Rights::caller);
        self.is_used = true;
        self.numbers += 1;
        let number = self.numbers;
        self.joining.push((number, topic));
        self.joins.push(Box::pin(async move {
            let joining = async {
                if let Some(caller) = &caller {
                    caller.may_read(topic).await?;
                }
                let joined = watch.join_from(topic, &bell, since.as_deref()).await;
                joined.map_err(|error| {
                    tracing::warn!(%error, "a socket cannot watch {topic}");
                    Problem::new(Code::Unavailable)
                })
            };
            let result = joining.await;
            Joined {
                number,
                cid,
                topic,
                since,
                result,
            }
        }));
        Ok(())
    }

    fn unsubscribe(&mut self, cid: Option<i64>, text: &str, connection: &mut Connection) -> String {
        match text.parse::<Topic>() {
            Ok(topic) => {
                let joining = self.joining.len();
                self.joining.retain(|(_, other)| *other != topic);
                if connection.unwatch(topic) || self.joining.len() < joining {
                    protocol::unsubscribed(cid, topic)
                } else {
                    protocol::error(cid, "bad_request", &format!("{topic} is not being watched"), false)
                }
            }
            Err(error) => protocol::error(cid, "unknown_topic", &error.to_string(), false),
        }
    }
}

/// The same for what is not there and for what is not theirs to see.
fn no_access(cid: Option<i64>, topic: Topic) -> String {
    protocol::error(cid, "forbidden", &format!("no access to {topic}"), false)
}

fn cid_of(text: &str) -> Option<i64> {
    serde_json::from_str::<serde_json::Value>(text).ok()?.get("cid")?.as_i64()
}
