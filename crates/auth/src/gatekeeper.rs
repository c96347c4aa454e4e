//! The gatekeeper of a node: verifies what somebody shows, and asks the database every few seconds how they stand.
//! Knows nothing of requests and sockets. The bus may tell it to ask sooner, and can tell it nothing else.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use moka::sync::Cache;
use pipecast_model::{ProjectId, Timestamp};
use pipecast_store::{Credential, Error, Reader};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::homes::{Homes, Thing};
use crate::jwt::{Audience, Claims, PublicKey};
use crate::{Badge, Bearing, secret};

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

/// A key that is not known is looked for no more often; until then it is waited for.
const KEYS_EVERY: Duration = Duration::from_millis(250);

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

/// The badge of somebody who is let in, and how they stand now.
pub type Admission = Result<(Arc<Badge>, Arc<Bearing>), Refusal>;

/// Where a token leads, and until when.
#[derive(Clone, Copy, Debug)]
struct Found {
    credential: Credential,
    until: Instant,
    /// The token's own end, apart from that of what it leads to.
    expires_at: Timestamp,
}

/// The gatekeeper of a node.
#[derive(Debug)]
pub struct Gatekeeper {
    reader: Reader,
    issuer: String,
    keys: RwLock<HashMap<String, PublicKey>>,
    keys_read: tokio::sync::Mutex<Option<Instant>>,
    found: Cache<[u8; 32], Found>,
    badges: Cache<Credential, Arc<Badge>>,
    held: Mutex<Vec<Weak<Badge>>>,
    internal: RwLock<Arc<HashSet<ProjectId>>>,
    internal_read: Mutex<Option<Instant>>,
    homes: Homes,
    changed: watch::Sender<u64>,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublicKey")
    }
}

