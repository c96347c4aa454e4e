//! What is heard of sources while deliveries are worked on: the last one of each, and which secret it was signed with; and when tokens were
//! used last, which nodes tell. Noted in memory, and written every now and then, so that no delivery waits for it. A crash forgets some
//! seconds of it.
//! Knows nothing of what deliveries tell.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipecast_model::witnessed::TokenUse;
use pipecast_model::{Delivery, Host, SecretId, Timestamp, TokenId, with_causes};
use pipecast_store::Writer;
use pipecast_store::source::Heard;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often it is written: so long an operator waits to see the first delivery of a new source.
const EVERY: Duration = Duration::from_secs(1);
/// What was written of a source so recently is not written again.
const FRESH: Duration = Duration::from_secs(15);
/// Sources and secrets at once; what is heard of others meanwhile is left to their next delivery.
const MOST: usize = 10_000;

/// Who was heard: a source, and with which of its secrets.
type Who = (Host, String, Option<SecretId>);

/// What was heard and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// A short lock, once for each batch of deliveries.
    ears: Mutex<Ears>,
}

#[derive(Debug, Default)]
struct Ears {
    heard: HashMap<Who, Timestamp>,
    written: HashMap<Who, Timestamp>,
    /// In the order of their ids, so that two workers that write them never wait for each other in a circle.
    uses: BTreeMap<TokenId, TokenUse>,
}

