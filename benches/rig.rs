//! What the benches share: the processor time of a process, the machine's name, medians, and children that end with us.
//! Every figure is a ratio to a floor that runs in the same minute on the same machine.
#![expect(dead_code, unreachable_pub, reason = "each bench is a crate of its own and uses a part of it")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on says so and ends")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

/// Nanoseconds of processor time, user and system, that all threads of a process have used. From the scheduler's own accounts,
/// which count nanoseconds where `times` counts hundredths of a second.
pub fn cpu_ns(pid: u32) -> u64 {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
            continue;
        };
        total += text.split_whitespace().next().unwrap().parse::<u64>().unwrap();
    }
    total
}

/// The same for a process and all that it has started.
pub fn cpu_ns_of_tree(pid: u32) -> u64 {
    let mut total = cpu_ns(pid);
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        total += children.split_whitespace().map(|child| cpu_ns_of_tree(child.parse().unwrap())).sum::<u64>();
    }
    total
}

/// Bytes of memory that a process holds resident.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The value in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The value below which `share` of the values lie.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() as f64 * share) as usize).min(values.len() - 1)]
}

/// Which machine this is, and what one durable commit costs on it.
pub fn describe_machine() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().unwrap();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    println!(
        "machine: {model}, {cores} cores, Linux {}; one fdatasync of 8 KiB: {:.2} ms (median of 100)",
        kernel.trim(),
        commit_ms()
    );
}

fn commit_ms() -> f64 {
    let directory = tempfile::tempdir_in("target").unwrap();
    let mut file = fs::File::create(directory.path().join("probe")).unwrap();
    let times: Vec<_> = (0..100)
        .map(|_| {
            file.write_all(&[7; 8192]).unwrap();
            let begun = std::time::Instant::now();
            file.sync_data().unwrap();
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    median(&times)
}

/// This same program again, as the server of a measurement. It prints its address, waits for lines, and ends with its input.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it; `arguments` are what its `main` sees.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Server {
            address: ([127, 0, 0, 1], 0).into(),
            child,
            input,
            output,
        };
        server.address = server.hear().parse().unwrap();
        server
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One line to it.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// One line from it.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The release binary as a service with a directory of its own below `target`, on a real disk.
pub struct Service {
    pub address: SocketAddr,
    pub data: tempfile::TempDir,
    child: Child,
}

impl Service {
    /// The secret of both hosts.
    pub const SECRET: &str = "the secret of the benches";

    /// Starts it with these settings of the environment.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::play(None, settings)
    }

    /// The same with one role instead of all.
    pub fn play(role: Option<&str>, settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir_in("target").unwrap();
        let port = free_port();
        let child = Command::new("target/release/pipecast")
            .arg("serve")
            .args(role.map(|role| format!("--role={role}")))
            .env("PIPECAST_DATA_DIR", data.path())
            .env("PIPECAST_SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .env("PIPECAST_WEBHOOKS__GITHUB__SECRET", Self::SECRET)
            .env("PIPECAST_WEBHOOKS__GITLAB__SECRET", Self::SECRET)
            .envs(settings.iter().copied())
            .stderr(fs::File::create(data.path().join("log")).unwrap())
            .spawn()
            .expect("target/release/pipecast; run cargo build --release first");
        let service = Service {
            child,
            address: ([127, 0, 0, 1], port).into(),
            data,
        };
        wait_for(service.address);
        service
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Delivers a webhook of GitHub, which must be accepted.
    pub fn deliver(&self, event: &str, id: &str, body: &str) {
        let answer = ask_once(self.address, &github(event, id, body, "close"));
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A workflow run in one state; `number` orders its tellings.
pub fn run(id: usize, workflow: usize, status: &str, number: usize) -> String {
    run_in(501, id, workflow, status, number)
}

/// The same in another repository.
pub fn run_in(repository: usize, id: usize, workflow: usize, status: &str, number: usize) -> String {
    let (conclusion, status) = if status == "success" {
        ("\"success\"", "completed")
    } else {
        ("null", status)
    };
    let (minute, second) = (number / 60 % 60, number % 60);
    // As long as the tellings of a real host.
    let padding = "x".repeat(5_000);
    format!(
        r#"{{"action":"{status}","workflow_run":{{"id":{id},"name":"CI {workflow}","workflow_id":{workflow},"run_number":{id},"run_attempt":1,"status":"{status}","conclusion":{conclusion},"display_title":"change {number}","head_branch":"main","updated_at":"2026-11-21T10:{minute:02}:{second:02}Z","padding":"{padding}"}},"repository":{{"id":{repository},"full_name":"acme/rocket-{repository}"}}}}"#
    )
}

/// A signed delivery of GitHub as bytes on the wire.
pub fn github(event: &str, id: &str, body: &str, connection: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, Service::SECRET.as_bytes());
    let tag: String = hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "POST /webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {connection}\r\nContent-Type: application/json\r\nX-GitHub-Event: {event}\r\nX-GitHub-Delivery: {id}\r\nX-Hub-Signature-256: sha256={tag}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Opens a WebSocket at `path` and leaves it at the end of the handshake's answer.
pub fn open_socket(address: SocketAddr, path: &str) -> TcpStream {
    shake_hands(TcpStream::connect(address).unwrap(), path)
}

/// The same with as small a window as the kernel gives.
pub fn open_narrow_socket(address: SocketAddr, path: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2_048).unwrap();
    socket.connect(&address.into()).unwrap();
    shake_hands(socket.into(), path)
}

/// Bytes that wait on the service's side of the connection from `peer`'s port, by the kernel's table.
pub fn unsent(port: u16, peer: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let (port, peer) = (format!(":{port:04X}"), format!(":{peer:04X}"));
    let queue = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let is_it = columns.get(1)?.ends_with(&port) && columns.get(2)?.ends_with(&peer);
        is_it.then(|| u64::from_str_radix(columns.get(4)?.split_once(':')?.0, 16).ok()).flatten()
    };
    table.lines().find_map(queue).unwrap_or(0)
}

fn shake_hands(mut stream: TcpStream, path: &str) -> TcpStream {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// The payload of the next frame.
pub fn read_frame(stream: &mut impl Read) -> Vec<u8> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    let length = match header[1] {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            usize::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            stream.read_exact(&mut length).unwrap();
            usize::try_from(u64::from_be_bytes(length)).unwrap()
        }
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    payload
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn wait_for(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nobody listens on {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a service says of itself that it is ready.
pub fn wait_until_ready(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ask_once(address, "GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        if answer.starts_with("HTTP/1.1 200") {
            return;
        }
        assert!(Instant::now() < deadline, "{answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One line to whoever started this process as a [`Server`].
pub fn say(line: &str) {
    println!("{line}");
}

/// One request with `Connection: close`, and everything that came back.
pub fn ask_once(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
