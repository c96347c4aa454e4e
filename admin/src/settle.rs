//! Settles claims once what they changed is durable: commits are not synced one by one, but all together before their claims go.
//! Knows nothing of what was committed.
//!
//! So no watcher waits for a sync, and one sync serves every batch of `EVERY`. A crash of the machine before it undoes commits whose
//! claims are still in the queue: they are applied again.

use std::sync::Arc;
use std::time::Duration;

use pipecast_fabric::{ClaimId, Queue, Verdict};
use pipecast_model::with_causes;
use pipecast_store::Writer;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{error, warn};

/// How long a claim may wait for others to share a sync with. Nobody waits for it but the queue's room.
const EVERY: Duration = Duration::from_millis(20);
/// Batches that wait to be settled. When they are so many, announcing waits for the disk.
pub(crate) const WAITING: usize = 256;

/// The one task that settles what was committed.
pub(crate) struct Settler {
    pub(crate) writer: Arc<Writer>,
    pub(crate) queue: Arc<dyn Queue>,
}

impl Settler {
    /// Settles what comes in; ends when nobody is left who could announce, or when the disk fails: then nothing is known to be
    /// durable, so nothing is settled, and the whole process has to end.
    pub(crate) async fn run(self, mut inbox: mpsc::Receiver<Vec<(ClaimId, Verdict)>>) {
        let mut batches = Vec::new();
        while inbox.recv_many(&mut batches, WAITING).await > 0 {
            if !inbox.is_closed() {
                sleep(EVERY).await;
            }
            while let Ok(batch) = inbox.try_recv() {
                batches.push(batch);
            }
            if let Err(error) = self.writer.sync().await {
                error!("the database cannot be made durable, so nothing is settled any more: {}", with_causes(&error));
                return;
            }
            if let Err(error) = self.queue.settle(batches.drain(..).flatten().collect()).await {
                warn!("cannot settle what was written, it will come back as duplicates: {}", with_causes(&error));
            }
        }
    }
}
