//! The keys that seal: whose they are, that they are there before they are needed, and the commands that exchange them.
//! Knows nothing of what is sealed.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use pipecast_store::Reader;
use pipecast_store::audit::{By, Entry};
use pipecast_store::sealed::{KeyFileError, Keyring, Keys, KeysError, Kid, Pass, Remaining};
use serde_json::json;
use tracing::{error, info, warn};

use super::Role;
use crate::config::{self, Config};

/// Values that one transaction wraps anew: so few that nobody waits long behind it.
const AT_ONCE: i64 = 200;
/// Passes over all values before it is said that some are left; others may seal with the old key while one runs.
const MOST_PASSES: usize = 5;

/// What a process does where there is no key yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Makes {
    /// It makes one: nobody else would.
    Key,
    /// It waits for one.
    Nothing,
}

/// The keys that the settings name. Whether they are there is seen when they are needed, or by `make_sure`.
///
/// # Errors
/// Keys in the configuration that are none.
pub(super) fn open(settings: &config::Keys, data_dir: &Path) -> anyhow::Result<Arc<Keys>> {
    let keys = if settings.ring.is_empty() {
        Keys::of_file(&settings.path(data_dir))
    } else {
        Keys::given(settings.ring.expose())?
    };
    Ok(Arc::new(keys))
}

/// Processes that share sealed values need the same keys, and a key that one of them made would be known to nobody else.
///
/// # Errors
/// Says what to set.
pub(super) fn refuse_keys_of_ones_own(settings: &config::Keys, roles: &BTreeSet<Role>) -> anyhow::Result<()> {
    let needs = |role| roles.contains(&role);
    if (needs(Role::Admin) || needs(Role::Realtime)) && !(needs(Role::Admin) && needs(Role::Realtime)) && !settings.are_named() {
        bail!(
            "every process with the role admin or realtime needs the same keys: set keys.file to a file that all of them have, or keys.ring; \
             `pipecast keys generate` prints a fresh key"
        );
    }
    Ok(())
}

/// Sees that this process can open what is sealed; where nothing is yet and there is no key, one is made.
///
/// # Errors
/// A key file that cannot be used, or that is not there while something is sealed.
pub(super) async fn make_sure(keys: &Keys, reader: &Reader, makes: Makes) -> anyhow::Result<()> {
    let sealed = reader.count_sealed().await.context("cannot find out which keys are needed")?;
    let ring = match keys.ring() {
        Err(KeysError::File(KeyFileError::Missing(path))) => {
            ensure!(
                sealed.sum() == 0,
                "there is no key file {}, and {} values in the database are sealed with {}; put the file back from where you keep its copy \
                 (backups have none), or, if it is lost, start with a fresh one (`pipecast keys generate > {0}`) and set those secrets anew",
                path.display(),
                sealed.sum(),
                names(&sealed),
            );
            if makes == Makes::Nothing {
                warn!("there is no key file {} yet; nothing in the database is sealed so far", path.display());
                return Ok(());
            }
            keys.create().context("cannot make a key")?;
            info!("made a key in {}: keep a copy of it apart from the backups", path.display());
            keys.ring()?
        }
        ring => ring.context("cannot use the keys")?,
    };
    if keys.is_open_to_others() {
        warn!(
            "others than its owner may read {}; take that away with chmod 600",
            keys.path().unwrap_or(Path::new("")).display()
        );
    }
    for (kid, count) in sealed.lost(&ring) {
        error!(
            kid,
            count, "{count} values in the database are sealed with the key {kid}, which is not among the keys of this process"
        );
    }
    Ok(())
}

/// A fresh key, as it stands in a key file.
pub fn generate() -> String {
    Keyring::generate().text().to_string()
}

/// Which keys there are, and how many values need each.
///
/// # Errors
/// Keys or a database that cannot be used.
pub async fn list(config: &Config) -> anyhow::Result<String> {
    let keys = open(&config.keys, &config.data_dir)?;
    let ring = keys.ring()?;
    let reader = open_database(config).await?.0;
    let sealed = reader.count_sealed().await?;
    let mut said = String::new();
    for kid in ring.kids() {
        let what = if *kid == ring.sealing() { "seals" } else { "opens" };
        writeln!(said, "{kid}  {what}    {} values", sealed.of(kid))?;
    }
    for (kid, count) in sealed.lost(&ring) {
        writeln!(said, "{kid}  missing  {count} values that nothing here opens")?;
    }
    Ok(said)
}

