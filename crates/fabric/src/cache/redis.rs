//! The cache on Redis, shared by every node and with other programs: a value carries its mark in front, versions are compared
//! where the values lie, and what an older process of the server left behind is not believed.
//!
//! A mark is a generation and a cursor: `{"generation":"<run_id>","id":"<epoch>-<seq>",` and then the value's own fields. The
//! generation is the server's `run_id`, another one after every restart, so what a restart brings back from a dump is told from
//! what was written since. A copy of the mark beside the value remembers our sequence when another program writes over the value.

use std::time::Duration;

use ::redis::{RedisResult, Script};
use async_trait::async_trait;
use bytes::Bytes;
use pipecast_model::{Epoch, Topic};
use serde::Deserialize;

use crate::redis::{Redis, names, unavailable};
use crate::{Cache, Foreign, Found, Offer, Result};

/// Topics that one script looks at; Redis does nothing else meanwhile.
const BATCH: usize = 500;
/// Values that one script writes; a value is a few KiB, an execution's with all its jobs a few hundred.
const OFFERS: usize = 64;
/// Longer values of other programs are not read.
const LONGEST_FOREIGN: usize = 64 << 10;

/// A cache on Redis.
#[derive(Debug)]
pub struct RedisCache {
    redis: Redis,
    offer: Script,
    list_foreign: Script,
}

impl RedisCache {
    /// A cache that shares `redis` with whoever else uses it.
    pub fn open(redis: &Redis) -> Self {
        RedisCache {
            redis: redis.clone(),
            offer: Script::new(include_str!("offer.lua")),
            list_foreign: Script::new(include_str!("foreign.lua")),
        }
    }

