//! What the senders know: how often each delivery was sent and acknowledged, and the times without an acknowledgement.
//! Knows nothing of what became of any.

use std::collections::HashMap;
use std::time::Duration;

use pipecast::simulate::postman::{Fate, Receipt};
use pipecast_model::{Host, Timestamp};
use tokio::time::Instant;

use crate::ledger::Ledger;

/// One delivery's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// Requests.
    pub sent: i64,
    /// Of these, answered by 2xx.
    pub acknowledged: i64,
    /// When the first of these answers came.
    pub accepted_at: Option<Timestamp>,
}

/// All accounts, by host and key.
#[derive(Debug)]
pub struct Accounts {
    /// Each delivery's.
    pub by_key: HashMap<(Host, String), Account>,
    /// How many requests were acknowledged, repeated ones included.
    pub acknowledged: u64,
    last: Instant,
    longest_outage: Duration,
}

impl Default for Accounts {
    fn default() -> Self {
        Accounts {
            by_key: HashMap::new(),
            acknowledged: 0,
            last: Instant::now(),
            longest_outage: Duration::ZERO,
        }
    }
}

impl Accounts {
    /// Takes note of an answer, or of none.
    pub fn note(&mut self, receipt: &Receipt) {
        let event = &receipt.letter.event;
        let account = self.by_key.entry((event.host, event.id.clone())).or_default();
        account.sent += 1;
        if !matches!(receipt.fate, Fate::Acknowledged(_)) {
            return;
        }
        account.acknowledged += 1;
        account.accepted_at.get_or_insert_with(Timestamp::now);
        self.acknowledged += 1;
        self.longest_outage = self.longest_outage.max(self.last.elapsed());
        self.last = Instant::now();
    }

    /// Deliveries that were acknowledged at least once.
    pub fn accepted(&self) -> usize {
        self.by_key.values().filter(|account| account.acknowledged > 0).count()
    }

    /// The longest time without an acknowledgement, while there was always something to send.
    pub fn longest_outage(&self) -> Duration {
        self.longest_outage
    }

    /// Waits until everything that was acknowledged stands in the ledger and is announced, or nothing has moved for `patience`; how many
    /// deliveries are still missing then.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn drained(&self, ledger: &mut Ledger, patience: Duration) -> anyhow::Result<usize> {
        let mut last = (-1, -1);
        let mut since = Instant::now();
        loop {
            let now = (ledger.count().await?, ledger.dirty().await?);
            let moves = now != last;
            if moves {
                (last, since) = (now, Instant::now());
            }
            // To look at everything takes long, and is only worth it when nothing is left to be told.
            if now.1 == 0 && !moves || since.elapsed() > patience {
                let known = ledger.deliveries().await?;
                let missing = self
                    .by_key
                    .iter()
                    .filter(|(key, account)| account.acknowledged > 0 && !known.contains_key(*key))
                    .count();
                if missing == 0 && now.1 == 0 {
                    return Ok(0);
                }
                if since.elapsed() > patience {
                    println!(
                        "still missing after {patience:?} without a change: {missing} deliveries, {} announcements",
                        now.1
                    );
                    return Ok(missing);
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
