//! What the benches share: the processor time of a process, the machine's name, medians, and children that end with us.
//! Every figure is a ratio to a floor that runs in the same minute on the same machine.
#![allow(dead_code, unreachable_pub, reason = "each bench is a crate of its own and uses a part of it")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on says so and ends")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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