    /// Says of each whether it was taken.
    async fn put(&self, offers: &[Offer<'_>], how: &str) -> Result<Vec<bool>> {
        let fields: Vec<&[u8]> = offers.iter().map(|offer| fields_of(&offer.value)).collect::<Result<_>>()?;
        let work = async {
            let mut lease = self.redis.lease().await?;
            let generation = lease.generation();
            let mut call = self.offer.prepare_invoke();
            call.arg(&*generation).arg(how);
            for (offer, fields) in offers.iter().zip(&fields) {
                let mark = format!(r#"{{"generation":"{generation}","id":"{}-{}","#, offer.epoch, offer.seq);
                let value = [mark.as_bytes(), fields].concat();
                call.key(names::value(offer.topic)).key(names::mark(offer.topic));
                call.arg(&offer.epoch.0).arg(offer.seq).arg(value).arg(mark);
                call.arg(offer.keep.as_millis().max(1) as u64);
            }
            let answer: RedisResult<Vec<bool>> = call.invoke_async(lease.connection()).await;
            Ok(lease.settle(answer)?)
        };
        self.redis.within("write to the cache on redis", work).await
    }

    async fn put_one(&self, offer: Offer<'_>, how: &str) -> Result<bool> {
        Ok(self.put(&[offer], how).await? == [true])
    }

    async fn list_batch(&self, topics: &[Topic]) -> Result<Vec<(Topic, Foreign)>> {
        let work = async {
            let mut lease = self.redis.lease().await?;
            let generation = lease.generation();
            let mut call = self.list_foreign.prepare_invoke();
            for topic in topics {
                call.key(names::value(*topic)).key(names::mark(*topic));
            }
            call.arg(LONGEST_FOREIGN);
            let answer: RedisResult<Vec<Row>> = call.invoke_async(lease.connection()).await;
            Ok((generation, lease.settle(answer)?))
        };
        let (generation, rows) = self.redis.within("list foreign values on redis", work).await?;
        let found = rows
            .into_iter()
            .filter_map(|(at, text, mark)| match found(&generation, text, &mark) {
                Some(Found::Foreign(foreign)) => Some((*topics.get(at)?, foreign)),
                _ => None,
            })
            .collect();
        Ok(found)
    }
}

#[async_trait]
impl Cache for RedisCache {
    fn is_shared(&self) -> bool {
        true
    }

    async fn get(&self, topic: Topic) -> Result<Option<Found>> {
        let work = async {
            let mut lease = self.redis.lease().await?;
            let generation = lease.generation();
            let mut command = ::redis::cmd("MGET");
            command.arg(names::value(topic)).arg(names::mark(topic));
            let answer: RedisResult<(Option<Vec<u8>>, Option<Vec<u8>>)> = command.query_async(lease.connection()).await;
            Ok((generation, lease.settle(answer)?))
        };
        let (generation, (value, mark)) = self.redis.within("read the cache on redis", work).await?;
        Ok(value.and_then(|value| found(&generation, value, &mark.unwrap_or_default())))
    }

    async fn offer(&self, topic: Topic, epoch: &Epoch, seq: i64, value: Bytes, keep: Duration) -> Result<bool> {
        let offer = Offer {
            topic,
            epoch,
            seq,
            value,
            keep,
        };
        self.put_one(offer, "offer").await
    }

    async fn offer_all(&self, offers: &[Offer<'_>]) -> Result<()> {
        for offers in offers.chunks(OFFERS) {
            self.put(offers, "offer").await?;
        }
        Ok(())
    }

    async fn fill(&self, topic: Topic, epoch: &Epoch, seq: i64, value: Bytes, keep: Duration) -> Result<bool> {
        let offer = Offer {
            topic,
            epoch,
            seq,
            value,
            keep,
        };
        self.put_one(offer, "fill").await
    }

    async fn list_foreign(&self, topics: &[Topic]) -> Result<Vec<(Topic, Foreign)>> {
        let mut all = Vec::new();
        for batch in topics.chunks(BATCH) {
            all.extend(self.list_batch(batch).await?);
        }
        Ok(all)
    }

    async fn claim(&self, name: &str, keep: Duration) -> Result<bool> {
        let work = async {
            let mut lease = self.redis.lease().await?;
            let mut command = ::redis::cmd("SET");
            command.arg(names::claim(name)).arg(1).arg("NX").arg("PX").arg(keep.as_millis().max(1) as u64);
            let answer: RedisResult<Option<String>> = command.query_async(lease.connection()).await;
            Ok(lease.settle(answer)?)
        };
        Ok(self.redis.within("claim a name on redis", work).await?.is_some())
    }
}

/// Which of the topics, its value, and the mark beside it.
type Row = (usize, Vec<u8>, Vec<u8>);

/// What stands between the braces of an object, with the brace at its end: a mark is put before it.
fn fields_of(value: &[u8]) -> Result<&[u8]> {
    let fields = value.strip_prefix(b"{").filter(|fields| fields.first().is_some_and(|first| *first != b'}'));
    fields.ok_or_else(|| {
        let defect = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the value is no JSON object with a field in it");
        unavailable("mark a value", defect)
    })
}

/// What a value is worth while the server is in `generation`: `None` for one of ours that comes from another.
fn found(generation: &str, value: Vec<u8>, mark: &[u8]) -> Option<Found> {
    match generation_of(&value) {
        Some(own) if own == generation => Some(Found::Ours(value.into())),
        Some(_) => None,
        None if value.len() > LONGEST_FOREIGN => None,
        None => Some(Found::Foreign(Foreign {
            after: cursor(generation, mark),
            text: value.into(),
        })),
    }
}

/// The generation in a value's mark, wherever in the object it stands; what has none is not ours.
fn generation_of(value: &[u8]) -> Option<String> {
    const HEAD: &[u8] = br#"{"generation":""#;
    #[derive(Deserialize)]
    struct Marked {
        generation: String,
    }

    if let Some(rest) = value.strip_prefix(HEAD) {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        return std::str::from_utf8(&rest[..end]).ok().map(str::to_owned);
    }
    if value.first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice::<Marked>(value).ok().map(|marked| marked.generation)
}

/// The cursor in a mark of this generation.
fn cursor(generation: &str, mark: &[u8]) -> Option<(Epoch, i64)> {
    let mark = std::str::from_utf8(mark).ok()?;
    let id = mark.strip_prefix(r#"{"generation":""#)?.strip_prefix(generation)?.strip_prefix(r#"","id":""#)?;
    let (epoch, seq) = id.strip_suffix("\",")?.rsplit_once('-')?;
    Some((Epoch(epoch.to_owned()), seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_generation_left_is_not_believed() {
        let value = br#"{"generation":"old","id":"aaaaaaaa-7","status":"running"}"#.to_vec();

        assert_eq!(found("new", value.clone(), b""), None);
        assert_eq!(found("old", value.clone(), b""), Some(Found::Ours(value.into())));
        assert_eq!(found("new", br#"{"status":"running","generation":"old"}"#.to_vec(), b""), None);
    }

    #[test]
    fn what_others_wrote_comes_with_the_cursor_that_it_followed() {
        let foreign = |after| {
            Some(Found::Foreign(Foreign {
                text: Bytes::from_static(b"running"),
                after,
            }))
        };
        let mark = br#"{"generation":"g","id":"aaaaaaaa-7","#;

        assert_eq!(found("g", b"running".to_vec(), mark), foreign(Some((Epoch("aaaaaaaa".into()), 7))));
        assert_eq!(found("h", b"running".to_vec(), mark), foreign(None));
        assert_eq!(found("g", b"running".to_vec(), b""), foreign(None));
    }
}
