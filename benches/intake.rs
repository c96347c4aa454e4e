//! What it costs to take a delivery until RabbitMQ has confirmed it, beside a bare receiver on the same libraries and beside one in
//! FastAPI and aio-pika, all three on the same broker and asked by the same client in the same run.
//!
//! Ours is the release binary as `serve --role realtime` on PostgreSQL, Redis and RabbitMQ, spool and all. Processor time is that of the
//! receiving process alone. Needs the release binary, a PostgreSQL, redis-server, rabbitmq-server and python3 with venv and pip.
//!
//! `cargo bench --bench intake` prints processor time per delivery, deliveries a second, and p99 at 1,000 a second.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on says so and ends")]

mod peers;
mod rig;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use peers::{BARE_QUEUE, Broker, PYTHON_QUEUE, Python, Redis, Schema};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 64;
const DELIVERIES: usize = 10_000;
/// It takes as long for these as the others for theirs.
const DELIVERIES_OF_PYTHON: usize = 3_000;
const RATE: usize = 1_000;
const SECONDS: usize = 10;
const OUR_QUEUE: &str = "pipecast.v1.urgent";

fn main() {
    if let [_, role, url, ..] = &std::env::args().collect::<Vec<_>>()[..]
        && role == "bare"
    {
        return peers::serve_bare(url);
    }
    rig::describe_machine();
    println!("limits raised: none");
    let (broker, redis, schema) = (Broker::find(), Redis::start(), Schema::create());
    let keys = std::process::Command::new("target/release/pipecast")
        .args(["keys", "generate"])
        .output()
        .unwrap();
    let keys = String::from_utf8(keys.stdout).unwrap();
    let settings = [
        ("PIPECAST_KEYS__RING", keys.as_str()),
        ("PIPECAST_STORE__URL", schema.url.as_str()),
        ("PIPECAST_FABRIC__REDIS_URL", &redis.url),
        ("PIPECAST_FABRIC__AMQP_URL", &broker.url),
    ];
    let _admin = rig::Service::play(Some("admin"), &settings);
    let service = rig::Service::play(Some("realtime"), &settings);
    rig::wait_until_ready(service.address);
    let bare = rig::Server::start(&["bare", &broker.url]);
    let python = Python::start(&broker);
    let ours = Receiver::new("ours", service.address, service.pid(), OUR_QUEUE);
    let bare = Receiver::new("bare actix-web and lapin", bare.address, bare.pid(), BARE_QUEUE).keeping(bare);
    let python = Receiver::new("FastAPI and aio-pika", python.address, python.pid(), PYTHON_QUEUE).keeping(python);

    let requests: Arc<[String]> = (0..DELIVERIES).map(request).collect();
    println!(
        "signed deliveries of {} bytes over {CONNECTIONS} keep-alive connections, as fast as they go, median of {ROUNDS} rounds in turn",
        requests[0].len()
    );
    let (mut by_ours, mut by_bare, mut by_python) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let of_ours = ours.saturate(&broker, &requests);
        let of_bare = bare.saturate(&broker, &requests);
        let of_python = python.saturate(&broker, &requests[..DELIVERIES_OF_PYTHON].into());
        // The first one warms everything up.
        if round > 0 {
            by_ours.push(of_ours);
            by_bare.push(of_bare);
            by_python.push(of_python);
        }
    }
    for (receiver, rounds) in [(&ours, &by_ours), (&bare, &by_bare), (&python, &by_python)] {
        println!(
            "{}: {:.0} deliveries a second, {:.1} us of processor time each (rounds: {})",
            receiver.name,
            rig::median(&rounds.iter().map(|round| round.per_second).collect::<Vec<_>>()),
            rig::median(&rounds.iter().map(|round| round.cpu_us).collect::<Vec<_>>()),
            rounds.iter().map(|round| format!("{:.1}", round.cpu_us)).collect::<Vec<_>>().join(" ")
        );
    }
    println!("processor time, ours / bare: {}, goal <= 2.0", ratio(&by_ours, &by_bare));
    println!(
        "deliveries per second of processor time, ours / FastAPI: {}, goal >= 8",
        ratio(&by_python, &by_ours)
    );

    for receiver in [&ours, &bare] {
        let mut times: Vec<_> = (0..3).map(|_| receiver.paced(&broker, &requests)).collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{}: p99 of the answer at {RATE} a second for {SECONDS} s: {:.1} ms (median of 3), goal of ours <= 50",
            receiver.name, times[1]
        );
    }
    println!("where ours were safe when they were answered: {:?}", ours.places.lock().unwrap());
}

/// The median of the ratios of rounds that ran beside each other, and all of them.
fn ratio(some: &[Round], others: &[Round]) -> String {
    let ratios: Vec<_> = some.iter().zip(others).map(|(some, other)| some.cpu_us / other.cpu_us).collect();
    let each: Vec<_> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    format!("{:.2} (rounds: {})", rig::median(&ratios), each.join(" "))
}

