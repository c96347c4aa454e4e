//! The commands on the audit: is it as it was written, and a copy of it. They read the database beside whatever runs.
//! Knows nothing of how rows are chained.

use std::io::Write;

use anyhow::{Context, bail};
use pipecast_admin::audit;
use pipecast_store::Reader;
use pipecast_store::audit::{Anchor, Verification};

use crate::config::Config;

/// Verifies all of it, against anchors that were kept elsewhere too; the sentence names the newest row as the next anchor.
///
/// # Errors
/// Says the first row that is not as it was written, or why the database cannot be read.
pub async fn verify(config: &Config, anchors: &[Anchor]) -> anyhow::Result<String> {
    let reader = open(config).await?;
    let verification = audit::verify(&reader, anchors).await.context("cannot verify the audit");
    reader.close().await;
    match verification? {
        Verification::Sound(newest) => Ok(format!("the audit is as it was written: {} rows\n{newest}\n", newest.seq)),
        Verification::Broken { seq, finding } => bail!("row {seq} of the audit {finding}"),
    }
}

/// Writes the rows behind the number `after` to `to`, one JSON object a line.
///
/// # Errors
/// Says what could not be read or written.
pub async fn export(config: &Config, after: i64, to: &mut impl Write) -> anyhow::Result<()> {
    let reader = open(config).await?;
    let exported = audit::export(&reader, after, to).await;
    reader.close().await;
    exported.map(drop).context("cannot export the audit")
}

async fn open(config: &Config) -> anyhow::Result<Reader> {
    let options = config.store.options(&config.data_dir);
    let reader = Reader::connect(&options).await.context("cannot open the database")?;
    reader.recognise().await.context("cannot use the database")?;
    Ok(reader)
}
