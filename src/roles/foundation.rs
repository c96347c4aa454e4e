//! What a process stands on before it does anything else: the schema of the database, and keys that open what is sealed in it.
//! Knows nothing of what is built on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use pipecast_store::sealed::Keys;
use pipecast_store::{Options, Reader};
use tokio_util::sync::CancellationToken;

use super::Role;
use super::keys::{self, Makes};
use super::schema::{Awaited, Schema};
use super::tasks::Tasks;

/// The schema and the keys of a process.
pub(super) struct Foundation {
    schema: Schema,
    keys: Arc<Keys>,
    reader: Reader,
    /// What it does about a key file that is not there; none where it needs no keys.
    makes: Option<Makes>,
}

impl Foundation {
    /// For a process with these roles. An admin migrates, and makes the first key.
    pub(super) fn new(options: Options, reader: Reader, keys: Arc<Keys>, roles: &BTreeSet<Role>) -> (Foundation, Awaited) {
        let (schema, awaited) = Schema::new(options, reader.clone(), roles.contains(&Role::Admin));
        let makes = match (roles.contains(&Role::Admin), roles.contains(&Role::Realtime)) {
            (true, _) => Some(Makes::Key),
            (false, true) => Some(Makes::Nothing),
            (false, false) => None,
        };
        let foundation = Foundation { schema, keys, reader, makes };
        (foundation, awaited)
    }

    /// Lays it at once, or in a task where that has to wait for the database or for an admin.
    ///
    /// # Errors
    /// What no waiting helps against; found out later, it ends the task.
    pub(super) async fn lay(self, tasks: &mut Tasks, ending: &CancellationToken) -> anyhow::Result<()> {
        if self.schema.attempt().await? {
            return self.make_sure_of_keys().await;
        }
        let ending = ending.clone();
        tasks.start("database", async move {
            let bring = async {
                self.schema.bring().await?;
                self.make_sure_of_keys().await
            };
            if let Some(brought) = ending.run_until_cancelled(bring).await {
                brought?;
                // It has done its work; a task that ends would end the process.
                ending.cancelled().await;
            }
            Ok(())
        });
        Ok(())
    }

    async fn make_sure_of_keys(&self) -> anyhow::Result<()> {
        match self.makes {
            Some(makes) => keys::make_sure(&self.keys, &self.reader, makes).await,
            None => Ok(()),
        }
    }
}
