//! The bus on Redis: publishing goes through the pool, and each tap listens on a connection of its own, which reconnects for ever.
//!
//! One task owns that connection. It probes it when it is silent, so that one whose other end is gone is noticed; after every
//! loss it says so, connects anew, subscribes everything again in batches, and says that the truth is to be read again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{PubSubSink, PubSubStream};
use ::redis::{Msg, RedisResult};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use pipecast_model::Topic;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::ear::Ear;
use crate::redis::{Redis, names};
use crate::{Bus, BusEvent, BusTap, Error};

/// Messages that go over the connection together.
const TOGETHER: usize = 128;

/// Channels that one command subscribes or unsubscribes.
const BATCH: usize = 500;
/// Wishes that wait for the owner of the connection; whoever has one more waits too.
const WISHES: usize = 1024;
/// Wait after a first failed try to connect, at random; it doubles with each further one.
const RETRY_BASE: Duration = Duration::from_millis(50);
/// Longest wait after many: what was missed is healed soon after the server is back.
const RETRY_CAP: Duration = Duration::from_secs(1);

/// A bus on Redis.
#[derive(Debug)]
pub struct RedisBus {
    redis: Redis,
}

impl RedisBus {
    /// A bus that shares `redis` with whoever else uses it.
    pub fn open(redis: &Redis) -> Self {
        RedisBus { redis: redis.clone() }
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn publish(&self, topic: Topic, message: Bytes) -> crate::Result<()> {
        let work = async {
            let mut lease = self.redis.lease().await?;
            let mut command = ::redis::cmd("PUBLISH");
            command.arg(names::channel(topic)).arg(&message[..]);
            let answer: RedisResult<()> = command.query_async(lease.connection()).await;
            Ok(lease.settle(answer)?)
        };
        self.redis.within("publish on redis", work).await
    }

    async fn publish_all(&self, messages: &[(Topic, Bytes)]) -> crate::Result<()> {
        for messages in messages.chunks(TOGETHER) {
            let work = async {
                let mut lease = self.redis.lease().await?;
                let mut pipe = ::redis::pipe();
                for (topic, message) in messages {
                    pipe.publish(names::channel(*topic), &message[..]).ignore();
                }
                let answer: RedisResult<()> = pipe.query_async(lease.connection()).await;
                Ok(lease.settle(answer)?)
            };
            self.redis.within("publish on redis", work).await?;
        }
        Ok(())
    }

    /// Waits for a first try to connect, and opens the tap whether or not the server was there.
    async fn tap(&self) -> crate::Result<Box<dyn BusTap>> {
        let ear = Arc::new(Ear::new(self.redis.options().bus_backlog));
        let (wishes, inbox) = mpsc::channel(WISHES);
        let owner = Owner {
            redis: self.redis.clone(),
            ear: Arc::clone(&ear),
            inbox,
        };
        let (tried, first_try) = oneshot::channel();
        let tap = Tap {
            ear,
            wishes,
            task: tokio::spawn(owner.run(tried)).abort_handle(),
        };
        first_try.await.map_err(|_| Error::Closed("bus"))?;
        Ok(Box::new(tap))
    }
}

/// Dropping it ends the connection.
struct Tap {
    ear: Arc<Ear>,
    wishes: mpsc::Sender<Wish>,
    task: AbortHandle,
}

/// What the owner of the connection is to do.
enum Wish {
    Subscribe(Topic, oneshot::Sender<()>),
    Unsubscribe(Topic),
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl BusTap for Tap {
    async fn subscribe(&self, topic: Topic) -> crate::Result<()> {
        let (done, subscribed) = oneshot::channel();
        self.wishes.send(Wish::Subscribe(topic, done)).await.map_err(|_| Error::Closed("bus"))?;
        subscribed.await.map_err(|_| Error::Closed("bus"))
    }

    async fn unsubscribe(&self, topic: Topic) -> crate::Result<()> {
        self.wishes.send(Wish::Unsubscribe(topic)).await.map_err(|_| Error::Closed("bus"))
    }

    async fn next(&self) -> Option<BusEvent> {
        self.ear.next().await
    }
}

struct Owner {
    redis: Redis,
    ear: Arc<Ear>,
    inbox: mpsc::Receiver<Wish>,
}

/// A connection that hears.
struct Line {
    sink: PubSubSink,
    stream: PubSubStream,
}

/// Why a connection is no longer of use.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the connection ended")]
    Ended,
    #[error("no answer in time")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Redis(#[from] ::redis::RedisError),
    /// Nobody listens any more.
    #[error("the tap is closed")]
    Closed,
}

impl Owner {
    async fn run(mut self, tried: oneshot::Sender<()>) {
        let mut tried = Some(tried);
        let mut failures: u32 = 0;
        loop {
            let connected = self.connect().await;
            if failures > 0 && connected.is_ok() {
                info!("the bus on redis is there; every watched topic is read again");
                self.ear.recover();
            }
            // Nothing can have been missed before the first try.
            if let Some(tried) = tried.take() {
                tried.send(()).unwrap_or_default();
            }
            let broken = match connected {
                Ok(line) => {
                    failures = 0;
                    self.listen(line).await
                }
                Err(broken) => broken,
            };
            if matches!(broken, Broken::Closed) {
                return;
            }
            self.ear.go_deaf();
            if failures == 0 {
                metrics::counter!("pipecast_bus_disconnects_total").increment(1);
                warn!(error = %broken, "the bus on redis is away; connecting again until it is back");
            }
            let wait = RETRY_BASE.saturating_mul(1 << failures.min(10)).min(RETRY_CAP);
            failures = failures.saturating_add(1);
            if self.meanwhile(sleep(wait.mul_f64(rand::random_range(0.5..=1.0)))).await.is_none() {
                return;
            }
        }
    }

