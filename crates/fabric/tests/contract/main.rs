//! What every backend of a port must keep, and the embedded backends put to it.
//! The functions in `queue`, `bus` and `cache` know nothing of a backend; a new one calls them from a module of its own.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod broker;
mod bus;
mod cache;
mod durability;
mod faults;
#[path = "../../../../tests/prove/src/ports.rs"]
#[expect(unreachable_pub, reason = "the same file is a public part of the proofs")]
mod ports;
mod queue;
mod quotas;
mod rabbitmq;
mod redis;
mod server;
mod spool;

use std::time::Duration;

/// How long a condition may take to come true before a test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for `future`, which is expected to be done soon.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {DEADLINE:?}"),
    }
}

mod embedded {
    //! The embedded backends, put to the contract.

    use std::path::Path;
    use std::time::Duration;

    use async_trait::async_trait;
    use pipecast_fabric::Queue;
    use pipecast_fabric::bus::embedded::EmbeddedBus;
    use pipecast_fabric::cache::embedded::EmbeddedCache;
    use pipecast_fabric::queue::embedded::{EmbeddedQueue, Options};
    use tempfile::TempDir;

    use crate::queue::{Limits, Queues};

    pub(crate) fn options(path: &Path, limits: Limits) -> Options {
        Options {
            path: path.to_owned(),
            max_messages: limits.messages,
            max_bytes: limits.bytes,
            max_message_bytes: limits.message_bytes,
            max_failures: limits.failures,
            retry_base: Duration::from_millis(20),
            retry_cap: Duration::from_millis(100),
            sync_delay: Duration::ZERO,
        }
    }

    struct Directory(TempDir);

    #[async_trait]
    impl Queues for Directory {
        async fn open(&self, limits: Limits) -> Box<dyn Queue> {
            Box::new(EmbeddedQueue::open(options(&self.0.path().join("queue.db"), limits)).await.unwrap())
        }
    }

    fn fresh() -> Directory {
        Directory(tempfile::tempdir().unwrap())
    }

