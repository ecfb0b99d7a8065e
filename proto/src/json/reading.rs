//! From a text to the binary form, in one pass.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;

use super::{DEPTH, JsonError};
use crate::schema::{ENUMS, Field, Kind, Label, Memory, Message};
use crate::walk::put_varint;

/// Of a text that is at fault, so much is repeated. In bytes.
const LONGEST_QUOTE: usize = 100;

/// The longest message about what is at fault. In bytes.
const LONGEST_MESSAGE: usize = 512;

/// The text, or its beginning, in quotes.
fn quoted(text: &str) -> String {
    let cut = text.floor_char_boundary(LONGEST_QUOTE);
    if cut == text.len() { format!("{text:?}") } else { format!("{:?}…", &text[..cut]) }
}

/// The binary form of the one message that the text holds.
pub(super) fn binary(table: &'static Message, text: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut reading = Reading::new(table, Vec::with_capacity(text.len()));
    let mut parser = Deserializer::from_slice(text);
    let read = Body { reading: &mut reading, table }.deserialize(&mut parser).and_then(|()| parser.end());
    match read {
        Ok(()) => Ok(reading.out),
        Err(error) => Err(reading.fault(&error)),
    }
}

/// The binary forms of a list of messages, or of a lone one.
pub(super) fn binaries(table: &'static Message, text: &[u8], most: usize) -> Result<Vec<Vec<u8>>, JsonError> {
    let mut reading = Reading::new(table, Vec::new());
    let mut parser = Deserializer::from_slice(text);
    let read = List { reading: &mut reading, table, most }.deserialize(&mut parser);
    match read.and_then(|items| parser.end().map(|()| items)) {
        Ok(items) => Ok(items),
        Err(error) => Err(reading.fault(&error)),
    }
}

/// What was read so far, and where we are.
struct Reading {
    out: Vec<u8>,
    /// Left as it is where something is wrong.
    path: Vec<Step>,
    depth: usize,
    memory: Memory,
}

enum Step {
    Field(&'static str),
    Item(usize),
    Key(String),
}

impl Reading {
    fn new(table: &'static Message, out: Vec<u8>) -> Self {
        Self { out, path: Vec::new(), depth: 0, memory: Memory::of(table) }
    }

    fn fault(&self, error: &serde_json::Error) -> JsonError {
        let mut field = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if field.is_empty() => field.push_str(name),
                Step::Field(name) => field.extend([".", name]),
                Step::Item(at) => field.push_str(&format!("[{at}]")),
                Step::Key(key) => field.push_str(&format!("[{}]", quoted(key))),
            }
        }
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let place = format!(" at line {line} column {column}");
        let message = message.strip_suffix(&place).unwrap_or(&message);
        // The parser's own words may hold a whole text.
        let message = message[..message.floor_char_boundary(LONGEST_MESSAGE)].to_owned();
        JsonError { field, message, line, column }
    }

    fn key(&mut self, number: u32, wire: u64) {
        put_varint(&mut self.out, u64::from(number) << 3 | wire);
    }

    /// Writes what has a length: first what it is, then how long that came to be.
    fn with_length<T, E: Error>(
        &mut self,
        field: &Field,
        write: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.memory.take(field).map_err(E::custom)?;
        self.key(field.number, 2);
        let began = self.out.len();
        let written = write(self)?;
        let mut length = Vec::with_capacity(10);
        put_varint(&mut length, (self.out.len() - began) as u64);
        self.out.extend_from_slice(&length);
        self.out[began..].rotate_right(length.len());
        Ok(written)
    }
}

