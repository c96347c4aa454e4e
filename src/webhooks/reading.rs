//! Keeps the book of sources current: reads what operators have changed every second, and one source at once where a delivery does not fit.
//! Knows nothing of requests. While the database is away, the book stays as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;
use pipecast_http::Rate;
use pipecast_model::Host;
use pipecast_store::Reader;
use pipecast_store::sealed::{Keyring, Keys, Kid};
use pipecast_store::source::{SealedSecret, TrustedSource, place_of_secret};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::book::{Book, Change};
use super::trust::{Credential, Entry};
use crate::config::Secret;

/// How often it is asked what has changed: so long a secret that was taken back may still be believed.
const EVERY: Duration = Duration::from_secs(1);
/// Sources of one query.
const PAGE: i64 = 500;
/// Single sources that are read again in a second, whoever asks for it with what does not fit.
const AGAIN_PER_SECOND: u32 = 10;
/// Longest wait for one of them; then the delivery is judged by what is known.
const AGAIN_WITHIN: Duration = Duration::from_millis(500);
/// How often the log says that the database cannot be asked.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Reads sources into the book.
pub struct Reading {
    book: Arc<Book>,
    reader: Reader,
    keys: Arc<Keys>,
    again: Rate,
    /// Until when those have been paid for. A short lock, and only for what is refused.
    paid_until: Mutex<Instant>,
}

impl Reading {
    pub(super) fn new(book: Arc<Book>, reader: Reader, keys: Arc<Keys>) -> Reading {
        Reading {
            book,
            reader,
            keys,
            again: Rate::new(AGAIN_PER_SECOND, AGAIN_PER_SECOND),
            paid_until: Mutex::new(Instant::now()),
        }
    }

    /// Reads until it is asked to end. To be called once the schema is there.
    pub async fn run(&self, ending: CancellationToken) {
        let mut seconds = interval(EVERY);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said: Option<Instant> = None;
        let mut tried: Option<Vec<Kid>> = None;
        loop {
            tokio::select! {
                biased;
                () = ending.cancelled() => return,
                _ = seconds.tick() => {}
            }
            // What could not be opened is opened once there are other keys.
            let kids = self.kids();
            let anew = self.book.count().1 > 0 && tried.as_ref() != Some(&kids);
            tried = Some(kids);
            match self.read_from(if anew { 0 } else { self.book.revision() }).await {
                Ok(()) if said.take().is_some() => info!("the sources of webhooks are read again"),
                Ok(()) => {}
                Err(error) if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) => {
                    said = Some(Instant::now());
                    warn!("cannot read the sources of webhooks; those that are known stay as they were: {error}");
                }
                Err(_) => {}
            }
        }
    }

    /// Reads everything that has changed since it was read last.
    ///
    /// # Errors
    /// The database does not answer; the book stays as it was.
    pub async fn read(&self) -> pipecast_store::Result<()> {
        self.read_from(self.book.revision()).await
    }

    async fn read_from(&self, mut revision: i64) -> pipecast_store::Result<()> {
        let mut changes = Vec::new();
        loop {
            let page = self.reader.list_trusted_after(revision, PAGE).await?;
            let is_last = i64::try_from(page.len()).is_ok_and(|length| length < PAGE);
            revision = page.last().map_or(revision, |source| source.revision);
            let ring = self.keys.ring().ok();
            changes.extend(page.into_iter().map(|source| opened(source, ring.as_deref())));
            if is_last {
                break;
            }
        }
        let is_news = !changes.is_empty();
        self.book.learn(changes, revision);
        if is_news {
            self.tell();
        }
        Ok(())
    }

    /// Reads one source again, where that has not been done too often. Says whether it is another one now. Asks the database the same,
    /// whether there is such a source or not, and whether it is configured or not.
    pub(super) async fn look_again(&self, host: Host, key: &str) -> bool {
        let may = self
            .again
            .take(&mut self.paid_until.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if !may {
            return false;
        }
        let Ok(Ok(Some(source))) = timeout(AGAIN_WITHIN, self.reader.find_trusted(host, key)).await else {
            return false;
        };
        let ring = self.keys.ring().ok();
        self.book.learn_one(opened(source, ring.as_deref()))
    }

    fn kids(&self) -> Vec<Kid> {
        self.keys.ring().map(|ring| ring.kids().cloned().collect()).unwrap_or_default()
    }

    fn tell(&self) {
        let (all, unreadable) = self.book.count();
        gauge!("pipecast_webhook_sources", "secrets" => "read").set((all - unreadable) as f64);
        gauge!("pipecast_webhook_sources", "secrets" => "unreadable").set(unreadable as f64);
        if unreadable > 0 {
            error!(
                unreadable,
                "the secrets of {unreadable} of {all} sources cannot be opened with the keys of this process; their deliveries are answered 503"
            );
        }
    }
}

/// A source with its secrets as they are compared. One whose secrets do not open is kept, as one that cannot be judged.
fn opened(source: TrustedSource, ring: Option<&Keyring>) -> Change {
    let TrustedSource {
        id,
        host,
        key,
        open,
        revision,
        secrets,
    } = source;
    let mut entry = Entry {
        disabled: !open,
        revision,
        ..Entry::default()
    };
    if open {
        for SealedSecret {
            id: secret,
            kind,
            sealed,
            not_after,
            ..
        } in &secrets
        {
            let plain = ring.and_then(|ring| ring.open(&place_of_secret(id, *secret), sealed).ok());
            match plain.as_ref().and_then(|plain| plain.as_text().ok()) {
                Some(text) => entry.credentials.push(Credential {
                    id: Some(*secret),
                    kind: *kind,
                    secret: Secret::new(text),
                    not_after: *not_after,
                }),
                None => entry.unreadable = true,
            }
        }
        // One that opens is enough to judge by.
        entry.unreadable &= entry.credentials.is_empty();
    }
    (host, key, entry)
}
