//! Messages as JSON, by the conventions of the Mesos v1 API.
//!
//! Nothing here is written for one message: [`encode`] and [`decode`] walk tables that the build makes from the schema,
//! and go by way of the binary form, so that both forms of a message mean the same.
//!
//! - Names are those of the schema, in snake_case. Unknown fields are ignored, `null` is as good as nothing.
//! - Enums are names; an unknown name leaves an optional field unset. Bytes are base64 with padding.
//! - Numbers may come as texts. A fraction is cut off where a whole number is wanted. Doubles may be `"Infinity"`.
//! - A lone value where a list is wanted is a list of one.
//! - What goes out has numbers as numbers, also those of 64 bits, and what is not set but has a default of its own.
//!
//! Stricter than Mesos: a field that is there twice is refused, as is a number that does not fit.
//!
//! Source: Mesos, `stout/protobuf.hpp` and `common/http.cpp`.

mod reading;
mod writing;

use std::fmt;

use prost::{Message, Name};

use crate::schema;

/// Messages within messages, at most. The binary form has the same bound or a wider one.
pub const DEPTH: usize = 64;

/// Why a text is not the message wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct JsonError {
    /// The field, as `accept.operations[0].launch`; empty: the message itself.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// Where in the text, counted from 1; 0 if it is not about one place.
    pub line: usize,
    /// Where in that line, counted in bytes from 1.
    pub column: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if self.line > 0 {
            write!(f, " (line {}, column {})", self.line, self.column)?;
        }
        Ok(())
    }
}

/// The message that a text says.
///
/// Errors: no JSON, more than one value, a required field that is missing, a value of another type, one that does not
/// fit, one field twice, deeper than [`DEPTH`], or more than [`DECODED_BYTES`](crate::limits::DECODED_BYTES) in memory.
pub fn decode<M: Message + Name + Default>(text: &[u8]) -> Result<M, JsonError> {
    let Some(table) = schema::table_of::<M>() else { return Err(no_table(&M::full_name())) };
    let binary = reading::binary(table, text)?;
    M::decode(binary.as_slice()).map_err(|error| JsonError {
        field: String::new(),
        message: error.to_string(),
        line: 0,
        column: 0,
    })
}

/// A list of messages; a lone one is a list of one.
///
/// Errors: as [`decode`]'s, the item named as `[2].name`; more than `most` items.
pub fn decode_list<M: Message + Name + Default>(text: &[u8], most: usize) -> Result<Vec<M>, JsonError> {
    let Some(table) = schema::table_of::<M>() else { return Err(no_table(&M::full_name())) };
    let items = reading::binaries(table, text, most)?;
    let decoded: Result<Vec<M>, _> = items.iter().map(|binary| M::decode(binary.as_slice())).collect();
    decoded.map_err(|error| JsonError {
        field: String::new(),
        message: error.to_string(),
        line: 0,
        column: 0,
    })
}

/// A message as a text.
pub fn encode<M: Message + Name>(message: &M) -> Vec<u8> {
    let mut text = Vec::new();
    encode_to(message, &mut text);
    text
}

/// A message as a text, after what is there already.
pub fn encode_to<M: Message + Name>(message: &M, text: &mut Vec<u8>) {
    let Some(table) = schema::table_of::<M>() else {
        debug_assert!(false, "{} has no table", M::full_name());
        text.extend_from_slice(b"{}");
        return;
    };
    let binary = message.encode_to_vec();
    text.reserve(binary.len() * 3);
    writing::message(text, table, &binary);
}

fn no_table(name: &str) -> JsonError {
    JsonError { field: String::new(), message: format!("{name} has no JSON form"), line: 0, column: 0 }
}

#[cfg(test)]
mod tests;
