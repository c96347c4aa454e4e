//! The witness of a node: notices which tokens are used and who is denied what, and tells it to whoever may write, through the queue.
//!
//! The first use and the first denial are told within a second, further ones of the same token or the same caller and operation once a
//! minute, with their count. However many strangers come, [`DENIALS`] different denials a minute are told one by one and all others as
//! one. A crash forgets what was not told: a minute of counts at most.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::FutureExt;
use pipecast_auth::Badge;
use pipecast_fabric::Queue;
use pipecast_model::witnessed::{Denial, TokenUse, Witnessed};
use pipecast_model::{Lane, Timestamp, TokenId, Work};
use pipecast_store::Credential;
use pipecast_store::audit::Actor;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::caller::admitted;
use crate::{Code, Problem, Visit};

/// How often it looks for what is due.
const LOOK: Duration = Duration::from_secs(1);
/// How long the same is counted before it is told again.
const EVERY: Duration = Duration::from_secs(60);
/// Different denials of a minute that are told one by one.
pub const DENIALS: usize = 100;
/// Tokens whose uses wait to be told; uses of others are told a minute later.
const TOKENS: usize = 10_000;
/// The queue has to have it within this time, or it is tried again.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// What denials are put under that are too many to be told one by one.
const OTHERS: &str = "others";

/// See the module.
#[derive(Debug, Default)]
pub struct Witness {
    /// Short sections: an entry in a map.
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    uses: HashMap<TokenId, TokenUse>,
    denials: HashMap<Who, Counted>,
}

/// The same caller and the same operation. Strangers are told apart by their addresses.
type Who = (Actor, Option<IpAddr>, String, &'static str);

#[derive(Debug)]
struct Counted {
    /// What was not told yet.
    pending: Option<Denial>,
    told: Option<Instant>,
}

/// Notices a use of a token, if it is time to.
pub fn note_use(request: &HttpRequest, badge: &Badge) {
    let Credential::Token(token) = badge.credential() else { return };
    let now = Timestamp::now();
    if !badge.takes_note(now, EVERY) {
        return;
    }
    let Some(witness) = request.app_data::<web::Data<Witness>>() else { return };
    let mut notes = witness.lock();
    if notes.uses.len() < TOKENS {
        let ip = visit(request).address;
        notes.uses.insert(token, TokenUse { token, at: now, ip });
    }
}

/// The word of a problem that is a denial: somebody may not do something, or shows a token or cookie that is no good. Who shows nothing is
/// asked to log in, which is none.
fn denial(problem: &Problem) -> Option<&'static str> {
    match problem.code() {
        code @ (Code::Forbidden | Code::TokenRefused | Code::CrossSite | Code::OriginRefused) => Some(code.word()),
        _ => None,
    }
}

/// Notices that a request was answered with this problem, where that is a denial.
pub fn note_denial(request: &HttpRequest, problem: &Problem) {
    let Some(code) = denial(problem) else { return };
    let Some(witness) = request.app_data::<web::Data<Witness>>() else { return };
    let actor = problem.actor().or_else(|| admitted(request)).unwrap_or(Actor::Anonymous);
    let visit = visit(request);
    let pattern = request.match_pattern().unwrap_or_else(|| OTHERS.to_owned());
    let operation = format!("{} {pattern}", request.method());
    witness.count(actor, operation, code, &visit, problem.request_id().to_string());
}

/// What notices denials on a connection that stays open: what is answered there passes by nobody on its way out.
#[derive(Debug)]
pub struct Onlooker {
    witness: Arc<Witness>,
    visit: Visit,
    pattern: String,
}

impl Onlooker {
    /// Of the connection that a request opens; `None` where nobody notices anything.
    pub fn of(request: &HttpRequest) -> Option<Onlooker> {
        let witness = request.app_data::<web::Data<Witness>>()?;
        Some(Onlooker {
            witness: Arc::clone(witness),
            visit: visit(request),
            pattern: request.match_pattern().unwrap_or_else(|| OTHERS.to_owned()),
        })
    }

    /// Notices that a command of somebody's was answered with this problem, where that is a denial.
    pub fn note_denial(&self, actor: Actor, command: &str, problem: &Problem) {
        if let Some(code) = denial(problem) {
            let operation = format!("{command} {}", self.pattern);
            self.witness.count(actor, operation, code, &self.visit, problem.request_id().to_string());
        }
    }
}

/// Looks at an answer on its way out.
pub fn look_at<B>(answer: &ServiceResponse<B>) {
    if !matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return;
    }
    if let Some(problem) = answer.response().error().and_then(|error| error.as_error::<Problem>()) {
        note_denial(answer.request(), problem);
    }
}

