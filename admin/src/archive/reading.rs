//! Reads an archive: once to see that it is whole, and once for its rows.
//! Knows nothing of where the rows go.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipecast_model::hexadecimal;
use pipecast_store::archive::{Kind, Table, Value};

use super::writing::failed;
use super::{Contents, Error, FORMAT, Head, Mark, NAME};

/// A first line is far shorter; a file without lines is not read to its end to find out what it is.
const LONGEST_HEAD: u64 = 64 << 10;

/// A row is a delivery's body at most, in base64.
const LONGEST_LINE: u64 = 512 << 20;

/// An archive that is read line by line.
pub(super) struct Pages {
    path: PathBuf,
    file: BufReader<File>,
    digest: Context,
    line: Vec<u8>,
    rows: BTreeMap<String, u64>,
    table: Option<Table>,
    bytes: u64,
    /// Where it was opened and what it says of itself.
    pub(super) head: Head,
}

/// The next thing in an archive.
pub(super) enum Page {
    Table(Table),
    Row(Vec<Value>),
    Ids(Vec<(String, i64)>),
    End,
}

/// Reads all of it, and writes nothing.
pub(super) fn verify(path: &Path) -> Result<(Head, Contents), Error> {
    let mut pages = Pages::open(path)?;
    while pages.step()? {}
    let contents = Contents::of(pages.rows, pages.bytes);
    Ok((pages.head, contents))
}

impl Pages {
    /// Reads its head and sees whether it is one that this build can restore.
    pub(super) fn open(path: &Path) -> Result<Pages, Error> {
        let file = File::open(path).map_err(failed("open", path))?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut line = Vec::new();
        (&mut file).take(LONGEST_HEAD).read_until(b'\n', &mut line).map_err(failed("read", path))?;
        let head: Head = match serde_json::from_slice(&line) {
            Ok(Head { archive, .. }) if archive != NAME => return Err(Error::Foreign(path.to_owned())),
            Ok(head) => head,
            Err(_) => return Err(Error::Foreign(path.to_owned())),
        };
        let newer = |what| Error::Newer {
            path: path.to_owned(),
            build: head.build.clone(),
            what,
        };
        if head.format > FORMAT {
            return Err(newer("format of archives"));
        }
        if head.schema > pipecast_store::archive::newest_schema() {
            return Err(newer("schema"));
        }
        let mut digest = Context::new(&SHA256);
        digest.update(&line);
        Ok(Pages {
            path: path.to_owned(),
            file,
            digest,
            bytes: line.len() as u64,
            line,
            rows: BTreeMap::new(),
            table: None,
            head,
        })
    }

    /// The next thing, decoded.
    pub(super) fn next(&mut self) -> Result<Page, Error> {
        if !self.step()? {
            return Ok(Page::End);
        }
        if self.line.first() == Some(&b'[') {
            let table = self.table.as_ref().ok_or_else(|| self.damaged("a row stands before every table"))?;
            return row(table, &self.line).map(Page::Row).ok_or_else(|| self.damaged("a row cannot be read"));
        }
        match self.mark()? {
            Mark::Table(table) => Ok(Page::Table(table)),
            Mark::Ids(ids) => Ok(Page::Ids(ids)),
            Mark::End { .. } => Ok(Page::End),
        }
    }

    /// Reads a line and takes account of it; `false` at the end, where everything has been compared.
    fn step(&mut self) -> Result<bool, Error> {
        self.line.clear();
        let read = (&mut self.file).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        read.map_err(failed("read", &self.path))?;
        if self.line.last() != Some(&b'\n') {
            return Err(Error::Cut(self.path.clone()));
        }
        self.bytes += self.line.len() as u64;
        if self.line.first() == Some(&b'[') {
            let Some(table) = &self.table else {
                return Err(self.damaged("a row stands before every table"));
            };
            *self.rows.entry(table.name.clone()).or_default() += 1;
        } else {
            match self.mark()? {
                Mark::Table(table) => {
                    self.rows.insert(table.name.clone(), 0);
                    self.table = Some(table);
                }
                Mark::Ids(_) => {}
                Mark::End { rows, sha256 } => {
                    self.compare(&rows, &sha256)?;
                    return Ok(false);
                }
            }
        }
        self.digest.update(&self.line);
        Ok(true)
    }

    fn compare(&mut self, rows: &BTreeMap<String, u64>, sha256: &str) -> Result<(), Error> {
        if hexadecimal::write(self.digest.clone().finish().as_ref()) != sha256 {
            return Err(self.damaged("its SHA-256 is another"));
        }
        if *rows != self.rows {
            return Err(self.damaged("it has not as many rows as it says"));
        }
        let mut more = [0];
        match self.file.read(&mut more).map_err(failed("read", &self.path))? {
            0 => Ok(()),
            _ => Err(self.damaged("something follows its end")),
        }
    }

    fn mark(&self) -> Result<Mark, Error> {
        serde_json::from_slice(&self.line).map_err(|_| self.damaged("a line cannot be read"))
    }

    fn damaged(&self, why: &str) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            why: why.to_owned(),
        }
    }
}

fn row(table: &Table, line: &[u8]) -> Option<Vec<Value>> {
    let values: Vec<serde_json::Value> = serde_json::from_slice(line).ok()?;
    if values.len() != table.columns.len() {
        return None;
    }
    let values = values.into_iter().zip(&table.columns);
    values
        .map(|(value, column)| match (value, column.kind) {
            (serde_json::Value::Null, _) => Some(Value::Null),
            (serde_json::Value::Number(number), Kind::Int) => number.as_i64().map(Value::Int),
            (serde_json::Value::Bool(truth), Kind::Bool) => Some(Value::Bool(truth)),
            (serde_json::Value::String(text), Kind::Text) => Some(Value::Text(text)),
            (serde_json::Value::String(text), Kind::Bytes) => STANDARD.decode(text).ok().map(Value::Bytes),
            _ => None,
        })
        .collect()
}
