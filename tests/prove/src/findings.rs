//! What became of every delivery, by the ledger, the senders' accounts and the model forge.
//! Knows nothing of kills and watchers.

use pipecast::simulate::forge::Forge;
use pipecast::simulate::report::Report;

use crate::accounts::Accounts;
use crate::ledger::Ledger;

/// The account of everything.
pub struct Findings {
    /// Deliveries that were sent.
    pub attempted: usize,
    /// Of these, answered by 2xx at least once.
    pub acknowledged: usize,
    /// Rows of the ledger that had an effect.
    pub applied: usize,
    duplicates_by_body: usize,
    /// Acknowledged and not in the ledger.
    pub lost: usize,
    /// Deliveries that gave one topic two sequences.
    pub applied_twice: i64,
    holes: i64,
    recovered: i64,
    unexpected: usize,
    executions: usize,
    /// Executions that ended otherwise than the forge told.
    pub wrong: Vec<String>,
}

impl Findings {
    /// Whether everything is as it must be.
    pub fn are_good(&self) -> bool {
        self.lost == 0 && self.applied_twice == 0 && self.holes == 0 && self.unexpected == 0 && self.wrong.is_empty()
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "attempted {}, acknowledged {}, applied {} (and {} whose body had been seen), lost {}, applied twice {}, recovered {} (kept, though no answer came through), unexpected {}\n\
             executions {}, wrong in the end {}, topics with a hole in their sequence {}",
            self.attempted,
            self.acknowledged,
            self.applied,
            self.duplicates_by_body,
            self.lost,
            self.applied_twice,
            self.recovered,
            self.unexpected,
            self.executions,
            self.wrong.len(),
            self.holes,
        )?;
        self.wrong.iter().take(10).try_for_each(|wrong| write!(f, "\n  {wrong}"))
    }
}

/// Compares the ledger with what was sent and with how the model forge says that it ended.
pub async fn examine(ledger: &mut Ledger, accounts: &Accounts, forge: &Forge, report: &Report) -> anyhow::Result<Findings> {
    let known = ledger.deliveries().await?;
    let executions = ledger.executions().await?;
    let outcome = |word: &str| known.values().filter(|row| row.outcome == word).count();
    let lost = accounts
        .by_key
        .iter()
        .filter(|(key, account)| account.acknowledged > 0 && !known.contains_key(*key))
        .count();
    // Each arrival beyond the acknowledged ones is a request that died without an answer after it had become durable.
    let recovered = known
        .iter()
        .filter_map(|(key, row)| Some((1 + row.repeats - accounts.by_key.get(key)?.acknowledged).max(0)))
        .sum();
    let unsent = known.keys().filter(|key| !accounts.by_key.contains_key(*key)).count();
    // Both ask the sender to come again.
    let asked_back = [408, 503];
    let refused = report.refused.iter().filter(|(status, _)| !asked_back.contains(*status));
    let refused: u64 = refused.map(|(_, count)| *count).sum();
    let wrong = forge
        .truth()
        .iter()
        .filter(|(key, status)| executions.get(*key).is_none_or(|word| word != status.word()))
        .map(|(key, status)| {
            format!(
                "{key} is {} and shows as {}",
                status.word(),
                executions.get(key).map_or("nothing", String::as_str)
            )
        })
        .collect();
    Ok(Findings {
        attempted: accounts.by_key.len(),
        acknowledged: accounts.accepted(),
        applied: outcome("applied") + outcome("ping"),
        duplicates_by_body: outcome("duplicate"),
        lost,
        applied_twice: ledger.applied_twice().await?,
        holes: ledger.holes().await?,
        recovered,
        unexpected: unsent + usize::try_from(refused)? + outcome("unprocessable") + outcome("ignored") + outcome("refused"),
        executions: forge.truth().len(),
        wrong,
    })
}