    /// A connection on which everything that is to be heard is subscribed.
    async fn connect(&mut self) -> Result<Line, Broken> {
        let (client, limit) = (self.redis.client().clone(), self.redis.options().connect_timeout);
        let connecting = timeout(limit, async move { client.get_async_pubsub().await });
        let (sink, stream) = self.meanwhile(connecting).await.ok_or(Broken::Closed)???.split();
        let mut line = Line { sink, stream };
        let mut subscribed = HashSet::new();
        // What is wished for while this goes on is subscribed in the next round.
        loop {
            let wanted = self.ear.topics();
            let fresh: Vec<Topic> = wanted.iter().copied().filter(|topic| !subscribed.contains(topic)).collect();
            if fresh.is_empty() {
                let stale: Vec<Topic> = subscribed.difference(&wanted.into_iter().collect()).copied().collect();
                for batch in stale.chunks(BATCH) {
                    timeout(limit, line.unsubscribe(batch)).await??;
                }
                return Ok(line);
            }
            for batch in fresh.chunks(BATCH) {
                let subscribing = timeout(limit, line.subscribe(batch));
                self.meanwhile(subscribing).await.ok_or(Broken::Closed)???;
            }
            subscribed.extend(fresh);
        }
    }

    /// Waits for `what`, noting wishes without acting on them: they are acted on, and `Lost` said, once there is a connection.
    /// `None` where nobody listens any more.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(what);
        loop {
            tokio::select! {
                biased;
                done = &mut what => return Some(done),
                wish = self.inbox.recv() => match wish? {
                    Wish::Subscribe(topic, done) => {
                        if self.ear.attend(topic).is_ok() {
                            done.send(()).unwrap_or_default();
                        }
                    }
                    Wish::Unsubscribe(topic) => drop(self.ear.ignore(topic)),
                },
            }
        }
    }

    /// Hears until the connection is lost.
    async fn listen(&mut self, mut line: Line) -> Broken {
        let probe_every = self.redis.options().probe_every;
        let mut wishes = Vec::new();
        let mut heard_at = Instant::now();
        let mut probe: Option<BoxFuture<'_, Result<(), Broken>>> = None;
        loop {
            let done = tokio::select! {
                message = line.stream.next() => match message {
                    Some(message) => {
                        heard_at = Instant::now();
                        self.hear(&message);
                        Ok(())
                    }
                    None => Err(Broken::Ended),
                },
                count = self.inbox.recv_many(&mut wishes, BATCH) => match count {
                    0 => Err(Broken::Closed),
                    _ => self.grant(&mut line, wishes.drain(..)).await,
                },
                answer = async { probe.as_mut().expect("it is looked at only where there is one").await }, if probe.is_some() => {
                    probe = None;
                    heard_at = Instant::now();
                    answer
                }
                () = sleep_until(heard_at + probe_every), if probe.is_none() => {
                    let mut sink = line.sink.clone();
                    probe = Some(Box::pin(async move {
                        timeout(probe_every, sink.ping::<::redis::Value>()).await??;
                        Ok(())
                    }));
                    Ok(())
                }
            };
            if let Err(broken) = done {
                return broken;
            }
        }
    }

    fn hear(&self, message: &Msg) {
        if let Some(topic) = names::topic(message.get_channel_name()) {
            self.ear.hear(topic, &Bytes::copy_from_slice(message.get_payload_bytes()));
        }
    }

    /// Does what was wished for, in order, in as few commands as that takes. Where the server does not confirm in time, the
    /// connection is given up: the wish is noted, and `Lost` follows.
    async fn grant(&self, line: &mut Line, wishes: impl Iterator<Item = Wish>) -> Result<(), Broken> {
        let limit = self.redis.options().command_timeout;
        let (mut fresh, mut stale, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        for wish in wishes {
            match wish {
                Wish::Subscribe(topic, done) => {
                    if self.ear.attend(topic).unwrap_or(false) && !forget(&mut stale, topic) {
                        fresh.push(topic);
                    }
                    waiting.push(done);
                }
                Wish::Unsubscribe(topic) => {
                    if self.ear.ignore(topic) && !forget(&mut fresh, topic) {
                        stale.push(topic);
                    }
                }
            }
        }
        let granted = timeout(limit, async {
            if !stale.is_empty() {
                line.unsubscribe(&stale).await?;
            }
            if !fresh.is_empty() {
                line.subscribe(&fresh).await?;
            }
            Ok(())
        });
        let granted = granted.await.map_err(Broken::from).flatten();
        // Whoever is gone by now needs no answer.
        waiting.into_iter().for_each(|done| done.send(()).unwrap_or_default());
        granted
    }
}

/// Takes `topic` out, if it is there.
fn forget(topics: &mut Vec<Topic>, topic: Topic) -> bool {
    let before = topics.len();
    topics.retain(|other| *other != topic);
    topics.len() < before
}

impl Line {
    async fn subscribe(&mut self, topics: &[Topic]) -> RedisResult<()> {
        self.sink.subscribe(channels(topics)).await
    }

    async fn unsubscribe(&mut self, topics: &[Topic]) -> RedisResult<()> {
        self.sink.unsubscribe(channels(topics)).await
    }
}

fn channels(topics: &[Topic]) -> Vec<String> {
    topics.iter().copied().map(names::channel).collect()
}
