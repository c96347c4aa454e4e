//! How fast new sockets and streams come: of a stranger's network, of an account, of everybody together.
//! Knows nothing of how many are open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use pipecast_http::Rate;
use pipecast_model::UserId;

use super::admission::Refused;
use crate::config;

/// An account has so many times what a stranger's network has: a script with one token may be a hundred jobs that begin together.
const ACCOUNT: u32 = 10;

/// So many are remembered before those who have paid are looked for.
const SWEEP: usize = 1_024;

/// Whose handshake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comer {
    /// Somebody without an account, from this network.
    Stranger(IpAddr),
    /// Somebody with one, wherever they come from.
    Account(UserId),
}

/// How fast handshakes may come.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    node: Rate,
    stranger: Rate,
    account: Rate,
}

impl Rates {
    /// As the settings say.
    pub fn of(settings: &config::Live) -> Rates {
        let (per_second, burst) = (settings.caller_handshakes_per_second, settings.caller_handshake_burst);
        Rates {
            node: Rate::new(settings.handshakes_per_second, settings.handshakes_per_second),
            stranger: Rate::new(per_second, burst),
            account: Rate::new(per_second.saturating_mul(ACCOUNT), burst.saturating_mul(ACCOUNT)),
        }
    }
}

/// What has not been paid for yet.
///
/// Only handshakes that the node's rate lets through are remembered, and a debt is paid after burst / rate seconds (10 as shipped), so
/// there are never more than the node lets through in that time, twice that with those who have paid and wait to be forgotten.
#[derive(Debug)]
pub struct Pace {
    /// Until when those of everybody together have been paid for.
    node: Instant,
    comers: HashMap<Comer, Instant>,
    sweep_at: usize,
}

impl Pace {
    /// Nobody has come.
    pub fn new(now: Instant) -> Pace {
        Pace {
            node: now,
            comers: HashMap::new(),
            sweep_at: SWEEP,
        }
    }

    /// One handshake more. Who comes too often takes nothing from the others.
    ///
    /// # Errors
    /// `CallerTooFast`, `TooFast`.
    pub fn take(&mut self, rates: &Rates, comer: Comer, now: Instant) -> Result<(), Refused> {
        let rate = match comer {
            Comer::Stranger(_) => rates.stranger,
            Comer::Account(_) => rates.account,
        };
        let mut paid_until = self.comers.get(&comer).copied().unwrap_or(now);
        if !rate.take(&mut paid_until, now) {
            return Err(Refused::CallerTooFast);
        }
        if !rates.node.take(&mut self.node, now) {
            return Err(Refused::TooFast);
        }
        self.comers.insert(comer, paid_until);
        if self.comers.len() >= self.sweep_at {
            self.comers.retain(|_, paid_until| *paid_until > now);
            self.sweep_at = SWEEP.max(2 * self.comers.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rates(change: impl FnOnce(&mut config::Live)) -> Rates {
        let mut settings = config::Config::defaults().live;
        change(&mut settings);
        Rates::of(&settings)
    }

    fn stranger(number: u32) -> Comer {
        Comer::Stranger(std::net::Ipv4Addr::from_bits(0xC612_0000 + number).into())
    }

    #[test]
    fn a_stranger_who_opens_and_closes_takes_nothing_from_the_others() {
        let (rates, now) = (rates(|_| {}), Instant::now());
        let mut pace = Pace::new(now);

        let let_in = (0..10_000).filter(|_| pace.take(&rates, stranger(1), now).is_ok()).count();

        assert_eq!(let_in, 20);
        assert_eq!(pace.take(&rates, stranger(1), now), Err(Refused::CallerTooFast));
        let others = (2..=400).filter(|number| pace.take(&rates, stranger(*number), now).is_ok()).count();
        assert_eq!(others, 399);
        let later = now + Duration::from_secs(1);
        let again = (0..10).filter(|_| pace.take(&rates, stranger(1), later).is_ok()).count();
        assert_eq!(again, 2, "two a second");
    }

    #[test]
    fn an_account_has_ten_times_as_much_wherever_it_comes_from() {
        let (rates, now) = (rates(|_| {}), Instant::now());
        let mut pace = Pace::new(now);

        let let_in = (0..300).filter(|_| pace.take(&rates, Comer::Account(UserId(1)), now).is_ok()).count();

        assert_eq!(let_in, 200);
        assert!(pace.take(&rates, Comer::Account(UserId(2)), now).is_ok());
    }

    #[test]
    fn who_has_paid_is_forgotten_and_who_was_refused_is_not_remembered() {
        let rates = rates(|settings| settings.handshakes_per_second = 500);
        let start = Instant::now();
        let mut pace = Pace::new(start);

        // A minute of twenty thousand new networks a second.
        let mut most = 0;
        for tick in 0..6_000_u32 {
            let now = start + Duration::from_millis(10) * tick;
            for number in 0..200 {
                drop(pace.take(&rates, stranger(tick * 200 + number), now));
            }
            most = most.max(pace.comers.len());
        }

        assert!(most <= 2 * SWEEP, "{most}");
    }
}
