//! Examples of bodies, composed from their schemas: what a field says of itself, else the vocabulary, else what its type allows.
//! Knows nothing of operations. So an example cannot tell of a field that is gone, and each new operation has one.

use serde_json::{Map, Value, json};
use utoipa::openapi::{Content, OpenApi, RefOr};

use super::vocabulary::WORDS;

/// What stands where nothing says what a text could be; `tests/it` finds it.
const UNTOLD: &str = "…";

/// Deeper than any schema of ours; one that contains itself ends here.
const DEEPEST: usize = 12;

/// The schemas that others refer to.
pub(super) struct Examples {
    schemas: Value,
}

impl Examples {
    /// Of this document.
    pub(super) fn of(document: &OpenApi) -> Examples {
        let components = serde_json::to_value(&document.components).unwrap_or_default();
        Examples {
            schemas: components["schemas"].clone(),
        }
    }

    /// Gives a body its example, where it has none and a schema.
    pub(super) fn add(&self, kind: &str, content: &mut RefOr<Content>) {
        let RefOr::T(content) = content else { return };
        if content.example.is_some() || !content.examples.is_empty() {
            return;
        }
        let Some(schema) = content.schema.as_ref().and_then(|schema| serde_json::to_value(schema).ok()) else {
            return;
        };
        let example = self.sample("", &schema, 0);
        content.example = Some(match (kind, example) {
            ("application/x-ndjson", example) if !example.is_string() => json!(format!("{example}\n")),
            (_, example) => example,
        });
    }

    /// A value of a schema that a field of this name has.
    fn sample(&self, name: &str, schema: &Value, depth: usize) -> Value {
        if let Some(told) = told(schema) {
            return told;
        }
        if depth > DEEPEST {
            return Value::Null;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let to = reference.rsplit('/').next().unwrap_or_default();
            return self.sample(name, &self.schemas[to], depth + 1);
        }
        for either in ["oneOf", "anyOf"] {
            let mut options = schema[either].as_array().into_iter().flatten();
            if let Some(option) = options.find(|option| option["type"] != "null") {
                return self.sample(name, option, depth + 1);
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let parts = parts.iter().filter_map(|part| match self.sample(name, part, depth + 1) {
                Value::Object(members) => Some(members),
                _ => None,
            });
            return parts.flatten().collect::<Map<_, _>>().into();
        }
        let word = WORDS.iter().find(|(known, _)| *known == name).map(|(_, word)| word);
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => json!([self.sample(name, &schema["items"], depth + 1)]),
            "string" => match schema["format"].as_str() {
                Some("date-time") => json!("2026-11-21T10:00:00Z"),
                Some("uuid") => json!("01a1fd56-ca96-73b8-b019-b74ae4462356"),
                Some("password") => json!("correct horse battery staple"),
                _ => json!(word.copied().unwrap_or(UNTOLD)),
            },
            "boolean" => json!(["enabled", "live", "has_password", "managed", "matched_last", "current"].contains(&name)),
            "integer" => json!(
                word.and_then(|word| word.parse::<i64>().ok())
                    .or(schema["minimum"].as_i64())
                    .unwrap_or(1)
                    .max(1)
            ),
            "number" => json!(0.8),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let mut members: Map<String, Value> = properties.map(|(name, schema)| (name.clone(), self.sample(name, schema, depth + 1))).collect();
        if members.is_empty() && schema["additionalProperties"].is_object() {
            let name = schema["propertyNames"]["example"].as_str().unwrap_or("name");
            members.insert(name.to_owned(), self.sample(name, &schema["additionalProperties"], depth + 1));
        }
        members.into()
    }
}

/// What a schema says of itself.
fn told(schema: &Value) -> Option<Value> {
    let example = schema.get("example").or_else(|| schema["examples"].get(0));
    let only = schema.get("const").or_else(|| schema["enum"].get(0));
    example.or(only).cloned()
}

/// Its type; of several the first that is not null.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null"),
        one => one.as_str().unwrap_or_default(),
    }
}
