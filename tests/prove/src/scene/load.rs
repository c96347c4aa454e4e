//! Signed deliveries of GitHub at a steady rate, whether the ones before were answered or not, and the book of what became of them.
//! Knows nothing of what breaks meanwhile.
//!
//! The deliveries go round over the pipelines: in one round each tells the next state of its run, so that every delivery changes its
//! pipeline, and two changes of one pipeline are a whole round apart.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::http::Connection;
use crate::rig;

/// The states of a run, as GitHub says them and as Pipecast shows them.
const STATES: [(&str, &str); 3] = [("queued", "queued"), ("in_progress", "running"), ("success", "success")];

/// Two workers that write about one repository wait for each other, so how many there are matters.
const PIPELINES_OF_A_REPOSITORY: usize = 5;

/// The id of the first run.
const FIRST_RUN: usize = 1_000_000;

/// Hosts wait so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is sent, where, and how fast.
#[derive(Clone, Debug)]
pub struct Load {
    /// Deliveries go to these in turn.
    pub targets: Vec<SocketAddr>,
    /// What GitHub signs with.
    pub secret: String,
    /// How many pipelines the deliveries go round over.
    pub pipelines: usize,
    /// Deliveries a second.
    pub rate: f64,
    /// Where everything is written down.
    pub book: Arc<Book>,
}

/// What was sent and what was answered.
#[derive(Debug, Default)]
pub struct Book {
    sent: Mutex<HashMap<(usize, &'static str), Instant>>,
    answers: Mutex<Vec<Answered>>,
}

/// One delivery and its answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Which one it was.
    pub number: usize,
    /// When it was due.
    pub due: Instant,
    /// From then until the answer had come.
    pub latency: Duration,
    /// The status code; none where nothing was answered.
    pub status: Option<u16>,
    /// Where the answer says that it is safe.
    pub place: String,
}

/// The key of a delivery, which orders like its number.
pub fn key(number: usize) -> String {
    format!("scene-{number:08}")
}

impl Load {
    /// Delivers from `first` on until it is stopped or has sent `count`, and returns the number of the next one.
    pub async fn run(&self, first: usize, count: usize, stop: &CancellationToken) -> usize {
        let begun = tokio::time::Instant::now();
        let idle: Arc<Mutex<Vec<(SocketAddr, Connection)>>> = Arc::default();
        let mut under_way = JoinSet::new();
        let mut next = first;
        while next < first.saturating_add(count) {
            let due = begun + Duration::from_secs_f64((next - first) as f64 / self.rate);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(due) => {}
            }
            let target = self.targets[next % self.targets.len()];
            let (load, idle, number) = (self.clone(), Arc::clone(&idle), next);
            under_way.spawn(async move { load.deliver(number, target, due.into_std(), &idle).await });
            while under_way.try_join_next().is_some() {}
            next += 1;
        }
        under_way.join_all().await;
        next
    }

    async fn deliver(&self, number: usize, target: SocketAddr, due: Instant, idle: &Mutex<Vec<(SocketAddr, Connection)>>) {
        let request = self.request(number, target);
        let taken = {
            let mut idle = lock(idle);
            idle.iter().rposition(|(address, _)| *address == target).map(|at| idle.swap_remove(at).1)
        };
        let mut connection = taken.unwrap_or_else(|| Connection::new(target, PATIENCE));
        lock(&self.book.sent).insert(self.telling(number), Instant::now());
        let answer = connection.send(&request).await;
        let latency = due.elapsed();
        if answer.is_ok() {
            lock(idle).push((target, connection));
        }
        let place = answer
            .as_ref()
            .ok()
            .and_then(|answer| serde_json::from_slice::<serde_json::Value>(&answer.body).ok());
        lock(&self.book.answers).push(Answered {
            number,
            due,
            latency,
            status: answer.ok().map(|answer| answer.status),
            place: place.and_then(|body| Some(body["durability"].as_str()?.to_owned())).unwrap_or_default(),
        });
    }

    /// Which run a delivery is about, and what it says of it in our words.
    fn telling(&self, number: usize) -> (usize, &'static str) {
        let (round, pipeline) = (number / self.pipelines, number % self.pipelines);
        (FIRST_RUN + round / STATES.len() * self.pipelines + pipeline, STATES[round % STATES.len()].1)
    }

    fn request(&self, number: usize, target: SocketAddr) -> Vec<u8> {
        let (round, pipeline) = (number / self.pipelines, number % self.pipelines);
        let repository = 501 + pipeline / PIPELINES_OF_A_REPOSITORY;
        let body = rig::run_in(repository, self.telling(number).0, 1 + pipeline, STATES[round % STATES.len()].0, round);
        let tag: String = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes()), body.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!(
            "POST /webhooks/github HTTP/1.1\r\nhost: {target}\r\ncontent-type: application/json\r\nx-github-event: workflow_run\r\nx-github-delivery: {}\r\nx-hub-signature-256: sha256={tag}\r\ncontent-length: {}\r\n\r\n{body}",
            key(number),
            body.len()
        )
        .into_bytes()
    }

    /// The last state of each run that was acknowledged, by the run's id at the host.
    pub fn truth(&self) -> BTreeMap<usize, &'static str> {
        let mut last: BTreeMap<usize, (usize, &'static str)> = BTreeMap::new();
        for answered in self.book.answers().into_iter().filter(|answered| answered.status == Some(202)) {
            let (run, status) = self.telling(answered.number);
            let entry = last.entry(run).or_insert((answered.number, status));
            if entry.0 <= answered.number {
                *entry = (answered.number, status);
            }
        }
        last.into_iter().map(|(run, (_, status))| (run, status)).collect()
    }
}

impl Book {
    /// Everything that has come to its end so far.
    pub fn answers(&self) -> Vec<Answered> {
        lock(&self.answers).clone()
    }

    /// How long ago it was sent that this run has this status.
    pub fn age(&self, run: usize, status: &str) -> Option<Duration> {
        let status = STATES.iter().find(|(_, ours)| *ours == status)?.1;
        lock(&self.sent).get(&(run, status)).map(Instant::elapsed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}
