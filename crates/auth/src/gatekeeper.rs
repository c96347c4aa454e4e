//! The gatekeeper of a node: verifies what somebody shows, and asks the database every few seconds how they stand.
//! Knows nothing of requests and sockets. The bus may tell it to ask sooner, and can tell it nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use moka::sync::Cache;
use pipecast_model::Timestamp;
use pipecast_store::{Credential, Error, Reader};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::homes::Homes;
use crate::internal::Internal;
use crate::jwt::{Audience, Claims, PublicKey};
use crate::proof::{Proof, is_within};
use crate::verifiers::Verifiers;
use crate::{Badge, Bearing, secret};

mod sight;

/// How long it is believed how somebody stands. With the time of one reading it stays under the five seconds that are promised.
pub const FRESH_FOR: Duration = Duration::from_secs(2);

/// How often those who have something open are looked after.
const ROUND: Duration = Duration::from_secs(1);

/// Readings at once in a round.
const AT_ONCE: usize = 4;

/// Tokens and badges that are kept.
const MOST: u64 = 50_000;

/// How long a token of a program is found without asking; whether it is good is asked all the same.
const TOKEN_KEPT: Duration = Duration::from_secs(600);

/// A cookie that was replaced is still good for so long, for requests that were on their way.
const GRACE: Duration = Duration::from_secs(10);

/// What somebody shows.
#[derive(Clone, Copy)]
pub enum Presented<'a> {
    /// An access token, or a token of a program.
    Bearer(&'a str),
    /// The cookie that carries a session on.
    Cookie(&'a str),
}

impl Presented<'_> {
    /// By which it is remembered where it leads. A cookie is no bearer's token, whatever its text.
    fn key(self) -> Key {
        match self {
            Presented::Bearer(token) => (Way::Bearer, secret::hash(token)),
            Presented::Cookie(token) => (Way::Cookie, secret::hash(token)),
        }
    }
}

type Key = (Way, [u8; 32]);

/// How something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    Bearer,
    Cookie,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What they show is no good, or not any more.
    #[error("it is no good, or not any more")]
    Invalid,
    /// It cannot be found out now.
    #[error("it cannot be found out now")]
    Unavailable(#[from] Error),
}

/// Somebody who is let in.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// What this node knows of what they came in with.
    pub badge: Arc<Badge>,
    /// How they stand now.
    pub bearing: Arc<Bearing>,
    /// When they proved last who they are.
    pub proof: Proof,
}

/// Somebody who is let in, or why they are not.
pub type Admission = Result<Entrant, Refusal>;

/// Where a token leads, and until when.
#[derive(Clone, Copy, Debug)]
struct Found {
    credential: Credential,
    proof: Proof,
    until: Instant,
    /// The token's own end, apart from that of what it leads to.
    expires_at: Timestamp,
}

impl Found {
    fn lets_in(self, badge: Arc<Badge>, bearing: Arc<Bearing>) -> Entrant {
        let proof = self.proof;
        Entrant { badge, bearing, proof }
    }
}

/// The gatekeeper of a node.
#[derive(Debug)]
pub struct Gatekeeper {
    reader: Reader,
    issuer: String,
    verifiers: Verifiers,
    found: Cache<Key, Found>,
    badges: Cache<Credential, Arc<Badge>>,
    held: Mutex<Vec<Weak<Badge>>>,
    internal: Internal,
    homes: Homes,
    /// The edition of what is internal that those who are looked after were told of.
    told_internal: AtomicU64,
    changed: watch::Sender<u64>,
}

impl Gatekeeper {
    /// Knows nobody yet. `issuer` is whose access tokens are good; the same on every node. `reader` reads the primary: what a replica
    /// has not heard yet would let somebody in who may not.
    pub fn new(reader: Reader, issuer: &str) -> Arc<Gatekeeper> {
        Arc::new(Gatekeeper {
            homes: Homes::new(reader.clone()),
            verifiers: Verifiers::new(reader.clone()),
            internal: Internal::new(reader.clone()),
            reader,
            issuer: issuer.to_owned(),
            found: Cache::builder().max_capacity(MOST).time_to_idle(TOKEN_KEPT).build(),
            badges: Cache::builder().max_capacity(MOST).time_to_idle(TOKEN_KEPT).build(),
            held: Mutex::default(),
            told_internal: AtomicU64::new(0),
            changed: watch::Sender::new(0),
        })
    }

