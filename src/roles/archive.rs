//! The commands that work on all data at once: backup, restore, move. They open what the settings name, and say in a few sentences
//! what they did and what is left to do.
//! Knows nothing of what an archive looks like.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use pipecast_admin::archive::{self, Contents, Existing};
use pipecast_fabric::Queue;
use pipecast_fabric::queue::embedded::{self, EmbeddedQueue, Hold, Stock};
use pipecast_fabric::queue::rabbitmq::RabbitmqQueue;
use pipecast_store::archive::Over;

use crate::config::{Config, KEYS_FOLDER as KEYS};

const STOP_FIRST: &str = "stop the service that uses this data_dir first";

/// Said where an archive or a data directory goes somewhere else.
const OF_KEYS: &str = "\
What is sealed in the database needs the keys in {keys}, unless keys.file or keys.ring name others: no backup contains that folder.\n\
Keep a copy of them apart from the backups: without them what is sealed cannot be read, and beside them it would give everything away.\n";

/// Writes an archive of the database and of what waits in this machine's queue files, beside whatever runs.
///
/// # Errors
/// Says what could not be read or written; no file is left then.
pub async fn backup(config: &Config, file: &Path, force: bool) -> anyhow::Result<String> {
    let keys = config.data_dir.join(KEYS);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_among_keys = matches!((folder.canonicalize(), keys.canonicalize()), (Ok(folder), Ok(keys)) if folder.starts_with(&keys));
    ensure!(!is_among_keys, "a backup must not lie beside the keys in {}", keys.display());
    let store = config.store.options(&config.data_dir);
    let existing = if force { Existing::Replace } else { Existing::Keep };
    let contents = archive::backup(&store, &queue_files(config), file, existing).await.context("cannot back up")?;

    let mut said = format!("wrote {} ({} bytes): {}\n", file.display(), contents.bytes, told(&contents));
    if config.fabric.amqp_url.is_some() {
        said.push_str("What waits at RabbitMQ is not in it: the broker keeps that. What waits in spools of other machines is not in it either.\n");
    }
    said.push_str(&OF_KEYS.replace("{keys}", &keys.display().to_string()));
    Ok(said)
}

/// Puts an archive into an empty database, and the deliveries that waited back into the queue.
///
/// # Errors
/// Says what stands against it; the database is as it was then.
pub async fn restore(config: Config, file: &Path, force: bool) -> anyhow::Result<String> {
    config.check()?;
    std::fs::create_dir_all(&config.data_dir).with_context(|| format!("cannot create data_dir {}", config.data_dir.display()))?;
    // The queue's own file is held by the queue, where that is what deliveries go back to.
    let mut held = vec![spool_file(&config)];
    if config.fabric.amqp_url.is_some() {
        held.push(queue_file(&config));
    }
    let _holds = hold(held)?;
    let store = config.store.options(&config.data_dir);
    let queue = open_queue(&config).await?;
    let over = if force { Over::Everything } else { Over::Nothing };
    let restored = archive::restore(file, &store, queue.as_ref(), over).await;
    queue.close().await;
    let contents = restored.map_err(with_remedy).context("cannot restore")?;

    let mut said = format!("restored {}: {}\n", file.display(), told(&contents));
    if contents.waiting + contents.buried > 0 {
        said.push_str("The deliveries wait in the queue again; those that were worked on already have no second effect.\n");
    }
    said.push_str("Start every process anew: the database has a new epoch, and all that watches reads its state again.\n");
    said.push_str(&OF_KEYS.replace("{keys}", &config.data_dir.join(KEYS).display().to_string()));
    Ok(said)
}

/// Copies the database that the settings name to `to`.
///
/// # Errors
/// Says what stands against it; both databases are as they were then.
pub async fn move_database(config: &Config, to: &str, force: bool) -> anyhow::Result<String> {
    let _holds = hold(queue_files(config))?;
    let from = config.store.options(&config.data_dir);
    let mut target = from.clone();
    target.url = to.to_owned();
    target.read_url = None;
    ensure!(from.url != target.url, "the database is there already");
    let over = if force { Over::Everything } else { Over::Nothing };
    let moved = archive::move_rows(&from, &target, over).await;
    let contents = moved.map_err(|error| with_remedy(error.into())).context("cannot move the database")?;
    let mut waiting = 0;
    for file in queue_files(config) {
        if let Some(mut stock) = Stock::of(&file).await? {
            waiting += stock.depth().await?;
        }
    }

    let mut said = format!("moved {}\n", told(&contents));
    said.push_str("Now set store.url to the new place and start every process anew. The old database is as it was; do not start on it again.\n");
    if waiting > 0 {
        writeln!(
            said,
            "{waiting} acknowledged deliveries wait in {}: keep that directory. Where fabric.amqp_url is to be set too, start once without it until they are worked on.",
            config.data_dir.display()
        )?;
    }
    said.push_str(&OF_KEYS.replace("{keys}", &config.data_dir.join(KEYS).display().to_string()));
    Ok(said)
}

/// What the database refuses for its state can be helped by one of two things.
fn with_remedy(error: archive::Error) -> anyhow::Error {
    let is_taken = matches!(error, archive::Error::Store(pipecast_store::Error::NotEmpty(_)));
    let error = anyhow::Error::from(error);
    if is_taken {
        error.context("name an empty database, or use --force to replace what it holds")
    } else {
        error
    }
}

/// The files in which deliveries may wait on this machine.
fn queue_files(config: &Config) -> Vec<PathBuf> {
    vec![queue_file(config), spool_file(config)]
}

fn queue_file(config: &Config) -> PathBuf {
    config.fabric.queue.options(&config.data_dir, config.webhooks.max_body).path
}

fn spool_file(config: &Config) -> PathBuf {
    config.fabric.spool.options(&config.data_dir, config.webhooks.max_body).path
}

/// Keeps every service from these files, and so from their directory, until it is dropped.
fn hold(files: Vec<PathBuf>) -> anyhow::Result<Vec<Hold>> {
    let there = files.into_iter().filter(|file| file.parent().is_some_and(Path::exists));
    there.map(|file| embedded::hold(&file).context(STOP_FIRST)).collect()
}

/// The queue that deliveries go back to. No limit of a running service stands against what it had taken once.
async fn open_queue(config: &Config) -> anyhow::Result<Box<dyn Queue>> {
    let fabric = &config.fabric;
    if let Some(url) = &fabric.amqp_url {
        let options = fabric.rabbitmq.options(url, &fabric.queue, config.webhooks.max_body)?;
        return Ok(Box::new(RabbitmqQueue::open(options).await.context("cannot use fabric.amqp_url")?));
    }
    let mut options = fabric.queue.options(&config.data_dir, config.webhooks.max_body);
    (options.max_messages, options.max_bytes, options.max_message_bytes) = (u64::MAX, u64::MAX, usize::MAX);
    Ok(Box::new(EmbeddedQueue::open(options).await.context(STOP_FIRST)?))
}

/// In one line: how much.
fn told(contents: &Contents) -> String {
    let tables = contents.rows.iter().filter(|(_, rows)| **rows > 0);
    let tables: Vec<String> = tables.map(|(table, rows)| format!("{rows} {table}")).collect();
    let mut told = format!("{} rows ({})", contents.sum(), tables.join(", "));
    if contents.waiting > 0 {
        told.push_str(&format!(", {} deliveries that wait", contents.waiting));
    }
    if contents.buried > 0 {
        told.push_str(&format!(", {} buried ones", contents.buried));
    }
    told
}
