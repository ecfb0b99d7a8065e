//! Building blocks of JSON schemas.

use serde_json::{Value, json};

/// An object: its fields, and which of them must be there. Others are ignored.
pub(super) fn object(fields: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// A schema by its name.
pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of, "maxItems": super::super::MAX_ELEMENTS })
}

pub(super) fn map(of: Value) -> Value {
    json!({ "type": "object", "additionalProperties": of, "maxProperties": super::super::MAX_ELEMENTS })
}

pub(super) fn text() -> Value {
    json!({ "type": "string", "maxLength": super::super::MAX_TEXT_BYTES })
}

pub(super) fn words() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": super::super::MAX_TEXT_BYTES })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn number(least: f64) -> Value {
    json!({ "type": "number", "minimum": least })
}

pub(super) fn fraction() -> Value {
    json!({ "type": "number", "minimum": 0, "maximum": 1 })
}

pub(super) fn integer(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

pub(super) fn count() -> Value {
    integer(0, i32::MAX.unsigned_abs().into())
}

pub(super) fn port() -> Value {
    integer(0, 65_535)
}

pub(super) fn seconds() -> Value {
    integer(0, super::super::reader::MAX_SECONDS)
}

pub(super) fn some_seconds() -> Value {
    integer(1, super::super::reader::MAX_SECONDS)
}

pub(super) fn choice(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

pub(super) fn any_of(schemas: &[Value]) -> Value {
    json!({ "oneOf": schemas })
}

pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// The same, and taken for old clients only.
pub(super) fn deprecated(mut schema: Value) -> Value {
    schema["deprecated"] = Value::Bool(true);
    schema
}

/// The same, and set by the server: what is sent is ignored.
pub(super) fn server(mut schema: Value) -> Value {
    schema["readOnly"] = Value::Bool(true);
    schema
}

/// The same, with words.
pub(super) fn about(mut schema: Value, words: &str) -> Value {
    schema["description"] = Value::from(words);
    schema
}
