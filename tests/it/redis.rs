//! A redis-server of a test's own, which can be killed, paused and started again, and into which others type.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server. Dropped, it ends.
pub struct RedisServer {
    port: u16,
    directory: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    pub fn start() -> RedisServer {
        let port = crate::ports::free().unwrap().port();
        let mut server = RedisServer {
            port,
            directory: tempfile::tempdir().unwrap(),
            process: None,
        };
        server.again();
        server
    }

    /// Starts it where it was, with what its dump holds.
    pub fn again(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .spawn();
        let mut process = process.expect("redis-server is installed");
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(process.try_wait().unwrap().is_none(), "redis-server ends at once");
            assert!(began.elapsed() < Duration::from_secs(10), "redis-server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Whoever answers there is ours, unless ours has found the port taken.
        std::thread::sleep(Duration::from_millis(20));
        assert!(process.try_wait().unwrap().is_none(), "another server listens at the port of this one");
        self.process = Some(process);
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Stops it without ending it: connections stay, and nothing is answered.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A command as somebody types it, and what the terminal shows.
    pub fn type_in(&self, command: &[&str]) -> String {
        let output = self.cli(command).output().expect("redis-cli is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// `redis-cli` with its arguments, not started yet.
    pub fn cli(&self, arguments: &[&str]) -> Command {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &self.port.to_string()]).args(arguments);
        cli
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.kill());
            drop(process.wait());
        }
    }
}
