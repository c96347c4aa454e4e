//! Reads the layers of the configuration and refuses keys that do not exist.
//! Knows nothing of single settings: the tree of the defaults says which keys there are.

use std::path::{Path, PathBuf};

use config::{File, FileFormat, Map, Value, ValueKind};

use super::{Config, DEFAULTS};

const PREFIX: &str = "PIPECAST_";

/// Names without `__` that are ours: the one top-level setting, and the file to read.
const TOP_LEVEL: [&str; 1] = ["data_dir"];
const FILE: &str = "PIPECAST_CONFIG";
const USUAL_FILE: &str = "pipecast.toml";

/// Tables whose keys the user chooses.
const OPEN_TABLES: [&str; 2] = ["webhooks.github.sources", "webhooks.gitlab.sources"];

/// A configuration, and what is odd about where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read, where there was one.
    pub file: Option<PathBuf>,
    /// Sentences for the log: environment names that look like ours and are not.
    pub warnings: Vec<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No setting has this name.
    #[error("unknown setting {key:?} in {origin}; `pipecast config` prints all settings")]
    UnknownKey {
        /// With dots between the levels.
        key: String,
        /// The file or the environment variable.
        origin: String,
    },
    /// A file cannot be read, or a value is of the wrong kind.
    #[error("cannot read the configuration")]
    Unreadable(#[from] config::ConfigError),
    /// Settings that contradict each other or this build.
    #[error("{0}")]
    Impossible(String),
}

impl Config {
    /// Defaults, then the file (`file`, else `PIPECAST_CONFIG`, else `./pipecast.toml` where it exists), then the environment.
    ///
    /// # Errors
    /// `UnknownKey` and `Unreadable` as they say. Whether the settings go together is for [`Config::check`] to say.
    pub fn load(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Error> {
        let defaults = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml)).build()?;
        let known: Map<String, Value> = defaults.clone().try_deserialize()?;
        let environment: Vec<_> = environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();

        let file = choose_file(file, &environment);
        let mut layers = config::Config::builder().add_source(defaults);
        if let Some(path) = &file {
            let read = config::Config::builder()
                .add_source(File::from(path.as_path()).format(FileFormat::Toml))
                .build()?;
            refuse_unknown(&known, read.clone().try_deserialize()?, "", &path.display().to_string())?;
            layers = layers.add_source(read);
        }

        let mut warnings = Vec::new();
        for (name, text) in environment {
            let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
            if !name.contains("__") && !TOP_LEVEL.contains(&key.as_str()) {
                if name != FILE {
                    warnings.push(format!("the environment variable {name} is no setting of pipecast and is left alone"));
                }
                continue;
            }
            let value = match find(&known, &key) {
                Some(ValueKind::Array(_)) => Value::from(
                    text.split(',')
                        .map(str::trim)
                        .filter(|item| !item.is_empty())
                        .map(str::to_owned)
                        .collect::<Vec<_>>(),
                ),
                Some(ValueKind::Table(_)) | None if !is_open(&key) => return Err(Error::UnknownKey { key, origin: name }),
                _ => Value::from(text),
            };
            layers = layers.set_override(key, value)?;
        }
        let config = layers.build()?.try_deserialize()?;
        Ok(Loaded { config, file, warnings })
    }
}

fn choose_file(asked: Option<&Path>, environment: &[(String, String)]) -> Option<PathBuf> {
    let named = environment
        .iter()
        .find(|(name, path)| name == FILE && !path.is_empty())
        .map(|(_, path)| PathBuf::from(path));
    let usual = || Some(PathBuf::from(USUAL_FILE)).filter(|path| path.is_file());
    asked.map(Path::to_owned).or(named).or_else(usual)
}

/// Whether the key lies in a table whose keys the user chooses.
fn is_open(key: &str) -> bool {
    key.rsplit_once('.').is_some_and(|(table, _)| OPEN_TABLES.contains(&table))
}

fn find<'a>(known: &'a Map<String, Value>, key: &str) -> Option<&'a ValueKind> {
    match key.split_once('.') {
        None => known.get(key).map(|value| &value.kind),
        Some((first, rest)) => match &known.get(first)?.kind {
            ValueKind::Table(table) => find(table, rest),
            _ => None,
        },
    }
}

fn refuse_unknown(known: &Map<String, Value>, given: Map<String, Value>, above: &str, origin: &str) -> Result<(), Error> {
    for (name, value) in given {
        let key = if above.is_empty() { name } else { format!("{above}.{name}") };
        match (find(known, key.rsplit('.').next().unwrap_or(&key)), value.kind) {
            (Some(ValueKind::Table(_)), _) if OPEN_TABLES.contains(&key.as_str()) => {}
            (Some(ValueKind::Table(below)), ValueKind::Table(table)) => refuse_unknown(below, table, &key, origin)?,
            (Some(_), _) => {}
            (None, _) => {
                return Err(Error::UnknownKey {
                    key,
                    origin: origin.to_owned(),
                });
            }
        }
    }
    Ok(())
}
