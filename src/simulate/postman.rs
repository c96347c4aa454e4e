//! Delivers letters over a few keep-alive connections at a pace, and keeps account of every one.
//! Knows nothing of what is in them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::simulate::letters::Letter;
use crate::simulate::line::{Answer, Line};
use crate::simulate::report::Report;
use crate::simulate::seal::Seal;

/// Letters that wait to be sent again; with so many, no new ones are taken until some have been answered.
const MOST_UNANSWERED: usize = 10_000;

/// How letters are delivered.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections, and so requests at once.
    pub connections: usize,
    /// When each letter goes.
    pub pace: Pace,
    /// What happens to one that was not answered.
    pub retry: Retry,
    /// Longest wait for an answer; hosts wait ten seconds.
    pub patience: Duration,
}

/// When each letter goes.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// At its time in the simulated life.
    Lifelike,
    /// So many a second, one after another whatever their times.
    PerSecond(f64),
    /// As soon as a connection is free.
    Unbounded,
}

/// What happens to a letter that was not answered, or answered by 5xx or 408.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing, as at a real host.
    Never,
    /// It goes again with the same id after this time, as often as it takes: what a redelivery by hand does.
    After(Duration),
}

/// What became of one request.
#[derive(Debug)]
pub enum Fate {
    /// Answered by 2xx; the service's own id of the delivery, where it told one.
    Acknowledged(Option<String>),
    /// Answered by another status.
    Refused(u16),
    /// Not answered. Whether it arrived is unknown.
    Failed(std::io::Error),
}

/// The account of one request.
#[derive(Debug)]
pub struct Receipt {
    /// What was sent.
    pub letter: Letter,
    /// What became of it.
    pub fate: Fate,
    /// From the first byte out to the last byte in.
    pub latency: Duration,
}

/// Carries letters to one service.
pub struct Postman {
    address: SocketAddr,
    seal: Arc<Seal>,
    options: Options,
}

impl Postman {
    /// For the service at `address`.
    pub fn new(address: SocketAddr, seal: Seal, options: Options) -> Self {
        Postman {
            address,
            seal: Arc::new(seal),
            options,
        }
    }

    /// Delivers `letters` until they end or `stop` is cancelled, and shows each receipt as it comes.
    /// What is under way at the end is waited for; what waits for a retry at a stop is let go.
    pub async fn deliver(&self, letters: impl Iterator<Item = Letter>, stop: &CancellationToken, mut on_receipt: impl FnMut(&Receipt)) -> Report {
        let begin = Instant::now();
        let mut round = Round {
            postman: self,
            begin,
            letters: letters.fuse(),
            next: None,
            again: VecDeque::new(),
            idle: (0..self.options.connections.max(1))
                .map(|_| Line::new(self.address, self.options.patience))
                .collect(),
            busy: JoinSet::new(),
            taken: 0,
            report: Report::default(),
        };
        loop {
            let due = if stop.is_cancelled() || round.idle.is_empty() {
                None
            } else {
                round.next_due()
            };
            if due.is_none() && round.busy.is_empty() {
                break;
            }
            tokio::select! {
                Some(done) = round.busy.join_next() => {
                    let (line, receipt) = done.expect("a task that sends does not panic");
                    round.account(line, &receipt);
                    on_receipt(&receipt);
                }
                () = sleep_until(due.unwrap_or(begin)), if due.is_some() => round.send(),
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
        round.report.elapsed = begin.elapsed();
        round.report
    }
}

struct Round<'a, I> {
    postman: &'a Postman,
    begin: Instant,
    letters: I,
    next: Option<(Instant, Letter)>,
    // At most MOST_UNANSWERED and one for each line.
    again: VecDeque<(Instant, Letter)>,
    idle: Vec<Line>,
    busy: JoinSet<(Line, Receipt)>,
    taken: u64,
    report: Report,
}

impl<I: Iterator<Item = Letter>> Round<'_, I> {
    /// When the next letter goes, if there is one now.
    fn next_due(&mut self) -> Option<Instant> {
        if self.next.is_none() && self.again.len() < MOST_UNANSWERED {
            self.next = self.letters.next().map(|letter| {
                let due = match self.postman.options.pace {
                    Pace::Lifelike => self.begin + letter.due,
                    Pace::PerSecond(rate) => self.begin + Duration::from_secs_f64(self.taken as f64 / rate),
                    Pace::Unbounded => self.begin,
                };
                self.taken += 1;
                (due, letter)
            });
        }
        let again = self.again.front().map(|(due, _)| *due);
        let next = self.next.as_ref().map(|(due, _)| *due);
        again.into_iter().chain(next).min()
    }

    fn send(&mut self) {
        let again = self.again.front().map(|(due, _)| *due);
        let is_retry = match (&self.next, again) {
            (Some((next, _)), Some(again)) => again <= *next,
            (None, _) => true,
            (_, None) => false,
        };
        let chosen = if is_retry { self.again.pop_front() } else { self.next.take() };
        let (Some((due, letter)), Some(mut line)) = (chosen, self.idle.pop()) else {
            return;
        };
        self.report.sent += 1;
        self.report.retried += u64::from(is_retry);
        self.report.repeated += u64::from(letter.repeated && !is_retry);
        if !matches!(self.postman.options.pace, Pace::Unbounded) {
            self.report.behind = self.report.behind.max(due.elapsed());
        }
        let seal = Arc::clone(&self.postman.seal);
        self.busy.spawn(async move {
            let request = seal.request(&letter.event);
            let begin = Instant::now();
            let fate = match line.send(&request).await {
                Ok(answer) => fate_of(&answer),
                Err(error) => Fate::Failed(error),
            };
            let latency = begin.elapsed();
            (line, Receipt { letter, fate, latency })
        });
    }

    fn account(&mut self, line: Line, receipt: &Receipt) {
        self.idle.push(line);
        let unanswered = match receipt.fate {
            Fate::Acknowledged(_) => {
                self.report.acknowledged += 1;
                self.report.latencies.record(receipt.latency);
                false
            }
            Fate::Refused(status) => {
                *self.report.refused.entry(status).or_default() += 1;
                // A service that stood still for a while finds that the request took too long to arrive.
                status >= 500 || status == 408
            }
            Fate::Failed(_) => {
                self.report.failed += 1;
                true
            }
        };
        if let (true, Retry::After(pause)) = (unanswered, self.postman.options.retry) {
            self.again.push_back((Instant::now() + pause, receipt.letter.clone()));
        }
    }
}

fn fate_of(answer: &Answer) -> Fate {
    #[derive(Deserialize)]
    struct Received {
        delivery_id: Option<String>,
    }
    match answer.status {
        200..300 => Fate::Acknowledged(serde_json::from_slice::<Received>(&answer.body).ok().and_then(|received| received.delivery_id)),
        other => Fate::Refused(other),
    }
}

#[cfg(test)]
mod tests;
