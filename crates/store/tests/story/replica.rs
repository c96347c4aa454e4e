//! A real primary with a real standby: lists follow the standby while it keeps up, and states never do.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pipecast_model::{PipelineId, Status, Topic};
use pipecast_store::{Error, Options, PipelineQuery, Reader, Replica, Sight, Sort, Standing, Writer};
use tokio::task::JoinHandle;

use crate::ground::{delivery, execution, run};
use crate::postgres::Postgres;

/// Longest wait for something that must become so.
const PATIENCE: Duration = Duration::from_secs(20);

/// A primary and its standby, and a store on both.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    reader: Reader,
    writer: Writer,
    lists: Reader,
    replica: Replica,
}

impl Pair {
    async fn lay() -> Pair {
        let primary = Postgres::primary(&[]);
        let mut options = Options {
            url: primary.url(),
            read_url: None,
            read_connections: 4,
            acquire_timeout: Duration::from_secs(2),
            first_id: 1,
        };
        pipecast_store::migrate(&options).await.unwrap();
        let standby = Postgres::standby_of(&primary);
        options.read_url = Some(standby.url());
        let (reader, writer) = pipecast_store::open(&options).await.unwrap();
        let (lists, replica) = Replica::connect(&options, &reader).unwrap().expect("there is one");
        Pair {
            primary,
            standby,
            reader,
            writer,
            lists,
            replica,
        }
    }

    /// Tells of one more run of the pipeline.
    async fn tell(&self, number: i64) {
        let mut tx = self.writer.begin().await.unwrap();
        let delivery = delivery();
        tx.note_delivery(&delivery).await.unwrap();
        tx.record_facts(&delivery, &run("p", execution(number, 1, Status::Running, number)))
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// The newest run of the pipeline as lists show it; 0 while there is none.
    async fn listed(&self) -> Result<i64, Error> {
        let query = PipelineQuery {
            sight: Sight::All,
            host: None,
            statuses: Vec::new(),
            text: None,
            sort: Sort::Newest,
            after: None,
            limit: 10,
        };
        let pipelines = self.lists.list_pipelines(&query).await?;
        let newest = pipelines.first().and_then(|(_, pipeline)| pipeline.last_execution.as_ref());
        Ok(newest.and_then(|execution| execution.number).unwrap_or(0))
    }

    /// The sequence of the pipeline's state.
    async fn state(&self) -> i64 {
        let states = self.reader.list_states(&[Topic::Pipeline(PipelineId(1))]).await.unwrap();
        states[0].seq
    }

    async fn until_listed(&self, number: i64) -> Duration {
        let begun = Instant::now();
        while self.listed().await.ok() != Some(number) {
            assert!(begun.elapsed() < PATIENCE, "run {number} is never listed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        begun.elapsed()
    }

    /// Watches over the replica; what it says is kept.
    fn watch(&self) -> Watched {
        let said: Arc<Mutex<Vec<Standing>>> = Arc::default();
        let listener = Arc::clone(&said);
        let task = tokio::spawn(self.replica.clone().watch_over(move |standing| listener.lock().unwrap().push(standing)));
        Watched { said, task }
    }
}

struct Watched {
    said: Arc<Mutex<Vec<Standing>>>,
    task: JoinHandle<()>,
}

impl Watched {
    async fn until(&self, standing: Standing) {
        let begun = Instant::now();
        while self.said.lock().unwrap().last() != Some(&standing) {
            assert!(begun.elapsed() < PATIENCE, "it is never {standing:?}: {:?}", self.said.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn lists_are_read_on_the_replica_and_states_never_are() {
    let pair = Pair::lay().await;
    pair.tell(1).await;
    pair.until_listed(1).await;
    pair.standby.order("SELECT pg_wal_replay_pause()").await;

    let before = pair.state().await;
    pair.tell(2).await;

    assert!(pair.state().await > before, "a state is what was committed last");
    assert_eq!(pair.listed().await.unwrap(), 1, "nobody watches over the replica, so lists stay there");
    const OURS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pipecast'";
    assert!(pair.standby.count(OURS).await > 0);
    pair.standby.order("SELECT pg_wal_replay_resume()").await;
    pair.until_listed(2).await;
}

#[tokio::test]
async fn a_replica_that_lags_is_left_and_taken_up_again() {
    let pair = Pair::lay().await;
    let watched = pair.watch();
    pair.tell(1).await;
    pair.until_listed(1).await;

    pair.standby.order("SELECT pg_wal_replay_pause()").await;
    pair.tell(2).await;
    let late = pair.until_listed(2).await;
    assert!(late < Duration::from_secs(4), "a list was {late:?} behind");
    watched.until(Standing::Behind).await;
    // No list goes back to what it said before.
    for number in 3..30 {
        pair.tell(number).await;
        assert_eq!(pair.listed().await.unwrap(), number);
    }

    pair.standby.order("SELECT pg_wal_replay_resume()").await;
    watched.until(Standing::Serving).await;
    pair.tell(30).await;
    pair.until_listed(30).await;
    assert_eq!(*watched.said.lock().unwrap(), [Standing::Behind, Standing::Serving]);
}

#[tokio::test]
async fn a_replica_that_is_down_is_replaced_by_the_primary_and_used_again_when_it_is_back() {
    let pair = Pair::lay().await;
    let watched = pair.watch();
    pair.tell(1).await;
    pair.until_listed(1).await;

    pair.standby.kill();
    pair.tell(2).await;
    let late = pair.until_listed(2).await;
    assert!(late < Duration::from_secs(4), "lists were away for {late:?}");
    watched.until(Standing::Down).await;
    for number in 3..10 {
        pair.tell(number).await;
        assert_eq!(pair.listed().await.unwrap(), number);
    }

    pair.standby.start();
    watched.until(Standing::Serving).await;
    // Where it is read shows once it no longer replays.
    pair.until_listed(9).await;
    drop(watched);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    pair.listed().await.unwrap();
    pair.standby.order("SELECT pg_wal_replay_pause()").await;
    pair.tell(10).await;
    assert_eq!(pair.listed().await.unwrap(), 9);
}

#[tokio::test]
async fn a_replica_that_stands_still_holds_nobody_up_for_long() {
    let pair = Pair::lay().await;
    let watched = pair.watch();
    pair.tell(1).await;
    pair.until_listed(1).await;

    pair.standby.freeze();
    pair.tell(2).await;
    // Whoever has asked already waits in vain for a while; whoever asks after him does not.
    let begun = Instant::now();
    let mut early = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_millis(500), pair.listed()).await {
            Ok(Ok(2)) => break,
            other => early.push(other.is_err()),
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "lists are away: {early:?}");
    }
    watched.until(Standing::Down).await;
    pair.standby.thaw();

    watched.until(Standing::Serving).await;
}

#[tokio::test]
async fn with_the_primary_down_lists_are_still_answered() {
    let pair = Pair::lay().await;
    let watched = pair.watch();
    pair.tell(1).await;
    pair.until_listed(1).await;

    pair.primary.kill();

    for _ in 0..10 {
        assert_eq!(pair.listed().await.unwrap(), 1);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(matches!(pair.reader.ping().await, Err(Error::Unavailable { .. })));
    assert!(watched.said.lock().unwrap().is_empty());
    pair.primary.start();
    pair.tell(2).await;
    pair.until_listed(2).await;
}
