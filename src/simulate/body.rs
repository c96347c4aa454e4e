//! Puts a body together from what differs and from JSON that is the same in every body of a repository.
//! Knows no host.

use bytes::Bytes;
use serde_json::Value;

/// The object `head` with more fields, whose values are JSON already.
pub fn join(head: &Value, more: &[(&str, &str)]) -> Bytes {
    let mut text = serde_json::to_vec(head).expect("a value is always JSON");
    let closing = text.pop();
    debug_assert_eq!(closing, Some(b'}'), "only an object can be joined");
    for (field, json) in more {
        text.extend_from_slice(b",\"");
        text.extend_from_slice(field.as_bytes());
        text.extend_from_slice(b"\":");
        text.extend_from_slice(json.as_bytes());
    }
    text.push(b'}');
    text.into()
}