    /// Whose access tokens are good.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The badge of whoever shows this, without asking anybody; `None` where the database has to be asked.
    pub fn recall(&self, presented: Presented<'_>) -> Option<Admission> {
        let found = self.found.get(&presented.key()).filter(|found| found.until > Instant::now())?;
        if found.expires_at <= Timestamp::now() {
            return Some(Err(Refusal::Invalid));
        }
        let badge = self.badges.get(&found.credential)?;
        let bearing = badge.fresh(FRESH_FOR)?;
        self.internal
            .is_fresh()
            .then(|| bearing.map(|bearing| found.lets_in(badge, bearing)).ok_or(Refusal::Invalid))
    }

    /// Whether this was shown here before, some minutes ago at most, and was good: so it is nobody's guess. It may have ended since.
    pub fn remembers(&self, presented: Presented<'_>) -> bool {
        self.found.contains_key(&presented.key())
    }

    /// The badge of whoever shows this, and how they stand now.
    ///
    /// # Errors
    /// `Invalid` where it is no good, `Unavailable` where that cannot be found out.
    pub async fn admit(&self, presented: Presented<'_>) -> Admission {
        if let Some(recalled) = self.recall(presented) {
            return recalled;
        }
        let found = self.find(presented).await?;
        if found.expires_at <= Timestamp::now() {
            return Err(Refusal::Invalid);
        }
        let Entrant { badge, bearing, .. } = self.admit_as(found.credential).await?;
        Ok(found.lets_in(badge, bearing))
    }

    /// The same for a credential that was verified by other means.
    ///
    /// # Errors
    /// `Invalid`, `Unavailable`.
    pub async fn admit_as(&self, credential: Credential) -> Admission {
        let badge = self.badges.get_with(credential, || Arc::new(Badge::new(credential)));
        self.internal.refresh().await?;
        let bearing = self.look(&badge).await?.ok_or(Refusal::Invalid)?;
        let proof = Proof::of_credential(credential);
        Ok(Entrant { badge, bearing, proof })
    }

