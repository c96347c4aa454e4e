//! What a process runs for people: the gatekeeper that lets them in, and what the admin does about accounts.
//! Knows nothing of how a process begins or ends.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use pipecast_admin::accounts::{self, Accounts};
use pipecast_auth::Gatekeeper;
use pipecast_fabric::Queue;
use pipecast_http::Witness;
use pipecast_store::sealed::Keys;
use pipecast_store::{Reader, Writer};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::schema::Awaited;
use crate::config;
use crate::config::Format;

/// What the admin does about accounts.
pub(super) fn accounts(
    settings: &config::Auth,
    reader: &Reader,
    writer: &Arc<Writer>,
    gatekeeper: &Arc<Gatekeeper>,
    keys: &Arc<Keys>,
) -> anyhow::Result<Accounts> {
    let settings = accounts::Settings {
        access: settings.access_lifetime,
        refresh: settings.refresh_lifetime,
        session: settings.session_lifetime,
        cost: settings.cost(),
        throttle: settings.login_throttle,
    };
    let (writer, gatekeeper, keys) = (Arc::clone(writer), Arc::clone(gatekeeper), Arc::clone(keys));
    Ok(Accounts::new(reader.clone(), writer, gatekeeper, keys, settings)?)
}

/// Looks after whoever has something open here, once the schema is there.
pub(super) async fn guard(gatekeeper: Arc<Gatekeeper>, mut awaited: Awaited, ending: CancellationToken) -> anyhow::Result<()> {
    if ending.run_until_cancelled(awaited.there()).await.is_some() {
        gatekeeper.run(ending.clone()).await;
    }
    ending.cancelled().await;
    Ok(())
}

/// Tells which tokens are used here and who is denied what, as long as the queue takes it.
pub(super) async fn witness(witness: Arc<Witness>, queue: Arc<dyn Queue>, ending: CancellationToken) -> anyhow::Result<()> {
    witness.run(queue, ending).await;
    Ok(())
}

/// Looks which logins were asked for a code and have not come back, once the schema is there.
pub(super) async fn watch_logins(accounts: Arc<Accounts>, mut awaited: Awaited, ending: CancellationToken) -> anyhow::Result<()> {
    if ending.run_until_cancelled(awaited.there()).await.is_some() {
        accounts.run(ending).await;
    }
    Ok(())
}

/// Says how to become the first admin, where there is none.
pub(super) async fn offer_setup(accounts: Arc<Accounts>, format: Format, mut awaited: Awaited, ending: CancellationToken) -> anyhow::Result<()> {
    if ending.run_until_cancelled(awaited.there()).await.is_none() {
        return Ok(());
    }
    match accounts.offer_setup().await {
        Ok(Some(token)) => {
            // Written past the log, whose filter may leave it out.
            drop(writeln!(std::io::stderr().lock(), "{}", told(format, token.expose())));
        }
        Ok(None) => {}
        Err(error) => warn!(%error, "cannot offer the setup; run `pipecast create-admin NAME`, or start again"),
    }
    ending.cancelled().await;
    Ok(())
}

fn told(format: Format, token: &str) -> String {
    const WHAT: &str = "no account yet: open the page and set up the first admin within an hour, or run `pipecast create-admin NAME`";
    let is_json = match format {
        Format::Json => true,
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Pretty => false,
    };
    match is_json {
        true => serde_json::json!({
            "timestamp": pipecast_model::Timestamp::now(), "level": "WARN", "fields": {"message": WHAT, "setup_token": token},
        })
        .to_string(),
        false => format!("\n  {WHAT}; the token is good once, and a new start makes a new one:\n\n      {token}\n"),
    }
}
