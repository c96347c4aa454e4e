//! Watchers that come and go: whatever they miss, they end on the newest state, and time never runs backwards for them.

use std::time::Duration;

use serde_json::Value;

use crate::app::TestApp;
use crate::live::run;
use crate::socket::{Frame, Socket, Stream};

/// Connections of each watcher.
const TIMES: usize = 1_000;
/// Changes of the execution meanwhile; the last one is its end.
const CHANGES: u32 = 300;

/// What a watcher has seen, over all its connections.
#[derive(Default)]
struct Seen {
    seq: i64,
    status: String,
    cursor: Option<String>,
    changes: usize,
    snapshots: usize,
}

impl Seen {
    /// Takes in one frame. A sequence never falls, and only a snapshot tells one again.
    fn take(&mut self, frame: &Value) {
        let entries = match frame["topic"].as_str() {
            Some("monitor") => frame["data"]["pipelines"].as_array().unwrap().iter().collect(),
            _ => vec![frame],
        };
        for entry in entries {
            let seq = entry["seq"].as_i64().unwrap();
            match frame["type"].as_str().unwrap() {
                "snapshot" => {
                    assert!(seq >= self.seq, "a snapshot went back from {} to {seq}", self.seq);
                    self.snapshots += 1;
                }
                "status_change" => {
                    assert!(seq > self.seq, "a change went from {} to {seq}", self.seq);
                    self.changes += 1;
                }
                other => panic!("{other}"),
            }
            self.seq = seq;
            self.status = entry["status"].as_str().unwrap().to_owned();
            self.cursor = entry["id"].as_str().map(str::to_owned);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_leaves_a_thousand_times_ends_on_the_newest_state() {
    let app = TestApp::start().await;
    app.deliver_github("workflow_run", &run(1001, "queued", None, 0)).await;
    app.until_status(1, "queued").await;
    let address = app.address;

    let mut watchers = Vec::new();
    for topic in ["pipeline/1", "execution/1", "monitor"] {
        for v1 in [false, true] {
            watchers.push(tokio::spawn(watch_socket(address, format!("/ws/{topic}"), v1)));
        }
        watchers.push(tokio::spawn(watch_stream(address, format!("/sse/{topic}"))));
    }
    for change in 1..CHANGES {
        app.deliver_github("workflow_run", &run(1001, "in_progress", None, change)).await;
    }
    app.deliver_github("workflow_run", &run(1001, "completed", Some("success"), CHANGES)).await;

    let mut changes = 0;
    for watcher in watchers {
        let seen = watcher.await.unwrap();
        let truth = app.get("/api/v1/executions/1").await;
        assert_eq!((seen.status.as_str(), truth["status"].as_str()), ("success", Some("success")));
        assert!(seen.snapshots > 0);
        changes += seen.changes;
    }
    assert!(changes > 0, "at least some of them were there when something changed");
}

/// A moment at random, different for each turn and the same in each run.
fn moment(turn: usize) -> Duration {
    Duration::from_micros((turn as u64).wrapping_mul(2_654_435_761) % 6_000)
}

async fn watch_socket(address: std::net::SocketAddr, path: String, v1: bool) -> Seen {
    let mut seen = Seen::default();
    for turn in 0.. {
        let path = match &seen.cursor {
            Some(cursor) => format!("{path}?since={cursor}"),
            None => path.clone(),
        };
        let mut socket = if v1 {
            Socket::v1(address, &path).await
        } else {
            Socket::plain(address, &path).await
        };
        let stays = if turn < TIMES { moment(turn) } else { Duration::from_secs(20) };
        let leaves = tokio::time::Instant::now() + stays;
        while let Ok(frame) = tokio::time::timeout_at(leaves, socket.next()).await {
            match frame {
                Frame::Text(frame) if frame["type"] == "snapshot" || frame["type"] == "status_change" => seen.take(&frame),
                Frame::Text(_) | Frame::Ping => {}
                other => panic!("{other:?}"),
            }
            if turn >= TIMES && seen.status == "success" {
                return seen;
            }
        }
        // One that resumed at the end has nothing more to hear.
        if turn >= TIMES && seen.status == "success" {
            return seen;
        }
    }
    unreachable!("it ends by itself")
}

async fn watch_stream(address: std::net::SocketAddr, path: String) -> Seen {
    let mut seen = Seen::default();
    for turn in 0.. {
        let path = match &seen.cursor {
            Some(cursor) => format!("{path}?since={cursor}"),
            None => path.clone(),
        };
        let mut stream = Stream::open(address, &path).await;
        let stays = if turn < TIMES { moment(turn) } else { Duration::from_secs(20) };
        let leaves = tokio::time::Instant::now() + stays;
        // One that resumed at the end has nothing more to hear.
        while turn < TIMES || seen.status != "success" {
            let Ok(event) = tokio::time::timeout_at(leaves, stream.next()).await else {
                break;
            };
            seen.take(&event.expect("the stream goes on").data);
        }
        if turn >= TIMES {
            assert_eq!(seen.status, "success", "it never heard of the end");
            return seen;
        }
    }
    unreachable!("it ends by itself")
}
