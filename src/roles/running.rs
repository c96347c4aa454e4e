//! A running process as its owner sees it, and the order in which it ends.
//! Knows nothing of how it was put together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use anyhow::Context;
use pipecast_fabric::Queue;
use pipecast_store::{Reader, Writer};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::tasks::Tasks;
use crate::drain::Drain;
use crate::live::Live;

/// How long a request that was just finished has to leave the process, once nothing is held any more.
const LAST_BYTES: Duration = Duration::from_millis(50);

/// A running process. Dropped without `stop`, it ends like a crash: safe, but without farewells.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    pub(super) tasks: Tasks,
    pub(super) server: ServerHandle,
    /// Sockets and streams, where the process has the realtime role.
    pub(super) live: Option<Arc<Live>>,
    pub(super) drain: Drain,
    /// Cancelled last: whoever still works on claims ends on it.
    pub(super) workers: CancellationToken,
    /// What is sent to or taken from.
    pub(super) queue: Arc<dyn Queue>,
    /// Both sides of the database.
    pub(super) store: (Reader, Arc<Writer>),
    pub(super) grace: Duration,
    pub(super) deadline: Duration,
}

impl Running {
    /// Waits until a role ends, which none does by itself unless something is wrong.
    ///
    /// # Errors
    /// Always: says which role ended, and why where that is known.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.next().await {
            Some((name, Ok(()))) => anyhow::anyhow!("the {name} ended by itself"),
            Some((name, Err(error))) => error.context(format!("the {name} ended")),
            None => anyhow::anyhow!("no role is running"),
        }
    }

    /// Ends everything in order: not ready, a grace, no new connections, requests, consumers, the queue, the database.
    ///
    /// # Errors
    /// Where the deadline passed first. Nothing that was acknowledged is lost by that.
    pub async fn stop(self) -> anyhow::Result<()> {
        let deadline = self.deadline;
        let ended = tokio::time::timeout(self.grace + deadline, self.stop_in_order()).await;
        ended.with_context(|| format!("the shutdown was cut off after {deadline:?}"))
    }

    async fn stop_in_order(mut self) {
        self.drain.begin();
        if !self.grace.is_zero() {
            info!("shutting down: not ready, and serving for another {:?}", self.grace);
            tokio::time::sleep(self.grace).await;
        }
        if let Some(live) = &self.live {
            info!(
                connections = live.connections(),
                "shutting down: asking every socket and stream to come back later"
            );
            live.drain().await;
        }
        info!("shutting down: no new connections");
        let closed = self.server.stop(true);
        tokio::select! {
            // Idle connections would hold this up by a second, so it is enough that nothing is held and the last answer is out.
            () = closed => {}
            () = async { self.drain.released().await; tokio::time::sleep(LAST_BYTES).await } => {}
        }
        self.tasks.abort("server");

        info!("shutting down: consumers");
        self.workers.cancel();
        while let Some((name, result)) = self.tasks.next().await {
            if let Err(error) = result {
                warn!("the {name} ended badly: {error:#}");
            }
        }
        self.queue.close().await;
        // The writer last: it tidies what no reader holds any more.
        let (reader, writer) = &self.store;
        reader.close().await;
        if let Err(error) = writer.close().await {
            warn!("{error}; nothing is lost, the next start reads it");
        }
        info!("shut down");
    }
}
