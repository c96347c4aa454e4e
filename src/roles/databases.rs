//! The connections of a process to its database: where it reads, where it writes, and where lists come from.
//! Knows nothing of the schema.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use pipecast_store::{Options, Reader, Replica, Writer};

use super::Role;
use crate::config;

/// Connections that read for a process without the realtime role: one for what is announced, one for whoever asks how it is.
const READERS_OF_A_WORKER: u32 = 2;

/// What is connected. Nothing of it has to be there yet.
pub(super) struct Databases {
    pub(super) options: Options,
    /// The primary.
    pub(super) reader: Reader,
    pub(super) writer: Arc<Writer>,
    /// The replica where there is one that keeps up, else the primary.
    pub(super) lists: Reader,
    pub(super) replica: Option<Replica>,
}

impl Databases {
    /// Connects as many times as `roles` need.
    ///
    /// # Errors
    /// A directory that cannot be made, and an address that is none.
    pub(super) async fn connect(store: &config::Store, data_dir: &Path, roles: &BTreeSet<Role>) -> anyhow::Result<Databases> {
        let is_realtime = roles.contains(&Role::Realtime);
        let mut options = store.options(data_dir);
        // A worker and an admin alone keep nothing on this machine.
        if is_realtime || !options.is_shared() {
            std::fs::create_dir_all(data_dir).with_context(|| format!("cannot create data_dir {}", data_dir.display()))?;
        }
        if !is_realtime {
            options.read_connections = options.read_connections.min(READERS_OF_A_WORKER);
            options.read_url = None;
        }
        let of_lists = options.clone();
        if options.read_url.is_some() {
            // What is left to the primary is states, each of them once; and while the replica is away its share comes on top.
            options.read_connections = options.read_connections.div_ceil(2);
        }
        let (reader, writer) = pipecast_store::connect(&options).await.context("cannot open the database")?;
        let (lists, replica) = match Replica::connect(&of_lists, &reader).context("cannot use store.read_url")? {
            Some((lists, replica)) => (lists, Some(replica)),
            None => (reader.clone(), None),
        };
        Ok(Databases {
            options,
            reader,
            writer: Arc::new(writer),
            lists,
            replica,
        })
    }
}
