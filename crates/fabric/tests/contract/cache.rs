//! What every cache must keep. Knows nothing of a backend.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use pipecast_fabric::{Cache, Found};
use pipecast_model::{Epoch, PipelineId, Topic};

use crate::soon;

const ONE: Topic = Topic::Pipeline(PipelineId(1));
const LONG: Duration = Duration::from_secs(3600);

fn epoch(text: &str) -> Epoch {
    Epoch(text.to_owned())
}

/// A value that says what it is.
pub(crate) fn value(epoch: &Epoch, seq: i64) -> Bytes {
    Bytes::from(format!(r#"{{"is":"{epoch}-{seq}"}}"#))
}

async fn offer(cache: &dyn Cache, epoch: &Epoch, seq: i64, keep: Duration) -> bool {
    cache.offer(ONE, epoch, seq, value(epoch, seq), keep).await.unwrap()
}

/// What the value of ours at `topic` says that it is.
pub(crate) async fn ours(cache: &dyn Cache, topic: Topic) -> Option<String> {
    match cache.get(topic).await.unwrap()? {
        Found::Ours(value) => {
            let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
            Some(value["is"].as_str().unwrap().to_owned())
        }
        Found::Foreign(foreign) => panic!("{foreign:?}"),
    }
}

pub(crate) async fn the_newer_sequence_wins(cache: &dyn Cache) {
    let epoch = epoch("aaaaaaaa");

    assert_eq!(cache.get(ONE).await.unwrap(), None);
    assert!(offer(cache, &epoch, 5, LONG).await);
    assert!(!offer(cache, &epoch, 5, LONG).await, "an equal one is no news");
    assert!(!offer(cache, &epoch, 4, LONG).await, "an older one changes nothing");
    assert_eq!(ours(cache, ONE).await.as_deref(), Some("aaaaaaaa-5"));
    assert!(offer(cache, &epoch, 6, LONG).await);
    assert_eq!(ours(cache, ONE).await.as_deref(), Some("aaaaaaaa-6"));
    assert_eq!(cache.get(Topic::Pipeline(PipelineId(2))).await.unwrap(), None);
}

pub(crate) async fn a_reader_fills_what_is_missing_and_nothing_newer(cache: &dyn Cache) {
    let epoch = epoch("aaaaaaaa");

    assert!(cache.fill(ONE, &epoch, 3, value(&epoch, 3), LONG).await.unwrap());
    assert!(offer(cache, &epoch, 5, LONG).await);
    assert!(!cache.fill(ONE, &epoch, 4, value(&epoch, 4), LONG).await.unwrap());

    assert_eq!(ours(cache, ONE).await.as_deref(), Some("aaaaaaaa-5"));
    assert!(cache.list_foreign(&[ONE]).await.unwrap().is_empty());
}

pub(crate) async fn another_epoch_replaces(cache: &dyn Cache) {
    assert!(offer(cache, &epoch("aaaaaaaa"), 90, LONG).await);

    assert!(offer(cache, &epoch("bbbbbbbb"), 1, LONG).await);

    assert_eq!(ours(cache, ONE).await.as_deref(), Some("bbbbbbbb-1"));
}

pub(crate) async fn an_entry_expires(cache: &dyn Cache) {
    let epoch = epoch("aaaaaaaa");
    assert!(offer(cache, &epoch, 1, LONG).await);
    assert!(offer(cache, &epoch, 2, Duration::from_millis(50)).await);

    soon("the expiry", async {
        while cache.get(ONE).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    assert!(offer(cache, &epoch, 1, LONG).await, "what has expired no longer stands in the way");
}

pub(crate) async fn of_many_writers_the_newest_stays(cache: Arc<dyn Cache>) {
    let writers = (0..8).map(|writer| {
        let cache = Arc::clone(&cache);
        tokio::spawn(async move {
            for step in 0..200 {
                offer(&*cache, &epoch("aaaaaaaa"), 1 + (step * 7 + writer * 13) % 200, LONG).await;
            }
        })
    });
    join_all(writers).await.into_iter().for_each(|writer| writer.unwrap());

    assert_eq!(ours(&*cache, ONE).await.as_deref(), Some("aaaaaaaa-200"));
}

pub(crate) async fn a_name_is_claimed_once_until_its_time_is_over(cache: &dyn Cache) {
    let all = join_all((0..8).map(|_| cache.claim("one", LONG))).await;

    assert_eq!(all.into_iter().filter(|first| *first.as_ref().unwrap()).count(), 1);
    assert!(cache.claim("another", Duration::from_millis(50)).await.unwrap());
    soon("it can be claimed again", async {
        while !cache.claim("another", LONG).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
