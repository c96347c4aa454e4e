//! From the queue to database, cache and bus, with the embedded backends and a real database.
//! Knows nothing of HTTP and signatures: deliveries come as the edge puts them on the queue.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipecast_admin::{Ended, Worker, retention};
use pipecast_fabric::bus::embedded::EmbeddedBus;
use pipecast_fabric::cache::embedded::EmbeddedCache;
use pipecast_fabric::queue::embedded::{self, EmbeddedQueue};
use pipecast_fabric::{Bus, BusEvent, BusTap, Cache, Claim, ClaimId, Dead, DeadId, Durability, Found, Queue, Verdict};
use pipecast_model::{Announcement, Delivery, DeliveryId, Host, Lane, PipelineId, Status, Timestamp, Topic, Work};
use pipecast_store::{Noted, Options, PipelineQuery, Reader, Retention, Writer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);
const KEEP: Retention = Retention {
    bodies: Duration::from_secs(7 * 86_400),
    bodies_bytes: 1 << 30,
    deliveries: Duration::from_secs(30 * 86_400),
};

/// The queue, with a count of what was given back to it.
struct Watched {
    queue: EmbeddedQueue,
    given_back: AtomicUsize,
}

#[async_trait]
impl Queue for Watched {
    async fn send(&self, lane: Lane, message: Bytes) -> pipecast_fabric::Result<Durability> {
        self.queue.send(lane, message).await
    }

    async fn receive(&self, most: usize) -> pipecast_fabric::Result<Vec<Claim>> {
        self.queue.receive(most).await
    }

    async fn settle(&self, verdicts: Vec<(ClaimId, Verdict)>) -> pipecast_fabric::Result<()> {
        let returned = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Return).count();
        self.queue.settle(verdicts).await?;
        self.given_back.fetch_add(returned, Ordering::SeqCst);
        Ok(())
    }

    async fn depth(&self, lane: Lane) -> pipecast_fabric::Result<u64> {
        self.queue.depth(lane).await
    }

    async fn list_dead(&self, after: Option<&DeadId>, most: usize) -> pipecast_fabric::Result<Vec<Dead>> {
        self.queue.list_dead(after, most).await
    }
    async fn which_are_dead(&self, ids: &[DeadId]) -> pipecast_fabric::Result<Vec<DeadId>> {
        self.queue.which_are_dead(ids).await
    }
    async fn find_dead(&self, id: &DeadId) -> pipecast_fabric::Result<Option<Dead>> {
        self.queue.find_dead(id).await
    }
    async fn retry_dead(&self, ids: &[DeadId]) -> pipecast_fabric::Result<u64> {
        self.queue.retry_dead(ids).await
    }
    async fn drop_dead(&self, ids: &[DeadId]) -> pipecast_fabric::Result<u64> {
        self.queue.drop_dead(ids).await
    }

    async fn close(&self) {
        self.queue.close().await;
    }
}

/// Everything around the admin, and the admin once it has been started.
struct House {
    directory: TempDir,
    reader: Reader,
    writer: Option<Writer>,
    queue: Arc<Watched>,
    bus: Arc<EmbeddedBus>,
    cache: Arc<EmbeddedCache>,
    stale_after: Duration,
    running: Option<(CancellationToken, JoinHandle<Result<(), Ended>>)>,
}

