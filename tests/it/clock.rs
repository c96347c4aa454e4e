//! A clock that is set forward and back by an hour while the service runs. libfaketime does it, to this process alone, and leaves the
//! monotonic clock as it is, as setting a clock does.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pipecast_model::Timestamp;
use serde_json::{Value, json};

use crate::binary::Process;
use crate::live::run;
use crate::socket::Socket;

const HOUR: f64 = 3600.0;

/// A process whose clock obeys a file.
pub struct Late {
    pub process: Process,
    folder: tempfile::TempDir,
}

impl Late {
    pub fn start() -> Late {
        let folder = tempfile::tempdir().unwrap();
        let clock = folder.path().join("clock");
        std::fs::write(&clock, "+0").unwrap();
        let process = Process::start(&[
            ("LD_PRELOAD", library().to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("PIPECAST_AUTH__PASSWORD_MEMORY", "8MiB"),
            ("PIPECAST_AUTH__PASSWORD_PASSES", "1"),
        ]);
        Late { process, folder }
    }

    pub fn set_off(&self, seconds: &str) {
        // In one step, or the process could read half of it.
        let (new, clock) = (self.folder.path().join("new"), self.folder.path().join("clock"));
        std::fs::write(&new, seconds).unwrap();
        std::fs::rename(new, clock).unwrap();
    }

    /// How far from ours the clock was when the first pipeline changed last, in seconds.
    async fn changed_off(&self) -> f64 {
        let status = self.process.get("/api/v1/pipelines/1/status/realtime").await.json();
        let at = Timestamp::parse(status["last_updated"].as_str().unwrap()).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        at.0 as f64 / 1e6 - now.as_secs_f64()
    }
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    folders
        .map(|folder| folder.join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
        .expect("the package faketime is installed")
}

#[tokio::test]
async fn a_clock_that_jumps_an_hour_forward_and_back_changes_no_order() {
    let late = Late::start();
    let process = &late.process;
    process.deliver(&run(1001, "in_progress", None, 1)).await;
    process.until_status("running").await;
    assert!(late.changed_off().await.abs() < HOUR / 2.0);
    let mut socket = Socket::v1(process.address, "/ws/pipeline/1").await;
    let first = socket.json_of("snapshot").await;
    let seq = |frame: &Value| frame["seq"].as_i64().unwrap();

    late.set_off("+3600");
    let ended = run(1001, "completed", Some("failure"), 9);
    process.deliver(&ended).await;
    let forward = socket.json_of("status_change").await;
    assert_eq!((&forward["status"], seq(&forward)), (&json!("failure"), seq(&first) + 1));
    let off = late.changed_off().await;
    assert!((off - HOUR).abs() < HOUR / 2.0, "the clock has not moved: {off} s");

    late.set_off("-3600");
    let mut rerun = run(1001, "in_progress", None, 30);
    rerun["workflow_run"]["run_attempt"] = json!(2);
    process.deliver(&rerun).await;
    let back = socket.json_of("status_change").await;
    assert_eq!((&back["status"], seq(&back)), (&json!("running"), seq(&first) + 2));
    let off = late.changed_off().await;
    assert!((off + HOUR).abs() < HOUR / 2.0, "the clock has not moved: {off} s");

    // What is repeated is still known, and what is older still loses.
    process.deliver(&ended).await;
    process.deliver(&run(1001, "in_progress", None, 5)).await;
    let mut rerun = run(1001, "completed", Some("success"), 40);
    rerun["workflow_run"]["run_attempt"] = json!(2);
    process.deliver(&rerun).await;
    let last = socket.json_of("status_change").await;
    assert_eq!((&last["status"], seq(&last)), (&json!("success"), seq(&first) + 3));
    let mut again = Socket::v1(process.address, &format!("/ws/pipeline/1?since={}", last["id"].as_str().unwrap())).await;
    again.json_of("hello").await;
    let quiet = tokio::time::timeout(Duration::from_millis(300), again.json_of("snapshot")).await;
    assert!(quiet.is_err(), "a current cursor stays current: {quiet:?}");
}
