//! The schema of the database at the start: who brings it, who waits for it, and who ends because it is not theirs.
//! Knows nothing of what is in it.

use std::time::Duration;

use anyhow::Context;
use pipecast_store::{Error, Options, Reader};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::health::Schema as Seen;

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often the log says that it is still missing.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Brings the schema or waits for it.
pub(super) struct Schema {
    options: Options,
    reader: Reader,
    /// Whether this process migrates; all others wait for one that does.
    migrates: bool,
    seen: watch::Sender<Seen>,
}

/// What becomes of the schema, for those who need it.
#[derive(Clone)]
pub(super) struct Awaited(watch::Receiver<Seen>);

impl Awaited {
    /// Returns once this build's schema is there.
    pub(super) async fn there(&mut self) {
        if self.0.wait_for(|seen| *seen == Seen::There).await.is_err() {
            // Whoever looks for it has ended, and with it the process does.
            std::future::pending::<()>().await;
        }
    }

    /// Whether it is there.
    pub(super) fn is_there(&self) -> bool {
        *self.0.borrow() == Seen::There
    }

    /// For the probes.
    pub(super) fn seen(&self) -> watch::Receiver<Seen> {
        self.0.clone()
    }
}

impl Schema {
    pub(super) fn new(options: Options, reader: Reader, migrates: bool) -> (Schema, Awaited) {
        let (seen, awaited) = watch::channel(Seen::Unknown);
        let schema = Schema {
            options,
            reader,
            migrates,
            seen,
        };
        (schema, Awaited(awaited))
    }

    /// Brings it, or sees that it is there. `false` where that may still come by itself: a server that is down, or no admin yet.
    ///
    /// # Errors
    /// A schema of a newer build, and whatever else no waiting helps against. A file that cannot be opened is such a thing.
    pub(super) async fn attempt(&self) -> anyhow::Result<bool> {
        let brought = async {
            if self.migrates {
                pipecast_store::migrate(&self.options).await?;
            }
            self.reader.recognise().await.map(drop)
        };
        let brought: pipecast_store::Result<()> = brought.await;
        match brought {
            Ok(()) => {
                self.seen.send_replace(Seen::There);
                Ok(true)
            }
            Err(Error::NotMigrated) if self.options.is_shared() => {
                self.seen.send_replace(Seen::Missing);
                Ok(false)
            }
            Err(Error::Unavailable { .. }) if self.options.is_shared() => Ok(false),
            Err(error) if self.migrates => Err(error).context("cannot migrate the database"),
            Err(error) => Err(error).context("cannot use the database"),
        }
    }

    /// Attempts it until it is there.
    ///
    /// # Errors
    /// As `attempt`.
    pub(super) async fn bring(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut say_at = begun;
        loop {
            if Instant::now() >= say_at {
                warn!(waited_s = begun.elapsed().as_secs(), "{}", self.what_is_missing());
                say_at = Instant::now() + SAY_EVERY;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            if self.attempt().await? {
                info!(waited_s = begun.elapsed().as_secs(), "the database is there, and so is the schema");
                return Ok(());
            }
        }
    }

    fn what_is_missing(&self) -> &'static str {
        match *self.seen.borrow() {
            Seen::Missing => "waiting for the schema: it is not this build's yet; a process with the admin role, or `pipecast migrate`, brings it",
            _ => "waiting for the database: store.url does not answer",
        }
    }
}
