//! Headers as bounded text: what a delivery says of itself, and what of it is kept.
//! Knows nothing of single hosts.

use actix_web::http::header::{AsHeaderName, HeaderMap, HeaderName};

/// Longest text that is taken from a header, in characters; nothing that a host sends comes near.
const LONGEST: usize = 300;

/// What a delivery's headers say that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The host's word for the event.
    pub(super) event: Option<String>,
    /// The host's id of the delivery, where it has one that is stable.
    pub(super) key: Option<String>,
}

/// The text of a header; nothing where it is missing or empty.
pub(super) fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<String> {
    let value = headers.get(name)?;
    let text = match value.to_str() {
        // As nearly all are. A tab is the one control character that passes as text.
        Ok(plain) if plain.len() <= LONGEST && !plain.contains('\t') => plain.to_owned(),
        _ => String::from_utf8_lossy(value.as_bytes())
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST)
            .collect(),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Those of the headers that are kept.
pub(super) fn keep(headers: &HeaderMap, names: &[HeaderName]) -> Vec<(String, String)> {
    names
        .iter()
        .filter_map(|name| text(headers, name).map(|text| (name.as_str().to_owned(), text)))
        .collect()
}
