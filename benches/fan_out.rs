//! What it costs to send one change to a thousand sockets, beside a bare loop of `write(2)` in the same run.
//!
//! Both servers run as processes of their own with one worker thread. The floor holds a finished frame and writes it to each
//! socket; in a burst it writes ten finished frames at once. Ours takes announcements from the bus, as it does in service.
//!
//! `cargo bench --bench fan_out` prints processor time per delivery, the ratio, memory per idle socket and allocations.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on says so and ends")]

mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pipecast::live::Live;
use pipecast_auth::Gatekeeper;
use pipecast_fabric::Bus;
use pipecast_fabric::bus::embedded::EmbeddedBus;
use pipecast_fabric::cache::embedded::EmbeddedCache;
use pipecast_model::{Announcement, Epoch, PipelineId, Status, Timestamp, Topic};
use pipecast_watch::Watch;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

const SOCKETS: usize = 1_000;
const PAIRS: usize = 5;
const FRAME: usize = 200;
const TOPIC: Topic = Topic::Pipeline(PipelineId(42));
const HANDSHAKE: &str = "GET /ws/pipeline/42 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";

/// Counts every allocation of the process.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts and passes on")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("--serve-ours") => serve_ours(),
        Some("--serve-floor") => serve_floor(),
        _ => measure(),
    }
}

fn measure() {
    rig::describe_machine();
    println!("limits raised: live.max_sockets 20,000, the bus's backlog 10,000 messages, open files to the hard limit");
    println!("{SOCKETS} sockets on one topic, frames of {FRAME} bytes, one worker thread, median of {PAIRS} alternating pairs");
    for (burst, limit) in [(1, 1.4), (10, 1.6)] {
        let mut ratios = Vec::new();
        let (mut floors, mut ours) = (Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            let floor = |()| cost("--serve-floor", burst).0;
            let own = |()| cost("--serve-ours", burst).0;
            let (floor, own) = if pair % 2 == 0 {
                (floor(()), own(()))
            } else {
                let own = own(());
                (floor(()), own)
            };
            floors.push(floor);
            ours.push(own);
            ratios.push(own / floor);
        }
        println!(
            "bursts of {burst}: floor {:.2} us, ours {:.2} us per delivery, ratio {:.2} (pairs: {}), goal <= {limit}",
            rig::median(&floors),
            rig::median(&ours),
            rig::median(&ratios),
            ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" "),
        );
    }
    let idle: Vec<_> = (0..PAIRS).map(|_| idle_bytes()).collect();
    println!(
        "resident memory per idle socket: {:.1} KiB (median of {PAIRS}, 2,000 sockets), goal <= 12",
        rig::median(&idle) / 1024.0
    );
    let few = rig::median(&(0..PAIRS).map(|_| cost_in_allocations(100)).collect::<Vec<_>>());
    let many = rig::median(&(0..PAIRS).map(|_| cost_in_allocations(SOCKETS)).collect::<Vec<_>>());
    println!(
        "allocations per change: {few:.2} with 100 sockets, {many:.2} with {SOCKETS}: {:.4} per socket, goal 0",
        (many - few) / (SOCKETS - 100) as f64
    );
}

/// Microseconds of server processor time per delivered frame, and frames delivered.
fn cost(mode: &str, burst: usize) -> (f64, u64) {
    let mut server = rig::Server::start(&[mode]);
    let readers = Readers::connect(server.address, SOCKETS);
    let before_frames = readers.settled();
    let rounds = 1_000 / burst.max(10);
    let cpu = rig::cpu_ns(server.pid());
    server.say(&format!("{burst} {rounds} 50"));
    assert_eq!(server.hear(), "done");
    let bytes = readers.settled() - before_frames;
    let cpu = rig::cpu_ns(server.pid()) - cpu;
    let frames = bytes / FRAME as u64;
    assert_eq!(bytes % FRAME as u64, 0, "only whole frames of {FRAME} bytes");
    // A server that is held up by other work skips what has been replaced; that would make it look cheaper than it is.
    let all = (rounds * burst * SOCKETS) as u64;
    assert!(
        frames * 100 >= all * 99,
        "{frames} of {all} frames came, in {mode}: measure on a quieter machine"
    );
    (cpu as f64 / 1e3 / frames as f64, frames)
}

fn idle_bytes() -> f64 {
    const IDLE: usize = 2_000;
    let server = rig::Server::start(&["--serve-ours"]);
    drop(Readers::connect(server.address, 1));
    let before = rig::resident(server.pid());
    let readers = Readers::connect(server.address, IDLE);
    readers.settled();
    let after = rig::resident(server.pid());
    (after - before) as f64 / IDLE as f64
}

fn cost_in_allocations(sockets: usize) -> f64 {
    const ROUNDS: usize = 100;
    let mut server = rig::Server::start(&["--serve-ours"]);
    let readers = Readers::connect(server.address, sockets);
    readers.settled();
    // A first run fills what is kept from then on.
    server.say("1 20 20");
    server.hear();
    readers.settled();
    server.say("allocations");
    let before: u64 = server.hear().parse().unwrap();
    server.say(&format!("1 {ROUNDS} 20"));
    server.hear();
    readers.settled();
    server.say("allocations");
    let after: u64 = server.hear().parse().unwrap();
    (after - before) as f64 / ROUNDS as f64
}

