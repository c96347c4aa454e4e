//! From a POST to a 202: limits, trust, a name, the queue. It understands nothing of what it carries.
//! Knows nothing of the database.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, web};
use bytes::Bytes;
use metrics::{counter, histogram};
use pipecast_fabric::{Durability, Queue};
use pipecast_http::{Code, Problem, Rate};
use pipecast_model::{Delivery, DeliveryId, Host, Lane, Refusal, Timestamp, Work};
use tracing::{debug, warn};

use super::body::{Budget, Limits};
use super::headers::{self, Named};
use super::signature::{Distrust, body_sha256};
use super::{github, gitlab};
use crate::config::{self, DEFAULT_SOURCE, Secret};

/// Longest name of an unknown source that is noted.
const LONGEST_SOURCE: usize = 80;

/// Everything that it takes to receive deliveries. One for the process.
#[derive(Debug)]
pub struct Receiver {
    limits: Limits,
    github: HashMap<String, Secret>,
    gitlab: HashMap<String, gitlab::Secrets>,
    lanes: config::webhooks::Lanes,
    send_deadline: Duration,
    /// How many refusals of each host may still go to the ledger. A short lock, never held over an await.
    refusals: Mutex<HashMap<Host, Rate>>,
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
    /// A receiver with these settings.
    pub fn new(settings: config::Webhooks) -> Receiver {
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
        let mut github_secrets: HashMap<_, _> = github.sources.into_iter().collect();
        github_secrets.insert(DEFAULT_SOURCE.to_owned(), github.secret);
        let mut gitlab_secrets: HashMap<_, _> = gitlab
            .sources
            .iter()
            .map(|(key, secret)| (key.clone(), gitlab::Secrets::of_source(secret)))
            .collect();
        let both = gitlab::Secrets {
            token: gitlab.secret,
            signing_token: gitlab.signing_token,
        };
        gitlab_secrets.insert(DEFAULT_SOURCE.to_owned(), both);
        let rate = Rate::new(refusals_per_second, refusals_per_second, Instant::now());
        Receiver {
            limits: Limits {
                max_body,
                read_deadline,
                budget: Budget::new(in_flight_bodies),
            },
            github: github_secrets,
            gitlab: gitlab_secrets,
            lanes,
            send_deadline,
            refusals: Mutex::new(Host::ALL.map(|host| (host, rate.clone())).into()),
        }
    }

    /// Receives one delivery and returns once it is safe from a crash.
    ///
    /// # Errors
    /// The problem to answer with. Only 401 means that the delivery is not believed; 503 asks to send it again.
    pub async fn receive(&self, host: Host, source: &str, request: &HttpRequest, payload: web::Payload, queue: &dyn Queue) -> Result<Received, Problem> {
        let began = Instant::now();
        let result = self.receive_untimed(host, source, request, payload, queue).await;
        let outcome = result.as_ref().map_or_else(|problem| problem.code().word(), |_| "accepted");
        counter!("pipecast_webhooks_total", "host" => host.word(), "outcome" => outcome).increment(1);
        histogram!("pipecast_webhook_seconds", "host" => host.word()).record(began.elapsed().as_secs_f64());
        result
    }

    async fn receive_untimed(&self, host: Host, source: &str, request: &HttpRequest, payload: web::Payload, queue: &dyn Queue) -> Result<Received, Problem> {
        let headers = request.headers();
        self.limits.check(headers)?;
        if host == Host::Github && github::is_imitation(headers) {
            self.note_refusal(host, source, request, "wrong_host", queue).await;
            return Err(Problem::new(Code::WrongHost).detail("this looks like Gitea, Forgejo or Gogs; /webhooks/github takes deliveries of GitHub"));
        }
        let body = self.limits.read(headers, payload).await?;
        let received_at = Timestamp::now();
        if let Err(distrust) = self.verify(host, source, request, &body.bytes, received_at) {
            self.note_refusal(host, source, request, &distrust.to_string(), queue).await;
            return Err(Problem::new(Code::SignatureRefused));
        }
        let delivery = describe(host, source, request, body.bytes.clone(), received_at);
        let (id, lane) = (delivery.id, self.lanes.of(&delivery.event));
        let durability = self.send(queue, lane, Work::Delivery(delivery).encode()).await?;
        Ok(Received { id, durability })
    }

    /// A source that does not exist takes as long as one that does, and its answer is the same.
    fn verify(&self, host: Host, source: &str, request: &HttpRequest, body: &[u8], now: Timestamp) -> Result<(), Distrust> {
        let headers = request.headers();
        match host {
            Host::Github => match self.github.get(source) {
                Some(secret) => github::verify(secret, headers, body, now),
                None => github::verify(&Secret::new("nobody knows this one"), headers, body, now).and(Err(Distrust::UnknownSource)),
            },
            Host::Gitlab => match self.gitlab.get(source) {
                Some(secrets) => gitlab::verify(secrets, headers, body, now),
                None => gitlab::verify(&gitlab::Secrets::of_source(&Secret::new("nor this")), headers, body, now).and(Err(Distrust::UnknownSource)),
            },
        }
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
            .refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(&host)
            .is_some_and(|rate| rate.take(Instant::now()));
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

fn name(host: Host, request: &HttpRequest) -> Named {
    match host {
        Host::Github => github::name(request.headers()),
        Host::Gitlab => gitlab::name(request.headers()),
    }
}

fn describe(host: Host, source: &str, request: &HttpRequest, body: Bytes, received_at: Timestamp) -> Delivery {
    let Named { event, key } = name(host, request);
    let kept = match host {
        Host::Github => github::KEPT,
        Host::Gitlab => gitlab::KEPT,
    };
    Delivery {
        id: DeliveryId::fresh(),
        host,
        source: source.to_owned(),
        event: event.unwrap_or_else(|| "unknown".to_owned()),
        key,
        body_sha256: body_sha256(&body),
        received_at,
        headers: headers::keep(request.headers(), kept),
        replay_of: None,
        body,
    }
}
