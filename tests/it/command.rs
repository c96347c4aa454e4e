//! The binary as a shell or an orchestrator meets it: commands, refusals, signals.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn pipecast(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipecast"));
    command
        .current_dir(data)
        .env("PIPECAST_DATA_DIR", data)
        .env("PIPECAST_SERVER__LISTEN", "127.0.0.1:0");
    command.env("PIPECAST_LOG__FORMAT", "json");
    command
}

fn run(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Output {
    let data = tempfile::tempdir().unwrap();
    let mut command = pipecast(data.path());
    change(&mut command);
    command.args(arguments).output().unwrap()
}

/// A serving process; killed when it is dropped.
struct Serving {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    /// As its log says it.
    address: String,
    _data: tempfile::TempDir,
}

impl Serving {
    fn start(change: impl FnOnce(&mut Command)) -> Serving {
        let data = tempfile::tempdir().unwrap();
        let mut command = pipecast(data.path());
        change(&mut command);
        let mut child = command.arg("serve").stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut serving = Serving {
            child,
            log,
            address: String::new(),
            _data: data,
        };
        serving.address = serving.line("pipecast serves")["address"].as_str().unwrap().to_owned();
        serving
    }

    /// The next line of the log whose message starts like this.
    fn line(&mut self, start: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "the log ended before {start:?}");
            // The setup token stands beside the log.
            if !line.starts_with('{') {
                continue;
            }
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if line["message"].as_str().is_some_and(|message| message.starts_with(start)) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn end_within(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < limit, "it still runs after {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_single_signal_ends_it_in_order_and_nobody_idle_is_waited_for() {
    for name in ["INT", "TERM"] {
        let mut serving = Serving::start(|_| {});
        // A connection that is kept alive and says nothing, like a browser's.
        let _idle = std::net::TcpStream::connect(&serving.address).unwrap();

        serving.signal(name);

        assert_eq!(serving.end_within(Duration::from_secs(4)).code(), Some(0), "{name}");
        serving.line("shut down");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut serving = Serving::start(|command| {
        command.env("PIPECAST_SERVER__DRAIN_GRACE", "60s");
    });
    serving.signal("TERM");
    serving.line("shutting down");
    assert!(serving.child.try_wait().unwrap().is_none(), "it waits for the load balancer");

    serving.signal("TERM");

    assert_eq!(serving.end_within(Duration::from_secs(2)).code(), Some(143));
}

#[test]
fn two_processes_never_share_a_queue() {
    let first = Serving::start(|_| {});
    let data = first._data.path().to_owned();

    let second = pipecast(&data).arg("serve").output().unwrap();

    assert!(!second.status.success());
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("cannot open the queue"),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
}

#[test]
fn config_and_openapi_print_what_is_compiled_in() {
    assert_eq!(String::from_utf8(run(&["config"], |_| {}).stdout).unwrap(), pipecast::config::DEFAULTS);
    assert_eq!(String::from_utf8(run(&["openapi"], |_| {}).stdout).unwrap(), pipecast::openapi::text());
}

#[test]
fn migrate_makes_the_database_and_ends() {
    let data = tempfile::tempdir().unwrap();

    let output = pipecast(data.path()).arg("migrate").output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(data.path().join("pipecast.db").is_file());
}

#[test]
fn what_is_wrong_is_said_in_a_sentence() {
    let said = |arguments: &[&str], name: &str, value: &str| {
        let output = run(arguments, |command| {
            command.env(name, value);
        });
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };

    assert!(said(&["serve"], "PIPECAST_SERVER__LISTN", "x").contains("unknown setting \"server.listn\" in PIPECAST_SERVER__LISTN"));
    assert!(said(&["serve"], "PIPECAST_SERVER__PUBLIC_URL", "ci.example.org").contains("no origin"));
    assert!(said(&["serve"], "PIPECAST_FABRIC__AMQP_URL", "rabbit://a").contains("fabric.amqp_url"));
    assert!(said(&["serve", "--role", "realtime"], "PIPECAST_LOG__FILTER", "info").contains("admin and worker"));
    assert!(said(&["--config", "absent.toml", "serve"], "PIPECAST_LOG__FILTER", "info").contains("absent.toml"));
}
