//! The audit as it leaves the database: lines of JSON, a verdict on the whole chain, and its end in the log.
//! Knows nothing of who may read it; rows are written by `Tx::audit` in the transaction of what they tell.

use std::io::Write;
use std::time::{Duration, Instant};

use pipecast_model::{ProjectId, Timestamp, TokenId, UserId, with_causes};
use pipecast_store::audit::{Anchor, Row, Verification};
use pipecast_store::{Reader, Result};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

mod told;

pub use told::Told;

/// Rows that are read at once.
const PAGE: i64 = 1_000;

/// How often it is asked where the audit ends.
const LOOK: Duration = Duration::from_secs(5);

/// The log is told where the audit ends, if it has moved, so long after it was told last…
const SAY_EVERY: Duration = Duration::from_secs(5 * 60);

/// …or as soon as it has moved so far.
const SAY_ROWS: i64 = 1_000;

/// How often the log is told that this cannot be read.
const SAY_TROUBLE: Duration = Duration::from_secs(5 * 60);

/// A row of the audit as it is shown and exported.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditLine)]
pub struct Line {
    /// Its number, without gaps from 1 on.
    seq: i64,
    /// When it was written.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    /// `user`, `token`, `system` or `anonymous`.
    #[schema(example = "user")]
    actor: String,
    /// The person, also where a token of theirs was used.
    user_id: Option<UserId>,
    /// The token.
    token_id: Option<TokenId>,
    /// A resource and a verb.
    #[schema(example = "source.create")]
    action: String,
    /// `ok` or `denied`.
    #[schema(example = "ok")]
    outcome: String,
    /// The project that it belongs to.
    project_id: Option<ProjectId>,
    /// What kind of thing it was done to.
    resource_type: Option<String>,
    /// Its id.
    resource_id: Option<String>,
    /// What it was called then.
    resource_label: Option<String>,
    /// What was different before, without secrets.
    #[schema(value_type = Object, nullable)]
    before: Option<Box<RawValue>>,
    /// What it has become, without secrets.
    #[schema(value_type = Object, nullable)]
    after: Option<Box<RawValue>>,
    /// The client's address.
    ip: Option<String>,
    /// What the client calls itself.
    user_agent: Option<String>,
    /// The request, as our log names it.
    request_id: Option<String>,
    /// SHA-256 over the hash of the row before and this row.
    hash: String,
}

impl From<Row> for Line {
    fn from(row: Row) -> Line {
        Line {
            seq: row.seq,
            at: row.at,
            actor: row.actor,
            user_id: row.user_id,
            token_id: row.token_id,
            action: row.action,
            outcome: row.outcome,
            project_id: row.project_id,
            resource_type: row.resource_type,
            resource_id: row.resource_id,
            resource_label: row.resource_label,
            before: row.before.map(json),
            after: row.after.map(json),
            ip: row.ip,
            user_agent: row.user_agent,
            request_id: row.request_id,
            hash: row.hash,
        }
    }
}

impl Line {
    /// Its number.
    pub(crate) fn seq(&self) -> i64 {
        self.seq
    }
}

/// The text as it was hashed; what is no JSON any more, because somebody has changed it, as text.
fn json(text: String) -> Box<RawValue> {
    match serde_json::from_str(&text) {
        Ok(json) => json,
        Err(_) => serde_json::value::to_raw_value(&text).expect("text is always JSON"),
    }
}

/// Why an export ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] pipecast_store::Error),
    /// What it is written to.
    #[error("cannot write the audit")]
    Write(#[from] std::io::Error),
}

/// Writes every row behind the number `after`, one JSON object a line, the oldest first. Returns how many.
///
/// # Errors
/// See [`Error`]; what was written until then is whole lines, but perhaps for the last.
pub async fn export(reader: &Reader, after: i64, to: &mut impl Write) -> std::result::Result<u64, Error> {
    let (mut seq, mut count) = (after, 0);
    loop {
        let lines = lines_after(reader, seq).await?;
        let Some(last) = lines.last() else {
            to.flush()?;
            return Ok(count);
        };
        seq = last.seq;
        count += lines.len() as u64;
        to.write_all(&ndjson(&lines))?;
    }
}

/// The next lines behind a number, the oldest first; none at the end.
pub(crate) async fn lines_after(reader: &Reader, seq: i64) -> Result<Vec<Line>> {
    let rows = reader.list_audit_after(seq, PAGE).await?;
    Ok(rows.into_iter().map(Line::from).collect())
}

/// One JSON object a line.
pub(crate) fn ndjson(lines: &[Line]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).expect("a line is always JSON");
        text.push(b'\n');
    }
    text
}

/// Reads the whole audit and says the first row that is not as it was written; how far it is, in the log.
///
/// # Errors
/// The database cannot be read.
pub async fn verify(reader: &Reader, anchors: &[Anchor]) -> Result<Verification> {
    const SAY_EACH: i64 = 100_000;
    reader
        .verify_audit(anchors, |rows| {
            if rows % SAY_EACH == 0 {
                info!(rows, "verified {rows} rows of the audit");
            }
        })
        .await
}

/// Tells the log where the audit ends, until it is asked to end. Whoever makes all of it anew does not reach the logs that were shipped
/// elsewhere: `pipecast audit verify --anchor` compares with what stands there.
pub async fn tell_ends(reader: Reader, ending: CancellationToken) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Option<(i64, Instant)> = None;
    let mut complained: Option<Instant> = None;
    while ending.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = Instant::now();
        let trouble = match reader.audit_head().await {
            Ok(Some(head)) => {
                if is_due(told, head.seq, now) {
                    info!(audit.seq = head.seq, audit.hash = %head.hash, "the audit ends with {head}");
                    told = Some((head.seq, now));
                }
                complained = None;
                continue;
            }
            Ok(None) => "the head of the audit is gone; run `pipecast audit verify`".to_owned(),
            Err(error) => format!("cannot read where the audit ends, trying again every {LOOK:?}: {}", with_causes(&error)),
        };
        if complained.is_none_or(|last| now.duration_since(last) >= SAY_TROUBLE) {
            warn!("{trouble}");
            complained = Some(now);
        }
    }
}

/// Whether the log is to be told that the audit ends with row `seq`, by what it was told last and when.
fn is_due(told: Option<(i64, Instant)>, seq: i64, now: Instant) -> bool {
    let Some((last, at)) = told else { return seq != 0 };
    // Backwards, too: an end that moves there is what the log is for.
    seq != last && (now.duration_since(at) >= SAY_EVERY || seq < last || seq - last >= SAY_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_after_five_minutes_or_a_thousand_rows_if_it_has_moved() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let told = Some((7, start));

        assert!(is_due(None, 7, start) && !is_due(None, 0, start));
        assert!(!is_due(told, 8, start + 299 * second) && is_due(told, 8, start + 300 * second));
        assert!(!is_due(told, 1_006, start + second) && is_due(told, 1_007, start + second));
        assert!(!is_due(told, 7, start + 600 * second), "it has not moved");
        assert!(is_due(told, 6, start + second), "rows are gone");
    }
}
