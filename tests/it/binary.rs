//! The service in a process of its own, as an operator starts it: for what a process alone can show or suffer.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::{self, GITHUB_SECRET};
use crate::http::{Answer, Request};
use crate::traces;

/// Longest wait for something that must become so.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running process, killed when it is dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    data: tempfile::TempDir,
    /// What it has said so far.
    said: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it with these settings in the environment, on a port and in a directory of its own.
    pub fn start(settings: &[(&str, &str)]) -> Process {
        let data = tempfile::tempdir().unwrap();
        // A file that may grow no further is an error to it, as a full disk is, and not its end.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" serve", env!("CARGO_BIN_EXE_pipecast")])
            .env("PIPECAST_DATA_DIR", data.path())
            .env("PIPECAST_SERVER__LISTEN", "127.0.0.1:0")
            .env("PIPECAST_LOG__FORMAT", "json")
            .env("PIPECAST_WEBHOOKS__GITHUB__SECRET", GITHUB_SECRET)
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut trace = traces::log_of("process");
        let mut keep = move |line: &str| {
            if let Some(trace) = &mut trace {
                writeln!(trace, "{line}").unwrap();
            }
        };
        let mut said = Vec::new();
        let address = loop {
            let line = log.next().expect("it says where it listens before it ends").unwrap();
            keep(&line);
            said.push(line.clone());
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = line["address"].as_str() {
                break address.parse().unwrap();
            }
        };
        // Somebody has to read the rest, or the process would wait for room in the pipe.
        let said = Arc::new(Mutex::new(said));
        let lines = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in log.map_while(Result::ok) {
                keep(&line);
                lines.lock().unwrap().push(line);
            }
        });
        traces::plant_keys(&data.path().join("keys/keyring"));
        Process { child, address, data, said }
    }

    /// Where it keeps everything.
    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    /// What it has said so far, line by line.
    pub fn lines(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// How many lines of its log have this in them.
    pub fn said(&self, text: &str) -> usize {
        self.said.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap().success());
    }

    /// From now on no file of it may be larger than this, in bytes or `unlimited`.
    pub fn limit_files(&self, size: &str) {
        let status = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--fsize={size}:unlimited")])
            .status();
        assert!(status.unwrap().success());
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

    /// The most memory that it has had resident since `forget_peak`.
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// From now on its peak is what it has resident at this moment.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        Request::get(path).send(self.address).await
    }

    /// Sends a signed delivery of a workflow run.
    pub async fn send(&self, body: &Value) -> Answer {
        app::github("workflow_run", body.to_string()).send(self.address).await
    }

    /// Sends it, and it must be accepted.
    pub async fn deliver(&self, body: &Value) {
        assert_eq!(self.send(body).await.status, 202);
    }

    /// Waits until the first pipeline has this status.
    pub async fn until_status(&self, word: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get("/api/v1/pipelines/1/status/realtime").await;
            if answer.status == 200 && answer.json()["status"] == word {
                return;
            }
            assert!(Instant::now() < deadline, "it is never {word}: {}", String::from_utf8_lossy(&answer.body));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What `/metrics` says of the counters whose name and labels begin so, together.
    pub async fn counted(&self, name: &str) -> f64 {
        let answer = self.get("/metrics").await;
        let text = String::from_utf8(answer.body).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
