//! The admin with everything around it, deliveries for it, and waiting for what it does with them.

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
use pipecast_model::{Announcement, Delivery, DeliveryId, Host, Lane, Outcome, PipelineId, Timestamp, Topic, Work};
use pipecast_store::{Options, Reader, Retention, Writer};
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
pub(crate) struct Watched {
    queue: EmbeddedQueue,
    pub(crate) given_back: AtomicUsize,
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
pub(crate) struct House {
    directory: TempDir,
    pub(crate) reader: Reader,
    pub(crate) writer: Option<Writer>,
    pub(crate) queue: Arc<Watched>,
    pub(crate) bus: Arc<EmbeddedBus>,
    pub(crate) cache: Arc<EmbeddedCache>,
    pub(crate) stale_after: Duration,
    running: Option<(CancellationToken, JoinHandle<Result<(), Ended>>)>,
}

impl House {
    pub(crate) async fn build() -> Self {
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

    pub(crate) fn start(&mut self) {
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
    pub(crate) async fn cached(&self, topic: Topic) -> Announcement {
        match self.cache.get(topic).await.unwrap() {
            Some(Found::Ours(value)) => serde_json::from_slice(&value).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn stop(&mut self) {
        let (ending, running) = self.running.take().unwrap();
        ending.cancel();
        soon("the end", running).await.unwrap().unwrap();
    }

    pub(crate) async fn send(&self, delivery: &Delivery) {
        self.queue.send(Lane::Urgent, Work::Delivery(delivery.clone()).encode()).await.unwrap();
    }

    pub(crate) async fn hear(&self, topics: &[Topic]) -> Box<dyn BusTap> {
        let tap = self.bus.tap().await.unwrap();
        for topic in topics {
            tap.subscribe(*topic).await.unwrap();
        }
        tap
    }

    pub(crate) async fn outcome(&self, delivery: &Delivery) -> Option<Outcome> {
        self.reader.find_delivery(delivery.id).await.unwrap().map(|record| record.outcome)
    }

    pub(crate) async fn until_the_queue_is_empty(&self) {
        until("an empty queue", async || self.queue.depth(Lane::Urgent).await.unwrap() == 0).await;
    }

    /// A connection beside the store, for what it does not show or would never do.
    pub(crate) async fn database(&self) -> SqliteConnection {
        let path: PathBuf = self.directory.path().join("pipecast.db");
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path).disable_statement_logging())
            .await
            .unwrap()
    }
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {DEADLINE:?}"))
}

pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) async fn next(tap: &dyn BusTap) -> (Topic, Announcement) {
    match soon("an announcement", tap.next()).await {
        Some(BusEvent::Message { topic, message }) => (topic, serde_json::from_slice(&message).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// A run of the one workflow, in some phase.
pub(crate) fn workflow_run(run: i64, status: &str, conclusion: Option<&str>, second: u8) -> Delivery {
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

pub(crate) const PIPELINE: Topic = Topic::Pipeline(PipelineId(1));
