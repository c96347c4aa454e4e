//! The buried messages at the broker: looked at, tried again, dropped.
//! Knows nothing of why they were buried.
//!
//! A queue can only be read from its head, and what is read is this channel's until it is acked or the channel ends. So whoever looks for
//! a message takes all that lie before it, and lets them go again; two who look at once would each miss what the other has in
//! hand, so one looks at a time in a process.

use std::collections::BTreeMap;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions};
use lapin::{Acker, Channel};
use tokio::time::timeout;

use super::RabbitmqOptions;
use super::letter::Letter;
use super::publisher::{Publisher, unavailable};
use super::topology::Place;
use crate::{Dead, DeadId, Error, Result};

/// The longest look: as many as there may be, one after the other.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// Where they lie.
pub(super) struct Graves {
    options: Arc<RabbitmqOptions>,
    /// Who looks has the channel to itself. One for all looks: what the last one gave back is there for the next one, which
    /// another channel might overtake.
    looking: tokio::sync::Mutex<Option<Channel>>,
}

impl Graves {
    pub(super) fn new(options: Arc<RabbitmqOptions>) -> Self {
        Graves {
            options,
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// Looks at all of them: what was looked at before lies behind the others now, so only their names tell the order.
    pub(super) async fn list(&self, publisher: &Publisher, after: Option<&DeadId>, most: usize) -> Result<Vec<Dead>> {
        let looking = async {
            let mut alone = self.looking.lock().await;
            let channel = open(&mut alone, publisher).await?;
            let mut oldest = BTreeMap::new();
            self.look(&channel, |dead, _| {
                if after.is_none_or(|after| dead.id > *after) {
                    oldest.insert(dead.id.clone(), dead.in_short());
                    if oldest.len() > most {
                        oldest.pop_last();
                    }
                }
                Continue(())
            })
            .await?;
            *alone = Some(put_back(channel).await?);
            Ok(oldest.into_values().collect())
        };
        within("read the buried messages at RabbitMQ", looking).await
    }

    /// Those of these names that are there.
    pub(super) async fn which(&self, publisher: &Publisher, ids: &[DeadId]) -> Result<Vec<DeadId>> {
        let looking = async {
            let mut alone = self.looking.lock().await;
            let channel = open(&mut alone, publisher).await?;
            let mut there = Vec::new();
            self.look(&channel, |dead, _| {
                if ids.contains(&dead.id) {
                    there.push(dead.id);
                }
                if there.len() == ids.len() { Break(()) } else { Continue(()) }
            })
            .await?;
            *alone = Some(put_back(channel).await?);
            Ok(there)
        };
        within("read the buried messages at RabbitMQ", looking).await
    }

    pub(super) async fn find(&self, publisher: &Publisher, id: &DeadId) -> Result<Option<Dead>> {
        let looking = async {
            let mut alone = self.looking.lock().await;
            let channel = open(&mut alone, publisher).await?;
            let found = self.choose(&channel, std::slice::from_ref(id)).await?;
            *alone = Some(put_back(channel).await?);
            Ok(found.into_iter().next().map(|(dead, _)| dead))
        };
        within("read the buried messages at RabbitMQ", looking).await
    }

    /// Stores each anew in its lane and takes it from among the dead once that is confirmed.
    pub(super) async fn retry(&self, publisher: &Publisher, ids: &[DeadId]) -> Result<u64> {
        let retrying = async {
            let mut alone = self.looking.lock().await;
            let channel = open(&mut alone, publisher).await?;
            let mut count = 0;
            for (dead, acker) in self.choose(&channel, ids).await? {
                publisher.publish(Place::Lane(dead.lane), Letter::fresh(dead.lane, dead.message), None).await?;
                acker.ack(BasicAckOptions::default()).await.map_err(failed)?;
                count += 1;
            }
            *alone = Some(put_back(channel).await?);
            Ok(count)
        };
        within("retry buried messages at RabbitMQ", retrying).await
    }

    pub(super) async fn forget(&self, publisher: &Publisher, ids: &[DeadId]) -> Result<u64> {
        let forgetting = async {
            let mut alone = self.looking.lock().await;
            let channel = open(&mut alone, publisher).await?;
            let mut count = 0;
            for (_, acker) in self.choose(&channel, ids).await? {
                acker.ack(BasicAckOptions::default()).await.map_err(failed)?;
                count += 1;
            }
            *alone = Some(put_back(channel).await?);
            Ok(count)
        };
        within("drop buried messages at RabbitMQ", forgetting).await
    }

    /// Those of these names that are there.
    async fn choose(&self, channel: &Channel, ids: &[DeadId]) -> Result<Vec<(Dead, Acker)>> {
        let mut missing = ids.to_vec();
        let mut chosen = Vec::new();
        self.look(channel, |dead, acker| {
            if let Some(at) = missing.iter().position(|id| *id == dead.id) {
                missing.swap_remove(at);
                chosen.push((dead, acker));
            }
            if missing.is_empty() { Break(()) } else { Continue(()) }
        })
        .await?;
        Ok(chosen)
    }

    /// Takes one after the other from the head on.
    async fn look(&self, channel: &Channel, mut see: impl FnMut(Dead, Acker) -> ControlFlow<()>) -> Result<()> {
        let name = Place::Dead.name(&self.options.prefix);
        while let Some(got) = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await.map_err(failed)? {
            let acker = got.delivery.acker.clone();
            if see(Letter::exhume(got.delivery), acker).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The channel, taken out of its place: where the caller goes away, it ends, and that puts back what it got and did not ack.
async fn open(place: &mut Option<Channel>, publisher: &Publisher) -> Result<Channel> {
    match place.take().filter(|channel| channel.status().connected()) {
        Some(channel) => Ok(channel),
        None => publisher.connected()?.line.connection.create_channel().await.map_err(failed),
    }
}

/// Gives back whatever was not acked, and waits until the broker has read that and every ack before it.
async fn put_back(channel: Channel) -> Result<Channel> {
    let all = BasicNackOptions { multiple: true, requeue: true };
    channel.basic_nack(0, all).await.map_err(failed)?;
    channel.basic_qos(0, BasicQosOptions::default()).await.map_err(failed)?;
    Ok(channel)
}

fn failed(error: lapin::Error) -> Error {
    unavailable("read the buried messages at RabbitMQ", error)
}

async fn within<T>(attempted: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(LOOK_WITHIN, work).await {
        Ok(done) => done,
        Err(elapsed) => Err(unavailable(attempted, elapsed)),
    }
}
