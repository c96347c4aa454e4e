//! Moves the database to another place or another engine, without a file between.
//! Knows nothing of queues: they stay where they are.

use futures_util::TryStreamExt;
use pipecast_store::archive::{Load, Over, Snapshot, Value};
use pipecast_store::{Error, Options};

use super::Contents;
use super::progress::Progress;

/// Rows that are written together…
const ROWS: usize = 500;
/// …and bytes.
const BYTES: usize = 8 << 20;

/// Copies every row of the database `from` into `to`, in one transaction there, with a new epoch. `from` stays as it is; nobody may
/// write to it meanwhile, or what they write is not in `to`.
///
/// # Errors
/// `InUse` where a server tells that somebody uses either of them, `NotEmpty`, `NotMigrated`, `NewerSchema`, `Unavailable`; `to` is as
/// it was then.
pub async fn move_rows(from: &Options, to: &Options, over: Over) -> Result<Contents, Error> {
    let mut snapshot = Snapshot::take(from).await?;
    match snapshot.others().await? {
        0 => {}
        others => return Err(Error::InUse(others)),
    }
    let mut load = Load::begin(to, snapshot.schema(), over).await?;
    let mut contents = Contents::default();
    for table in snapshot.tables() {
        let mut progress = Progress::new("moving", &table.name);
        let mut count = 0;
        let mut rows = snapshot.rows(&table.name);
        let (mut together, mut bytes) = (Vec::with_capacity(ROWS), 0);
        loop {
            let row = rows.try_next().await?;
            let ended = row.is_none();
            if let Some(row) = row {
                bytes += row.iter().map(Value::size).sum::<usize>();
                together.push(row);
            }
            if ended || together.len() >= ROWS || bytes >= BYTES {
                load.add(&table, &together).await?;
                progress.note(together.len());
                count += together.len() as u64;
                together.clear();
                bytes = 0;
            }
            if ended {
                break;
            }
        }
        progress.done();
        contents.rows.insert(table.name.clone(), count);
    }
    for (table, last) in snapshot.last_ids().await? {
        load.go_on_after(&table, last).await?;
    }
    load.commit().await?;
    Ok(contents)
}
