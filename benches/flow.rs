//! From the POST of a delivery to the frame at a socket, and how many deliveries a second become durable and are applied.
//!
//! Runs the release binary on a real disk below `target`, once as the disk is and once with 4 ms added to each sync by a small
//! library that is loaded before libc; the same library counts the syncs. Needs `cargo build --release` and `cc`.
//!
//! `cargo bench --bench flow` prints medians of five runs each.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on says so and ends")]

mod rig;

use std::collections::HashMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pipecast::simulate::forge::{self, Forge};
use pipecast::simulate::letters::{Letters, Way};
use pipecast::simulate::postman::{Options, Pace, Postman, Retry};
use pipecast::simulate::seal::{Seal, Secrets};
use tokio_util::sync::CancellationToken;

const RUNS: usize = 5;
const RATE: usize = 200;
const SECONDS: usize = 5;
const PIPELINES: usize = 100;
const DELIVERIES: usize = 10_000;

fn main() {
    rig::describe_machine();
    println!("limits raised: none");
    let library = build_library();
    for delay_us in [0, 4_000] {
        println!("-- with {} ms added to each sync, median of {RUNS} runs", delay_us / 1_000);
        let mut latencies: Vec<_> = (0..RUNS).map(|_| latency(&library, delay_us)).collect();
        latencies.sort_by(|one, other| one.0.total_cmp(&other.0));
        let p99: Vec<_> = latencies.iter().map(|(_, p99)| *p99).collect();
        println!(
            "POST to frame at {RATE} deliveries a second for {SECONDS} s: p50 {:.1} ms, p99 {:.1} ms; goals <= 10 and <= 50",
            latencies[RUNS / 2].0,
            rig::median(&p99)
        );
        let intakes: Vec<_> = (0..RUNS).map(|_| intake(&library, delay_us)).collect();
        let of = |pick: fn(&Intake) -> f64| rig::median(&intakes.iter().map(pick).collect::<Vec<_>>());
        println!(
            "{DELIVERIES} deliveries of the model forge as fast as 64 connections go: {:.0} durable a second (goal >= 2000), {:.3} syncs each until the last was acknowledged (goal <= 0.1), answered p50 {:.1} ms, p99 {:.1} ms; {:.0} applied a second until the queue was empty (goal >= 1000), {:.3} syncs each",
            of(|run| run.durable),
            of(|run| run.syncs),
            of(|run| run.p50),
            of(|run| run.p99),
            of(|run| run.applied),
            of(|run| run.syncs_in_all),
        );
    }
}

