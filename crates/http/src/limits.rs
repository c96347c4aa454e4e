//! How often somebody may ask: which quota holds for whom, and the 429 for those who have used it up.
//! Knows nothing of routes, nor of how what was taken is counted and shared.
//!
//! Who is known pays from the budget of their account or token, and from nobody else's. Who shows nothing pays from that of their address. Who
//! shows what is no good pays from a third, apart from the second, so that neither those who guess nor those who only read keep the
//! others of their network out. Requests of this machine are free, unless `limits.count_loopback` says otherwise.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, web};
use arc_swap::ArcSwap;
use metrics::counter;
use pipecast_auth::{Badge, Bearing};
use pipecast_fabric::{Quota, Quotas, Spender};
use pipecast_model::UserId;
use pipecast_store::Credential;

use crate::{Code, Known, Problem, TrustedProxies};

/// Tickets for sockets, of an account.
const TICKETS: Quota = Quota { per_second: 1, burst: 10 };

/// The quota of every kind of spender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whoever comes from an address without an account.
    pub address: Quota,
    /// An account, in person.
    pub user: Quota,
    /// A token of a program.
    pub token: Quota,
    /// What changes something, of an account in person or of a token; besides its requests.
    pub writes: Quota,
    /// Authentic deliveries of a source.
    pub source: Quota,
    /// Tokens and deliveries from an address that nobody believes.
    pub impostor: Quota,
}

impl Rules {
    fn of(&self, spender: Spender) -> (&'static str, Quota) {
        match spender {
            Spender::Address(_) => ("address", self.address),
            Spender::User(_) => ("user", self.user),
            Spender::Token(_) => ("token", self.token),
            Spender::Source(_) => ("source", self.source),
            Spender::Impostor(_) => ("impostor", self.impostor),
            Spender::Tickets(_) => ("tickets", TICKETS),
            Spender::UserWrites(_) | Spender::TokenWrites(_) => ("writes", self.writes),
        }
    }
}

/// The limits of a process. Beside the routes; without it nothing is limited.
#[derive(Debug)]
pub struct Limits {
    rules: ArcSwap<Rules>,
    quotas: Arc<Quotas>,
    counts_loopback: bool,
}

/// A quota that is used up, for the headers of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    word: &'static str,
    quota: Quota,
    wait: Duration,
}

impl Limits {
    /// These rules from now on, and what was taken counted in `quotas`.
    pub fn new(rules: Rules, quotas: Arc<Quotas>, counts_loopback: bool) -> Limits {
        Limits {
            rules: ArcSwap::from_pointee(rules),
            quotas,
            counts_loopback,
        }
    }

    /// Other rules. What was taken stays taken.
    pub fn tune(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    fn take(&self, spender: Spender) -> Result<(), Problem> {
        let (word, quota) = self.rules.load().of(spender);
        self.quotas.take(spender, quota, Instant::now()).map_err(|wait| refused(word, quota, wait))
    }

    fn check(&self, spender: Spender) -> Result<(), Problem> {
        let (word, quota) = self.rules.load().of(spender);
        self.quotas.check(spender, quota, Instant::now()).map_err(|wait| refused(word, quota, wait))
    }
}

/// The limits as they hold for one request.
#[derive(Clone, Debug)]
pub struct Meter(Option<Counted>);

#[derive(Clone, Debug)]
struct Counted {
    limits: Arc<Limits>,
    /// Where the request comes from; `None` where only a proxy knows that we do not trust.
    network: Option<IpAddr>,
}

impl Meter {
    /// The meter of a request, by the limits and the trusted proxies beside the routes.
    pub fn of(request: &HttpRequest) -> Meter {
        let Some(limits) = request.app_data::<web::Data<Limits>>() else {
            return Meter(None);
        };
        let network = TrustedProxies::client_of(request).map(network);
        let is_blind = || TrustedProxies::is_blind(request);
        let network = match network {
            Some(address) if address.is_loopback() && !limits.counts_loopback => match is_blind() {
                true => None,
                false => return Meter(None),
            },
            network => network,
        };
        Meter(Some(Counted {
            limits: Arc::clone(limits),
            network,
        }))
    }

    /// One request of somebody without an account.
    ///
    /// # Errors
    /// `too_many`.
    pub fn take_from_address(&self) -> Result<(), Problem> {
        self.with_network(|limits, network| limits.take(Spender::Address(network)))
    }

    /// One request of somebody who is known.
    ///
    /// # Errors
    /// `too_many`.
    pub fn take_from_bearer(&self, badge: &Badge, bearing: &Bearing) -> Result<(), Problem> {
        let Some(Counted { limits, .. }) = &self.0 else { return Ok(()) };
        limits.take(match badge.credential() {
            Credential::Session(_) => Spender::User(bearing.user),
            Credential::Token(token) => Spender::Token(token),
        })
    }

