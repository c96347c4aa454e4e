//! A standby that lists are read from lags, or dies: no write goes there, and no watcher is shown a state older than one it has seen.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pipecast_prove::process::Process;
use pipecast_prove::server::postgres::Postgres;
use pipecast_prove::topology::Topology;
use serde_json::Value;

use crate::house::{PATIENCE, Project, applied, get, on_the_house, status, until};
use crate::socket::{Frame, Socket};

/// A list is at most so much older than what was written, once a standby lags: a second, two looks, and a busy machine.
const LISTS: Duration = Duration::from_secs(4);

/// Watches a pipeline at one edge over many connections and by asking, and takes nothing older than what it has seen.
async fn watch(edge: &Process, pipeline: i64, over: &AtomicBool, seen: &AtomicU64) {
    let path = format!("/ws/pipeline/{pipeline}");
    let newest = AtomicI64::new(0);
    let take = |value: &Value, how: &str| {
        let seq = value["seq"].as_i64().unwrap_or_else(|| panic!("{how}: {value}"));
        let before = newest.fetch_max(seq, Ordering::Relaxed);
        assert!(seq >= before, "{} showed {seq} after {before} {how}", edge.name());
        seen.fetch_add(1, Ordering::Relaxed);
    };
    while !over.load(Ordering::Relaxed) {
        let mut socket = Socket::plain(edge.address(), &path).await;
        take(&socket.json_of("snapshot").await, "as a snapshot");
        let leaves = tokio::time::Instant::now() + Duration::from_millis(150);
        while let Ok(frame) = tokio::time::timeout_at(leaves, socket.next()).await {
            match frame {
                Frame::Text(frame) => take(&frame, "as a change"),
                Frame::Gone => panic!("{} let a socket go", edge.name()),
                _ => {}
            }
        }
        let (code, answer) = status(edge, pipeline).await;
        assert_eq!(code, 200, "{answer}");
        take(&answer, "when asked");
    }
}

/// The greatest run of the pipeline that a list shows.
async fn listed(edge: &Process, pipeline: i64) -> Option<i64> {
    let (code, page) = get(edge.address(), &format!("/api/v1/pipelines/{pipeline}/executions?limit=1")).await;
    (code == 200).then(|| page["items"][0]["number"].as_i64().unwrap_or(0))
}

/// A run a tenth of a second, until it is over; the number of the last one.
async fn tell(house: &Topology, project: &Project, over: &AtomicBool, told: &AtomicI64) {
    let mut keys = Vec::new();
    for number in 2.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let delivery = project.run(number, ["queued", "in_progress"][number as usize % 2], 1);
        delivery.accepted(house, &house.edges[number as usize % 2]).await;
        keys.push(delivery.key);
        applied(house, &keys[keys.len() - 1..], PATIENCE).await;
        told.store(number, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is listed is never long behind what was written; the longest that it was.
async fn follow(edge: &Process, pipeline: i64, over: &AtomicBool, told: &AtomicI64) -> Duration {
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let (wanted, begun) = (told.load(Ordering::Relaxed), Instant::now());
        while listed(edge, pipeline).await.is_none_or(|number| number < wanted) {
            assert!(begun.elapsed() < LISTS, "{} lists what is {:?} old", edge.name(), begun.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        longest = longest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    longest
}

/// Everybody watches while `fault` does what it does to the standby.
async fn watched(house: &Topology, fault: impl AsyncFnOnce(&Postgres)) {
    let project = Project::fresh();
    project.run(1, "in_progress", 1).accepted(house, &house.edges[0]).await;
    let pipeline = project.pipeline(house).await;
    let standby = house.standby.as_ref().unwrap();
    for edge in &house.edges {
        until("lists are read at the standby", PATIENCE, || async {
            get(edge.address(), "/health").await.1["dependencies"]["replica"]["state"] == "ok"
        })
        .await;
        until("the pipeline is known", PATIENCE, || async { status(edge, pipeline).await.1["seq"].is_i64() }).await;
    }
    let (over, seen, told) = (AtomicBool::new(false), AtomicU64::new(0), AtomicI64::new(1));
    let watchers = async { tokio::join!(watch(&house.edges[0], pipeline, &over, &seen), watch(&house.edges[1], pipeline, &over, &seen)) };
    let readers = async { tokio::join!(follow(&house.edges[0], pipeline, &over, &told), follow(&house.edges[1], pipeline, &over, &told)) };
    let faults = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        fault(standby).await;
        over.store(true, Ordering::Relaxed);
    };

    let (_, lists, (), ()) = tokio::join!(watchers, readers, tell(house, &project, &over, &told), faults);

    let (seen, told) = (seen.into_inner(), told.into_inner());
    assert!(seen > 50 && told > 5, "{seen} states of {told} runs were seen");
    println!(
        "{seen} states of {told} runs seen, none older than the one before; lists at most {:?} behind",
        lists.0.max(lists.1)
    );
    // It refuses every write by itself, and says so in its log.
    let log = std::fs::read_to_string(standby.process.log()).unwrap();
    let writes: Vec<_> = log
        .lines()
        .filter(|line| line.contains("read-only transaction") || line.contains("during recovery"))
        .collect();
    assert!(writes.is_empty(), "somebody wrote there: {writes:?}");
}

/// Waits until both edges say so of it.
async fn is_told(house: &Topology, state: &str) {
    for edge in &house.edges {
        until(&format!("{} finds it {state}", edge.name()), PATIENCE, || async {
            get(edge.address(), "/health").await.1["dependencies"]["replica"]["state"] == state
        })
        .await;
    }
}

/// It replays what it has so much later from now on.
async fn delay(standby: &Postgres, by: &str) {
    standby.order(&format!("ALTER SYSTEM SET recovery_min_apply_delay = '{by}'")).await.unwrap();
    standby.order("SELECT pg_reload_conf()").await.unwrap();
}

#[test]
fn a_standby_that_stops_replaying_shows_no_watcher_an_older_state_and_is_left_for_the_primary() {
    on_the_house(async |house| {
        watched(house, async |standby| {
            standby.pause_replay().await.unwrap();
            is_told(house, "behind").await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            standby.resume_replay().await.unwrap();
            is_told(house, "ok").await;
        })
        .await;
    });
}

#[test]
fn a_standby_that_is_kept_seconds_behind_is_left_as_long_as_it_is() {
    on_the_house(async |house| {
        watched(house, async |standby| {
            delay(standby, "3s").await;
            is_told(house, "behind").await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            for edge in &house.edges {
                assert_eq!(get(edge.address(), "/health").await.1["dependencies"]["replica"]["state"], "behind");
            }
            delay(standby, "0").await;
            is_told(house, "ok").await;
        })
        .await;
    });
}

#[test]
fn a_standby_that_dies_is_replaced_by_the_primary_and_taken_up_again() {
    on_the_house(async |house| {
        watched(house, async |standby| {
            standby.process.kill().await.unwrap();
            is_told(house, "down").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            standby.process.start().unwrap();
            standby.process.ready().await.unwrap();
            is_told(house, "ok").await;
        })
        .await;
    });
}
