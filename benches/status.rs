//! What a status request costs, beside nginx answering a constant of the same size in the same run.
//!
//! The service runs as its own process with one worker, nginx with one worker; both are asked over the same keep-alive
//! connections by the same client. Needs the release binary (`cargo build --release`) and nginx.
//!
//! `cargo bench --bench status` prints processor time per request, what it is more for somebody who is signed in, and p99 at 10,000 requests a
//! second beside 1,000 sockets.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on says so and ends")]

mod rig;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PAIRS: usize = 5;
const CONNECTIONS: usize = 32;
const REQUESTS: usize = 100_000;
const SOCKETS: usize = 1_000;
const RATE: usize = 10_000;
const SECONDS: usize = 5;
const PATH: &str = "/api/v1/pipelines/1/status/realtime";
const HANDSHAKE: &str = "GET /ws/pipeline/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";

fn main() {
    rig::describe_machine();
    println!("limits raised: open files to the hard limit; nginx: worker_connections 4,096");
    let (service, body) = service_with_a_pipeline();
    let nginx = Nginx::start(&body);
    println!(
        "{PATH}: {} bytes of JSON; {CONNECTIONS} keep-alive connections, {REQUESTS} requests, one worker each, median of {PAIRS} alternating pairs",
        body.len()
    );

    let (mut floors, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let both = alternate(pair, || cost(nginx.worker, nginx.address, ""), || cost(service.pid(), service.address, ""));
        floors.push(both.0);
        ours.push(both.1);
        ratios.push(both.1 / both.0);
    }
    println!(
        "processor time per request: nginx {:.2} us, ours {:.2} us, ratio {:.2} (pairs: {}), goal <= 2.5",
        rig::median(&floors),
        rig::median(&ours),
        rig::median(&ratios),
        shown(&ratios)
    );

    // The deepest look: a role in this one project and none elsewhere.
    let token = member(&service);
    let mut more = Vec::new();
    for pair in 0..PAIRS {
        let (anonymous, signed_in) = alternate(
            pair,
            || cost(service.pid(), service.address, ""),
            || cost(service.pid(), service.address, &token),
        );
        more.push(signed_in - anonymous);
    }
    println!(
        "what a viewer of the one project costs more than nobody: {:.2} us (pairs: {}), goal <= 5",
        rig::median(&more),
        shown(&more)
    );

    let _sockets = open_sockets(service.address, HANDSHAKE, "101");
    let _idle = open_sockets(nginx.address, &request(""), "200");
    let (mut floors, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let both = alternate(pair, || paced(nginx.address), || paced(service.address));
        floors.push(both.0);
        ours.push(both.1);
        ratios.push(both.1 / both.0);
    }
    println!(
        "p99 at {RATE} requests a second for {SECONDS} s beside {SOCKETS} sockets: nginx {:.2} ms, ours {:.2} ms, ratio {:.2} (pairs: {}), goal <= 2",
        rig::median(&floors),
        rig::median(&ours),
        rig::median(&ratios),
        shown(&ratios)
    );
}

fn shown(ratios: &[f64]) -> String {
    ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" ")
}

/// Both, the first one first in even pairs.
fn alternate(pair: usize, mut first: impl FnMut() -> f64, mut second: impl FnMut() -> f64) -> (f64, f64) {
    if pair.is_multiple_of(2) {
        (first(), second())
    } else {
        let second = second();
        (first(), second)
    }
}

fn request(more: &str) -> String {
    format!("GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n")
}

