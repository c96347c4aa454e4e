//! A redis-server with the persistence of docker-compose.yml.
//! Knows nothing of what is in it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::ports;
use crate::process::{Process, Readiness, Recipe};

/// Whoever looks for leaks finds it by its mark.
const PASSWORD: &str = "pl4nted-password-of-redis";

/// A redis-server.
#[derive(Debug)]
pub struct Redis {
    /// The process.
    pub process: Process,
    files: PathBuf,
}

impl Redis {
    /// Starts one whose files and log are in `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (address, files) = (ports::free()?, folder.join("redis"));
        std::fs::create_dir_all(&files)?;
        let command = {
            let files = files.clone();
            Box::new(move || {
                let mut command = Command::new("redis-server");
                command
                    .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""])
                    .args(["--appendonly", "yes", "--appendfsync", "everysec"])
                    .args(["--maxmemory", "256mb", "--maxmemory-policy", "volatile-lru"])
                    .args(["--requirepass", PASSWORD])
                    .arg("--dir")
                    .arg(&files);
                command
            })
        };
        let process = Process::new(Recipe {
            name: "redis".to_owned(),
            address,
            folder: folder.to_owned(),
            command,
            readiness: Readiness::Listens,
            farewell: "TERM",
        });
        process.start()?;
        process.ready().await?;
        Ok(Redis { process, files })
    }

    /// Where it is, seen through `address`: its own or a gate's.
    pub fn url_at(address: SocketAddr) -> String {
        format!("redis://:{PASSWORD}@{address}")
    }

    /// The same at the server itself.
    pub fn url(&self) -> String {
        Self::url_at(self.process.address())
    }

    /// Starts it again without anything that it had, once it has ended.
    pub fn start_empty(&self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.files)?;
        std::fs::create_dir(&self.files)?;
        self.process.start()
    }

    /// A copy of what it has on disk now, to come back with one day.
    pub fn keep_copy(&self) -> anyhow::Result<PathBuf> {
        let copy = self.files.with_extension("old");
        super::run(Command::new("cp").arg("-a").arg("--no-target-directory").arg(&self.files).arg(&copy))?;
        Ok(copy)
    }

    /// Starts it again with an earlier copy, once it has ended.
    pub fn start_with(&self, copy: &Path) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.files)?;
        super::run(Command::new("cp").arg("-a").arg("--no-target-directory").arg(copy).arg(&self.files))?;
        self.process.start()
    }

    /// What somebody may type at any moment: all keys are gone.
    pub async fn flush(&self) -> anyhow::Result<()> {
        let client = ::redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await.context("cannot reach redis")?;
        ::redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.context("cannot flush redis")
    }
}