/// Clients that read whatever comes, on one thread of this process.
struct Readers {
    bytes: Arc<AtomicU64>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Readers {
    fn connect(address: SocketAddr, count: usize) -> Self {
        let sockets: Vec<_> = (0..count).map(|_| handshake(address)).collect();
        let bytes = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let thread = std::thread::spawn({
            let (bytes, stop) = (Arc::clone(&bytes), stop.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let tasks: Vec<_> = sockets.into_iter().map(|socket| tokio::spawn(read_all(socket, Arc::clone(&bytes)))).collect();
                    stop.cancelled().await;
                    tasks.iter().for_each(tokio::task::JoinHandle::abort);
                });
            }
        });
        Readers {
            bytes,
            stop,
            thread: Some(thread),
        }
    }

    /// Bytes read so far, once nothing has come for a while.
    fn settled(&self) -> u64 {
        let mut seen = self.bytes.load(Ordering::Relaxed);
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_millis(400) {
            std::thread::sleep(Duration::from_millis(10));
            let now = self.bytes.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
        seen
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn handshake(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer[..read]));
    stream.set_nonblocking(true).unwrap();
    stream
}

async fn read_all(stream: TcpStream, bytes: Arc<AtomicU64>) {
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let mut buffer = [0; 16 * 1024];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                bytes.fetch_add(read as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// The floor: a thread that owns every socket and writes finished bytes.
fn serve_floor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let sockets = Arc::new(std::sync::Mutex::new(Vec::new()));
    std::thread::spawn({
        let sockets = Arc::clone(&sockets);
        move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).unwrap();
                stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
                stream.set_nodelay(true).unwrap();
                sockets.lock().unwrap().push(stream);
            }
        }
    });
    let mut sockets_now = Vec::new();
    obey(|burst| {
        if sockets_now.is_empty() {
            sockets_now = std::mem::take(&mut *sockets.lock().unwrap());
        }
        let frames = vec![b'x'; FRAME * burst];
        for socket in &mut sockets_now {
            assert_eq!(socket.write(&frames).unwrap(), frames.len());
        }
    });
}

/// Ours: the watch and the sockets of the service, fed through the bus.
fn serve_ours() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let bus = Arc::new(EmbeddedBus::new(10_000));
    let (watch, gatekeeper, cache) = runtime.block_on(open_watch(directory.path(), &bus));
    runtime.spawn({
        let watch = watch.clone();
        async move { watch.run(CancellationToken::new()).await }
    });
    let mut settings = pipecast::config::Config::defaults().live;
    settings.max_sockets = 20_000;
    let live = Live::new(settings, watch, gatekeeper, cache);
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = actix_web::HttpServer::new(move || actix_web::App::new().configure(pipecast::live::configure(Arc::clone(&live))))
                .workers(1)
                .backlog(4096)
                .tcp_nodelay(true)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
            send.send(server.addrs()[0]).unwrap();
            server.run().await.unwrap();
        });
    });
    println!("{}", receive.recv().unwrap());
    let mut seq = 1_000_000;
    let (client, mut changes) = tokio::sync::mpsc::channel::<bytes::Bytes>(100);
    runtime.spawn(async move {
        while let Some(change) = changes.recv().await {
            bus.publish(TOPIC, change).await.unwrap();
        }
    });
    obey(|burst| {
        for _ in 0..burst {
            seq += 1;
            client.blocking_send(announcement(seq)).unwrap();
        }
    });
}

async fn open_watch(directory: &std::path::Path, bus: &Arc<EmbeddedBus>) -> (Watch, Arc<Gatekeeper>, Arc<EmbeddedCache>) {
    let config = pipecast::config::Config::defaults();
    let options = pipecast_store::Options {
        url: format!("sqlite:{}", directory.join("bench.db").display()),
        read_url: None,
        read_connections: 1,
        acquire_timeout: Duration::from_secs(5),
        first_id: 1,
    };
    pipecast_store::migrate(&options).await.unwrap();
    let (reader, _writer) = pipecast_store::open(&options).await.unwrap();
    let cache = Arc::new(EmbeddedCache::new(1_000));
    let gatekeeper = Gatekeeper::new(reader.clone(), "bench");
    let watch = Watch::open(config.watch.settings(), reader, bus.as_ref(), Arc::clone(&cache) as _);
    (watch.await.unwrap(), gatekeeper, cache)
}

/// A change whose frame has exactly [`FRAME`] bytes.
fn announcement(seq: i64) -> bytes::Bytes {
    let with = |padding: usize| Announcement {
        v: Announcement::VERSION,
        topic: TOPIC,
        status: Status::Running,
        previous_status: None,
        timestamp: Timestamp(1_763_719_200_120_000),
        epoch: Epoch("kqzxbtwm".into()),
        seq,
        data: RawValue::from_string(format!("\"{}\"", "x".repeat(padding))).unwrap(),
    };
    let bare = pipecast::live::frame::socket_change(&pipecast_watch::Last::new(&with(0))).len();
    // A payload of 126 bytes or more has two more bytes of header.
    let header = if bare - 2 < 126 { 2 } else { 0 };
    serde_json::to_vec(&with(FRAME - bare - header)).unwrap().into()
}

/// Publishes as the measuring process says: "burst rounds interval_ms", or tells the allocations so far.
fn obey(mut publish: impl FnMut(usize)) {
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        if line == "allocations" {
            println!("{}", ALLOCATIONS.load(Ordering::Relaxed));
            continue;
        }
        let numbers: Vec<usize> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [burst, rounds, interval_ms] = numbers[..] else { panic!("three numbers") };
        for _ in 0..rounds {
            publish(burst);
            std::thread::sleep(Duration::from_millis(interval_ms as u64));
        }
        println!("done");
    }
}
