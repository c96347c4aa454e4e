//! Takes a backup while everything runs.
//! Knows nothing of how an archive is written.

use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use pipecast_fabric::queue::embedded::{Stock, Stored};
use pipecast_model::Timestamp;
use pipecast_store::Options;
use pipecast_store::archive::{Snapshot, Value};

use super::progress::Progress;
use super::writing::{Draft, Existing};
use super::{BURIED, Contents, Error, FORMAT, Head, NAME, QUEUE, messages};

/// Writes everything into the archive `to`: the database, and what waits in these queue files, as far as they are there.
///
/// The queues are read first and the database after them. A delivery moves from the one to the other, and leaves the queue only once
/// its rows are committed: so one that was acknowledged before the backup began is in at least one of the two, and one that is in both
/// is found in the ledger when it is handed out again.
///
/// # Errors
/// See [`Error`]; no file is left then.
pub async fn backup(store: &Options, queues: &[PathBuf], to: &Path, existing: Existing) -> Result<Contents, Error> {
    let seen = Snapshot::take(store).await?;
    let head = Head {
        archive: NAME.to_owned(),
        format: FORMAT,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        schema: seen.schema(),
        epoch: seen.epoch().to_string(),
        taken_at: Timestamp::now(),
    };
    drop(seen);
    let mut draft = Draft::create(to, existing)?;
    draft.head(&head)?;
    draft.table(&messages(QUEUE))?;
    let mut stocks = Vec::new();
    for queue in queues {
        stocks.extend(Stock::of(queue).await?);
    }
    for stock in &mut stocks {
        copy_messages(&mut draft, QUEUE, stock.waiting()).await?;
    }
    draft.table(&messages(BURIED))?;
    for stock in &mut stocks {
        copy_messages(&mut draft, BURIED, stock.buried()).await?;
    }
    drop(stocks);

    let mut snapshot = Snapshot::take(store).await?;
    if snapshot.schema() != head.schema || snapshot.epoch().0 != head.epoch {
        return Err(Error::Changed);
    }
    for table in snapshot.tables() {
        let mut progress = Progress::new("backing up", &table.name);
        draft.table(&table)?;
        let mut rows = snapshot.rows(&table.name);
        while let Some(row) = rows.try_next().await? {
            draft.row(&row)?;
            progress.note(1);
        }
        progress.done();
    }
    draft.ids(snapshot.last_ids().await?)?;
    draft.finish()
}

async fn copy_messages(draft: &mut Draft, table: &str, mut from: BoxStream<'_, pipecast_fabric::Result<Stored>>) -> Result<(), Error> {
    let mut progress = Progress::new("backing up", table);
    while let Some(Stored { lane, message }) = from.try_next().await? {
        draft.row(&[Value::Text(lane.word().to_owned()), Value::Bytes(message.into())])?;
        progress.note(1);
    }
    progress.done();
    Ok(())
}