/// Has another key seal, and wraps every value that needs an older one, while everything runs. Interrupted, it goes on where it was.
///
/// Without `to` it first makes a fresh key, unless one is there that has not taken over everything.
///
/// # Errors
/// Keys or a database that cannot be used. What was wrapped by then stays so.
pub async fn rotate(config: &Config, to: Option<&str>) -> anyhow::Result<String> {
    let keys = open(&config.keys, &config.data_dir)?;
    let (reader, writer) = open_database(config).await?;
    let mut said = String::new();
    let before = keys.ring()?.sealing();
    match to {
        Some(kid) => {
            let kid: Kid = kid.parse()?;
            if before != kid {
                keys.seal_with(&kid)?;
            }
        }
        None => {
            let (ring, sealed) = (keys.ring()?, reader.count_sealed().await?);
            let lost: u64 = sealed.lost(&ring).values().sum();
            if sealed.of(&ring.sealing()) + lost == sealed.sum() {
                keys.add()
                    .context("cannot add a key; where the key file is read-only, add one by hand and name it with --to")?;
            } else {
                said.push_str("going on with a rotation that has not come to its end\n");
            }
        }
    }
    let ring = keys.ring()?;
    let kid = ring.sealing();
    let mut tx = writer.begin().await?;
    tx.audit(about(&kid, "keys.rotate").changed(json!({ "seals": before.to_string() }), json!({ "seals": kid.to_string() })));
    tx.commit().await?;
    let mut rewrapped = 0;
    for _ in 0..MOST_PASSES {
        let mut pass = Pass::default();
        loop {
            let mut tx = writer.begin().await?;
            let more = tx.rewrap(&ring, &mut pass, AT_ONCE).await?;
            tx.commit().await?;
            if !more {
                break;
            }
        }
        rewrapped += pass.rewrapped;
        // Whoever sealed with the old key meanwhile is found by another look.
        if pass.rewrapped == 0 {
            break;
        }
    }
    writeln!(said, "the key {} seals; {rewrapped} values were wrapped anew", ring.sealing())?;
    said.push_str(&remaining(&ring, &reader.count_sealed().await?)?);
    Ok(said)
}

/// Takes a key out of the file that nothing needs any more.
///
/// # Errors
/// A key that something still needs, or that seals.
pub async fn remove(config: &Config, kid: &str) -> anyhow::Result<String> {
    let keys = open(&config.keys, &config.data_dir)?;
    let kid: Kid = kid.parse()?;
    let (reader, writer) = open_database(config).await?;
    let left = reader.count_sealed().await?.of(&kid);
    ensure!(left == 0, "{left} values still need the key {kid}; `pipecast keys rotate` wraps them anew");
    // Undone where the key stays.
    let mut tx = writer.begin().await?;
    tx.audit(about(&kid, "keys.remove"));
    keys.remove(&kid)?;
    tx.commit()
        .await
        .with_context(|| format!("the key {kid} is gone, and the audit does not say so"))?;
    Ok(format!(
        "the key {kid} is gone; copies of it may be destroyed once no backup that needs it is kept\n"
    ))
}

/// Whoever runs a command on the machine did something to a key.
fn about(kid: &Kid, action: &'static str) -> Entry {
    Entry::new(By::system(), action).on("key", kid, kid.to_string())
}

fn remaining(ring: &Keyring, sealed: &Remaining) -> anyhow::Result<String> {
    let mut said = String::new();
    for kid in ring.kids().filter(|kid| **kid != ring.sealing()) {
        match sealed.of(kid) {
            0 => writeln!(said, "0 values need the key {kid}: `pipecast keys remove {kid}` takes it away")?,
            left => writeln!(said, "{left} values still need the key {kid}: run `pipecast keys rotate` again")?,
        }
    }
    for (kid, count) in sealed.lost(ring) {
        writeln!(
            said,
            "{count} values need the key {kid}, which is not here: put it back, or set those secrets anew"
        )?;
    }
    Ok(said)
}

fn names(sealed: &Remaining) -> String {
    sealed.by_kid.keys().cloned().collect::<Vec<_>>().join(", ")
}

async fn open_database(config: &Config) -> anyhow::Result<(Reader, pipecast_store::Writer)> {
    config.check()?;
    pipecast_store::open(&config.store.options(&config.data_dir))
        .await
        .context("cannot open the database")
}
