//! Writes an archive: beside its place, readable by its owner alone, and put there when it is whole and synced.
//! Knows nothing of where the rows come from.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipecast_model::hexadecimal;
use pipecast_store::archive::{Table, Value};
use serde::Serialize;

use super::{Contents, Error, Head, Mark};

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is written.
    Keep,
    /// The new archive takes its place once it is whole.
    Replace,
}

/// An archive on its way. Dropped without `finish`, it leaves nothing.
pub(super) struct Draft {
    place: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    digest: Context,
    table: String,
    rows: BTreeMap<String, u64>,
    bytes: u64,
    line: Vec<u8>,
}

impl Draft {
    pub(super) fn create(place: &Path, existing: Existing) -> Result<Draft, Error> {
        if existing == Existing::Keep && place.exists() {
            return Err(Error::Exists(place.to_owned()));
        }
        let mut name = std::ffi::OsString::from(".");
        name.push(place.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", std::process::id()));
        let partial = place.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        Ok(Draft {
            place: place.to_owned(),
            file: BufWriter::with_capacity(1 << 20, file.map_err(failed("create", &partial))?),
            partial,
            digest: Context::new(&SHA256),
            table: String::new(),
            rows: BTreeMap::new(),
            bytes: 0,
            line: Vec::new(),
        })
    }

    pub(super) fn head(&mut self, head: &Head) -> Result<(), Error> {
        self.json(head)
    }

    /// The rows from here on are of this table.
    pub(super) fn table(&mut self, table: &Table) -> Result<(), Error> {
        self.table.clone_from(&table.name);
        self.rows.insert(table.name.clone(), 0);
        self.json(&Mark::Table(table.clone()))
    }

    pub(super) fn row(&mut self, values: &[Value]) -> Result<(), Error> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        for (at, value) in values.iter().enumerate() {
            line.push(if at == 0 { b'[' } else { b',' });
            match value {
                Value::Null => line.extend_from_slice(b"null"),
                Value::Int(number) => line.extend_from_slice(number.to_string().as_bytes()),
                Value::Bool(truth) => line.extend_from_slice(truth.to_string().as_bytes()),
                Value::Text(text) => serde_json::to_writer(&mut line, text).expect("text is always JSON"),
                Value::Bytes(bytes) => {
                    line.push(b'"');
                    line.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                    line.push(b'"');
                }
            }
        }
        line.extend_from_slice(b"]\n");
        let written = self.write(&line);
        self.line = line;
        *self.rows.entry(self.table.clone()).or_default() += 1;
        written
    }

    pub(super) fn ids(&mut self, ids: Vec<(String, i64)>) -> Result<(), Error> {
        self.json(&Mark::Ids(ids))
    }

    /// Ends it, syncs it and puts it into its place.
    pub(super) fn finish(mut self) -> Result<Contents, Error> {
        let end = Mark::End {
            rows: self.rows.clone(),
            sha256: hexadecimal::write(self.digest.clone().finish().as_ref()),
        };
        self.json(&end)?;
        self.file.flush().map_err(failed("write", &self.partial))?;
        self.file.get_ref().sync_all().map_err(failed("sync", &self.partial))?;
        fs::rename(&self.partial, &self.place).map_err(failed("put in its place", &self.place))?;
        let folder = self.place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("sync the folder of", &self.place))?;
        Ok(Contents::of(std::mem::take(&mut self.rows), self.bytes))
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let mut line = serde_json::to_vec(value).expect("heads and marks are always JSON");
        line.push(b'\n');
        self.write(&line)
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Error> {
        self.digest.update(line);
        self.bytes += line.len() as u64;
        self.file.write_all(line).map_err(failed("write", &self.partial))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Not there any more where it was finished.
        drop(fs::remove_file(&self.partial));
    }
}

pub(super) fn failed(attempted: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        attempted,
        path: path.clone(),
        source,
    }
}
