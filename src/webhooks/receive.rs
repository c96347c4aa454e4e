//! From a POST to a 202: limits, trust, a name, the queue. It understands nothing of what it carries.
//! Knows nothing of the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use metrics::{Counter, Histogram, counter, histogram};
use pipecast_fabric::{Durability, Queue};
use pipecast_http::{Code, Meter, Problem, Rate};
use pipecast_model::{Delivery, DeliveryId, Host, Lane, Refusal, SecretId, SecretKind, Timestamp, Work};
use pipecast_store::Reader;
use pipecast_store::sealed::Keys;
use tracing::{debug, warn};

use super::body::{Budget, Limits};
use super::book::{Book, Found};
use super::headers::{self, Named};
use super::reading::Reading;
use super::signature::Distrust;
use super::trust::{Entry, judge};
use super::{github, gitlab};
use crate::config::{self, DEFAULT_SOURCE};

/// Longest name of an unknown source that is noted.
const LONGEST_SOURCE: usize = 80;

/// Everything that it takes to receive deliveries. One for the process.
pub struct Receiver {
    limits: Limits,
    book: Arc<Book>,
    reading: Arc<Reading>,
    lanes: config::webhooks::Lanes,
    send_deadline: Duration,
    /// How many refusals of each host go to the ledger.
    refusals: Rate,
    /// Until when those have been paid for. A short lock, never held over an await.
    paid_until: Mutex<HashMap<Host, Instant>>,
    /// In the order of `Host::ALL`.
    measures: [Measures; Host::ALL.len()],
}

/// What is counted for every delivery, looked up once.
#[derive(Debug)]
struct Measures {
    accepted: Counter,
    seconds: Histogram,
}

/// A delivery that is safe from a crash.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Our id of it.
    pub id: DeliveryId,
    /// Where it is safe.
    pub durability: Durability,
}

impl Receiver {
    /// A receiver with these settings. Sources of the database are believed from the first reading on, see [`Receiver::reading`]. It
    /// counts with the recorder that there is by now.
    pub fn new(settings: config::Webhooks, reader: Reader, keys: Arc<Keys>) -> Receiver {
        let config::Webhooks {
            max_body,
            in_flight_bodies,
            read_deadline,
            send_deadline,
            refusals_per_second,
            lanes,
            github,
            gitlab,
        } = settings;
        // Once there is a signing token, a signature is required, so that nobody can fall back to the plain token.
        let of_gitlab = if gitlab.signing_token.is_empty() {
            Entry::configured(SecretKind::Token, &gitlab.secret)
        } else {
            Entry::configured(SecretKind::SigningToken, &gitlab.signing_token)
        };
        let of_github = Entry::configured(SecretKind::Hmac, &github.secret);
        let defaults = [(Host::Github, of_github), (Host::Gitlab, of_gitlab)].map(|(host, entry)| (host, DEFAULT_SOURCE.to_owned(), entry));
        let named = [(Host::Github, &github.sources), (Host::Gitlab, &gitlab.sources)];
        let named = named.into_iter().flat_map(|(host, sources)| {
            let entry = move |secret: &config::Secret| Entry::configured(SecretKind::of(host, secret.expose()), secret);
            sources.iter().map(move |(key, secret)| (host, key.clone(), entry(secret)))
        });
        let book = Arc::new(Book::new(defaults.into_iter().chain(named)));
        Receiver {
            limits: Limits {
                max_body,
                read_deadline,
                budget: Budget::new(in_flight_bodies),
            },
            reading: Arc::new(Reading::new(Arc::clone(&book), reader, keys)),
            book,
            lanes,
            send_deadline,
            refusals: Rate::new(refusals_per_second, refusals_per_second),
            paid_until: Mutex::new(Host::ALL.map(|host| (host, Instant::now())).into()),
            measures: Host::ALL.map(|host| Measures {
                accepted: count(host, "accepted"),
                seconds: histogram!("pipecast_webhook_seconds", "host" => host.word()),
            }),
        }
    }

    /// What keeps the sources of the database current; somebody has to run it.
    pub fn reading(&self) -> Arc<Reading> {
        Arc::clone(&self.reading)
    }

    /// Receives one delivery and returns once it is safe from a crash.
    ///
    /// # Errors
    /// The problem to answer with. Only 401 means that the delivery is not believed; 503 asks to send it again.
    pub async fn receive(&self, host: Host, source: &str, request: &HttpRequest, payload: web::Payload, queue: &dyn Queue) -> Result<Received, Problem> {
        let began = Instant::now();
        let result = self.receive_untimed(host, source, request, payload, queue).await;
        let measures = &self.measures[host as usize];
        match &result {
            Ok(_) => measures.accepted.increment(1),
            Err(problem) => count(host, problem.code().word()).increment(1),
        }
        measures.seconds.record(began.elapsed().as_secs_f64());
        result
    }