fn request(number: usize) -> String {
    let id = format!("intake-{number}");
    rig::github(
        "workflow_run",
        &id,
        &rig::run(1_000_000 + number, 1 + number % 100, "in_progress", number),
        "keep-alive",
    )
}

/// One as-fast-as-it-goes run.
struct Round {
    per_second: f64,
    cpu_us: f64,
}

/// One of the three.
struct Receiver {
    name: &'static str,
    address: SocketAddr,
    pid: u32,
    queue: &'static str,
    /// What the answers say of where the delivery is.
    places: Arc<std::sync::Mutex<BTreeMap<String, usize>>>,
    _process: Option<Box<dyn std::any::Any>>,
}

impl Receiver {
    fn new(name: &'static str, address: SocketAddr, pid: u32, queue: &'static str) -> Self {
        Receiver {
            name,
            address,
            pid,
            queue,
            places: Arc::default(),
            _process: None,
        }
    }

    fn keeping(mut self, process: impl std::any::Any) -> Self {
        self._process = Some(Box::new(process));
        self
    }

    /// Delivers all of them over a few connections, each of which sends its next one once it is answered.
    fn saturate(&self, broker: &Broker, requests: &Arc<[String]>) -> Round {
        let (begun, before) = (Instant::now(), rig::cpu_ns_of_tree(self.pid));
        runtime().block_on(async {
            let next = Arc::new(AtomicUsize::new(0));
            let lines: Vec<_> = (0..CONNECTIONS)
                .map(|_| {
                    let (next, requests, places, address) = (Arc::clone(&next), Arc::clone(requests), Arc::clone(&self.places), self.address);
                    tokio::spawn(async move {
                        let mut line = Line::open(address).await;
                        while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                            line.deliver(request, &places).await;
                        }
                    })
                })
                .collect();
            for line in lines {
                line.await.unwrap();
            }
        });
        let (elapsed, used) = (begun.elapsed(), rig::cpu_ns_of_tree(self.pid) - before);
        self.account_for(broker, requests.len());
        Round {
            per_second: requests.len() as f64 / elapsed.as_secs_f64(),
            cpu_us: used as f64 / 1e3 / requests.len() as f64,
        }
    }

    /// The p99 in milliseconds at a fixed rate, from the moment that a delivery is due, whether or not the one before was answered.
    fn paced(&self, broker: &Broker, requests: &Arc<[String]>) -> f64 {
        const LINES: usize = 200;
        let mut times = runtime().block_on(async {
            let begun = tokio::time::Instant::now() + Duration::from_millis(100);
            let lines: Vec<_> = (0..LINES)
                .map(|number| {
                    let (requests, places, address) = (Arc::clone(requests), Arc::clone(&self.places), self.address);
                    tokio::spawn(async move {
                        let mut line = Line::open(address).await;
                        let mut times = Vec::new();
                        for turn in (number..RATE * SECONDS).step_by(LINES) {
                            let due = begun + Duration::from_secs(1) * turn as u32 / RATE as u32;
                            tokio::time::sleep_until(due).await;
                            line.deliver(&requests[turn % requests.len()], &places).await;
                            times.push(due.elapsed().as_secs_f64() * 1e3);
                        }
                        times
                    })
                })
                .collect();
            let mut times = Vec::new();
            for line in lines {
                times.extend(line.await.unwrap());
            }
            times
        });
        self.account_for(broker, RATE * SECONDS);
        rig::percentile(&mut times, 0.99)
    }

    /// What was answered 202 must lie in the queue; what is still in a spool comes later.
    fn account_for(&self, broker: &Broker, delivered: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut found = 0;
        while found < delivered {
            assert!(
                Instant::now() < deadline,
                "{}: {found} of {delivered} deliveries are in {}",
                self.name,
                self.queue
            );
            found += broker.purge(self.queue) as usize;
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A keep-alive connection of the client.
struct Line {
    stream: tokio::net::TcpStream,
    answer: Vec<u8>,
}

impl Line {
    async fn open(address: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Line { stream, answer: Vec::new() }
    }

    /// One delivery, which must be answered 202.
    async fn deliver(&mut self, request: &str, places: &std::sync::Mutex<BTreeMap<String, usize>>) {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer.clear();
        while !is_whole(&self.answer) {
            assert_ne!(self.stream.read_buf(&mut self.answer).await.unwrap(), 0, "the connection was closed");
        }
        let answer = String::from_utf8_lossy(&self.answer);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        if let Some((_, rest)) = answer.split_once(r#""durability":""#) {
            let place = rest.split('"').next().unwrap();
            *places.lock().unwrap().entry(place.to_owned()).or_default() += 1;
        }
    }
}

/// Whether an answer with a Content-Length has all its bytes.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    answer.len() >= end + 4 + length
}