impl House {
    async fn build() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            url: format!("sqlite:{}", directory.path().join("pipecast.db").display()),
            read_url: None,
            read_connections: 2,
            acquire_timeout: Duration::from_secs(5),
            first_id: 1,
        };
        pipecast_store::migrate(&options).await.unwrap();
        let (reader, writer) = pipecast_store::open(&options).await.unwrap();
        let queue = EmbeddedQueue::open(embedded::Options {
            path: directory.path().join("queue.db"),
            max_messages: 100_000,
            max_bytes: 1 << 30,
            max_message_bytes: 1 << 20,
            max_failures: 2,
            retry_base: Duration::from_millis(5),
            retry_cap: Duration::from_millis(20),
            sync_delay: Duration::ZERO,
        });
        House {
            reader,
            writer: Some(writer),
            queue: Arc::new(Watched {
                queue: queue.await.unwrap(),
                given_back: AtomicUsize::new(0),
            }),
            bus: Arc::new(EmbeddedBus::new(4096)),
            cache: Arc::new(EmbeddedCache::new(1000)),
            stale_after: Duration::from_secs(3600 * 24 * 36_500),
            running: None,
            directory,
        }
    }

    fn start(&mut self) {
        let writer = Arc::new(self.writer.take().unwrap());
        let worker = Worker {
            reader: self.reader.clone(),
            writer: Arc::clone(&writer),
            queue: self.queue.clone(),
            bus: self.bus.clone(),
            cache: self.cache.clone(),
        };
        let settings = retention::Settings {
            keep: KEEP,
            stale_after: self.stale_after,
            deleted: Duration::from_secs(30 * 86_400),
        };
        let ending = CancellationToken::new();
        let run = {
            let ending = ending.clone();
            async move {
                let (worked, ()) = tokio::join!(worker.run(ending.clone()), retention::run(watch::channel(settings).1, writer, ending));
                worked
            }
        };
        self.running = Some((ending, tokio::spawn(run)));
    }

    /// What the cache has of a topic, which is there and ours.
    async fn cached(&self, topic: Topic) -> Announcement {
        match self.cache.get(topic).await.unwrap() {
            Some(Found::Ours(value)) => serde_json::from_slice(&value).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn stop(&mut self) {
        let (ending, running) = self.running.take().unwrap();
        ending.cancel();
        soon("the end", running).await.unwrap().unwrap();
    }

    async fn send(&self, delivery: &Delivery) {
        self.queue.send(Lane::Urgent, Work::Delivery(delivery.clone()).encode()).await.unwrap();
    }

    async fn hear(&self, topics: &[Topic]) -> Box<dyn BusTap> {
        let tap = self.bus.tap().await.unwrap();
        for topic in topics {
            tap.subscribe(*topic).await.unwrap();
        }
        tap
    }

    async fn outcome(&self, delivery: &Delivery) -> Option<String> {
        self.reader.find_delivery(delivery.id).await.unwrap().map(|record| record.outcome)
    }

    async fn until_the_queue_is_empty(&self) {
        until("an empty queue", async || self.queue.depth(Lane::Urgent).await.unwrap() == 0).await;
    }

    /// A connection beside the store, for what it does not show or would never do.
    async fn database(&self) -> SqliteConnection {
        let path: PathBuf = self.directory.path().join("pipecast.db");
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path).disable_statement_logging())
            .await
            .unwrap()
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {DEADLINE:?}"))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn next(tap: &dyn BusTap) -> (Topic, Announcement) {
    match soon("an announcement", tap.next()).await {
        Some(BusEvent::Message { topic, message }) => (topic, serde_json::from_slice(&message).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// A run of the one workflow, in some phase.
fn workflow_run(run: i64, status: &str, conclusion: Option<&str>, second: u8) -> Delivery {
    let conclusion = conclusion.map_or("null".to_owned(), |word| format!("{word:?}"));
    let body = format!(
        r#"{{"action": "x",
            "repository": {{"id": 7, "full_name": "octo/repo", "html_url": "https://github.com/octo/repo", "default_branch": "main"}},
            "workflow": {{"id": 70, "name": "CI", "path": ".github/workflows/ci.yml"}},
            "workflow_run": {{"id": {run}, "run_attempt": 1, "run_number": {run}, "workflow_id": 70, "name": "CI", "status": "{status}",
                "conclusion": {conclusion}, "head_branch": "main", "head_sha": "abc", "event": "push",
                "created_at": "2026-11-21T10:00:00Z", "run_started_at": "2026-11-21T10:00:00Z", "updated_at": "2026-11-21T10:00:{second:02}Z"}}}}"#
    );
    Delivery {
        id: DeliveryId::fresh(),
        host: Host::Github,
        source: "default".to_owned(),
        event: "workflow_run".to_owned(),
        key: Some(format!("{run}-{status}-{second}")),
        body_sha256: format!("{run}-{status}-{second}"),
        received_at: Timestamp::now(),
        headers: vec![("x-github-event".to_owned(), "workflow_run".to_owned())],
        replay_of: None,
        secret: None,
        body: Bytes::from(body),
    }
}

const PIPELINE: Topic = Topic::Pipeline(PipelineId(1));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_appears_in_database_cache_and_bus() {
    let mut house = House::build().await;
    let tap = house.hear(&[PIPELINE, Topic::Monitor]).await;
    house.start();

    let delivery = workflow_run(1, "in_progress", None, 1);
    house.send(&delivery).await;

    let (topic, first) = next(&*tap).await;
    let (other, second) = next(&*tap).await;
    assert_eq!((topic, other), (PIPELINE, Topic::Monitor));
    assert_eq!((first.topic, first.status, first.seq), (PIPELINE, Status::Running, 1));
    assert_eq!(serde_json::to_value(&first).unwrap(), serde_json::to_value(&second).unwrap());
    let cached = house.cached(PIPELINE).await;
    assert_eq!(cached.id(), first.id());
    let pipeline = house.reader.find_pipeline(PipelineId(1)).await.unwrap().unwrap();
    assert_eq!(pipeline.name, "CI");
    assert_eq!(house.outcome(&delivery).await.as_deref(), Some("applied"));
    house.until_the_queue_is_empty().await;
    until("clean topics", async || house.reader.list_dirty(10).await.unwrap().is_empty()).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_delivery_is_buried_and_the_others_go_through() {
    let mut house = House::build().await;
    sqlx::query("CREATE TRIGGER poison BEFORE INSERT ON deliveries WHEN NEW.delivery_key = 'poison' BEGIN SELECT raise(ABORT, 'poisoned'); END")
        .execute(&mut house.database().await)
        .await
        .unwrap();
    let poison = Delivery {
        key: Some("poison".to_owned()),
        ..workflow_run(2, "completed", Some("failure"), 2)
    };
    let sound: Vec<_> = [1, 3].into_iter().map(|run| workflow_run(run, "completed", Some("success"), 2)).collect();
    house.send(&sound[0]).await;
    house.send(&poison).await;
    house.queue.send(Lane::Urgent, Bytes::from_static(b"")).await.unwrap();
    house.send(&sound[1]).await;
    house.start();

    until("two burials", async || house.queue.dead(10).await.unwrap().len() == 2).await;

    for delivery in &sound {
        assert_eq!(house.outcome(delivery).await.as_deref(), Some("applied"));
    }
    assert_eq!(house.outcome(&poison).await, None);
    let reasons: Vec<_> = house
        .queue
        .dead(10)
        .await
        .unwrap()
        .into_iter()
        .map(|dead| (dead.failures, dead.reason))
        .collect();
    assert!(reasons.iter().all(|(failures, _)| *failures == 2), "{reasons:?}");
    assert!(reasons.iter().any(|(_, reason)| reason.contains("poisoned")), "{reasons:?}");
    assert!(reasons.iter().any(|(_, reason)| reason.contains("malformed envelope")), "{reasons:?}");
    house.until_the_queue_is_empty().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_untold_is_told_at_the_next_start() {
    let mut house = House::build().await;
    let delivery = workflow_run(1, "in_progress", None, 1);
    let facts = pipecast_admin::intake::understand(&delivery);
    let mut tx = house.writer.as_ref().unwrap().begin().await.unwrap();
    assert_eq!(tx.note_delivery(&delivery).await.unwrap(), Noted::New);
    tx.record_facts(&delivery, &facts).await.unwrap();
    tx.commit().await.unwrap();
    // The crash comes here: committed, not announced, not acked.
    house.send(&delivery).await;
    let tap = house.hear(&[PIPELINE]).await;

    house.start();

    let (_, told) = next(&*tap).await;
    assert_eq!((told.status, told.seq), (Status::Running, 1));
    house.until_the_queue_is_empty().await;
    until("clean topics", async || house.reader.list_dirty(10).await.unwrap().is_empty()).await;
    assert!(house.cache.get(PIPELINE).await.unwrap().is_some());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_announces_nothing() {
    let mut house = House::build().await;
    let tap = house.hear(&[PIPELINE]).await;
    house.start();
    // As an edge sends it: the body's hash is made here.
    let unhashed = |delivery| Delivery {
        body_sha256: String::new(),
        ..delivery
    };
    let first = unhashed(workflow_run(1, "in_progress", None, 1));
    house.send(&first).await;
    assert_eq!(next(&*tap).await.1.seq, 1);

    let same_key = Delivery {
        id: DeliveryId::fresh(),
        ..first.clone()
    };
    let same_body = Delivery {
        id: DeliveryId::fresh(),
        key: Some("another".to_owned()),
        ..first.clone()
    };
    house.send(&same_key).await;
    house.send(&same_body).await;
    house.until_the_queue_is_empty().await;
    house.send(&unhashed(workflow_run(1, "completed", Some("success"), 9))).await;

    let (_, told) = next(&*tap).await;
    assert_eq!((told.status, told.seq), (Status::Success, 2), "nothing between the first and the last");
    assert_eq!(house.reader.find_delivery(first.id).await.unwrap().unwrap().repeats, 1);
    assert_eq!(house.outcome(&same_body).await.as_deref(), Some("duplicate"));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_ends_on_the_database_and_no_delivery_counts_twice() {
    let mut house = House::build().await;
    let topics: Vec<_> = (1..=20).map(|id| Topic::Execution(pipecast_model::ExecutionId(id))).chain([PIPELINE]).collect();
    let tap = house.hear(&topics).await;
    house.start();
    let mut deliveries: Vec<_> = (1..=20)
        .flat_map(|run| {
            [
                workflow_run(run, "queued", None, 1),
                workflow_run(run, "in_progress", None, 2),
                workflow_run(run, "completed", Some(if run % 3 == 0 { "failure" } else { "success" }), 3),
            ]
        })
        .collect();
    let copies: Vec<_> = deliveries.iter().step_by(4).cloned().collect();
    deliveries.extend(copies);
    let step = 37; // No common divisor with their number: a fixed shuffle.
    for position in 0..deliveries.len() {
        house.send(&deliveries[position * step % deliveries.len()]).await;
    }
    house.until_the_queue_is_empty().await;

    let mut newest: HashMap<Topic, (i64, Status)> = HashMap::new();
    let expected: HashMap<Topic, (i64, Status)> = house
        .reader
        .list_states(&topics)
        .await
        .unwrap()
        .into_iter()
        .map(|state| (state.topic, (state.seq, state.status)))
        .collect();
    assert_eq!(expected.len(), topics.len());
    while newest != expected {
        let (topic, told) = next(&*tap).await;
        let before = newest.insert(topic, (told.seq, told.status)).map_or(0, |(seq, _)| seq);
        assert!(told.seq > before, "{topic} went from {before} to {}", told.seq);
    }
    for (topic, (seq, _)) in &expected {
        let cached = house.cached(*topic).await;
        assert_eq!(cached.seq, *seq);
    }
    let twice: i64 =
        sqlx::query_scalar("SELECT count(*) FROM (SELECT 1 FROM topic_changes WHERE delivery_id IS NOT NULL GROUP BY topic, delivery_id HAVING count(*) > 1)")
            .fetch_one(&mut house.database().await)
            .await
            .unwrap();
    assert_eq!(twice, 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_away_holds_nothing_up_and_leaves_topics_dirty() {
    let mut house = House::build().await;
    house.bus.close();
    house.start();

    let delivery = workflow_run(1, "in_progress", None, 1);
    house.send(&delivery).await;

    house.until_the_queue_is_empty().await;
    assert_eq!(house.outcome(&delivery).await.as_deref(), Some("applied"));
    house.stop().await;
    assert!(house.reader.list_dirty(10).await.unwrap().contains(&PIPELINE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_finishes_what_is_in_hand_and_leaves_nothing_dirty() {
    let mut house = House::build().await;
    house.start();
    let deliveries: Vec<_> = (1..=200).map(|run| workflow_run(run, "in_progress", None, 1)).collect();
    for delivery in &deliveries {
        house.queue.send(Lane::Bulk, Work::Delivery(delivery.clone()).encode()).await.unwrap();
    }

    house.stop().await;

    assert!(house.reader.list_dirty(10).await.unwrap().is_empty());
    let mut applied = 0;
    for delivery in &deliveries {
        applied += u64::from(house.outcome(delivery).await.is_some());
    }
    assert_eq!(
        house.queue.depth(Lane::Bulk).await.unwrap() + applied,
        200,
        "each is either applied or still there"
    );
    house.queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_of_a_newer_build_is_given_back() {
    let mut house = House::build().await;
    house.start();
    house.queue.send(Lane::Urgent, Bytes::from_static(&[9, 0, 0, 0, 0])).await.unwrap();
    let after = workflow_run(1, "in_progress", None, 1);

    house.send(&after).await;

    until("the next delivery", async || house.outcome(&after).await.is_some()).await;
    until("only the newer one", async || house.queue.depth(Lane::Urgent).await.unwrap() == 1).await;
    assert!(house.queue.dead(10).await.unwrap().is_empty());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_gives_deliveries_back_uncounted() {
    let mut house = House::build().await;
    let mut other = house.database().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let deliveries: Vec<_> = (1..=5).map(|run| workflow_run(run, "in_progress", None, 1)).collect();
    for delivery in &deliveries {
        house.send(delivery).await;
    }
    house.start();
    until("a batch that was given back", async || house.queue.given_back.load(Ordering::SeqCst) > 0).await;
    assert_eq!(house.queue.depth(Lane::Urgent).await.unwrap(), 5);

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();

    for delivery in &deliveries {
        until("the delivery", async || house.outcome(delivery).await.as_deref() == Some("applied")).await;
    }
    assert!(house.queue.dead(10).await.unwrap().is_empty());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_execution_becomes_stale_and_that_is_told() {
    let mut house = House::build().await;
    let delivery = workflow_run(1, "in_progress", None, 1);
    let facts = pipecast_admin::intake::understand(&delivery);
    let mut tx = house.writer.as_ref().unwrap().begin().await.unwrap();
    tx.note_delivery(&delivery).await.unwrap();
    tx.record_facts(&delivery, &facts).await.unwrap();
    tx.commit().await.unwrap();
    house.stale_after = Duration::ZERO;

    house.start();

    until("the mark", async || {
        let pipelines = house
            .reader
            .list_pipelines(&PipelineQuery {
                limit: 10,
                ..PipelineQuery::default()
            })
            .await
            .unwrap();
        pipelines
            .iter()
            .any(|(_, pipeline)| pipeline.last_execution.as_ref().is_some_and(|execution| execution.stale))
    })
    .await;
    until("the state in the cache", async || {
        house.cached(PIPELINE).await.data.get().contains(r#""stale":true"#)
    })
    .await;
    house.stop().await;
}
