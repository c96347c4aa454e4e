//! A disk that takes no more. A limit on the size of the process's files stands for it: whatever is written beyond it fails.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::Process;
use crate::http::Answer;
use crate::live::run;
use crate::socket::Socket;

/// Not one page more fits into any file.
const FULL: &str = "4096";
/// Longest wait for something that must become so.
const PATIENCE: Duration = Duration::from_secs(20);

fn is_turned_away(answer: &Answer) {
    assert_eq!((answer.status, answer.problem()), (503, "not_durable".to_owned()));
    let after: u64 = answer.header("retry-after").expect("when to come again").parse().unwrap();
    assert!((15..=45).contains(&after), "{after}");
}

/// Delivers until one is taken, and returns its answer.
async fn until_taken(process: &Process, body: &Value) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = process.send(body).await;
        if answer.status == 202 {
            return answer;
        }
        assert!(Instant::now() < deadline, "there is room again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_full_disk_turns_deliveries_away_while_reading_goes_on_and_passes_with_the_space() {
    let process = Process::start(&[]);
    process.deliver(&run(1001, "in_progress", None, 1)).await;
    process.until_status("running").await;
    let mut socket = Socket::plain(process.address, "/ws/pipeline/1").await;
    socket.json_of("snapshot").await;

    // Some of what comes now is taken and not yet written down when the disk is full.
    let mut taken = 1.0;
    for number in 0..200 {
        if number == 20 {
            process.limit_files(FULL);
        }
        let answer = process.send(&run(2000 + number, "in_progress", None, 1)).await;
        match answer.status {
            202 => taken += 1.0,
            _ => is_turned_away(&answer),
        }
    }
    assert!((21.0..100.0).contains(&taken), "{taken} of 201 were taken");
    for path in [
        "/api/v1/pipelines",
        "/api/v1/pipelines/1/executions",
        "/api/v1/pipelines/1/status/realtime",
        "/health/live",
    ] {
        assert_eq!(process.get(path).await.status, 200, "{path}");
    }
    let mut late = Socket::plain(process.address, "/ws/execution/1").await;
    assert_eq!(late.json_of("snapshot").await["status"], "running");
    assert!(process.counted("pipecast_queue_failed_commits_total").await > 0.0);

    process.limit_files("unlimited");

    until_taken(&process, &run(1001, "completed", Some("success"), 9)).await;
    while late.json_of("status_change").await["status"] != "success" {}
    let deadline = Instant::now() + PATIENCE;
    while process.counted(r#"pipecast_deliveries_total{outcome="applied"}"#).await < taken + 1.0 {
        assert!(Instant::now() < deadline, "all that was taken is applied");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(process.counted("pipecast_queue_buried_total").await, 0.0);
    drop(socket);
}

#[tokio::test]
async fn with_the_broker_away_and_no_room_to_spool_deliveries_are_turned_away() {
    let nobody = crate::ports::free().unwrap();
    let process = Process::start(&[("PIPECAST_FABRIC__AMQP_URL", &format!("amqp://guest:guest@{nobody}/%2f"))]);
    let taken = until_taken(&process, &run(1001, "queued", None, 0)).await;
    assert_eq!(taken.json()["durability"], "spool");

    process.limit_files(FULL);

    let asked = Instant::now();
    is_turned_away(&process.send(&run(1001, "in_progress", None, 1)).await);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = process.get("/health").await.json();
        if report["dependencies"]["spool"]["state"] == "down" {
            break;
        }
        assert!(Instant::now() < deadline, "{report}");
        process.send(&run(1001, "in_progress", None, 1)).await;
    }
    assert_eq!(process.get("/health/ready").await.status, 503);

    process.limit_files("unlimited");

    let taken = until_taken(&process, &run(1001, "in_progress", None, 2)).await;
    assert_eq!(taken.json()["durability"], "spool");
}