    /// Whether somebody proved within `age` who they are, as a person has to and a program cannot. What a token says is believed; a cookie says nothing,
    /// so its session is looked at on the primary, as it is now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_proved(&self, proof: Proof, age: Duration) -> Result<bool, Error> {
        let at = match proof {
            Proof::Program => return Ok(true),
            Proof::At(at) => at,
            Proof::OfSession(session) => self.reader.find_proof(session).await?,
        };
        Ok(at.is_some_and(|at| is_within(at, age, Timestamp::now())))
    }

    /// When a bearer's token ends by itself, where that is earlier than what it leads to. Only after it was admitted.
    pub fn end_of(&self, token: &str) -> Option<Timestamp> {
        self.found.get(&Presented::Bearer(token).key()).map(|found| found.expires_at)
    }

    /// What a token says, where one of our keys signed it and it is good now.
    ///
    /// # Errors
    /// `Invalid`, `Unavailable`.
    pub async fn verify(&self, token: &str, audience: Audience) -> Result<Claims, Refusal> {
        let key = PublicKey::id_in(token).ok_or(Refusal::Invalid)?;
        let key = self.verifiers.find(&key).await?.ok_or(Refusal::Invalid)?;
        key.verify(token, &self.issuer, audience).ok_or(Refusal::Invalid)
    }

    /// Public keys by which tokens are verified, by name: for others who verify them.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn jwks(&self) -> Result<serde_json::Value, Error> {
        self.verifiers.jwks().await
    }

    async fn find(&self, presented: Presented<'_>) -> Result<Found, Refusal> {
        let now = Instant::now();
        let found = match presented {
            Presented::Bearer(token) if secret::is_ours(token) => {
                let prefix = secret::prefix_of(token).ok_or(Refusal::Invalid)?;
                let (id, hash) = self.reader.find_token_hash(prefix).await?.ok_or(Refusal::Invalid)?;
                if !secret::same(&hash, &secret::hash(token)) {
                    return Err(Refusal::Invalid);
                }
                Found {
                    credential: Credential::Token(id),
                    proof: Proof::Program,
                    until: now + TOKEN_KEPT,
                    expires_at: Timestamp(i64::MAX),
                }
            }
            Presented::Bearer(token) => {
                let claims = self.verify(token, Audience::Access).await?;
                let session = claims.session().ok_or(Refusal::Invalid)?;
                Found {
                    credential: Credential::Session(session),
                    proof: Proof::of_claims(&claims),
                    until: now + TOKEN_KEPT,
                    expires_at: Timestamp(claims.exp.saturating_mul(1_000_000)),
                }
            }
            Presented::Cookie(token) => {
                let refresh = self.reader.find_refresh(&secret::hash(token)).await?.ok_or(Refusal::Invalid)?;
                let end = refresh.used_at.map_or(refresh.expires_at, |used| Timestamp(used.0 + GRACE.as_micros() as i64));
                if refresh.is_ended || end <= Timestamp::now() {
                    return Err(Refusal::Invalid);
                }
                Found {
                    credential: Credential::Session(refresh.session_id),
                    proof: Proof::OfSession(refresh.session_id),
                    until: now + FRESH_FOR,
                    expires_at: end,
                }
            }
        };
        self.found.insert(presented.key(), found);
        Ok(found)
    }

    /// How the bearer of a badge stands now: as it is known, or asked anew, once for all who ask at the same time.
    ///
    /// # Errors
    /// `Unavailable` where it is too long ago that it was known.
    pub async fn look(&self, badge: &Badge) -> Result<Option<Arc<Bearing>>, Error> {
        if let Some(bearing) = badge.fresh(FRESH_FOR) {
            return Ok(bearing);
        }
        let _one = badge.reading.lock().await;
        if let Some(bearing) = badge.fresh(FRESH_FOR) {
            return Ok(bearing);
        }
        self.ask(badge).await?;
        Ok(badge.bearing())
    }

    async fn ask(&self, badge: &Badge) -> Result<bool, Error> {
        let begun = Instant::now();
        let bearer = self.reader.find_bearer(badge.credential()).await?;
        Ok(badge.note(bearer.map(Bearing::from), begun))
    }

    /// Looks after a badge for as long as anybody has it: its changes are then seen within `FRESH_FOR` and a round.
    pub fn hold(&self, badge: &Arc<Badge>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if badge.hold() {
            held.push(Arc::downgrade(badge));
        }
    }

    /// Tells each time that a badge has changed which is looked after.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Asks about everybody anew before they are believed again.
    pub fn forget(&self) {
        self.badges.iter().for_each(|(_, badge)| badge.forget());
        self.internal.forget();
    }

    /// Looks after the badges that are held, until it is asked to end.
    ///
    /// While the database does not answer nobody is sent away: nothing can have been revoked there meanwhile.
    pub async fn run(&self, ending: CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = HashMap::new();
        while ending.run_until_cancelled(rounds.tick()).await.is_some() {
            let held = self.held();
            if held.is_empty() {
                continue;
            }
            if ending.run_until_cancelled(self.round(&held)).await.is_none() {
                return;
            }
            // Also what requests have found out between two rounds.
            let now: HashMap<Credential, u32> = held.iter().map(|badge| (badge.credential(), badge.changes())).collect();
            let is_news = now.iter().any(|(credential, changes)| told.get(credential).is_none_or(|told| told != changes));
            told = now;
            if is_news {
                self.changed.send_modify(|count| *count += 1);
            }
        }
    }

    async fn round(&self, held: &[Arc<Badge>]) {
        if let Err(error) = self.internal.refresh().await {
            tracing::debug!(%error, "cannot look now what is internal");
        }
        // Also where a request has found it out between two rounds.
        let edition = self.internal.edition();
        if self.told_internal.swap(edition, Ordering::Relaxed) != edition {
            held.iter().for_each(|badge| badge.stir());
        }
        let due = futures_util::stream::iter(held).filter(|badge| std::future::ready(badge.fresh(ROUND).is_none()));
        due.for_each_concurrent(AT_ONCE, |badge| async {
            if let Err(error) = self.ask(badge).await {
                tracing::debug!(%error, "cannot look after a session now");
            }
        })
        .await;
    }

    fn held(&self) -> Vec<Arc<Badge>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Arc<Badge>> = held.iter().filter_map(Weak::upgrade).collect();
        let is_used = |badge: &Arc<Badge>| {
            let is_cached = self.badges.get(&badge.credential()).is_some_and(|cached| Arc::ptr_eq(&cached, badge));
            Arc::strong_count(badge) > 1 + usize::from(is_cached)
        };
        let (kept, left): (Vec<_>, Vec<_>) = all.into_iter().partition(is_used);
        left.iter().for_each(|badge| badge.let_go());
        *held = kept.iter().map(Arc::downgrade).collect();
        kept
    }
}
