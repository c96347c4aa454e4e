//! Brings back what an archive holds, into an empty database of either engine.
//! Knows nothing of how an archive is read.

use std::path::Path;

use bytes::Bytes;
use futures_util::future::try_join_all;
use pipecast_fabric::Queue;
use pipecast_model::Lane;
use pipecast_store::Options;
use pipecast_store::archive::{Load, Over, Table, Value};

use super::progress::Progress;
use super::reading::{Page, Pages, verify};
use super::{BURIED, Contents, Error, QUEUE};

/// Rows that are written together…
const ROWS: usize = 500;
/// …and bytes.
const BYTES: usize = 8 << 20;

/// Reads the archive `from` to its end to see that it is whole, and then writes its rows in one transaction and its messages to `queue`.
/// The database gets a new epoch, so no watcher takes what it had for current; what was not announced is announced again. All sessions are
/// ended: nobody knows which of them were ended since.
///
/// Messages come back uncounted, the buried ones too: they are tried as if they were new. They are sent before the transaction commits,
/// so a restore that fails leaves at most some that a second one brings again, which does no harm.
///
/// # Errors
/// See [`Error`]; the database is as it was then.
pub async fn restore(from: &Path, store: &Options, queue: &dyn Queue, over: Over) -> Result<Contents, Error> {
    let (head, contents) = verify(from)?;
    let mut load = Load::begin(store, head.schema, over).await?;
    let mut pages = Pages::open(from)?;
    let mut rest: Option<Heap> = None;
    loop {
        match pages.next()? {
            Page::Table(table) => {
                if let Some(heap) = rest.replace(Heap::of(table)) {
                    heap.end(&mut load, queue).await?;
                }
            }
            Page::Row(row) => {
                if let Some(heap) = &mut rest {
                    heap.put(row);
                    if heap.is_full() {
                        heap.empty(&mut load, queue).await?;
                    }
                }
            }
            Page::Ids(ids) => {
                for (table, last) in ids {
                    load.go_on_after(&table, last).await?;
                }
            }
            Page::End => break,
        }
    }
    if let Some(heap) = rest {
        heap.end(&mut load, queue).await?;
    }
    load.end_sessions().await?;
    load.commit().await?;
    Ok(contents)
}

/// Rows of one table that are written together.
struct Heap {
    table: Table,
    rows: Vec<Vec<Value>>,
    bytes: usize,
    progress: Progress,
}

impl Heap {
    fn of(table: Table) -> Heap {
        Heap {
            progress: Progress::new("restoring", &table.name),
            table,
            rows: Vec::new(),
            bytes: 0,
        }
    }

    fn put(&mut self, row: Vec<Value>) {
        self.bytes += row.iter().map(Value::size).sum::<usize>();
        self.rows.push(row);
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= ROWS || self.bytes >= BYTES
    }

    async fn empty(&mut self, load: &mut Load, queue: &dyn Queue) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        self.progress.note(rows.len());
        if self.table.name == QUEUE || self.table.name == BURIED {
            // Sent together, so that they share syncs; each is numbered in its turn.
            try_join_all(rows.into_iter().map(|row| send(queue, row))).await?;
            return Ok(());
        }
        load.add(&self.table, &rows).await?;
        Ok(())
    }

    async fn end(mut self, load: &mut Load, queue: &dyn Queue) -> Result<(), Error> {
        self.empty(load, queue).await?;
        self.progress.done();
        Ok(())
    }
}

async fn send(queue: &dyn Queue, row: Vec<Value>) -> Result<(), Error> {
    let mut row = row.into_iter();
    let (Some(Value::Text(lane)), Some(Value::Bytes(message))) = (row.next(), row.next()) else {
        return Ok(());
    };
    // A lane of a build that had more of them is the one for what may wait.
    let lane = Lane::ALL.into_iter().find(|known| known.word() == lane).unwrap_or(Lane::Bulk);
    queue.send(lane, Bytes::from(message)).await?;
    Ok(())
}