/// The header by which a viewer of the first project is known.
fn member(service: &rig::Service) -> String {
    const PASSWORD: &str = "a bench has a password too";
    let mut admin = Command::new("target/release/pipecast")
        .args(["create-admin", "admin"])
        .env("PIPECAST_DATA_DIR", service.data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    admin.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(admin.wait().unwrap().success());
    let post = |path: &str, token: &str, body: serde_json::Value| -> serde_json::Value {
        let (body, address) = (body.to_string(), service.address);
        let answer = rig::ask_once(
            address,
            &format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{token}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        assert!(answer.starts_with("HTTP/1.1 201"), "{path}: {answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let sign_in = |name: &str| {
        let session = post("/admin/v1/sessions", "", json!({"name": name, "password": PASSWORD}));
        session["access_token"].as_str().unwrap().to_owned()
    };
    let admin = bearer(&sign_in("admin"));
    post("/admin/v1/users", &admin, json!({"name": "member", "role": null, "password": PASSWORD}));
    post("/admin/v1/projects/1/members", &admin, json!({"user_name": "member", "role": "viewer"}));
    bearer(&sign_in("member"))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Microseconds of processor time of the server per request, in a closed loop.
fn cost(pid: u32, address: SocketAddr, more: &str) -> f64 {
    let before = rig::cpu_ns(pid);
    runtime().block_on(async {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let request = request(more);
                tokio::spawn(async move {
                    let mut line = Line::open(address, request).await;
                    for _ in 0..REQUESTS / CONNECTIONS {
                        line.ask().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    (rig::cpu_ns(pid) - before) as f64 / 1e3 / REQUESTS as f64
}

/// The p99 in milliseconds at a fixed rate, from the moment that a request is due, whether or not the one before was answered.
fn paced(address: SocketAddr) -> f64 {
    const LINES: usize = 200;
    let mut times = runtime().block_on(async {
        let begun = tokio::time::Instant::now() + Duration::from_millis(100);
        let every = Duration::from_nanos(1_000_000_000 * LINES as u64 / RATE as u64);
        let tasks: Vec<_> = (0..LINES)
            .map(|number| {
                tokio::spawn(async move {
                    let mut line = Line::open(address, request("")).await;
                    let mut times = Vec::new();
                    let first = begun + every * number as u32 / LINES as u32;
                    for turn in 0..RATE * SECONDS / LINES {
                        let due = first + every * turn as u32;
                        tokio::time::sleep_until(due).await;
                        line.ask().await;
                        times.push(due.elapsed().as_secs_f64() * 1e3);
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        times
    });
    rig::percentile(&mut times, 0.99)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A keep-alive connection of the client.
struct Line {
    stream: tokio::net::TcpStream,
    request: String,
    buffer: Vec<u8>,
}

impl Line {
    async fn open(address: SocketAddr, request: String) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Line {
            stream,
            request,
            buffer: vec![0; 4096],
        }
    }

    /// One request and its whole answer, which both servers send in one piece.
    async fn ask(&mut self) {
        self.stream.write_all(self.request.as_bytes()).await.unwrap();
        let read = self.stream.read(&mut self.buffer).await.unwrap();
        let answer = &self.buffer[..read];
        assert!(
            answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"}"),
            "{}",
            String::from_utf8_lossy(answer)
        );
    }
}

fn open_sockets(address: SocketAddr, request: &str, status: &str) -> Vec<TcpStream> {
    (0..SOCKETS)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = [0; 4096];
            let read = stream.read(&mut answer).unwrap();
            assert!(
                answer[..read].starts_with(format!("HTTP/1.1 {status}").as_bytes()),
                "{}",
                String::from_utf8_lossy(&answer[..read])
            );
            stream
        })
        .collect()
}

/// The service with one pipeline, and the answer of its status endpoint.
fn service_with_a_pipeline() -> (rig::Service, String) {
    let service = rig::Service::start(&[("PIPECAST_SERVER__WORKERS", "1")]);
    service.deliver("workflow_run", "bench", &rig::run(1001, 7, "in_progress", 0));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = rig::ask_once(service.address, &request("Connection: close\r\n"));
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        if body.contains("running") {
            return (service, body.to_owned());
        }
        assert!(Instant::now() < deadline, "{answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The floor: nginx with one worker and a constant.
struct Nginx {
    master: Child,
    worker: u32,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Nginx {
    fn start(body: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = rig::free_port();
        let here = directory.path().display();
        let config = format!(
            "daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log; worker_rlimit_nofile 8192;
             events {{ worker_connections 4096; }}
             http {{ access_log off; keepalive_requests 100000000; tcp_nodelay on;
               client_body_temp_path {here}/a; proxy_temp_path {here}/b; fastcgi_temp_path {here}/c; uwsgi_temp_path {here}/d; scgi_temp_path {here}/e;
               server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type application/json; return 200 '{body}'; }} }} }}"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let master = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx; on Debian: apt-get install nginx-light");
        let address = ([127, 0, 0, 1], port).into();
        rig::wait_for(address);
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", master.id())).unwrap();
        let worker = children.split_whitespace().next().unwrap().parse().unwrap();
        Nginx {
            master,
            worker,
            address,
            _directory: directory,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its worker on a quick stop; killed, it would leave it behind.
        let _ = Command::new("kill").arg("-TERM").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
    }
}
