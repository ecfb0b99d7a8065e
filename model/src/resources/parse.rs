//! The text form: `cpus:4;mem:8192;ports:[31000-32000];disks:{sda,sdb};gpus:{0:1000,1:540}`, and with a
//! static reservation `cpus(web):2`.
//!
//! What prints without other metadata parses back to itself. Numbers need no unit: cpus are CPUs, mem
//! and disk are MiB.

use std::sync::Arc;

use super::{
    AddError, Devices, InvalidRanges, InvalidResource, InvalidScalar, Metadata, Ranges, Reservation,
    Resource, Resources, Scalar, Set, Value,
};
use crate::role::{InvalidRole, Role};

/// The longest text that is looked at, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// Why a text is not a list of resources. Each message names the part at fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// Over a mebibyte.
    #[error("the resources are {0} bytes of text, at most {MAX_TEXT} are read")]
    TooLong(usize),
    /// No `:` in it.
    #[error("{0:?}: no `:` parts name and value; write, for example, cpus:4;mem:8192;ports:[31000-32000]")]
    NoValue(String),
    /// A `(` without `)`.
    #[error("{0:?}: the role in parentheses does not end")]
    OpenRole(String),
    /// A role that is none.
    #[error("{item:?}: {source}")]
    Role {
        /// The part at fault.
        item: String,
        /// Why.
        source: InvalidRole,
    },
    /// A number that is none.
    #[error("{item:?}: {source}")]
    Scalar {
        /// The part at fault.
        item: String,
        /// Why.
        source: InvalidScalar,
    },
    /// Ranges that are none.
    #[error("{item:?}: {source}")]
    Ranges {
        /// The part at fault.
        item: String,
        /// Why.
        source: InvalidRanges,
    },
    /// A list in braces that is none.
    #[error("{item:?}: {reason}; write {{sda,sdb}} for a set, {{0:1000,1:540}} for thousandths of devices")]
    Braces {
        /// The part at fault.
        item: String,
        /// Why.
        reason: &'static str,
    },
    /// A name that is none, or metadata that cannot be.
    #[error("{item:?}: {source}")]
    Resource {
        /// The part at fault.
        item: String,
        /// Why.
        source: InvalidResource,
    },
    /// The parts cannot be held together.
    #[error(transparent)]
    Sum(#[from] AddError),
}

impl Resources {
    /// Resources from their text form; a name may stand more than once, and is summed. Errors: [`ParseError`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_TEXT {
            return Err(ParseError::TooLong(text.len()));
        }
        let mut all = Self::new();
        for item in split(text, ';').into_iter().map(str::trim).filter(|item| !item.is_empty()) {
            all.insert(parse_resource(item)?)?;
        }
        Ok(all)
    }
}

impl std::str::FromStr for Resources {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

fn parse_resource(item: &str) -> Result<Resource, ParseError> {
    let owned = || item.chars().take(128).collect::<String>();
    let name_end = item.find([':', '(']).ok_or_else(|| ParseError::NoValue(owned()))?;
    let (name, mut rest) = item.split_at(name_end);
    let mut metadata = Metadata::default();
    if let Some(after) = rest.strip_prefix('(') {
        let (role, after) = after.split_once(')').ok_or_else(|| ParseError::OpenRole(owned()))?;
        let role = Role::new(role.trim()).map_err(|source| ParseError::Role { item: owned(), source })?;
        if role != Role::default_role() {
            metadata.reservations.push(Reservation::fixed(role));
        }
        rest = after.trim_start();
    }
    let value = rest.strip_prefix(':').ok_or_else(|| ParseError::NoValue(owned()))?.trim();
    let value = if value.starts_with('[') {
        Value::Ranges(Ranges::parse(value).map_err(|source| ParseError::Ranges { item: owned(), source })?)
    } else if value.starts_with('{') {
        parse_braces(value).map_err(|reason| ParseError::Braces { item: owned(), reason })?
    } else {
        Value::Scalar(Scalar::parse(value).map_err(|source| ParseError::Scalar { item: owned(), source })?)
    };
    Resource::with_metadata(name.trim(), value, metadata)
        .map_err(|source| ParseError::Resource { item: owned(), source })
}

/// A set, or devices if its items have numbers.
fn parse_braces(text: &str) -> Result<Value, &'static str> {
    let inner =
        text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or("the brace does not close")?;
    if inner.trim().is_empty() {
        return Ok(Value::Set(Set::default()));
    }
    let mut items: Vec<String> = Vec::new();
    let mut devices: Vec<(Arc<str>, u16)> = Vec::new();
    for item in split(inner, ',') {
        let parts = split(item, ':');
        match parts[..] {
            [name] => items.push(unquote(name.trim())?),
            [name, thousandths] => {
                let thousandths = thousandths.trim().parse().map_err(|_| "thousandths are 1 to 1000")?;
                devices.push((Arc::from(unquote(name.trim())?), thousandths));
            }
            _ => return Err("an item has more than one `:`; put it in quotes"),
        }
    }
    match (items.is_empty(), devices.is_empty()) {
        (_, true) => Ok(Value::Set(Set::new(items))),
        (true, false) => Devices::new(devices)
            .map(Value::Devices)
            .ok_or("a device stands twice or has more than 1000 thousandths"),
        (false, false) => Err("some items have thousandths and some have none"),
    }
}

/// The parts of `text` between `separator`s that stand outside quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let mut parts = Vec::new();
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..index]);
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquote(item: &str) -> Result<String, &'static str> {
    let Some(rest) = item.strip_prefix('"') else {
        return if item.is_empty() { Err("an item is empty") } else { Ok(item.to_owned()) };
    };
    let inner = rest.strip_suffix('"').ok_or("a quote does not close")?;
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        plain.push(if c == '\\' { characters.next().ok_or("a quote ends in a backslash")? } else { c });
    }
    Ok(plain)
}
