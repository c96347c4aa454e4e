//! A part of the memory of quotas: what its spenders owe. Knows nothing of clocks: instants are nanoseconds since some beginning.

use std::collections::HashMap;
use std::time::Duration;

use super::{News, Spender};

/// A full part is tidied no more often: whoever fills it on purpose does not make us look through all of it each time.
const TIDY_EVERY: u64 = 100_000_000;

/// Of so many the one who owes least makes room where nobody owes nothing.
const CANDIDATES: usize = 8;

/// Nobody owes more than this, in nanoseconds: a longer one that is told is nonsense.
const MOST_OWED: u64 = 86_400_000_000_000;

/// What somebody owes.
#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    /// When everything that was taken, here and elsewhere, will have been paid for.
    paid_until: u64,
    /// What was taken here and not told yet.
    untold: u64,
}

/// What was taken.
#[derive(Debug)]
pub(super) struct Taken {
    /// It is the first since others were told.
    pub(super) is_news: bool,
}

#[derive(Debug)]
pub(super) struct Shard {
    debts: HashMap<Spender, Debt>,
    /// Who has something untold. No longer than `most`, like the map.
    news: Vec<Spender>,
    most: usize,
    tidied: u64,
}

impl Shard {
    pub(super) fn new(most: usize) -> Shard {
        Shard {
            debts: HashMap::new(),
            news: Vec::new(),
            most: most.max(CANDIDATES),
            tidied: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.debts.len()
    }

    pub(super) fn take(&mut self, spender: Spender, price: u64, credit: u64, now: u64) -> Result<Taken, Duration> {
        let debt = match self.debts.get_mut(&spender) {
            Some(debt) => debt,
            None => {
                if self.debts.len() >= self.most {
                    self.make_room(now);
                }
                self.debts.entry(spender).or_default()
            }
        };
        debt.afford(credit, now)?;
        debt.paid_until = debt.paid_until.max(now).saturating_add(price);
        let is_news = debt.untold == 0 && self.news.len() < self.most;
        debt.untold += price;
        if is_news {
            self.news.push(spender);
        }
        Ok(Taken { is_news })
    }

    pub(super) fn check(&self, spender: &Spender, credit: u64, now: u64) -> Result<(), Duration> {
        self.debts.get(spender).map_or(Ok(()), |debt| debt.afford(credit, now))
    }

    /// Fills `news` up to `most`.
    pub(super) fn collect(&mut self, most: usize, news: &mut Vec<News>) {
        let fits = self.news.len().min(most.saturating_sub(news.len()));
        for spender in self.news.drain(..fits) {
            // Who was forgotten meanwhile has nothing to tell.
            let Some(debt) = self.debts.get_mut(&spender) else { continue };
            let taken = debt.untold.div_ceil(1_000);
            debt.untold = 0;
            if taken > 0 {
                news.push(News { spender, taken });
            }
        }
    }

    /// What was told counts until `paid_until`; what was taken since comes on top. It never makes a debt smaller.
    pub(super) fn learn(&mut self, spender: &Spender, paid_until: u64) {
        if let Some(debt) = self.debts.get_mut(spender)
            && paid_until < debt.paid_until.saturating_add(MOST_OWED)
        {
            debt.paid_until = debt.paid_until.max(paid_until.saturating_add(debt.untold));
        }
    }

    fn make_room(&mut self, now: u64) {
        if now.saturating_sub(self.tidied) >= TIDY_EVERY {
            self.tidied = now;
            self.debts.retain(|_, debt| debt.paid_until > now);
        }
        if self.debts.len() >= self.most {
            let candidates = self.debts.iter().take(CANDIDATES);
            let least = candidates.min_by_key(|(_, debt)| debt.paid_until).map(|(spender, _)| *spender);
            least.map(|spender| self.debts.remove(&spender));
        }
    }
}

impl Debt {
    fn afford(&self, credit: u64, now: u64) -> Result<(), Duration> {
        match self.paid_until.saturating_sub(now).checked_sub(credit) {
            None | Some(0) => Ok(()),
            Some(short) => Err(Duration::from_nanos(short)),
        }
    }
}