    /// One request of somebody who is known that changes something.
    ///
    /// # Errors
    /// `too_many`.
    pub fn take_write(&self, known: &Known) -> Result<(), Problem> {
        let Some(Counted { limits, .. }) = &self.0 else { return Ok(()) };
        limits.take(match known.credential() {
            Credential::Session(_) => Spender::UserWrites(known.bearing().user),
            Credential::Token(token) => Spender::TokenWrites(token),
        })
    }

    /// One ticket for a socket.
    ///
    /// # Errors
    /// `too_many`.
    pub fn take_ticket(&self, user: UserId) -> Result<(), Problem> {
        let Some(Counted { limits, .. }) = &self.0 else { return Ok(()) };
        limits.take(Spender::Tickets(user))
    }

    /// One authentic delivery of a source.
    ///
    /// # Errors
    /// `too_many`.
    pub fn take_from_source(&self, host: &str, key: &str) -> Result<(), Problem> {
        let Some(Counted { limits, .. }) = &self.0 else { return Ok(()) };
        limits.take(Spender::source(host, key))
    }

    /// Whether what is shown from there is still looked at, before that costs something. Who shows something good takes nothing from this, so it
    /// is for what nobody knows to be good.
    ///
    /// # Errors
    /// `too_many`.
    pub fn check_impostor(&self) -> Result<(), Problem> {
        self.with_network(|limits, network| limits.check(Spender::Impostor(network)))
    }

    /// What was shown from there is no good.
    ///
    /// # Errors
    /// `too_many` where there was too much of it.
    pub fn take_impostor(&self) -> Result<(), Problem> {
        self.with_network(|limits, network| limits.take(Spender::Impostor(network)))
    }

    fn with_network(&self, limit: impl FnOnce(&Limits, IpAddr) -> Result<(), Problem>) -> Result<(), Problem> {
        match &self.0 {
            Some(Counted {
                limits,
                network: Some(network),
            }) => limit(limits, *network),
            _ => Ok(()),
        }
    }
}

impl UsedUp {
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10: a quota of `q` that is whole again after `w` seconds,
    /// and that `r` are left for the next `t` seconds.
    pub fn headers(&self) -> [(&'static str, String); 2] {
        let UsedUp { word, quota, wait } = self;
        let whole = quota.burst.div_ceil(quota.per_second.max(1));
        [
            ("ratelimit-policy", format!("\"{word}\";q={};w={whole}", quota.burst)),
            ("ratelimit", format!("\"{word}\";r=0;t={}", wait.as_millis().div_ceil(1_000).max(1))),
        ]
    }
}

fn refused(word: &'static str, quota: Quota, wait: Duration) -> Problem {
    counter!("pipecast_limited_total", "kind" => word).increment(1);
    let whose = match word {
        "address" => "your address has asked more often than it may without an account",
        "user" => "your account has asked more often than it may",
        "token" => "the token has asked more often than it may",
        "tickets" => "your account has asked for more tickets than it may",
        "writes" => "your account or token has changed things more often than it may; batches and imports are one change",
        "source" => "the source has sent more deliveries than it may",
        _ => "too many tokens or deliveries from your address were no good",
    };
    let Quota { per_second, burst } = quota;
    Problem::new(Code::TooMany)
        .detail(format!("{whose}; {burst} are allowed at once and {per_second} a second"))
        .retry_exactly(wait)
        .used_up(UsedUp { word, quota, wait })
}

/// The address itself, or the network of 64 bits that an IPv6 customer holds.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::test::TestRequest;

    use super::*;

    const TWO: Quota = Quota { per_second: 1, burst: 2 };

    fn limits(counts_loopback: bool) -> Limits {
        let rules = Rules {
            address: TWO,
            user: TWO,
            token: TWO,
            writes: TWO,
            source: TWO,
            impostor: TWO,
        };
        Limits::new(rules, Arc::new(Quotas::new(1_000)), counts_loopback)
    }

