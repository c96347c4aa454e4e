//! Whether a socket that never reads delays the others: a thousand watchers of one pipeline, alone and beside one that never
//! reads, in alternating pairs of runs.
//!
//! `cargo bench --bench stalled` prints the p99 from the POST of a delivery to the last byte of its frame at each watcher.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on says so and ends")]

mod rig;

use std::sync::mpsc;
use std::time::{Duration, Instant};

const PAIRS: usize = 5;
const WATCHERS: usize = 1_000;
const CHANGES: usize = 100;
/// States of about one kilobyte each, all of them in the monitor's snapshot.
const PIPELINES: usize = 6_000;
const EVERY: Duration = Duration::from_millis(100);

fn main() {
    rig::describe_machine();
    println!("limits raised: live.stall 120 s, so that the one that never reads stays; open files to the hard limit");
    println!("{WATCHERS} watchers of one pipeline, {CHANGES} changes, one each {EVERY:?}; p99 over all frames, median of {PAIRS} alternating pairs");
    let (mut without, mut beside) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        if pair.is_multiple_of(2) {
            without.push(p99(false));
            beside.push(p99(true));
        } else {
            beside.push(p99(true));
            without.push(p99(false));
        }
    }
    let (without, beside) = (rig::median(&without), rig::median(&beside));
    let limit = (without * 1.2).max(2.0);
    println!("without one that never reads {without:.2} ms, beside one {beside:.2} ms; goal <= {limit:.2} ms (the larger of 1.2 times and 2 ms)");
}

fn p99(stalled: bool) -> f64 {
    let service = rig::Service::start(&[("PIPECAST_LIVE__STALL", "120s")]);
    preload(&service);
    service.deliver("workflow_run", "first", &rig::run(900_001, 7, "queued", 0));
    // It reads nothing after the handshake and has a small window. The monitor's snapshot alone is larger than what the kernels of
    // both ends hold for it, so the service stands before a socket that takes nothing from the first moment on.
    let never_reads = stalled.then(|| stall(&service));
    let path = format!("/ws/pipeline/{}", PIPELINES + 1);
    let sockets: Vec<_> = (0..WATCHERS).map(|_| rig::open_socket(service.address, &path)).collect();
    let (send, receive) = mpsc::channel();
    let readers: Vec<_> = sockets.into_iter().map(|socket| reader(socket, send.clone())).collect();
    drop(send);

    let mut posted = Vec::with_capacity(CHANGES);
    let begun = Instant::now() + Duration::from_millis(300);
    for change in 1..=CHANGES {
        std::thread::sleep((begun + EVERY * change as u32).saturating_duration_since(Instant::now()));
        let status = if change == CHANGES { "success" } else { "in_progress" };
        let request = rig::github("workflow_run", &format!("change-{change}"), &rig::run(900_001, 7, status, change), "close");
        posted.push(Instant::now());
        assert!(rig::ask_once(service.address, &request).starts_with("HTTP/1.1 202"));
    }
    let mut times = Vec::with_capacity(WATCHERS * CHANGES);
    for (seq, at) in receive {
        // The first change has sequence 2, the first delivery made 1.
        if seq >= 2 {
            times.push((at - posted[seq - 2]).as_secs_f64() * 1e3);
        }
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    drop(never_reads);
    rig::percentile(&mut times, 0.99)
}

/// Pipelines whose states together are more than any socket buffer.
fn preload(service: &rig::Service) {
    use std::io::{Read, Write};

    let mut line = std::net::TcpStream::connect(service.address).unwrap();
    let mut answer = [0; 4096];
    for pipeline in 1..=PIPELINES {
        let run = rig::run(1_000 + pipeline, 10_000 + pipeline, "success", 0);
        line.write_all(rig::github("workflow_run", &format!("preload-{pipeline}"), &run, "keep-alive").as_bytes())
            .unwrap();
        let read = line.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 202"));
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while !rig::ask_once(
        service.address,
        &format!("GET /api/v1/pipelines/{PIPELINES} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"),
    )
    .starts_with("HTTP/1.1 200")
    {
        assert!(Instant::now() < deadline, "not all pipelines appear");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A watcher of everything that never reads, once it has been shown to be stuck: bytes wait on the service's side.
fn stall(service: &rig::Service) -> std::net::TcpStream {
    let socket = rig::open_narrow_socket(service.address, "/ws/monitor");
    let local = socket.local_addr().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while rig::unsent(service.address.port(), local.port()) < 64 * 1024 {
        assert!(Instant::now() < deadline, "the service has sent everything to a socket that reads nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    socket
}

/// Reads frames until the end of the run, and says when each had come. A thread each, so that no reader waits for another.
fn reader(mut socket: std::net::TcpStream, seen: mpsc::Sender<(usize, Instant)>) -> std::thread::JoinHandle<()> {
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(move || {
            loop {
                let frame = rig::read_frame(&mut socket);
                let now = Instant::now();
                let text = String::from_utf8(frame).unwrap();
                let seq = text.split_once("\"seq\":").unwrap().1.split(',').next().unwrap().parse().unwrap();
                seen.send((seq, now)).unwrap();
                if text.contains("\"status\":\"success\"") {
                    return;
                }
            }
        })
        .unwrap()
}