/// The library that counts and delays syncs.
fn build_library() -> PathBuf {
    let library = std::env::current_dir().unwrap().join("target/slow_sync.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(&library)
        .arg("benches/slow_sync.c")
        .arg("-ldl")
        .status();
    assert!(built.unwrap().success(), "cc cannot build benches/slow_sync.c");
    library
}

fn service(library: &Path, delay_us: u32) -> (rig::Service, PathBuf) {
    let count = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
    std::fs::write(&count, [0; 8]).unwrap();
    let service = rig::Service::start(&[
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("SLOW_SYNC_US", &delay_us.to_string()),
        ("SLOW_SYNC_COUNT", count.to_str().unwrap()),
    ]);
    (service, count)
}

fn syncs(count: &Path) -> f64 {
    u64::from_ne_bytes(std::fs::read(count).unwrap().try_into().unwrap()) as f64
}

/// Milliseconds from the first byte of a POST to the frame that shows it, p50 and p99.
fn latency(library: &Path, delay_us: u32) -> (f64, f64) {
    let (service, count) = service(library, delay_us);
    let address = service.address;
    let sent: Arc<Mutex<HashMap<usize, Instant>>> = Arc::default();
    let socket = rig::open_socket(address, "/ws/monitor");
    let watcher = std::thread::spawn({
        let sent = Arc::clone(&sent);
        move || {
            let mut socket = BufReader::new(socket);
            let mut times = Vec::new();
            while times.len() < RATE * SECONDS {
                let frame: serde_json::Value = serde_json::from_slice(&rig::read_frame(&mut socket)).unwrap();
                let now = Instant::now();
                let Some(run) = frame["data"]["last_execution"]["external_id"].as_str() else {
                    continue;
                };
                if let Some(begun) = sent.lock().unwrap().remove(&run.parse().unwrap()) {
                    times.push((now - begun).as_secs_f64() * 1e3);
                }
            }
            times
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let begun = tokio::time::Instant::now() + Duration::from_millis(200);
        let mut posts = tokio::task::JoinSet::new();
        for number in 0..RATE * SECONDS {
            let run = 1_000_000 + number;
            // Every delivery is a run of its own, of one pipeline among many, so that each must show by itself.
            let request = rig::github(
                "workflow_run",
                &format!("flow-{run}"),
                &rig::run(run, 1 + number % PIPELINES, "in_progress", number),
                "close",
            );
            tokio::time::sleep_until(begun + Duration::from_secs(1) * number as u32 / RATE as u32).await;
            let sent = Arc::clone(&sent);
            posts.spawn(async move {
                sent.lock().unwrap().insert(run, Instant::now());
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.unwrap();
                assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer));
            });
        }
        while let Some(post) = posts.join_next().await {
            post.unwrap();
        }
    });
    let mut times = watcher.join().unwrap();
    std::fs::remove_file(count).unwrap();
    (rig::percentile(&mut times, 0.5), rig::percentile(&mut times, 0.99))
}

/// One run of as many deliveries as go.
struct Intake {
    durable: f64,
    syncs: f64,
    p50: f64,
    p99: f64,
    applied: f64,
    syncs_in_all: f64,
}

fn intake(library: &Path, delay_us: u32) -> Intake {
    let (service, count) = service(library, delay_us);
    let secrets = Secrets {
        github: rig::Service::SECRET.to_owned(),
        gitlab: rig::Service::SECRET.to_owned(),
    };
    let seal = Seal::new(&secrets, &service.address.to_string(), "").unwrap();
    let options = Options {
        connections: 64,
        pace: Pace::Unbounded,
        retry: Retry::Never,
        patience: Duration::from_secs(30),
    };
    let events = Forge::new(forge::Options {
        pushes_per_second: 5.0,
        repositories: 60,
        memory: forge::Memory::None,
        ..forge::Options::default()
    });
    // Made before the clock starts: telling a life is not what is measured.
    let way = Way {
        duplicates: 0.0,
        reorder: Duration::ZERO,
        seed: 1,
    };
    let letters: Vec<_> = Letters::new(events, way).take(DELIVERIES).collect();
    let before = syncs(&count);
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(Postman::new(service.address, seal, options).deliver(letters.into_iter(), &CancellationToken::new(), |_| {}));
    let durable = DELIVERIES as f64 / begun.elapsed().as_secs_f64();
    assert_eq!(report.acknowledged, DELIVERIES as u64, "{report}");
    let at_acknowledged = syncs(&count) - before;
    while waiting(&service) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let applied = DELIVERIES as f64 / begun.elapsed().as_secs_f64();
    let in_all = syncs(&count) - before;
    std::fs::remove_file(count).unwrap();
    Intake {
        durable,
        applied,
        syncs: at_acknowledged / DELIVERIES as f64,
        syncs_in_all: in_all / DELIVERIES as f64,
        p50: report.latencies.quantile(0.5).as_secs_f64() * 1e3,
        p99: report.latencies.quantile(0.99).as_secs_f64() * 1e3,
    }
}

fn waiting(service: &rig::Service) -> bool {
    let answer = rig::ask_once(service.address, "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let health: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let depth = &health["dependencies"]["queue"]["depth"];
    depth["urgent"] != 0 || depth["bulk"] != 0
}