impl Hearing {
    /// Takes note of deliveries. One that is repeated on purpose is none of its source's.
    pub(crate) fn note<'a>(&self, deliveries: impl Iterator<Item = &'a Delivery>) {
        let mut ears = self.lock();
        for delivery in deliveries.filter(|delivery| delivery.replay_of.is_none()) {
            let who = (delivery.host, delivery.source.clone(), delivery.secret);
            let fresh = delivery.received_at.minus(FRESH);
            if ears.written.get(&who).is_none_or(|written| *written <= fresh) {
                ears.hear(who, delivery.received_at);
            }
        }
    }

    /// Takes note of tokens that were used.
    pub(crate) fn note_uses(&self, uses: &[TokenUse]) {
        let mut ears = self.lock();
        uses.iter().for_each(|used| ears.hear_use(used.clone()));
    }

    /// Writes what was heard, until it is asked to end, and then once more. What could not be written is written the next time.
    pub(crate) async fn run(self: Arc<Self>, writer: Arc<Writer>, ending: CancellationToken) {
        let mut seconds = interval(EVERY);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = [false; 2];
        loop {
            let is_over = tokio::select! {
                () = ending.cancelled() => true,
                _ = seconds.tick() => false,
            };
            say_once(&mut said[0], "the last deliveries of sources", self.write(&writer).await);
            say_once(&mut said[1], "when tokens were used", self.write_uses(&writer).await);
            if is_over {
                return;
            }
        }
    }

    async fn write(&self, writer: &Writer) -> pipecast_store::Result<()> {
        let heard = std::mem::take(&mut self.lock().heard);
        if heard.is_empty() {
            return Ok(());
        }
        let written = write_heard(writer, &heard).await;
        let mut ears = self.lock();
        if written.is_err() {
            heard.into_iter().for_each(|(who, at)| ears.hear(who, at));
            return written;
        }
        if ears.written.len() + heard.len() > MOST {
            ears.written.clear();
        }
        ears.written.extend(heard);
        Ok(())
    }

    async fn write_uses(&self, writer: &Writer) -> pipecast_store::Result<()> {
        let uses = std::mem::take(&mut self.lock().uses);
        if uses.is_empty() {
            return Ok(());
        }
        let written = write_uses(writer, &uses).await;
        if written.is_err() {
            let mut ears = self.lock();
            uses.into_values().for_each(|used| ears.hear_use(used));
        }
        written
    }

    /// A panic while the lock was held cannot leave these short sections half done.
    fn lock(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ears {
    /// The newest that was heard of each, and of no more than can be remembered.
    fn hear(&mut self, who: Who, at: Timestamp) {
        if self.heard.len() < MOST || self.heard.contains_key(&who) {
            let newest = self.heard.entry(who).or_insert(at);
            *newest = (*newest).max(at);
        }
    }

    /// The same of tokens.
    fn hear_use(&mut self, used: TokenUse) {
        if self.uses.len() < MOST || self.uses.contains_key(&used.token) {
            let newest = self.uses.entry(used.token).or_insert_with(|| used.clone());
            if newest.at < used.at {
                *newest = used;
            }
        }
    }
}

/// Says that something cannot be written, once until it can be again.
fn say_once(said: &mut bool, what: &str, written: pipecast_store::Result<()>) {
    match written {
        Ok(()) => *said = false,
        Err(error) => {
            if !std::mem::replace(said, true) {
                warn!("cannot note {what}, trying again every second: {}", with_causes(&error));
            }
        }
    }
}

async fn write_heard(writer: &Writer, heard: &HashMap<Who, Timestamp>) -> pipecast_store::Result<()> {
    let shape = |((host, source, secret), at): (&Who, &Timestamp)| Heard {
        host: *host,
        source: source.clone(),
        secret: *secret,
        at: *at,
    };
    let mut tx = writer.begin().await?;
    tx.note_heard(&heard.iter().map(shape).collect::<Vec<_>>()).await?;
    tx.commit_unsynced().await
}

async fn write_uses(writer: &Writer, uses: &BTreeMap<TokenId, TokenUse>) -> pipecast_store::Result<()> {
    let shape = |used: &TokenUse| (used.token, used.at, used.ip.map(|ip| ip.to_canonical().to_string()));
    let mut tx = writer.begin().await?;
    tx.note_token_uses(&uses.values().map(shape).collect::<Vec<_>>()).await?;
    tx.commit_unsynced().await
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use sqlx::{Connection, SqliteConnection};

    use super::*;

    fn used(token: TokenId, at: i64) -> TokenUse {
        TokenUse {
            token,
            at: Timestamp(at),
            ip: None,
        }
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_once_that_is_possible() {
        let directory = tempfile::tempdir().unwrap();
        let options = pipecast_store::Options {
            url: format!("sqlite:{}", directory.path().join("pipecast.db").display()),
            read_url: None,
            read_connections: 1,
            acquire_timeout: Duration::from_millis(200),
            first_id: 1,
        };
        pipecast_store::migrate(&options).await.unwrap();
        let (_reader, writer) = pipecast_store::open(&options).await.unwrap();
        let mut somebody = SqliteConnection::connect(&options.url).await.unwrap();
        let (hearing, token) = (Hearing::default(), TokenId::fresh());
        hearing.note_uses(&[used(token, 7)]);
        hearing.lock().hear((Host::Github, "default".into(), None), Timestamp(7));

        // The tables are away, as after a statement that was given up.
        for sql in ["ALTER TABLE api_tokens RENAME TO gone", "ALTER TABLE sources RENAME TO gone_too"] {
            sqlx::query(sql).execute(&mut somebody).await.unwrap();
        }
        assert!(hearing.write_uses(&writer).await.is_err() && hearing.write(&writer).await.is_err());
        hearing.note_uses(&[used(token, 5)]);

        assert_eq!(hearing.lock().uses.get(&token).map(|used| used.at), Some(Timestamp(7)), "the newest");
        assert_eq!(hearing.lock().heard.values().collect::<Vec<_>>(), [&Timestamp(7)]);
        for sql in ["ALTER TABLE gone RENAME TO api_tokens", "ALTER TABLE gone_too RENAME TO sources"] {
            sqlx::query(sql).execute(&mut somebody).await.unwrap();
        }
        hearing.write_uses(&writer).await.unwrap();
        hearing.write(&writer).await.unwrap();
        assert!(hearing.lock().uses.is_empty() && hearing.lock().heard.is_empty());
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let hearing = Hearing::default();
        let uses: Vec<TokenUse> = (0..=MOST).map(|_| used(TokenId::fresh(), 1)).collect();

        hearing.note_uses(&uses);
        hearing.note_uses(&[used(uses[0].token, 2)]);

        let ears = hearing.lock();
        assert_eq!((ears.uses.len(), ears.uses[&uses[0].token].at), (MOST, Timestamp(2)));
    }
}
