//! The binary as a process: how it ends, and what a hostile peer costs it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::{GITHUB_SECRET, sign_github};
use crate::http::Request;
use crate::live::run;
use crate::socket::{Frame, Socket, Stream};

/// Sockets of the larger tests. Each end needs a file descriptor, and both ends are on this machine.
const SOCKETS: usize = 1_000;

/// The service in a process of its own, killed when it is dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    _data: tempfile::TempDir,
}

impl Process {
    pub fn start(settings: &[(&str, &str)]) -> Process {
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_pipecast"))
            .arg("serve")
            .env("PIPECAST_DATA_DIR", data.path())
            .env("PIPECAST_SERVER__LISTEN", "127.0.0.1:0")
            .env("PIPECAST_LOG__FORMAT", "json")
            .env("PIPECAST_WEBHOOKS__GITHUB__SECRET", GITHUB_SECRET)
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = log.next().expect("it says where it listens before it ends").unwrap();
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = line["address"].as_str() {
                break address.parse().unwrap();
            }
        };
        // Somebody has to read the rest, or the process would wait for room in the pipe.
        std::thread::spawn(move || log.for_each(drop));
        Process { child, address, _data: data }
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap().success());
    }

    /// Waits for its end; how long that took, and whether it was a good one.
    pub fn ended(&mut self, patience: Duration) -> (Duration, bool) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (begun.elapsed(), status.success());
            }
            assert!(begun.elapsed() < patience, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub async fn deliver(&self, body: &Value) {
        let body = body.to_string();
        let request = Request::post("/webhooks/github", body.clone())
            .header("X-GitHub-Event", "workflow_run")
            .header("X-GitHub-Delivery", uuid::Uuid::new_v4())
            .header("X-Hub-Signature-256", sign_github(GITHUB_SECRET, body.as_bytes()));
        assert_eq!(request.send(self.address).await.status, 202);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_frame_header_that_declares_16_gib_costs_less_than_a_mebibyte() {
    let process = Process::start(&[]);
    // What is allocated once for all sockets is not what this one costs.
    for _ in 0..3 {
        Socket::v1(process.address, "/ws").await.json_of("hello").await;
    }
    for v1 in [false, true] {
        let mut socket = if v1 {
            Socket::v1(process.address, "/ws").await
        } else {
            Socket::plain(process.address, "/ws/pipeline/1").await
        };
        socket.json().await;
        let before = process.resident_kib();

        let header = [&[0x82, 0xFF][..], &(16u64 << 30).to_be_bytes(), &[0; 4]].concat();
        socket.raw(&header).await.expect("sent");
        let flood = vec![7; 1 << 20];
        for _ in 0..64 {
            if socket.raw(&flood).await.is_err() {
                break;
            }
        }

        let after = process.resident_kib();
        assert!(after.saturating_sub(before) < 1024, "v1 {v1}: {before} KiB before, {after} KiB after");
    }
}

#[tokio::test]
async fn a_termination_tells_a_thousand_sockets_to_come_back_and_ends_within_the_window() {
    let mut process = Process::start(&[("PIPECAST_LIVE__DRAIN_WINDOW", "3s")]);
    let mut sockets = Vec::with_capacity(SOCKETS);
    for number in 0..SOCKETS {
        let path = ["/ws/monitor", "/ws/pipeline/1", "/ws/execution/1"][number % 3];
        let mut socket = if number % 2 == 0 {
            Socket::plain(process.address, path).await
        } else {
            Socket::v1(process.address, path).await
        };
        socket.json_of("snapshot").await;
        sockets.push(socket);
    }
    let mut stream = Stream::open(process.address, "/sse/monitor").await;
    stream.next().await.expect("a snapshot");

    process.signal("-TERM");
    let begun = Instant::now();
    let farewells = sockets
        .into_iter()
        .map(|mut socket| tokio::spawn(async move { (socket.close_frame().await, begun.elapsed()) }));
    let mut moments = Vec::new();
    for farewell in farewells.collect::<Vec<_>>() {
        let ((code, reason), moment) = farewell.await.unwrap();
        assert_eq!(code, 1012);
        let wait: u64 = reason.strip_prefix("restart;retry_ms=").expect(&reason).parse().unwrap();
        assert!(wait <= 3_000, "{wait}");
        moments.push(moment);
    }
    assert!(stream.next().await.is_none());

    let (_, good) = process.ended(Duration::from_secs(6));
    assert!(good);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let spread = *moments.iter().max().unwrap() - *moments.iter().min().unwrap();
    assert!(spread > Duration::from_secs(1), "everyone left at once: {spread:?}");
}

#[tokio::test]
async fn without_watchers_an_interrupt_ends_it_within_a_second() {
    let mut process = Process::start(&[]);
    process.deliver(&run(1001, "in_progress", None, 1)).await;

    process.signal("-INT");
    let (took, good) = process.ended(Duration::from_secs(10));

    assert!(good);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut process = Process::start(&[("PIPECAST_LIVE__DRAIN_WINDOW", "30s")]);
    let mut socket = Socket::plain(process.address, "/ws/monitor").await;
    socket.json().await;
    let _others: Vec<_> = futures_util::future::join_all((0..20).map(|_| Socket::plain(process.address, "/ws/monitor"))).await;

    process.signal("-TERM");
    // The first farewell shows that the first signal was heard.
    while !matches!(socket.next().await, Frame::Close(..) | Frame::Gone) {}
    process.signal("-TERM");

    process.ended(Duration::from_secs(5));
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_shows_after_it() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().to_str().unwrap().to_owned();
    let mut process = Process::start(&[("PIPECAST_DATA_DIR", &directory)]);
    process.deliver(&run(1001, "in_progress", None, 1)).await;
    process.deliver(&run(1001, "completed", Some("failure"), 9)).await;

    process.signal("-KILL");
    process.ended(Duration::from_secs(5));
    let process = Process::start(&[("PIPECAST_DATA_DIR", &directory)]);

    let deadline = Instant::now() + Duration::from_secs(20);
    while Request::get("/api/v1/pipelines/1/status/realtime").send(process.address).await.json()["status"] != "failure" {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
