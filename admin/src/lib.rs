//! Accounts, configuration and every database write: the consumers that turn deliveries into state, and retention.
//! Knows nothing of sockets and of who watches: what has changed is announced on bus and cache.
//!
//! Two parts run by themselves: a [`Worker`], of which there may be several processes, and [`retention::run`], which any number of
//! processes may call and one does at a time. [`archive`] is for commands, with everything stopped or beside what runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use pipecast_fabric::{Bus, Cache, Queue};
use pipecast_model::{Delivery, Facts};
use pipecast_store::{Reader, Writer};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

pub mod accounts;
mod announce;
pub mod api;
pub mod archive;
pub mod audit;
mod consumers;
pub mod dead_letters;
pub mod exchange;
mod hearing;
pub mod intake;
pub mod keeping;
pub mod once;
pub mod policies;
pub mod replay;
pub mod retention;
pub mod settings;
mod settle;
pub mod sources;
pub mod targets;

/// Batches that are committed and wait to be announced. When it is full the consumer waits: announcing takes 200 ms at most.
const COMMITTED: usize = 4;

/// What a worker works with.
pub struct Worker {
    /// Reads what is announced, from the primary: what a replica has not yet replayed would be announced as it was before.
    pub reader: Reader,
    /// Where what deliveries tell is written.
    pub writer: Arc<Writer>,
    /// Where work comes from.
    pub queue: Arc<dyn Queue>,
    /// Where changes are told.
    pub bus: Arc<dyn Bus>,
    /// Where newest states lie.
    pub cache: Arc<dyn Cache>,
}

/// A task of the worker ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It came to its end, as after the queue was closed.
    #[error("the {0} ended by itself")]
    Early(&'static str),
    /// It panicked.
    #[error("the {task} panicked")]
    Panicked {
        /// Which one.
        task: &'static str,
        /// What the runtime says of it.
        #[source]
        source: tokio::task::JoinError,
    },
}

impl Worker {
    /// Consumes, announces, and announces what others left unannounced, until `ending` is cancelled, then finishes the batch in hand, announces it and returns.
    /// What it has not begun stays in the queue.
    ///
    /// Several may run at once, on one database and one queue. Two that write about the same project wait for each other there; of two
    /// that announce the same topic the later sequence wins at every listener, whoever speaks last.
    ///
    /// # Errors
    /// Says which task ended without being asked to; the others have been ended then too.
    ///
    /// Dropped before it returns, it leaves what a crash leaves: nothing is lost, and the next start announces what is due.
    pub async fn run(self, ending: CancellationToken) -> Result<(), Ended> {
        self.run_with(intake::understand, ending).await
    }

    async fn run_with(self, intake: fn(&Delivery) -> Facts, ending: CancellationToken) -> Result<(), Ended> {
        let told = Arc::new(announce::Told::default());
        let (committed, inbox) = mpsc::channel(COMMITTED);
        let (done, announced) = mpsc::channel(settle::WAITING);
        let announcer = announce::Announcer {
            reader: self.reader,
            writer: Arc::clone(&self.writer),
            done,
            bus: self.bus,
            cache: self.cache,
            told: Arc::clone(&told),
        };
        let hearing = Arc::new(hearing::Hearing::default());
        let heard = Arc::clone(&hearing).run(Arc::clone(&self.writer), ending.clone());
        let settler = settle::Settler {
            writer: Arc::clone(&self.writer),
            queue: Arc::clone(&self.queue),
        };
        let consumer = consumers::Consumer {
            queue: self.queue,
            writer: self.writer,
            told,
            hearing,
            committed,
            intake,
            said: Mutex::default(),
        };
        let mut tasks = JoinSet::new();
        let mut names: HashMap<Id, &'static str> = HashMap::new();
        // The announcer ends after the consumer, when nobody is left who could commit, and the settler after it.
        names.insert(tasks.spawn(settler.run(announced)).id(), "settler");
        names.insert(tasks.spawn(heard).id(), "hearing of sources");
        names.insert(tasks.spawn(announcer.run(inbox)).id(), "announcer");
        names.insert(tasks.spawn(consumer.run(ending.clone())).id(), "consumer");

        let mut failed = None;
        while let Some(ended) = tasks.join_next_with_id().await {
            let id = match &ended {
                Ok((id, ())) => *id,
                Err(error) => error.id(),
            };
            let task = names.get(&id).copied().unwrap_or("worker");
            match ended {
                Err(source) => failed = failed.or(Some(Ended::Panicked { task, source })),
                Ok(_) if !ending.is_cancelled() => failed = failed.or(Some(Ended::Early(task))),
                Ok(_) => {}
            }
            if failed.is_some() {
                ending.cancel();
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
