//! What limits how often somebody may ask this process: counted here, and shared with all who are on the same Redis.
//! Knows nothing of routes.

use std::sync::Arc;

use actix_web::web;
use pipecast_fabric::Quotas;
use pipecast_fabric::quota::shared::Sharing;
use pipecast_fabric::redis::Redis;
use pipecast_http::Limits;
use tokio_util::sync::CancellationToken;

use super::tasks::Tasks;
use super::tuning::Apply;
use crate::config;

/// The limits of a process, and what keeps their rules as they are set.
pub(super) fn limit(settings: &config::Limits, redis: Option<Redis>, tasks: &mut Tasks, ending: &CancellationToken) -> (web::Data<Limits>, Apply) {
    let quotas = Arc::new(Quotas::new(settings.max_callers));
    if let Some(redis) = redis {
        let (sharing, ending) = (Sharing::new(Arc::clone(&quotas), &redis), ending.clone());
        tasks.start("limits", async move {
            sharing.run(ending).await;
            Ok(())
        });
    }
    let limits = web::Data::new(Limits::new(settings.rules(), quotas, settings.count_loopback));
    let tuned = limits.clone();
    (limits, Box::new(move |config| tuned.tune(config.limits.rules())))
}
