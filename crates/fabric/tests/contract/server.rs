//! A redis-server of a test's own, on a port of its own, that can be killed, paused and started again.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pipecast_fabric::redis::{Redis, RedisOptions};
use tempfile::TempDir;

use crate::soon;

pub(crate) struct Server {
    port: u16,
    directory: TempDir,
    extra: Vec<String>,
    process: Option<Child>,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::start_with(&[]).await
    }

    /// Starts with further arguments.
    pub(crate) async fn start_with(extra: &[&str]) -> Server {
        let port = crate::ports::free().unwrap().port();
        let mut server = Server {
            port,
            directory: tempfile::tempdir().unwrap(),
            extra: extra.iter().map(|argument| (*argument).to_owned()).collect(),
            process: None,
        };
        server.again().await;
        server
    }

    /// Starts it again where it was, with what its dump holds.
    pub(crate) async fn again(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.extra)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.process = Some(process);
        soon("the start of redis-server", async {
            while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Stops it without ending it: connections stay, and nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([format!("-{signal}"), id]).status().unwrap().success());
    }

    /// What the service would say of it, with limits that a test can wait for.
    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions {
            url: format!("redis://127.0.0.1:{}", self.port),
            ca: None,
            connections: 4,
            command_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(2),
            probe_every: Duration::from_millis(300),
            bus_backlog: 4096,
        }
    }

    pub(crate) fn redis(&self) -> Redis {
        Redis::open(self.options()).unwrap()
    }

    /// A command as somebody else would type it, and its answer.
    pub(crate) async fn type_in(&self, command: &[&str]) -> String {
        let client = ::redis::Client::open(self.options().url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut typed = ::redis::cmd(command[0]);
        typed.arg(&command[1..]);
        let answer: ::redis::Value = typed.query_async(&mut connection).await.unwrap();
        match ::redis::from_redis_value::<String>(answer.clone()) {
            Ok(text) => text,
            Err(_) => format!("{answer:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // A stopped process dies of this too.
            drop(process.kill());
            drop(process.wait());
        }
    }
}
