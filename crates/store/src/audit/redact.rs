//! What of a change is told in the audit: what differs, without what looks like a secret, and not without end.
//! Knows nothing of what the fields mean: callers leave secrets out, and this is the second line.

use serde_json::{Map, Value};

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Bytes of JSON; what is longer is told by its size alone.
const LONGEST: usize = 16 << 10;

/// Names of fields whose text is never told.
const SECRETS: [&str; 14] = [
    "password",
    "old_password",
    "new_password",
    "secret",
    "secrets",
    "signing_token",
    "token",
    "access_token",
    "refresh_token",
    "setup_token",
    "ticket",
    "recovery_codes",
    "authorization",
    "cookie",
];

/// What secrets of ours and of hosts begin with.
const BEGINNINGS: [&str; 10] = ["pcst_", "pcrt_", "pcsu_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "whsec_", "xox"];

/// Of two objects the fields that differ; anything else as it is.
pub(super) fn differences(was: Value, became: Value) -> (Value, Value) {
    match (was, became) {
        (Value::Object(was), Value::Object(became)) => {
            let differs = |key: &String| was.get(key) != became.get(key);
            let of = |object: &Map<String, Value>| {
                let fields = object.iter().filter(|(key, _)| differs(key));
                Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect())
            };
            (of(&was), of(&became))
        }
        both => both,
    }
}

/// The text that is kept and hashed.
pub(super) fn told(mut value: Value) -> String {
    mask(&mut value);
    let text = value.to_string();
    match text.len() {
        0..=LONGEST => text,
        bytes => serde_json::json!({ "omitted_bytes": bytes }).to_string(),
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::String(text) => {
            let masked = without_tokens(text);
            if masked != *text {
                *text = masked;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Object(fields) => {
            for (name, value) in fields {
                if SECRETS.contains(&name.to_ascii_lowercase().as_str()) {
                    mask_all(value);
                } else {
                    mask(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Every text in it, whatever its name: how many there are, and which are not set, is no secret.
fn mask_all(value: &mut Value) {
    match value {
        Value::String(text) => MASK.clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(mask_all),
        Value::Object(fields) => fields.values_mut().for_each(mask_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text in which every word that begins as a token does is masked.
pub fn without_tokens(text: &str) -> String {
    if !BEGINNINGS.iter().any(|beginning| text.contains(beginning)) {
        return text.to_owned();
    }
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || "_-+/=".contains(letter);
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = &rest[..rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len())];
        let found = BEGINNINGS.iter().filter_map(|beginning| word.find(beginning)).min();
        match found {
            Some(at) => {
                masked.push_str(&word[..at]);
                masked.push_str(MASK);
            }
            None => masked.push_str(word),
        }
        let mut others = rest[word.len()..].chars();
        masked.extend(others.next());
        rest = others.as_str();
    }
    masked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_told_and_no_secret_is() {
        let was = json!({"name": "a", "url": "u", "secret": "one", "old": 1});
        let became = json!({"name": "b", "url": "u", "secret": "two", "new": ["pcst_abcdefgh_xyz in a note"]});

        let (was, became) = differences(was, became);

        assert_eq!(told(was), r#"{"name":"a","old":1,"secret":"***"}"#);
        assert_eq!(told(became), r#"{"name":"b","new":["*** in a note"],"secret":"***"}"#);
    }

    #[test]
    fn secrets_are_masked_however_deep_and_counts_are_left() {
        let value = json!({"sources": [{"Secrets": [{"value": "x", "id": 7, "expires_at": null}]}], "token_id": "t"});

        assert_eq!(
            told(value),
            r#"{"sources":[{"Secrets":[{"expires_at":null,"id":7,"value":"***"}]}],"token_id":"t"}"#
        );
        assert_eq!(without_tokens("Bearer pcst_abc,glpat-x é ghp_1"), "Bearer ***,*** é ***");
        assert_eq!(without_tokens("plain é text"), "plain é text");
    }

    #[test]
    fn what_is_too_long_is_told_by_its_size() {
        assert_eq!(told(json!({ "body": "x".repeat(20_000) })), r#"{"omitted_bytes":20011}"#);
    }
}
