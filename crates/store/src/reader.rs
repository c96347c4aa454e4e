//! The side that cannot write: its connections are read-only on the engine itself.
//! What can be read lies beside the table that it is read from: see `pipeline`, `execution`, `job`, `state`, `topic` and `delivery`.

use pipecast_model::Epoch;

use crate::engine::{Pool, on};
use crate::error::Attempt;
use crate::migrate::recognise;
use crate::{Options, Result};

/// The side that cannot write. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) on: Pool,
    pub(crate) epoch: Epoch,
}

impl Reader {
    pub(crate) async fn open(options: &Options) -> Result<Self> {
        let on = crate::engine::connect_reader(options).await?;
        let epoch = recognise(&on).await?;
        Ok(Reader { on, epoch })
    }

    /// The epoch of every sequence in this database.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        const SQL: &str = "SELECT CAST(1 AS BIGINT)";
        on!(&self.on, |db| sqlx::query_scalar::<_, i64>(SQL).fetch_one(db).await.map(drop)).attempted("reach the database")
    }
}