    /// How many of five requests without an account pass, each pair a peer and what its proxy says.
    fn passing(limits: Limits, requests: [(&str, Option<&str>); 5]) -> usize {
        let limits = web::Data::new(limits);
        let proxies = web::Data::new(TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")]));
        let passes = |(peer, forwarded): (&str, Option<&str>)| {
            let peer: IpAddr = peer.parse().expect("an address");
            let request = TestRequest::default().peer_addr((peer, 4711).into());
            let request = request.app_data(limits.clone()).app_data(proxies.clone());
            let request = match forwarded {
                Some(client) => request.insert_header(("x-forwarded-for", client)),
                None => request,
            };
            Meter::of(&request.to_http_request()).take_from_address().is_ok()
        };
        requests.into_iter().filter(|request| passes(*request)).count()
    }

    #[test]
    fn an_address_and_an_ipv6_network_are_one_spender_and_this_machine_is_none() {
        assert_eq!(passing(limits(false), [("203.0.113.7", None); 5]), 2);
        let neighbours = [1, 2, 3, 4, 5].map(|last| format!("2001:db8:1:2::{last}"));
        assert_eq!(passing(limits(false), std::array::from_fn(|at| (neighbours[at].as_str(), None))), 2);
        assert_eq!(passing(limits(false), [("127.0.0.1", None); 5]), 5);
        assert_eq!(passing(limits(true), [("127.0.0.1", None); 5]), 2);
    }

    #[test]
    fn behind_a_trusted_proxy_the_client_pays_whatever_it_writes_itself() {
        assert_eq!(passing(limits(false), [("10.1.2.3", Some("203.0.113.7")); 5]), 2);
        let inventing = [1, 2, 3, 4, 5].map(|made_up| format!("198.51.100.{made_up}, 203.0.113.7"));
        assert_eq!(passing(limits(false), std::array::from_fn(|at| ("10.1.2.3", Some(inventing[at].as_str())))), 2);
        let clients = [1, 2, 3, 4, 5].map(|last| format!("203.0.113.{last}"));
        assert_eq!(passing(limits(false), std::array::from_fn(|at| ("10.1.2.3", Some(clients[at].as_str())))), 5);
        // A stranger who claims to be a proxy is a stranger.
        assert_eq!(passing(limits(false), std::array::from_fn(|at| ("203.0.113.7", Some(clients[at].as_str())))), 2);
    }

    #[test]
    fn behind_a_proxy_on_this_machine_that_is_not_trusted_nobody_pays_for_all_others() {
        assert_eq!(passing(limits(false), [("127.0.0.1", Some("203.0.113.7")); 5]), 5);

        let request = TestRequest::default()
            .peer_addr(([127, 0, 0, 1], 4711).into())
            .insert_header(("x-forwarded-for", "203.0.113.7"))
            .app_data(web::Data::new(limits(false)))
            .to_http_request();
        let meter = Meter::of(&request);
        let deliveries = (0..5).filter(|_| meter.take_from_source("github", "default").is_ok()).count();
        assert_eq!(deliveries, 2, "what is known of a request is counted");
    }

    #[test]
    fn a_refusal_says_how_long_and_of_which_quota() {
        let limits = limits(false);
        let spender = Spender::source("github", "default");
        (0..2).for_each(|_| limits.take(spender).expect("within the burst"));

        let response = limits.take(spender).expect_err("it is used up").error_response();

        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!(response.status(), 429);
        assert_eq!(header("retry-after").as_deref(), Some("1"));
        assert_eq!(header("ratelimit-policy").as_deref(), Some("\"source\";q=2;w=2"));
        assert_eq!(header("ratelimit").as_deref(), Some("\"source\";r=0;t=1"));
    }

    /// The figure in `docs/performance.md` is of a build with optimisation; this one holds without.
    #[test]
    fn what_a_request_costs_is_bounded() {
        const TIMES: u32 = 20_000;
        let quota = Quota {
            per_second: 1_000_000,
            burst: 1_000_000,
        };
        let (limits, proxies) = (limits(true), TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")]));
        limits.tune(Rules {
            address: quota,
            ..**limits.rules.load()
        });
        let request = TestRequest::default()
            .peer_addr(([10, 1, 2, 3], 4711).into())
            .insert_header(("x-forwarded-for", "203.0.113.7"))
            .app_data(web::Data::new(limits))
            .app_data(web::Data::new(proxies))
            .to_http_request();

        let run = |_| {
            let begun = Instant::now();
            (0..TIMES).for_each(|_| Meter::of(&request).take_from_address().expect("within the burst"));
            begun.elapsed() / TIMES
        };
        let least = (0..5).map(run).min().expect("there were some");

        let most = Duration::from_micros(if cfg!(debug_assertions) { 200 } else { 1 });
        assert!(least <= most, "{least:?}");
    }

    #[test]
    fn other_rules_hold_at_once() {
        let limits = limits(false);
        let spender = Spender::source("github", "default");
        (0..2).for_each(|_| limits.take(spender).expect("within the burst"));
        assert!(limits.take(spender).is_err());

        let mut rules = **limits.rules.load();
        rules.source.burst = 3;
        limits.tune(rules);

        assert!(limits.take(spender).is_ok());
    }
}