impl Gatekeeper {
    /// Knows nobody yet. `issuer` is whose access tokens are good; the same on every node. `reader` reads the primary: what a replica
    /// has not heard yet would let somebody in who may not.
    pub fn new(reader: Reader, issuer: &str) -> Arc<Gatekeeper> {
        Arc::new(Gatekeeper {
            homes: Homes::new(reader.clone()),
            reader,
            issuer: issuer.to_owned(),
            keys: RwLock::default(),
            keys_read: tokio::sync::Mutex::default(),
            found: Cache::builder().max_capacity(MOST).time_to_idle(TOKEN_KEPT).build(),
            badges: Cache::builder().max_capacity(MOST).time_to_idle(TOKEN_KEPT).build(),
            held: Mutex::default(),
            internal: RwLock::default(),
            internal_read: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    /// Whose access tokens are good.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The badge of whoever shows this, without asking anybody; `None` where the database has to be asked.
    pub fn recall(&self, presented: Presented<'_>) -> Option<Admission> {
        let (Presented::Bearer(token) | Presented::Cookie(token)) = presented;
        let found = self.found.get(&secret::hash(token)).filter(|found| found.until > Instant::now())?;
        if found.expires_at <= Timestamp::now() {
            return Some(Err(Refusal::Invalid));
        }
        let badge = self.badges.get(&found.credential)?;
        let bearing = badge.fresh(FRESH_FOR)?;
        self.is_internal_fresh()
            .then(|| bearing.map(|bearing| (badge, bearing)).ok_or(Refusal::Invalid))
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
        self.admit_as(found.credential).await
    }

    /// The same for a credential that was verified by other means.
    ///
    /// # Errors
    /// `Invalid`, `Unavailable`.
    pub async fn admit_as(&self, credential: Credential) -> Admission {
        let badge = self.badges.get_with(credential, || Arc::new(Badge::new(credential)));
        self.refresh_internal().await?;
        let bearing = self.look(&badge).await?.ok_or(Refusal::Invalid)?;
        Ok((badge, bearing))
    }

    /// When what somebody shows ends by itself, where that is earlier than what it leads to. Only after it was admitted.
    pub fn end_of(&self, token: &str) -> Option<Timestamp> {
        self.found.get(&secret::hash(token)).map(|found| found.expires_at)
    }

    /// What a token says, where one of our keys signed it and it is good now.
    ///
    /// # Errors
    /// `Invalid`, `Unavailable`.
    pub async fn verify(&self, token: &str, audience: Audience) -> Result<Claims, Refusal> {
        let key = PublicKey::id_in(token).ok_or(Refusal::Invalid)?;
        let key = self.key(&key).await?.ok_or(Refusal::Invalid)?;
        key.verify(token, &self.issuer, audience).ok_or(Refusal::Invalid)
    }

    /// Public keys by which tokens are verified, by name: for others who verify them.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn jwks(&self) -> Result<serde_json::Value, Error> {
        let keys = self.reader.list_signing_keys().await?;
        let keys: Vec<_> = keys.iter().map(|key| crate::jwt::jwk(&key.id, &key.public_key)).collect();
        Ok(serde_json::json!({ "keys": keys }))
    }

    async fn find(&self, presented: Presented<'_>) -> Result<Found, Refusal> {
        let now = Instant::now();
        let (token, found) = match presented {
            Presented::Bearer(token) if secret::is_ours(token) => {
                let prefix = secret::prefix_of(token).ok_or(Refusal::Invalid)?;
                let (id, hash) = self.reader.find_token_hash(prefix).await?.ok_or(Refusal::Invalid)?;
                if !secret::same(&hash, &secret::hash(token)) {
                    return Err(Refusal::Invalid);
                }
                (
                    token,
                    Found {
                        credential: Credential::Token(id),
                        until: now + TOKEN_KEPT,
                        expires_at: Timestamp(i64::MAX),
                    },
                )
            }
            Presented::Bearer(token) => {
                let claims = self.verify(token, Audience::Access).await?;
                let session = claims.session().ok_or(Refusal::Invalid)?;
                (
                    token,
                    Found {
                        credential: Credential::Session(session),
                        until: now + TOKEN_KEPT,
                        expires_at: Timestamp(claims.exp.saturating_mul(1_000_000)),
                    },
                )
            }
            Presented::Cookie(token) => {
                let refresh = self.reader.find_refresh(&secret::hash(token)).await?.ok_or(Refusal::Invalid)?;
                let end = refresh.used_at.map_or(refresh.expires_at, |used| Timestamp(used.0 + GRACE.as_micros() as i64));
                if refresh.is_ended || end <= Timestamp::now() {
                    return Err(Refusal::Invalid);
                }
                (
                    token,
                    Found {
                        credential: Credential::Session(refresh.session_id),
                        until: now + FRESH_FOR,
                        expires_at: end,
                    },
                )
            }
        };
        self.found.insert(secret::hash(token), found);
        Ok(found)
    }

    async fn key(&self, id: &str) -> Result<Option<PublicKey>, Error> {
        let known = |keys: &RwLock<HashMap<String, PublicKey>>| keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(key) = known(&self.keys) {
            return Ok(Some(key));
        }
        let asked = Instant::now();
        let mut read = self.keys_read.lock().await;
        if let Some(key) = known(&self.keys) {
            return Ok(Some(key));
        }
        if let Some(last) = *read {
            // Another has looked while this one waited.
            if last >= asked {
                return Ok(None);
            }
            // Names that nobody has cost no query each; and a key may have been made since the last look, however short ago that was.
            tokio::time::sleep_until((last + KEYS_EVERY).into()).await;
        }
        let begun = Instant::now();
        let keys = self.reader.list_signing_keys().await?;
        *read = Some(begun);
        let keys = keys.into_iter().map(|key| (key.id, PublicKey::new(&key.public_key, key.expires_at))).collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(known(&self.keys))
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

    /// Whether its bearer sees a project, by what was known last.
    pub fn sees(&self, bearing: &Bearing, project: ProjectId) -> bool {
        use pipecast_model::Permission::PipelinesRead;
        bearing.grants.may_in(PipelinesRead, project)
            || (bearing.grants.sees_internal() && self.internal.read().unwrap_or_else(PoisonError::into_inner).contains(&project))
    }

    /// The project of a thing; `None` where there is no such thing.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn home(&self, thing: Thing) -> Result<Option<ProjectId>, Error> {
        self.homes.find(thing).await
    }

    /// The same where it is known without asking.
    pub fn known_home(&self, thing: Thing) -> Option<ProjectId> {
        self.homes.known(thing)
    }

    fn is_internal_fresh(&self) -> bool {
        let read = self.internal_read.lock().unwrap_or_else(PoisonError::into_inner);
        read.is_some_and(|read| read.elapsed() < FRESH_FOR)
    }

    async fn refresh_internal(&self) -> Result<bool, Error> {
        if self.is_internal_fresh() {
            return Ok(false);
        }
        let begun = Instant::now();
        let now: HashSet<ProjectId> = self.reader.list_internal_projects().await?.into_iter().collect();
        let mut internal = self.internal.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = **internal != now;
        if is_news {
            *internal = Arc::new(now);
        }
        *self.internal_read.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Ok(is_news)
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
        *self.internal_read.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
        if self.refresh_internal().await.unwrap_or(false) {
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
