//! One budget for all processes: what was taken here is told to Redis, and what everybody took is learned from its answer.
//! Knows nothing of who waits: nobody does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{RedisResult, Script};
use metrics::gauge;
use pipecast_model::with_causes;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{News, Quotas};
use crate::Result;
use crate::redis::{Redis, names};

/// So long is gathered before it is told. What several processes let through too much grows with it, and what they ask Redis shrinks.
const GATHER: Duration = Duration::from_millis(10);

/// Spenders that one script looks at; Redis does nothing else meanwhile.
const BATCH: usize = 500;

/// How often a server that is away is looked for where nobody has anything to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells and learns.
#[derive(Debug)]
pub struct Sharing {
    quotas: Arc<Quotas>,
    redis: Redis,
    tell: Script,
}

impl Sharing {
    /// Shares what is taken in `quotas` with all who do so on this Redis.
    pub fn new(quotas: Arc<Quotas>, redis: &Redis) -> Sharing {
        Sharing {
            quotas,
            redis: redis.clone(),
            tell: Script::new(include_str!("tell.lua")),
        }
    }

    /// Tells and learns until it is asked to end. While Redis is away each process has every budget to itself; that is said once, and
    /// once when it is over.
    pub async fn run(self, ending: CancellationToken) {
        let shared = gauge!("pipecast_quotas_shared");
        shared.set(1.0);
        let mut is_away = false;
        while ending.run_until_cancelled(self.gather(is_away)).await.is_some() {
            // What could not be told is forgotten: it is owed here all the same.
            let news = self.quotas.collect(BATCH);
            let told = match news.is_empty() {
                true if is_away => self.redis.check().await,
                true => continue,
                false => self.tell(&news).await,
            };
            match &told {
                Ok(()) if is_away => info!("redis answers again: every rate limit is one budget for all processes"),
                Err(error) if !is_away => {
                    let error = with_causes(error);
                    warn!(error, "redis does not answer: until it does, every process has every rate limit to itself");
                }
                _ => {}
            }
            is_away = told.is_err();
            shared.set(if is_away { 0.0 } else { 1.0 });
        }
    }

    /// Waits until there is something to tell, and a moment longer; or until it is time to look for a server that is away.
    async fn gather(&self, is_away: bool) {
        let news = self.quotas.news.notified();
        match is_away {
            true => drop(timeout(LOOK_EVERY, news).await),
            false => news.await,
        }
        sleep(GATHER).await;
    }

    async fn tell(&self, news: &[News]) -> Result<()> {
        let asked = Instant::now();
        let work = async {
            let mut lease = self.redis.lease().await?;
            let mut call = self.tell.prepare_invoke();
            for News { spender, taken } in news {
                call.key(names::quota(*spender)).arg(*taken);
            }
            let answer: RedisResult<Vec<u64>> = call.invoke_async(lease.connection()).await;
            Ok(lease.settle(answer)?)
        };
        let owed = self.redis.within("share rate limits on redis", work).await?;
        for (News { spender, .. }, owed) in news.iter().zip(owed) {
            self.quotas.learn(*spender, owed, asked);
        }
        Ok(())
    }
}
