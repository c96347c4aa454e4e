//! A process that can be killed, paused and started again where it was, with everything that it has started itself.
//! Knows nothing of what it does.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use pipecast::simulate::line::Line;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::leaks;

/// Longest wait for one that starts, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a process is known to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It takes connections.
    Listens,
    /// It answers `GET /health/ready` with 200.
    SaysSo,
}

/// What is needed to start it the same way each time.
pub struct Recipe {
    /// As in `edge-1`; its log is named after it.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The folder of the whole topology, for the log and the id of the process.
    pub folder: PathBuf,
    /// What to run.
    pub command: Box<dyn Fn() -> Command + Send + Sync>,
    /// How to know that it is ready.
    pub readiness: Readiness,
    /// The signal that asks it to end in order.
    pub farewell: &'static str,
}

/// A process of ours, or a server. Dropped, it is killed.
pub struct Process {
    recipe: Recipe,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// One that does not run yet.
    pub fn new(recipe: Recipe) -> Self {
        Process {
            recipe,
            child: Mutex::new(None),
        }
    }

    /// As in `edge-1`.
    pub fn name(&self) -> &str {
        &self.recipe.name
    }

    /// Where it listens, before and after a restart.
    pub fn address(&self) -> SocketAddr {
        self.recipe.address
    }

    /// What it says goes here, over all its lives.
    pub fn log(&self) -> PathBuf {
        self.recipe.folder.join(format!("{}.log", self.recipe.name))
    }

    /// The id of the process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Whether it has ended, by itself or not.
    pub fn has_ended(&self) -> bool {
        match &mut *self.child() {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => true,
        }
    }

    /// Starts it and does not wait until it is ready.
    ///
    /// # Errors
    /// Where it runs already, or the program cannot be run.
    pub fn start(&self) -> anyhow::Result<()> {
        ensure!(self.has_ended(), "{} runs already", self.name());
        let log = self.open_log()?;
        let mut command = (self.recipe.command)();
        // A group of its own, so that Ctrl-C at a terminal reaches us alone and we end things in their order.
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        std::fs::write(self.id_file(), child.id().to_string())?;
        *self.child() = Some(child);
        Ok(())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// Where it ends, or is not ready in two minutes.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready().await {
            ensure!(!self.has_ended(), "{} has ended by itself; see {}", self.name(), self.log().display());
            ensure!(
                Instant::now() < deadline,
                "{} is not ready after {PATIENCE:?}; see {}",
                self.name(),
                self.log().display()
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether it is ready now; what does not answer within two seconds is not.
    pub async fn is_ready(&self) -> bool {
        match self.recipe.readiness {
            Readiness::Listens => matches!(timeout(Duration::from_secs(2), TcpStream::connect(self.address())).await, Ok(Ok(_))),
            Readiness::SaysSo => {
                let request = format!("GET /health/ready HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address());
                let mut line = Line::new(self.address(), Duration::from_secs(2));
                matches!(line.send(request.as_bytes()).await, Ok(answer) if answer.status == 200)
            }
        }
    }

    /// Ends it and all that it has started by SIGKILL, which lets nobody do anything more.
    ///
    /// # Errors
    /// Where it does not end even so.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let all = self.kill_all();
        self.ended(Duration::from_secs(20)).await?;
        // A server that is started again while one of its helpers is still ending finds its memory in use, and ends.
        let deadline = Instant::now() + Duration::from_secs(20);
        while all.iter().any(|id| is_there(*id)) {
            ensure!(Instant::now() < deadline, "what {} has started does not end", self.name());
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Stops it and all that it has started: connections stay, and nobody answers.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Asks it to end in order, and waits; what has not ended after a minute is killed.
    ///
    /// # Errors
    /// Where it had to be killed.
    pub async fn terminate(&self) -> anyhow::Result<()> {
        let Some(id) = self.id() else { return Ok(()) };
        send(self.recipe.farewell, &[id]);
        if self.ended(Duration::from_secs(60)).await.is_err() {
            self.kill().await?;
            bail!("{} did not end in a minute and was killed; see {}", self.name(), self.log().display());
        }
        Ok(())
    }

    /// Ends in order, starts again, and is ready.
    ///
    /// # Errors
    /// Where one of the three fails.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.terminate().await?;
        self.start()?;
        self.ready().await
    }

    async fn ended(&self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while !self.has_ended() {
            ensure!(Instant::now() < deadline, "{} does not end", self.name());
            sleep(Duration::from_millis(5)).await;
        }
        *self.child() = None;
        let _ = std::fs::remove_file(self.id_file());
        Ok(())
    }

    fn signal(&self, signal: &str) {
        if let Some(id) = self.id() {
            // The leader first, so that it starts nobody while its children are looked for.
            send(signal, &[id]);
            send(signal, &descendants(id));
        }
    }

    /// Returns whom it has killed.
    fn kill_all(&self) -> Vec<u32> {
        let Some(id) = self.id() else { return Vec::new() };
        // Once it is dead, nobody knows any more whom it has started.
        send("STOP", &[id]);
        let mut all = descendants(id);
        all.push(id);
        send("KILL", &all);
        all
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("nobody panics while holding it")
    }

    /// For whoever ends everything when we cannot.
    fn id_file(&self) -> PathBuf {
        self.recipe.folder.join(format!("{}.pid", self.recipe.name))
    }

    fn open_log(&self) -> io::Result<File> {
        let log = self.log();
        // Where whoever looks for leaks finds it, after the folder is gone.
        if let Some(traces) = std::env::var_os(leaks::TRACES).filter(|_| !log.is_symlink() && !log.exists()) {
            let (logs, folder) = (PathBuf::from(traces).join("logs"), self.recipe.folder.file_name().unwrap_or_default());
            std::fs::create_dir_all(&logs)?;
            let kept = logs.join(format!("prove-{}-{}.txt", folder.display(), self.name()));
            File::create(&kept)?;
            std::os::unix::fs::symlink(kept, &log)?;
        }
        OpenOptions::new().create(true).append(true).open(log)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name(), self.address())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_all();
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Children and their children. A server's helpers may have groups and sessions of their own, but they keep their parents.
fn descendants(id: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let mut next = vec![id];
    while let Some(id) = next.pop() {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{id}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            next.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        all.push(id);
    }
    all.retain(|other| *other != id);
    all
}

/// Whether it has not ended yet; one that nobody has asked for since has.
fn is_there(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn send(signal: &str, ids: &[u32]) {
    if ids.is_empty() {
        return;
    }
    // Some may have ended meanwhile, which is as good.
    let _ = Command::new("kill")
        .arg(format!("-{signal}"))
        .args(ids.iter().map(u32::to_string))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
