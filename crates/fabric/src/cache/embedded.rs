//! The cache within one process: a bounded map in which every entry has its own time to live.
//! Knows nothing of what it holds, nor of other processes.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use moka::Expiry;
use moka::ops::compute::{CompResult, Op};
use pipecast_model::{Epoch, Topic};

use crate::{Cache, Foreign, Found, Result};

/// A cache for one process.
#[derive(Clone, Debug)]
pub struct EmbeddedCache {
    entries: moka::sync::Cache<Topic, Entry>,
    claims: moka::sync::Cache<String, Duration>,
}

#[derive(Clone, Debug)]
struct Entry {
    epoch: Epoch,
    seq: i64,
    value: Bytes,
    keep: Duration,
}

impl EmbeddedCache {
    /// A cache of at most `most` entries; beyond that the ones that are asked for least make room.
    pub fn new(most: u64) -> Self {
        EmbeddedCache {
            entries: moka::sync::Cache::builder().max_capacity(most).expire_after(OwnTime).build(),
            claims: moka::sync::Cache::builder().max_capacity(most).expire_after(OwnTime).build(),
        }
    }
}

#[async_trait]
impl Cache for EmbeddedCache {
    fn is_shared(&self) -> bool {
        false
    }

    async fn get(&self, topic: Topic) -> Result<Option<Found>> {
        Ok(self.entries.get(&topic).map(|entry| Found::Ours(entry.value)))
    }

    async fn offer(&self, topic: Topic, epoch: &Epoch, seq: i64, value: Bytes, keep: Duration) -> Result<bool> {
        let result = self.entries.entry(topic).and_compute_with(|standing| {
            let standing = standing.map(moka::Entry::into_value);
            match standing {
                Some(standing) if standing.epoch == *epoch && standing.seq >= seq => Op::Nop,
                _ => Op::Put(Entry {
                    epoch: epoch.clone(),
                    seq,
                    value,
                    keep,
                }),
            }
        });
        Ok(matches!(result, CompResult::Inserted(_) | CompResult::ReplacedWith(_)))
    }

    async fn fill(&self, topic: Topic, epoch: &Epoch, seq: i64, value: Bytes, keep: Duration) -> Result<bool> {
        self.offer(topic, epoch, seq, value, keep).await
    }

    async fn list_foreign(&self, _: &[Topic]) -> Result<Vec<(Topic, Foreign)>> {
        Ok(Vec::new())
    }

    async fn claim(&self, name: &str, keep: Duration) -> Result<bool> {
        Ok(self.claims.entry(name.to_owned()).or_insert(keep).is_fresh())
    }
}

struct OwnTime;

impl Expiry<Topic, Entry> for OwnTime {
    fn expire_after_create(&self, _: &Topic, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.keep)
    }

    fn expire_after_update(&self, _: &Topic, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.keep)
    }
}

impl Expiry<String, Duration> for OwnTime {
    fn expire_after_create(&self, _: &String, keep: &Duration, _: Instant) -> Option<Duration> {
        Some(*keep)
    }
}
