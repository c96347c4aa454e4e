//! The service as a process of its own, which can be killed at any moment and started again.
//! Knows nothing of what it does.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use pipecast::simulate::line::Line;
use pipecast::simulate::seal::Secrets;
use tokio::time::{Instant, sleep};

/// What is needed to start the service the same way each time.
pub(super) struct Service {
    /// Where it listens.
    pub(super) address: SocketAddr,
    binary: PathBuf,
    data: PathBuf,
    secrets: Secrets,
    child: Option<Child>,
}

impl Service {
    /// The service of `binary` with its data in `data`, on a port that is free now.
    pub(super) fn new(binary: &Path, data: &Path, secrets: &Secrets) -> anyhow::Result<Self> {
        let free = crate::ports::free()?;
        Ok(Service {
            address: free,
            binary: binary.to_owned(),
            data: data.to_owned(),
            secrets: secrets.clone(),
            child: None,
        })
    }

    /// Starts the process. Its log goes on in `service.log` beside the data.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let log = self.log()?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .current_dir(&self.data)
            .env("PIPECAST_DATA_DIR", &self.data)
            .env("PIPECAST_SERVER__LISTEN", self.address.to_string())
            .env("PIPECAST_WEBHOOKS__GITHUB__SECRET", &self.secrets.github)
            .env("PIPECAST_WEBHOOKS__GITLAB__SECRET", &self.secrets.gitlab)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Ends the process by SIGKILL: it gets no chance to do anything.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Whether the process has ended by itself.
    pub(super) fn has_ended(&mut self) -> io::Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_some()),
            None => Ok(true),
        }
    }

    /// Waits until it says that it is ready.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let request = format!("GET /health/ready HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let mut line = Line::new(self.address, Duration::from_secs(2));
        while !matches!(line.send(request.as_bytes()).await, Ok(answer) if answer.status == 200) {
            ensure!(
                !self.has_ended()?,
                "the service ended by itself; see {}",
                self.data.join("service.log").display()
            );
            ensure!(Instant::now() < deadline, "the service did not come up in a minute");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn log(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.data.join("service.log"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The process must not outlive the proof, whatever ended it.
        let _ = self.kill();
    }
}
