//! The tasks of a process by name: whoever ends, it is known who that was.
//! Knows nothing of what they do.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{AbortHandle, Id, JoinSet};
use tracing::error;

/// Named tasks. Dropping it ends them all.
#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, (&'static str, AbortHandle)>,
}

impl Tasks {
    pub(super) fn start(&mut self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let handle = self.running.spawn(task);
        self.names.insert(handle.id(), (name, handle));
    }

    pub(super) fn abort(&self, name: &str) {
        self.names.values().filter(|(own, _)| *own == name).for_each(|(_, handle)| handle.abort());
    }

    /// The next one that ends. A panic is an end like any other, and one that was aborted ended well.
    pub(super) async fn next(&mut self) -> Option<(&'static str, anyhow::Result<()>)> {
        let (id, result) = match self.running.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            Err(failure) if failure.is_cancelled() => (failure.id(), Ok(())),
            Err(failure) => {
                error!("a task panicked: {failure}");
                (failure.id(), Err(anyhow::anyhow!("it panicked")))
            }
        };
        let name = self.names.remove(&id).map_or("task", |(name, _)| name);
        Some((name, result))
    }
}