/// A message: what stands between `{` and `}`.
struct Body<'a> {
    reading: &'a mut Reading,
    table: &'static Message,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self { reading, table } = self;
        if reading.depth == DEPTH {
            return Err(A::Error::custom(format!("messages within messages go deeper than {DEPTH}")));
        }
        reading.depth += 1;
        let mut seen = 0_u128;
        while let Some(known) = entries.next_key_seed(Known(table))? {
            let Some((at, field)) = known else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            reading.path.push(Step::Field(field.name));
            if entries.next_value_seed(Held::new(reading, field))? {
                if seen & (1 << at) != 0 {
                    return Err(A::Error::custom("is there twice"));
                }
                seen |= 1 << at;
            }
            reading.path.pop();
        }
        if let Some(field) = table.missing(seen) {
            reading.path.push(Step::Field(field.name));
            return Err(A::Error::custom("is missing; set it"));
        }
        reading.depth -= 1;
        Ok(())
    }
}

/// The name of a field.
struct Known(&'static Message);

impl<'de> DeserializeSeed<'de> for Known {
    type Value = Option<(usize, &'static Field)>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Known {
    type Value = Option<(usize, &'static Field)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field_named(name))
    }
}

/// What a field holds: one value, a list, or a map. Says whether that sets it.
struct Held<'a> {
    reading: &'a mut Reading,
    field: &'static Field,
    /// One of a list's items.
    item: bool,
}

impl<'a> Held<'a> {
    fn new(reading: &'a mut Reading, field: &'static Field) -> Self {
        Self { reading, field, item: false }
    }

    fn number<E: Error>(self, bits: u64) -> Result<bool, E> {
        self.reading.key(self.field.number, 0);
        put_varint(&mut self.reading.out, bits);
        Ok(true)
    }

    fn double<E: Error>(self, value: f64) -> Result<bool, E> {
        self.reading.key(self.field.number, 1);
        self.reading.out.extend_from_slice(&value.to_le_bytes());
        Ok(true)
    }

    fn bytes<E: Error>(self, bytes: &[u8]) -> Result<bool, E> {
        self.reading.with_length(self.field, |reading| {
            reading.out.extend_from_slice(bytes);
            Ok(true)
        })
    }

    fn whole<E: Error>(self, value: i128) -> Result<bool, E> {
        let fits = match self.field.kind {
            Kind::Int32 => i32::try_from(value).is_ok(),
            Kind::Int64 => i64::try_from(value).is_ok(),
            Kind::Uint32 => u32::try_from(value).is_ok(),
            Kind::Uint64 => u64::try_from(value).is_ok(),
            _ => return Err(self.unlike("a number")),
        };
        if !fits {
            return Err(E::custom(format!("{value} does not fit; {} is wanted", self.field.kind.wanted())));
        }
        // Of a negative number the lower 64 bits, as the binary form has them.
        self.number(value as u64)
    }

    fn fraction<E: Error>(self, value: f64) -> Result<bool, E> {
        match self.field.kind {
            Kind::Double => self.double(value),
            // Beyond this no whole number of 64 bits is left.
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 if value.abs() < 1e19 => {
                self.whole(value.trunc() as i128)
            }
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => {
                Err(E::custom(format!("{value:?} does not fit; {} is wanted", self.field.kind.wanted())))
            }
            Kind::Bool | Kind::Text | Kind::Bytes | Kind::Enum(_) | Kind::Message(_) => {
                Err(self.unlike("a number"))
            }
        }
    }

    /// A number that came as a text.
    fn quoted_number<E: Error>(self, text: &str) -> Result<bool, E> {
        let trimmed = text.trim();
        if let (Kind::Double, "Infinity" | "inf" | "-Infinity" | "-inf") = (self.field.kind, trimmed) {
            let sign = if trimmed.starts_with('-') { -1.0 } else { 1.0 };
            return self.double(sign * f64::INFINITY);
        }
        // Only what JSON itself would take.
        match serde_json::from_str::<serde_json::Number>(trimmed) {
            Ok(number) => match (self.field.kind, number.as_i128(), number.as_f64()) {
                (Kind::Double, _, Some(value)) => self.double(value),
                (_, Some(value), _) => self.whole(value),
                (_, None, Some(value)) => self.fraction(value),
                _ => Err(E::custom(format!("{} does not fit", quoted(text)))),
            },
            Err(_) => {
                let wanted = self.field.kind.wanted();
                Err(E::custom(format!("{} is no number; {wanted} is wanted", quoted(text))))
            }
        }
    }

    fn unlike<E: Error>(&self, found: &str) -> E {
        let list = self.field.label == Label::Repeated && !self.item;
        let wanted = if list { "a list" } else { self.field.kind.wanted() };
        E::custom(format!("{wanted} is wanted, not {found}"))
    }
}

impl<'de> DeserializeSeed<'de> for Held<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Held<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.kind.wanted())
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        match self.field.kind {
            Kind::Bool => self.number(u64::from(value)),
            _ => Err(self.unlike("true or false")),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        if let Kind::Double = self.field.kind { self.double(value as f64) } else { self.whole(value.into()) }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        if let Kind::Double = self.field.kind { self.double(value as f64) } else { self.whole(value.into()) }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        self.fraction(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        match self.field.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Bytes => match STANDARD.decode(text) {
                Ok(bytes) => self.bytes(&bytes),
                Err(error) => Err(E::custom(format!("is no base64: {error}"))),
            },
            Kind::Bool => match text {
                "true" => self.number(1),
                "false" => self.number(0),
                _ => Err(self.unlike("another text")),
            },
            Kind::Enum(at) => match ENUMS[usize::from(at)].number(text) {
                // Negative numbers are written as such of 64 bits.
                Some(number) => self.number(i64::from(number) as u64),
                None if self.field.label == Label::Required => {
                    Err(E::custom(format!("{} is none of its names", quoted(text))))
                }
                // A newer client may know more names.
                None => Ok(false),
            },
            Kind::Double | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => {
                self.quoted_number(text)
            }
            Kind::Message(_) => Err(self.unlike("a text")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let map = self.field.kind.message().is_some_and(|message| message.map_entry);
        if self.item || self.field.label != Label::Repeated || map {
            return Err(self.unlike("a list"));
        }
        let Self { reading, field, .. } = self;
        reading.path.push(Step::Item(0));
        let mut at = 0;
        while items.next_element_seed(Held { reading: &mut *reading, field, item: true })?.is_some() {
            at += 1;
            if let Some(step) = reading.path.last_mut() {
                *step = Step::Item(at);
            }
        }
        reading.path.pop();
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        let Some(table) = self.field.kind.message() else { return Err(self.unlike("an object")) };
        let Self { reading, field, .. } = self;
        if !table.map_entry {
            return reading
                .with_length(field, |reading| Body { reading, table }.visit_map(entries).map(|()| true));
        }
        let (Some((_, key_field)), Some((_, value_field))) =
            (table.field_numbered(1), table.field_numbered(2))
        else {
            return Err(A::Error::custom("is no map"));
        };
        while let Some(key) = entries.next_key::<String>()? {
            reading.path.push(Step::Key(key.clone()));
            reading.with_length(field, |reading| {
                Held { reading: &mut *reading, field: key_field, item: true }
                    .bytes::<A::Error>(key.as_bytes())?;
                entries.next_value_seed(Held { reading, field: value_field, item: true })
            })?;
            reading.path.pop();
        }
        Ok(true)
    }
}

/// A list of messages that is no message's field.
struct List<'a> {
    reading: &'a mut Reading,
    table: &'static Message,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<Vec<u8>>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Vec<u8>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        Body { reading: &mut *self.reading, table: self.table }.visit_map(entries)?;
        Ok(vec![std::mem::take(&mut self.reading.out)])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Self { reading, table, most } = self;
        let mut read = Vec::new();
        reading.path.push(Step::Item(0));
        while items.next_element_seed(Body { reading: &mut *reading, table })?.is_some() {
            read.push(std::mem::take(&mut reading.out));
            if read.len() > most {
                reading.path.clear();
                return Err(A::Error::custom(format!("more than {most} items")));
            }
            if let Some(step) = reading.path.last_mut() {
                *step = Step::Item(read.len());
            }
        }
        reading.path.pop();
        Ok(read)
    }
}