impl Witness {
    fn count(&self, actor: Actor, operation: String, code: &'static str, visit: &Visit, request_id: String) {
        let ip = visit.address.filter(|_| actor == Actor::Anonymous);
        let mut who = (actor, ip, operation, code);
        let mut notes = self.lock();
        if !notes.denials.contains_key(&who) && notes.denials.len() >= DENIALS {
            who = (Actor::Anonymous, None, OTHERS.to_owned(), OTHERS);
        }
        let is_others = who.3 == OTHERS;
        let (user, token) = match who.0 {
            Actor::User(user) => (Some(user), None),
            Actor::Token(token, user) => (Some(user), Some(token)),
            Actor::System | Actor::Anonymous => (None, None),
        };
        let first = || Denial {
            user,
            token,
            operation: who.2.clone(),
            code: code.to_owned(),
            count: 0,
            since: Timestamp::now(),
            ip: visit.address.filter(|_| !is_others),
            user_agent: visit.user_agent.clone().filter(|_| !is_others),
            request_id,
        };
        let counted = notes.denials.entry(who.clone()).or_insert(Counted { pending: None, told: None });
        counted.pending.get_or_insert_with(first).count += 1;
    }

    /// What is to be told now; at the end that is all there is.
    fn due(&self, now: Instant, is_over: bool) -> Witnessed {
        let mut notes = self.lock();
        let mut denials = Vec::new();
        notes.denials.retain(|_, counted| {
            if !is_over && counted.told.is_some_and(|told| now.duration_since(told) < EVERY) {
                return true;
            }
            let Some(denial) = counted.pending.take() else { return false };
            denials.push(denial);
            counted.told = Some(now);
            true
        });
        let mut uses: Vec<TokenUse> = std::mem::take(&mut notes.uses).into_values().collect();
        uses.sort_unstable_by_key(|used| used.token);
        Witnessed { uses, denials }
    }

    /// Tells what is due once a second until it is asked to end, and then once more.
    pub async fn run(&self, queue: Arc<dyn Queue>, ending: CancellationToken) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut untold, mut is_said) = (Witnessed::default(), false);
        loop {
            let is_over = tokio::select! {
                () = ending.cancelled() => true,
                _ = looks.tick() => false,
            };
            // What could not be told goes first; the others are counted meanwhile.
            if untold.is_empty() {
                untold = self.due(Instant::now(), is_over);
            }
            if !untold.is_empty() {
                let why = match timeout(SEND_WITHIN, queue.send(Lane::Bulk, Work::Witnessed(untold.clone()).encode())).await {
                    Ok(Ok(_)) => {
                        (untold, is_said) = (Witnessed::default(), false);
                        None
                    }
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("it takes longer than {SEND_WITHIN:?}")),
                };
                if let Some(why) = why.filter(|_| !is_said) {
                    is_said = true;
                    warn!("cannot tell who was denied what, trying again every second: {why}");
                }
            }
            if is_over {
                return;
            }
        }
    }

    /// A panic while the lock was held cannot leave these short sections half done.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn visit(request: &HttpRequest) -> Visit {
    let visit = Visit::extract(request).now_or_never().and_then(Result::ok);
    visit.expect("a visit neither waits nor fails")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit_from(last: u8) -> Visit {
        Visit {
            address: Some(IpAddr::from([10, 0, 0, last])),
            network: None,
            user_agent: Some("curl".into()),
            request_id: uuid::Uuid::nil(),
        }
    }

    fn deny(witness: &Witness, operation: &str, from: u8) {
        witness.count(
            Actor::Anonymous,
            operation.to_owned(),
            Code::TokenRefused.word(),
            &visit_from(from),
            "r".to_owned(),
        );
    }

    fn counts(told: &Witnessed) -> Vec<u64> {
        let mut counts: Vec<u64> = told.denials.iter().map(|denial| denial.count).collect();
        counts.sort_unstable();
        counts
    }

    #[test]
    fn the_first_denial_is_told_at_once_and_the_same_again_a_minute_later_with_its_count() {
        let (witness, start) = (Witness::default(), Instant::now());
        deny(&witness, "GET /a", 1);
        assert_eq!(counts(&witness.due(start, false)), [1]);

        for _ in 0..500 {
            deny(&witness, "GET /a", 1);
        }
        deny(&witness, "GET /b", 1);
        assert_eq!(counts(&witness.due(start + LOOK, false)), [1], "the other one alone");

        assert_eq!(counts(&witness.due(start + EVERY, false)), [500]);
        assert_eq!(counts(&witness.due(start + EVERY * 3, false)), [0; 0]);
        assert!(witness.lock().denials.is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn at_the_end_everything_is_told() {
        let (witness, start) = (Witness::default(), Instant::now());
        deny(&witness, "GET /a", 1);
        witness.due(start, false);
        (0..7).for_each(|_| deny(&witness, "GET /a", 1));

        assert_eq!(counts(&witness.due(start + LOOK, true)), [7]);
    }

    #[test]
    fn a_flood_of_strangers_is_told_in_a_bounded_number_of_denials() {
        let witness = Witness::default();
        for number in 0..100_000 {
            deny(&witness, &format!("GET /{}", number / 250), (number % 250) as u8);
        }

        let told = witness.due(Instant::now(), false);

        assert_eq!(told.denials.len(), DENIALS + 1);
        assert_eq!(counts(&told).iter().sum::<u64>(), 100_000);
        let others = told.denials.iter().find(|denial| denial.operation == OTHERS).expect("the rest");
        assert_eq!((others.count, others.ip), (100_000 - DENIALS as u64, None));
    }
}
