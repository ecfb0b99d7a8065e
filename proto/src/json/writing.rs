//! From the binary form to a text.
//!
//! The binary form is our own encoder's: fields stand in the order of their numbers, and all values of a list together.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::schema::{ENUMS, Field, Kind, Label, Message};
use crate::walk::{Fields, Value};

/// Writes one message.
pub(super) fn message(text: &mut Vec<u8>, table: &'static Message, binary: &[u8]) {
    let mut object = Object { text, fields: table.fields, next: 0, open: None, first: true };
    object.text.push(b'{');
    for (number, value) in Fields::of(binary).flatten() {
        let Some((at, field)) = table.field_numbered(number) else { continue };
        object.value(at, field, value);
    }
    object.end();
}

/// An object under way.
struct Object<'a> {
    text: &'a mut Vec<u8>,
    fields: &'static [Field],
    /// The first field that was not looked at yet.
    next: usize,
    /// The list or map that is not closed yet, and what closes it.
    open: Option<(usize, u8)>,
    first: bool,
}

impl Object<'_> {
    fn value(&mut self, at: usize, field: &'static Field, value: Value<'_>) {
        if self.open.is_some_and(|(open, _)| open == at) {
            self.text.push(b',');
        } else {
            self.close();
            self.absent_before(at);
            self.name(field);
            self.next = at + 1;
            if field.label == Label::Repeated {
                let map = field.kind.message().is_some_and(|message| message.map_entry);
                self.text.push(if map { b'{' } else { b'[' });
                self.open = Some((at, if map { b'}' } else { b']' }));
            }
        }
        match (field.kind, value) {
            (Kind::Message(_), Value::Bytes(binary)) => {
                let Some(table) = field.kind.message() else { return };
                if table.map_entry {
                    entry(self.text, table, binary)
                } else {
                    message(self.text, table, binary)
                }
            }
            (Kind::Text | Kind::Bytes, Value::Bytes(_)) => scalar(self.text, field.kind, value),
            // Lists of numbers may be packed.
            (_, Value::Bytes(packed)) => {
                let eight = matches!(field.kind, Kind::Double);
                for (number, value) in Value::packed(packed, eight).enumerate() {
                    if number > 0 {
                        self.text.push(b',');
                    }
                    scalar(self.text, field.kind, value);
                }
            }
            _ => scalar(self.text, field.kind, value),
        }
    }

    fn name(&mut self, field: &Field) {
        if !std::mem::replace(&mut self.first, false) {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(field.name.as_bytes());
        self.text.extend_from_slice(b"\":");
    }

    fn close(&mut self) {
        if let Some((_, bracket)) = self.open.take() {
            self.text.push(bracket);
        }
    }

    /// What stands for fields that are not set, up to one that is.
    fn absent_before(&mut self, at: usize) {
        let fields = self.fields;
        for field in fields.get(self.next..at).unwrap_or_default() {
            if let Some(absent) = field.absent {
                self.name(field);
                self.text.extend_from_slice(absent.as_bytes());
            } else if field.label == Label::Required {
                // The binary form of a map leaves out a value of which everything is zero.
                self.name(field);
                zero(self.text, field.kind);
            }
        }
    }

    fn end(mut self) {
        self.close();
        self.absent_before(self.fields.len());
        self.text.push(b'}');
    }
}

/// One entry of a map.
fn entry(text: &mut Vec<u8>, table: &'static Message, binary: &[u8]) {
    let (mut key, mut held): (&[u8], Option<Value<'_>>) = (&[], None);
    for (number, value) in Fields::of(binary).flatten() {
        match (number, value) {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, value) => held = Some(value),
            _ => {}
        }
    }
    let Some((_, field)) = table.field_numbered(2) else { return };
    quoted(text, key);
    text.push(b':');
    match (field.kind, held.unwrap_or(Value::Bytes(&[]))) {
        (Kind::Message(_), Value::Bytes(binary)) => {
            let Some(table) = field.kind.message() else { return };
            message(text, table, binary);
        }
        (Kind::Text | Kind::Bytes, value) => scalar(text, field.kind, value),
        // Zero is not written in the binary form of an entry.
        (kind, Value::Bytes(_)) => scalar(text, kind, Value::Number(0)),
        (kind, value) => scalar(text, kind, value),
    }
}

fn scalar(text: &mut Vec<u8>, kind: Kind, value: Value<'_>) {
    match (kind, value) {
        (Kind::Double, Value::Number(bits)) => double(text, f64::from_bits(bits)),
        (Kind::Bool, Value::Number(number)) => {
            text.extend_from_slice(if number == 0 { b"false" } else { b"true" });
        }
        // Negative numbers of 32 bits are written as such of 64.
        (Kind::Int32 | Kind::Int64, Value::Number(number)) => print(text, number.cast_signed()),
        (Kind::Uint32 | Kind::Uint64, Value::Number(number)) => print(text, number),
        (Kind::Enum(at), Value::Number(number)) => {
            let number = i32::try_from(number.cast_signed()).unwrap_or_default();
            match ENUMS[usize::from(at)].name(number) {
                Some(name) => quoted(text, name.as_bytes()),
                None => print(text, number),
            }
        }
        (Kind::Text, Value::Bytes(bytes)) => quoted(text, bytes),
        (Kind::Bytes, Value::Bytes(bytes)) => quoted(text, STANDARD.encode(bytes).as_bytes()),
        (Kind::Message(_), _) | (_, Value::Bytes(_)) | (Kind::Text | Kind::Bytes, _) => {
            text.extend_from_slice(b"null");
        }
    }
}

/// What stands for nothing.
fn zero(text: &mut Vec<u8>, kind: Kind) {
    match kind {
        Kind::Text | Kind::Bytes => scalar(text, kind, Value::Bytes(&[])),
        Kind::Message(_) => {
            if let Some(table) = kind.message() {
                message(text, table, &[]);
            }
        }
        _ => scalar(text, kind, Value::Number(0)),
    }
}

/// Always with a point or an exponent, so that it reads as a double.
fn double(text: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        let _a_vector_takes_all = write!(text, "{value:?}");
    } else {
        let name = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        quoted(text, name.as_bytes());
    }
}

fn print(text: &mut Vec<u8>, number: impl std::fmt::Display) {
    let _a_vector_takes_all = write!(text, "{number}");
}

/// A text with its quotes. `/` stays as it is.
fn quoted(text: &mut Vec<u8>, bytes: &[u8]) {
    let _a_vector_takes_all = serde_json::to_writer(text, &String::from_utf8_lossy(bytes));
}
