//! Faults: what is wrong with single fields of a body or a query, all of them at once, each with its place.
//! Knows nothing of single fields.

use std::borrow::Cow;

use serde::Serialize;

use crate::{Code, Problem};

/// One thing that is wrong with a body or a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// Where: a JSON pointer into the body as a fragment (RFC 6901), or a parameter of the query as `?limit`.
    #[schema(value_type = String, example = "#/name")]
    pointer: String,
    /// A stable word.
    #[schema(value_type = String, example = "too_short")]
    code: Cow<'static, str>,
    /// What to change.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
}

impl Fault {
    /// `path` is a JSON pointer; empty means the whole body.
    pub fn new(path: impl AsRef<str>, code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault {
            pointer: format!("#{}", path.as_ref()),
            code: code.into(),
            detail: detail.into(),
        }
    }

    /// One that is wrong with a parameter of the query.
    pub fn parameter(name: &str, code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault {
            pointer: format!("?{name}"),
            code: code.into(),
            detail: detail.into(),
        }
    }
}

/// Faults as they are found.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes one where `is_wrong`.
    pub fn note(&mut self, is_wrong: bool, path: &str, code: &'static str, detail: impl Into<Cow<'static, str>>) -> &mut Faults {
        if is_wrong {
            self.0.push(Fault::new(path, code, detail));
        }
        self
    }

    /// Notes a text that is empty, longer than `most` characters or has control characters in it.
    pub fn text(&mut self, path: &str, text: &str, most: usize) -> &mut Faults {
        self.note(text.trim().is_empty(), path, "empty", "it has to say something");
        self.note(text.chars().count() > most, path, "too_long", format!("it has at most {most} characters"));
        self.note(
            text.chars().any(char::is_control),
            path,
            "control_characters",
            "it has control characters in it",
        )
    }

    /// All that were found as one problem.
    ///
    /// # Errors
    /// `invalid` where there was any.
    pub fn end(&mut self) -> Result<(), Problem> {
        match std::mem::take(&mut self.0) {
            none if none.is_empty() => Ok(()),
            faults => Err(Problem::new(Code::Invalid).faults(faults)),
        }
    }
}
