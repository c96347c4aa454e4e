//! Values that both engines have, and how each of them writes them.
//! Knows nothing of tables.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a column holds, whichever engine it is on: a UUID is bytes, and JSON is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// 64 bits with a sign.
    Int,
    /// True or false.
    Bool,
    /// UTF-8 without NUL.
    Text,
    /// Anything.
    Bytes,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of any kind.
    Null,
    /// See [`Kind`].
    Int(i64),
    /// See [`Kind`].
    Bool(bool),
    /// See [`Kind`].
    Text(String),
    /// See [`Kind`].
    Bytes(Vec<u8>),
}

impl Value {
    /// Bytes that it takes, roughly.
    pub fn size(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) => 1,
            Value::Int(_) => 8,
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        }
    }

    pub(super) fn int(&self) -> Result<Option<i64>> {
        match self {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(*value)),
            _ => Err(self.misplaced(Kind::Int)),
        }
    }

    pub(super) fn bool(&self) -> Result<Option<bool>> {
        match self {
            Value::Null => Ok(None),
            Value::Bool(value) => Ok(Some(*value)),
            _ => Err(self.misplaced(Kind::Bool)),
        }
    }

    pub(super) fn text(&self) -> Result<Option<&str>> {
        match self {
            Value::Null => Ok(None),
            Value::Text(value) => Ok(Some(value)),
            _ => Err(self.misplaced(Kind::Text)),
        }
    }

    pub(super) fn bytes(&self) -> Result<Option<&[u8]>> {
        match self {
            Value::Null => Ok(None),
            Value::Bytes(value) => Ok(Some(value)),
            _ => Err(self.misplaced(Kind::Bytes)),
        }
    }

    /// Only its kind is told: a value may be anything that a host has sent.
    fn misplaced(&self, kind: Kind) -> Error {
        Error::Corrupt {
            what: format!("a value that should be {kind:?} and is not"),
        }
    }
}
