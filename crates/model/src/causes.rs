//! An error as a log tells it.
//! Knows nothing of single errors.

use std::error::Error;

/// An error with its causes in one line: `cannot read the spool: no space left`.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the spool")]
    struct Unreadable(#[source] fmt::Error);

    #[test]
    fn each_cause_stands_behind_what_it_caused() {
        assert_eq!(with_causes(&Unreadable(fmt::Error)), format!("cannot read the spool: {}", fmt::Error));
        assert_eq!(with_causes(&fmt::Error), fmt::Error.to_string());
    }
}