    async fn receive_untimed(&self, host: Host, source: &str, request: &HttpRequest, payload: web::Payload, queue: &dyn Queue) -> Result<Received, Problem> {
        let (headers, meter) = (request.headers(), Meter::of(request));
        self.limits.check(headers)?;
        if host == Host::Github && github::is_imitation(headers) {
            self.note_refusal(host, source, request, "wrong_host", queue).await;
            return Err(Problem::new(Code::WrongHost).detail("this looks like Gitea, Forgejo or Gogs; /webhooks/github takes deliveries of GitHub"));
        }
        // What bears no proof is nobody's whom we believe, so it may be left unread. All else is judged first, and only then counted against its
        // address: a host sends for everyone from the same few, so the next one from there may be authentic.
        if !bears_proof(host, headers) {
            meter.check_impostor()?;
        }
        let body = self.limits.read(headers, payload).await?;
        let received_at = Timestamp::now();
        let secret = match self.judge(host, source, request, &body.bytes, received_at).await? {
            Ok(secret) => secret,
            Err(distrust) => {
                meter.take_impostor()?;
                self.note_refusal(host, source, request, &distrust.to_string(), queue).await;
                return Err(Problem::new(Code::SignatureRefused));
            }
        };
        // Only now: whoever is not the source takes nothing from its budget.
        meter.take_from_source(host.word(), source)?;
        let delivery = describe(host, source, request, body.bytes.clone(), received_at, secret);
        let (id, lane) = (delivery.id, self.lanes.of(&delivery.event));
        let durability = self.send(queue, lane, Work::Delivery(delivery).encode()).await?;
        Ok(Received { id, durability })
    }

    /// A source that does not exist takes as long as one that does, and its answer is the same. Where a delivery does not fit, its source may
    /// have changed a moment ago, so it is read again before it is refused.
    ///
    /// # Errors
    /// `unavailable` where it cannot be told whether there is such a source.
    async fn judge(&self, host: Host, source: &str, request: &HttpRequest, body: &[u8], now: Timestamp) -> Result<Result<Option<SecretId>, Distrust>, Problem> {
        let headers = request.headers();
        let once = || match self.book.find(host, source) {
            Found::Source(entry) => Some(judge(host, Some(&entry), headers, body, now)),
            Found::Nobody => Some(judge(host, None, headers, body, now)),
            Found::Unread => None,
        };
        let mut judged = once();
        if !matches!(judged, Some(Ok(_))) && self.reading.look_again(host, source).await {
            judged = once();
        }
        judged.ok_or_else(|| {
            Problem::new(Code::Unavailable)
                .detail("the sources have not been read yet")
                .retry_after(Duration::from_secs(10))
        })
    }

    async fn send(&self, queue: &dyn Queue, lane: Lane, envelope: Bytes) -> Result<Durability, Problem> {
        match tokio::time::timeout(self.send_deadline, queue.send(lane, envelope)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Problem::new(Code::NotDurable).retry_after(Duration::from_secs(30))),
        }
    }

    /// Puts a sample of what is refused into the ledger. Whether that works changes nothing for the sender.
    async fn note_refusal(&self, host: Host, source: &str, request: &HttpRequest, reason: &str, queue: &dyn Queue) {
        debug!(host = host.word(), reason, "refused a delivery of {host}: {reason}");
        let may_note = self
            .paid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(&host)
            .is_some_and(|paid_until| self.refusals.take(paid_until, Instant::now()));
        if !may_note {
            return;
        }
        let refusal = Work::Refusal(Refusal {
            id: DeliveryId::fresh(),
            host,
            source: source.chars().filter(|c| !c.is_control()).take(LONGEST_SOURCE).collect(),
            event: name(host, request).event,
            reason: reason.to_owned(),
            received_at: Timestamp::now(),
        });
        warn!(host = host.word(), reason, "refused a delivery of {host}: {reason} (a sample)");
        if let Err(problem) = self.send(queue, Lane::Bulk, refusal.encode()).await {
            warn!("cannot note a refused delivery: {problem}");
        }
    }
}

/// Whether there is anything at all by which it could be authentic.
fn bears_proof(host: Host, headers: &HeaderMap) -> bool {
    let proofs: &[&str] = match host {
        Host::Github => &github::PROOFS,
        Host::Gitlab => &gitlab::PROOFS,
    };
    proofs.iter().any(|name| headers.contains_key(*name))
}

fn count(host: Host, outcome: &'static str) -> Counter {
    counter!("pipecast_webhooks_total", "host" => host.word(), "outcome" => outcome)
}

fn name(host: Host, request: &HttpRequest) -> Named {
    match host {
        Host::Github => github::name(request.headers()),
        Host::Gitlab => gitlab::name(request.headers()),
    }
}

fn describe(host: Host, source: &str, request: &HttpRequest, body: Bytes, received_at: Timestamp, secret: Option<SecretId>) -> Delivery {
    let Named { event, key } = name(host, request);
    let kept: &[_] = match host {
        Host::Github => &github::KEPT,
        Host::Gitlab => &gitlab::KEPT,
    };
    Delivery {
        id: DeliveryId::fresh(),
        host,
        source: source.to_owned(),
        event: event.unwrap_or_else(|| "unknown".to_owned()),
        key,
        body_sha256: String::new(),
        received_at,
        headers: headers::keep(request.headers(), kept),
        replay_of: None,
        secret,
        body,
    }
}