    macro_rules! queue_keeps {
        ($($name:ident)*) => {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::queue::$name(&fresh()).await;
                }
            )*
        };
    }

    queue_keeps! {
        what_is_acked_never_comes_back
        what_is_unsettled_comes_back_after_a_restart
        a_lane_is_served_oldest_first
        both_lanes_are_served_and_the_urgent_one_more_often
        a_failure_comes_back_and_is_buried_with_its_reason
        what_is_buried_is_listed_page_by_page_and_found
        what_is_retried_is_as_new_and_no_longer_buried
        what_is_dropped_never_comes_back
        a_retry_that_is_cut_off_anywhere_loses_nothing
        failures_are_counted_over_a_restart
        what_is_returned_comes_back_uncounted
        what_is_passed_on_comes_to_whoever_receives_and_is_never_buried
        a_full_queue_refuses_and_stores_nothing
        a_message_that_is_too_large_is_refused
        a_closed_queue_says_so_to_everyone
        thousands_of_senders_at_once_are_all_stored
        every_message_reaches_one_of_many_receivers
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_sends_share_a_sync() {
        let directory = tempfile::tempdir().unwrap();
        let queue = EmbeddedQueue::open(options(&directory.path().join("queue.db"), Limits::default()))
            .await
            .unwrap();

        crate::queue::send_concurrently(&queue, 64, 3_000).await;

        let commits = queue.commits();
        assert!(commits <= 300, "3000 sends took {commits} commits");
        queue.close().await;
    }

    #[tokio::test]
    async fn a_lone_send_does_not_wait_for_company() {
        let directory = tempfile::tempdir().unwrap();
        let queue = EmbeddedQueue::open(options(&directory.path().join("queue.db"), Limits::default()))
            .await
            .unwrap();

        for number in 0..10 {
            queue.send(pipecast_model::Lane::Urgent, bytes::Bytes::from(number.to_string())).await.unwrap();
        }

        assert_eq!(queue.commits(), 10);
        queue.close().await;
    }

    #[tokio::test]
    async fn a_message_is_handed_out_while_it_is_being_stored() {
        let directory = tempfile::tempdir().unwrap();
        let mut slow = options(&directory.path().join("queue.db"), Limits::default());
        slow.sync_delay = Duration::from_secs(3600);
        let queue = EmbeddedQueue::open(slow).await.unwrap();

        let send = queue.send(pipecast_model::Lane::Urgent, bytes::Bytes::from_static(b"early"));
        let received = tokio::select! {
            _ = send => panic!("the commit takes an hour"),
            received = crate::soon("the early hand-out", queue.receive(1)) => received.unwrap(),
        };

        assert_eq!(received[0].message, "early");
    }

    #[tokio::test]
    async fn two_processes_cannot_open_one_queue_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.db");
        let first = EmbeddedQueue::open(options(&path, Limits::default())).await.unwrap();

        let refused = EmbeddedQueue::open(options(&path, Limits::default())).await.unwrap_err();

        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert!(cause.contains(&std::process::id().to_string()), "{cause}");
        first.close().await;
        EmbeddedQueue::open(options(&path, Limits::default())).await.unwrap().close().await;
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_puts_off_nothing_for_long() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.db");
        let queue = EmbeddedQueue::open(options(&path, Limits::default())).await.unwrap();
        queue.send(pipecast_model::Lane::Urgent, bytes::Bytes::from_static(b"later")).await.unwrap();
        let claims = queue.receive(1).await.unwrap();
        let failed = pipecast_fabric::Verdict::Fail("once".to_owned());
        queue.settle(vec![(claims[0].id, failed)]).await.unwrap();
        queue.close().await;
        let file = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
        let hour = sqlx::query("UPDATE messages SET not_before = not_before + 3600 * 1000000 WHERE failures = 1");
        assert_eq!(hour.execute(&file).await.unwrap().rows_affected(), 1);
        file.close().await;

        let queue = EmbeddedQueue::open(options(&path, Limits::default())).await.unwrap();

        let again = crate::soon("the second try", queue.receive(1)).await.unwrap();
        assert_eq!((&again[0].message[..], again[0].failures), (&b"later"[..], 1));
        queue.close().await;
    }

    #[tokio::test]
    async fn bodies_beyond_the_memory_are_read_from_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.db");
        let queue = EmbeddedQueue::open(options(&path, Limits::default())).await.unwrap();
        let large = |number: u8| bytes::Bytes::from(vec![number; 4 << 20]);

        for number in 0..20 {
            queue.send(pipecast_model::Lane::Bulk, large(number)).await.unwrap();
        }

        for number in 0..20 {
            let claims = crate::soon("a claim", queue.receive(1)).await.unwrap();
            assert!(claims[0].message == large(number), "message {number}");
            queue.settle(vec![(claims[0].id, pipecast_fabric::Verdict::Ack)]).await.unwrap();
        }
        queue.close().await;
    }

    #[tokio::test]
    async fn the_bus_keeps_its_contract() {
        crate::bus::each_topic_is_heard_in_order(&EmbeddedBus::new(4096)).await;
        crate::bus::only_what_is_subscribed_is_heard(&EmbeddedBus::new(64)).await;
        crate::bus::a_tap_that_falls_behind_is_told(&EmbeddedBus::new(64)).await;
    }

    #[tokio::test]
    async fn a_closed_bus_ends_its_taps() {
        let bus = EmbeddedBus::new(4);
        let tap = pipecast_fabric::Bus::tap(&bus).await.unwrap();

        bus.close();

        assert!(crate::soon("the end of the tap", tap.next()).await.is_none());
    }

    #[tokio::test]
    async fn the_cache_keeps_its_contract() {
        crate::cache::the_newer_sequence_wins(&EmbeddedCache::new(1000)).await;
        crate::cache::a_reader_fills_what_is_missing_and_nothing_newer(&EmbeddedCache::new(1000)).await;
        crate::cache::another_epoch_replaces(&EmbeddedCache::new(1000)).await;
        crate::cache::an_entry_expires(&EmbeddedCache::new(1000)).await;
        crate::cache::a_name_is_claimed_once_until_its_time_is_over(&EmbeddedCache::new(1000)).await;
        crate::cache::of_many_writers_the_newest_stays(std::sync::Arc::new(EmbeddedCache::new(1000))).await;
    }
}
