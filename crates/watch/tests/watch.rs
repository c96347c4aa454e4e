//! The watch on a real database, bus and cache: it reads once, misses nothing, heals, and lets go.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pipecast_fabric::bus::embedded::EmbeddedBus;
use pipecast_fabric::cache::embedded::EmbeddedCache;
use pipecast_fabric::{Bus, Cache};
use pipecast_model::{
    Announcement, Delivery, DeliveryId, Epoch, ExecutionFacts, Facts, Host, PipelineFacts, PipelineId, PipelineKey, ProjectFacts, Status, StatusFact,
    Timestamp, Told, Topic, Version,
};
use pipecast_store::{Reader, Writer};
use pipecast_watch::{Bell, Error, Settings, Watch};
use tokio_util::sync::CancellationToken;

const FIRST: Topic = Topic::Pipeline(PipelineId(1));

/// A node with everything that a watch needs.
struct Node {
    watch: Watch,
    reader: Reader,
    writer: Writer,
    bus: Arc<EmbeddedBus>,
    cache: Arc<EmbeddedCache>,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Node {
    async fn start(settings: Settings, backlog: usize) -> Node {
        let directory = tempfile::tempdir().unwrap();
        let options = pipecast_store::Options {
            url: format!("sqlite:{}", directory.path().join("watch.db").display()),
            read_url: None,
            read_connections: 2,
            acquire_timeout: Duration::from_secs(5),
            first_id: 1,
        };
        pipecast_store::migrate(&options).await.unwrap();
        let (reader, writer) = pipecast_store::open(&options).await.unwrap();
        let bus = Arc::new(EmbeddedBus::new(backlog));
        let cache = Arc::new(EmbeddedCache::new(100));
        let watch = Watch::open(settings, reader.clone(), bus.as_ref(), Arc::clone(&cache) as Arc<dyn Cache>)
            .await
            .unwrap();
        Node {
            watch,
            reader,
            writer,
            bus,
            cache,
            stop: CancellationToken::new(),
            _directory: directory,
        }
    }

    /// Carries the bus from now on.
    fn run(&self) {
        let (watch, stop) = (self.watch.clone(), self.stop.clone());
        tokio::spawn(async move { watch.run(stop).await });
    }

    /// Writes a state of a pipeline's only execution; `number` orders the states.
    async fn write(&self, pipeline: i64, number: i64, status: Status) {
        let version = Version::at(Some(Timestamp(number)));
        let key = PipelineKey::Id(format!("{pipeline:04}"));
        let facts = Facts {
            project: Some(ProjectFacts {
                external_id: "1".into(),
                name: Told::new(Version::WEAK, "acme/rocket".to_owned()),
                ..ProjectFacts::default()
            }),
            pipelines: vec![PipelineFacts {
                key: key.clone(),
                name: Told::new(Version::WEAK, "CI".to_owned()),
                url: Told::default(),
            }],
            executions: vec![ExecutionFacts {
                external_id: pipeline.to_string(),
                attempt: 1,
                pipeline: Told::new(version, key),
                status: Told::new(
                    version,
                    StatusFact {
                        status,
                        ..StatusFact::default()
                    },
                ),
                ..ExecutionFacts::default()
            }],
            ..Facts::default()
        };
        let delivery = Delivery {
            id: DeliveryId::fresh(),
            host: Host::Github,
            source: "default".into(),
            event: "workflow_run".into(),
            key: None,
            body_sha256: DeliveryId::fresh().to_string(),
            received_at: Timestamp::now(),
            headers: Vec::new(),
            replay_of: None,
            secret: None,
            body: Bytes::new(),
        };
        let mut tx = self.writer.begin().await.unwrap();
        tx.note_delivery(&delivery).await.unwrap();
        tx.record_facts(&delivery, &facts).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn offer(&self, announcement: &Announcement) {
        let value = Bytes::from(serde_json::to_vec(announcement).unwrap());
        let kept = self
            .cache
            .offer(announcement.topic, &announcement.epoch, announcement.seq, value, Duration::from_secs(60));
        assert!(kept.await.unwrap());
    }

    /// Tells the bus what the database has.
    async fn announce(&self, topic: Topic) {
        for state in self.reader.list_states(&[topic]).await.unwrap() {
            let message = Bytes::from(serde_json::to_vec(&state).unwrap());
            self.bus.publish(topic, message.clone()).await.unwrap();
            self.bus.publish(Topic::Monitor, message).await.unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn settings() -> Settings {
    Settings {
        max_topics: 100,
        monitor_pipelines: 1_000,
        linger: Duration::from_secs(30),
        cache_for: Duration::from_secs(60),
        foreign_every: Duration::from_millis(100),
        foreign_for: Duration::from_secs(3600),
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_watcher_has_the_state_at_once_and_every_change_after_it() {
    let node = Node::start(settings(), 1_000).await;
    node.write(1, 1, Status::Queued).await;
    node.run();
    let bell = Arc::new(Bell::default());

    let listener = node.watch.join(FIRST, &bell).await.unwrap();
    assert_eq!(listener.feed().last().unwrap().status, Status::Queued);
    node.write(1, 2, Status::Running).await;
    node.announce(FIRST).await;

    let mut rung = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), bell.answer(&mut rung)).await.unwrap();
    assert_eq!(rung, [FIRST]);
    assert_eq!(listener.feed().last().unwrap().status, Status::Running);
}

#[tokio::test]
async fn a_watcher_that_has_seen_more_than_this_node_is_not_shown_less() {
    let node = Node::start(settings(), 1_000).await;
    node.write(1, 1, Status::Queued).await;
    let bell = Arc::new(Bell::default());
    let listener = node.watch.join(FIRST, &bell).await.unwrap();
    let cursor = listener.feed().last().unwrap().cursor().unwrap();
    let epoch = cursor.rsplit_once('-').unwrap().0;
    // Nobody carries the bus here, so of this the node knows nothing.
    node.write(1, 2, Status::Running).await;

    for known in [cursor.clone(), "another-9".to_owned(), "nonsense".to_owned()] {
        node.watch.join_from(FIRST, &bell, Some(&known)).await.unwrap();
        assert_eq!(listener.feed().last().unwrap().status, Status::Queued, "{known} gives no reason to read");
    }
    node.watch.join_from(FIRST, &bell, Some(&format!("{epoch}-2"))).await.unwrap();

    assert_eq!(listener.feed().last().unwrap().status, Status::Running);
}

#[tokio::test]
async fn many_who_ask_at_once_read_once_and_get_the_same_value() {
    let node = Node::start(settings(), 1_000).await;
    node.write(1, 1, Status::Running).await;
    node.run();

    let asked: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let watch = node.watch.clone();
                async move { watch.fetch(FIRST).await.unwrap().unwrap() }
            })
        })
        .collect();

    let mut values = Vec::new();
    for value in asked {
        values.push(value.await.unwrap());
    }
    assert!(values.iter().all(|value| Arc::ptr_eq(value, &values[0])));
    assert!(Arc::ptr_eq(&node.watch.last(FIRST).unwrap(), &values[0]));
}

#[tokio::test]
async fn a_topic_without_a_row_is_known_to_have_none_until_it_appears() {
    let node = Node::start(settings(), 1_000).await;
    node.run();

    assert!(node.watch.fetch(FIRST).await.unwrap().is_none());
    node.write(1, 1, Status::Running).await;
    node.announce(FIRST).await;

    until("it appears", || node.watch.last(FIRST).is_some()).await;
}

#[tokio::test]
async fn what_the_bus_loses_is_read_again() {
    let node = Node::start(settings(), 4).await;
    for pipeline in 1..=20 {
        node.write(pipeline, 1, Status::Queued).await;
    }
    let bell = Arc::new(Bell::default());
    let monitor = node.watch.join(Topic::Monitor, &bell).await.unwrap();
    let mut single = Vec::new();
    for pipeline in 1..=20 {
        single.push(node.watch.join(Topic::Pipeline(PipelineId(pipeline)), &bell).await.unwrap());
    }

    // Nobody carries the bus yet, so a tap with room for four loses most of this.
    for pipeline in 1..=20 {
        node.write(pipeline, 2, Status::Success).await;
        node.announce(Topic::Pipeline(PipelineId(pipeline))).await;
    }
    node.run();

    until("every topic is healed", || {
        single.iter().all(|listener| listener.feed().last().unwrap().status == Status::Success)
    })
    .await;
    until("the monitor is healed", || {
        let all = monitor.feed().page(0, u64::MAX, 100);
        all.len() == 20 && all.iter().all(|(_, last)| last.status == Status::Success)
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_nobody_wants_is_let_go_and_read_afresh() {
    let node = Node::start(
        Settings {
            linger: Duration::from_millis(50),
            ..settings()
        },
        1_000,
    )
    .await;
    node.write(1, 1, Status::Queued).await;
    node.run();
    let bell = Arc::new(Bell::default());

    let listener = node.watch.join(FIRST, &bell).await.unwrap();
    drop(node.watch.join(Topic::Pipeline(PipelineId(2)), &bell).await.unwrap());
    until("the sweep has let go what nobody listens to", || node.watch.topics() == 1).await;
    assert!(node.watch.last(FIRST).is_some(), "somebody listens");
    drop(listener);
    until("it is let go", || node.watch.topics() == 0).await;

    // Written without an announcement and without a cache: only the database knows.
    node.write(1, 2, Status::Running).await;
    assert!(node.watch.last(FIRST).is_none());
    node.cache
        .offer(FIRST, &Epoch("elsewhen".into()), 1, Bytes::from_static(b"{}"), Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(node.watch.fetch(FIRST).await.unwrap().unwrap().status, Status::Running);
}

#[tokio::test]
async fn the_cache_answers_before_the_database_but_not_for_another_epoch() {
    let node = Node::start(settings(), 1_000).await;
    node.write(1, 1, Status::Queued).await;
    let state = node.reader.list_states(&[FIRST]).await.unwrap().remove(0);
    let ahead = Announcement {
        seq: 9,
        status: Status::Success,
        ..state.clone()
    };
    let foreign = Announcement {
        epoch: Epoch("elsewhen".into()),
        ..ahead.clone()
    };
    node.run();

    node.offer(&foreign).await;
    assert_eq!(node.watch.fetch(FIRST).await.unwrap().unwrap().seq, 1, "another epoch is not believed");

    let cache = Arc::clone(&node.cache) as Arc<dyn Cache>;
    let other = Watch::open(settings(), node.reader.clone(), node.bus.as_ref(), cache).await.unwrap();
    node.offer(&ahead).await;
    assert_eq!(other.fetch(FIRST).await.unwrap().unwrap().seq, 9, "the cache was asked first");
}

#[tokio::test]
async fn beyond_the_limit_watchers_are_refused_and_readers_go_past_the_watch() {
    let node = Node::start(Settings { max_topics: 1, ..settings() }, 1_000).await;
    node.write(1, 1, Status::Queued).await;
    node.write(2, 1, Status::Running).await;
    node.run();
    let bell = Arc::new(Bell::default());
    let second = Topic::Pipeline(PipelineId(2));

    let _first = node.watch.join(FIRST, &bell).await.unwrap();

    assert!(matches!(node.watch.join(second, &bell).await, Err(Error::TooMany { limit: 1 })));
    assert_eq!(node.watch.fetch(second).await.unwrap().unwrap().status, Status::Running);
    assert_eq!(node.watch.topics(), 1);
}

#[tokio::test]
async fn a_monitor_of_more_than_one_page_is_whole() {
    let node = Node::start(settings(), 1_000).await;
    for pipeline in 1..=300 {
        node.write(pipeline, 1, Status::Queued).await;
    }
    node.run();

    let bell = Arc::new(Bell::default());
    let monitor = node.watch.join(Topic::Monitor, &bell).await.unwrap();

    assert_eq!(monitor.feed().page(0, u64::MAX, 1_000).len(), 300);
}

#[tokio::test]
async fn a_monitor_of_fewer_than_there_are_holds_those_that_changed_last() {
    let node = Node::start(
        Settings {
            monitor_pipelines: 3,
            ..settings()
        },
        1_000,
    )
    .await;
    for pipeline in 1..=6 {
        node.write(pipeline, 1, Status::Queued).await;
    }
    node.write(2, 2, Status::Running).await;
    let bell = Arc::new(Bell::default());

    let monitor = node.watch.join(Topic::Monitor, &bell).await.unwrap();

    let held = || {
        let page = monitor.feed().page(0, u64::MAX, 100);
        page.into_iter().map(|(_, last)| last.topic).collect::<Vec<_>>()
    };
    let pipelines = |ids: [i64; 3]| ids.map(|id| Topic::Pipeline(PipelineId(id)));
    assert_eq!(held(), pipelines([5, 6, 2]), "the one that has been quiet the longest is the first to go");

    // Healing reads what changed, and nothing of what there is no room for.
    node.run();
    let doubt = async || {
        let strange = Bytes::from_static(br#"{"v":9,"epoch":"kqzxbtwm","seq":7}"#);
        node.bus.publish(Topic::Monitor, strange).await.unwrap();
    };
    node.write(1, 2, Status::Running).await;
    doubt().await;
    until("it is healed", || held() == pipelines([6, 2, 1])).await;
    let before = monitor.feed().newest();
    node.write(1, 3, Status::Success).await;
    doubt().await;
    until("it is healed again", || monitor.feed().newest() > before).await;
    assert_eq!((held(), monitor.feed().newest()), (pipelines([6, 2, 1]).to_vec(), before + 1));
}
