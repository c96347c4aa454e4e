//! How late each field of a row was told, and the one merge of stored and told that every record goes through.
//! Knows nothing of any particular record.

use std::collections::BTreeMap;

use pipecast_model::{Status, StatusFact, Timestamp, Told, Version};
use sqlx::types::Json;

use crate::{Error, Result};

/// The field whose columns are never all null, so that "not told" needs a mark of its own.
const STATUS: &str = "status";

/// A record's values as they lie in the columns of its row.
pub(crate) trait Record: Clone + PartialEq {
    /// The same with a version beside every field, as the model merges it.
    type Facts: Clone;

    /// The columns of facts; `stamps` takes down how late each field was told.
    fn columns(facts: &Self::Facts, stamps: &mut Stamping) -> Self;

    /// The facts of columns, for the row that `told` speaks of.
    fn facts(self, told: &Self::Facts, stamps: &Stamps) -> Self::Facts;

    /// Both tellings as one.
    fn merge(told: Self::Facts, stored: Self::Facts) -> Self::Facts;
}

/// What a telling changed in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum News {
    /// Nothing.
    Nothing,
    /// Only how late something was told: the row is written, and nobody is told.
    Versions,
    /// Something that can be seen.
    Values,
}

/// A row after a telling.
#[derive(Clone, Debug)]
pub(crate) struct Merged<R> {
    pub(crate) columns: R,
    pub(crate) stamps: StampColumns,
    pub(crate) news: News,
}

/// Merges what is told into what is stored, if anything is.
pub(crate) fn merge<R: Record>(stored: Option<(&R, &StampColumns)>, told: &R::Facts) -> Result<Merged<R>> {
    let facts = match stored {
        Some((columns, stamps)) => R::merge(told.clone(), columns.clone().facts(told, &stamps.parse()?)),
        None => told.clone(),
    };
    let mut stamping = Stamping::default();
    let columns = R::columns(&facts, &mut stamping);
    let stamps = stamping.finish();
    let news = match stored {
        Some((before, _)) if *before != columns => News::Values,
        Some((_, before)) if *before != stamps => News::Versions,
        Some(_) => News::Nothing,
        None => News::Values,
    };
    Ok(Merged { columns, stamps, news })
}

/// `version` and `stamps` of a row: the greatest version, and the fields that have another one.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct StampColumns {
    pub(crate) version: Option<String>,
    pub(crate) stamps: Json<BTreeMap<String, Option<String>>>,
}

impl StampColumns {
    pub(crate) fn parse(&self) -> Result<Stamps> {
        let read = |text: &String| text.parse::<Version>().map_err(|error| Error::Corrupt { what: error.to_string() });
        let others = self
            .stamps
            .iter()
            .map(|(field, text)| Ok((field.clone(), text.as_ref().map(read).transpose()?)));
        Ok(Stamps {
            version: self.version.as_ref().map(read).transpose()?,
            others: others.collect::<Result<_>>()?,
        })
    }
}

/// `StampColumns`, understood.
#[derive(Debug)]
pub(crate) struct Stamps {
    version: Option<Version>,
    others: BTreeMap<String, Option<Version>>,
}

impl Stamps {
    /// The value of a column together with how late it was told.
    pub(crate) fn told<T: Ord>(&self, field: &str, value: Option<T>) -> Told<T> {
        let version = match self.others.get(field) {
            Some(own) => *own,
            None => self.version,
        };
        version.map_or_else(Told::default, |version| Told::new(version, value))
    }

    /// The same for a status.
    pub(crate) fn told_status(&self, columns: StatusColumns) -> Told<StatusFact> {
        let fact = StatusFact {
            status: columns.status,
            raw_status: columns.raw_status,
            raw_conclusion: columns.raw_conclusion,
            finished_at: columns.finished_at,
        };
        self.told(STATUS, Some(fact))
    }
}

/// Takes versions down while facts become columns.
#[derive(Debug, Default)]
pub(crate) struct Stamping(Vec<(&'static str, Option<Version>)>);

impl Stamping {
    /// The value of a field, for its column.
    pub(crate) fn value<T: Ord + Clone>(&mut self, field: &'static str, told: &Told<T>) -> Option<T> {
        self.0.push((field, told.version()));
        told.get().cloned()
    }

    /// The columns of a status.
    pub(crate) fn status(&mut self, told: &Told<StatusFact>) -> StatusColumns {
        let fact = self.value(STATUS, told).unwrap_or_default();
        StatusColumns {
            status: fact.status,
            raw_status: fact.raw_status,
            raw_conclusion: fact.raw_conclusion,
            finished_at: fact.finished_at,
        }
    }

    fn finish(self) -> StampColumns {
        let version = self.0.iter().filter_map(|(_, version)| *version).max();
        let others = self.0.into_iter().filter(|(_, own)| *own != version).filter_map(|(field, own)| match own {
            Some(own) => Some((field.to_owned(), Some(own.to_string()))),
            None => (field == STATUS).then(|| (field.to_owned(), None)),
        });
        StampColumns {
            stamps: Json(others.collect()),
            version: version.map(|version| version.to_string()),
        }
    }
}

/// A status with the host's words for it, in columns.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct StatusColumns {
    pub(crate) status: Status,
    pub(crate) raw_status: Option<String>,
    pub(crate) raw_conclusion: Option<String>,
    pub(crate) finished_at: Option<Timestamp>,
}
