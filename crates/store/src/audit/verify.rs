//! Verifying the audit: reads it from the first row to the last and says where it is not as it was written.
//! Knows nothing of what the rows say.

use std::fmt;

use super::{Anchor, Row};
use crate::{Reader, Result};

/// Rows that are read at once.
const PAGE: i64 = 1_000;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Every row is as it was written. The newest of them; keep it elsewhere, and verify against it later.
    Sound(Anchor),
    /// It is not; the first that is wrong.
    Broken {
        /// The row's number.
        seq: i64,
        /// What is wrong with it.
        finding: Finding,
    },
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There is none of that number, but there was.
    Missing,
    /// It is not as it was written, or does not stand where it stood.
    Changed,
    /// It is not the one that was written down elsewhere.
    Other,
    /// It stands behind the newest, or before the first.
    Surplus,
    /// The head is gone, or contradicts the newest row.
    Head,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finding::Missing => "is missing",
            Finding::Changed => "is not as it was written, or not where it was",
            Finding::Other => "is another one than the anchor names",
            Finding::Surplus => "was not written by pipecast",
            Finding::Head => "is not the one that the head names",
        })
    }
}

impl Reader {
    /// Reads the whole audit, page by page, while others may go on adding to it. `anchors` are rows that are known from elsewhere;
    /// `noted` is called with how many rows are verified. A row before the first is none of ours, and would be shown as one.
    ///
    /// # Errors
    /// Only where the database cannot be read; what is wrong with the audit is no error.
    pub async fn verify_audit(&self, anchors: &[Anchor], mut noted: impl FnMut(i64)) -> Result<Verification> {
        let mut newest = Anchor::genesis();
        if let Some(seq) = self.audit_before_first().await? {
            return Ok(broken(seq, Finding::Surplus));
        }
        loop {
            let rows = self.list_audit_after(newest.seq, PAGE).await?;
            if rows.is_empty() {
                // Asked after the rows: it can only be newer than they are.
                let head = self.audit_head().await?;
                match ending(&newest, head, anchors) {
                    Some(verification) => return Ok(verification),
                    // Somebody has added to it meanwhile; or what is missing is missing still.
                    None if self.list_audit_after(newest.seq, 1).await?.is_empty() => return Ok(broken(newest.seq + 1, Finding::Missing)),
                    None => continue,
                }
            }
            for row in rows {
                if let Some(broken) = follow(&mut newest, &row, anchors) {
                    return Ok(broken);
                }
            }
            noted(newest.seq);
        }
    }
}

fn broken(seq: i64, finding: Finding) -> Verification {
    Verification::Broken { seq, finding }
}

/// Moves on to the next row, or says what is wrong with it.
fn follow(newest: &mut Anchor, row: &Row, anchors: &[Anchor]) -> Option<Verification> {
    if row.seq != newest.seq + 1 {
        return Some(broken(newest.seq + 1, Finding::Missing));
    }
    if row.hash != row.hash_after(&newest.hash) {
        return Some(broken(row.seq, Finding::Changed));
    }
    if anchors.iter().any(|anchor| anchor.seq == row.seq && anchor.hash != row.hash) {
        return Some(broken(row.seq, Finding::Other));
    }
    newest.seq = row.seq;
    newest.hash.clone_from(&row.hash);
    None
}

/// What the end of it says; `None` where more has to be there.
fn ending(newest: &Anchor, head: Option<Anchor>, anchors: &[Anchor]) -> Option<Verification> {
    let Some(head) = head else {
        return Some(broken(newest.seq, Finding::Head));
    };
    if head.seq > newest.seq {
        return None;
    }
    if head.seq < newest.seq {
        return Some(broken(head.seq + 1, Finding::Surplus));
    }
    if head.hash != newest.hash {
        return Some(broken(newest.seq, Finding::Head));
    }
    if anchors.iter().any(|anchor| anchor.seq > newest.seq) {
        return Some(broken(newest.seq + 1, Finding::Missing));
    }
    Some(Verification::Sound(newest.clone()))
}
