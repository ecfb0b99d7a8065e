//! The text form: `cpus:4;mem:8192;ports:[31000-32000];disks:{sda,sdb};gpus:{0:1000,1:540}`, and with a
//! static reservation `cpus(web):2`. Items and roles with a character that has a meaning stand in quotes:
//! `disks:{"a,b"}`.
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
    #[error("{0:?}: the role in parentheses does not end; write, for example, cpus(web):2")]
    OpenRole(String),
    /// More in parentheses than the role of one static reservation.
    #[error("{0:?}: only the role of one static reservation can be written, as in cpus(web):2")]
    NotText(String),
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
    /// Resources from their text form; a name may stand more than once, and is summed.
    /// Errors: [`ParseError`].
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
        let (role, after) = parse_role(after.trim_start(), &owned)?;
        if role != Role::default_role() {
            metadata.reservations.push(Reservation::fixed(role));
        }
        rest = after.trim_start();
        if rest.starts_with(['(', '[', '{']) {
            return Err(ParseError::NotText(owned()));
        }
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

/// The role that `text` begins with and what comes after its parenthesis. A comma parts the words that
/// other reservations are printed with, so that a role with one stands in quotes.
fn parse_role<'t>(text: &'t str, item: &dyn Fn() -> String) -> Result<(Role, &'t str), ParseError> {
    let open = || ParseError::OpenRole(item());
    let (role, after) = if text.starts_with('"') {
        let (role, after) = quoted(text).map_err(|_| open())?;
        (role, after.trim_start().strip_prefix(')').ok_or_else(open)?)
    } else {
        let (role, after) = text.split_once(')').ok_or_else(open)?;
        if role.contains([',', '(']) {
            return Err(ParseError::NotText(item()));
        }
        (role.trim().to_owned(), after)
    };
    let role = Role::new(role).map_err(|source| ParseError::Role { item: item(), source })?;
    Ok((role, after))
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
                let thousandths = thousandths.trim().parse().map_err(|_| "thousandths are 0 to 1000")?;
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

/// The text of an item, which stands in quotes if it holds a character with a meaning.
fn unquote(item: &str) -> Result<String, &'static str> {
    if item.is_empty() {
        return Err("an item is empty");
    }
    if item.starts_with('"') {
        let (plain, rest) = quoted(item)?;
        return if rest.is_empty() { Ok(plain) } else { Err("a quote ends before its item does") };
    }
    if item.contains('"') { Err("an item with a quote in it is not in quotes") } else { Ok(item.to_owned()) }
}

/// What stands in the quotes that `text` begins with, and what comes after them.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut plain = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((index, c)) = characters.next() {
        match c {
            '"' => return Ok((plain, &text[index + 1..])),
            '\\' => plain.extend(characters.next().map(|(_, c)| c)),
            c => plain.push(c),
        }
    }
    Err("a quote does not close")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_as_mesos_writes_it() {
        let text = "cpus:4;mem:8192;ports:[31000-32000];disks:{sda,sdb};gpus:{0:1000,1:540};cpus(web):2";
        let resources = Resources::parse(text).unwrap();
        assert_eq!(
            resources.to_string(),
            "cpus:4;cpus(web):2;disks:{sda,sdb};gpus:{0:1000,1:540};mem:8192;ports:[31000-32000]"
        );
        let spaced = " cpus (*): 3 ; cpus:1;;mem : 8192;ports: [ 31000 - 32000 ];disks:{ sda, \"sdb\" };";
        assert_eq!(Resources::parse(spaced).unwrap().scalar("cpus"), Scalar::from_units(4).unwrap());
    }

    #[test]
    fn characters_with_a_meaning_stand_in_quotes() {
        let odd = ["a,b", "a:b", "a;b", "a}", "\"", "\\", " ", "", "ä b", "\n", "("];
        let set = Resource::new("disks", Value::Set(Set::new(odd))).unwrap();
        let resources = Resources::of([set]).unwrap();
        assert_eq!(Resources::parse(&resources.to_string()), Ok(resources));
        let role = Role::new("a,b)\";c").unwrap();
        let metadata = Metadata { reservations: vec![Reservation::fixed(role)], ..Metadata::default() };
        let one = Value::Scalar(Scalar::from_units(1).unwrap());
        let resources = Resources::of([Resource::with_metadata("cpus", one, metadata).unwrap()]).unwrap();
        assert_eq!(resources.to_string(), r#"cpus("a,b)\";c"):1"#);
        assert_eq!(Resources::parse(&resources.to_string()), Ok(resources));
    }

    #[test]
    fn nothing_is_nothing() {
        for text in ["", " ; ", "cpus:0", "ports:[]", "disks:{}", "gpus:{0:0}"] {
            assert_eq!(Resources::parse(text), Ok(Resources::new()), "{text}");
        }
    }

    /// Each message names the part at fault, says what is wrong with it, and what to do.
    #[test]
    fn a_bad_part_says_what_where_and_what_to_do() {
        let number = "is not a decimal number such as 4 or 0.5";
        let ranges = "is not a list of ranges such as [31000-32000] or [1-5,7-9]";
        let no_value = "no `:` parts name and value; write, for example, cpus:4;mem:8192;ports:[31000-32000]";
        let name = "is not a resource name; take 1 to 128 bytes without white space, control characters \
                    and :;,()[]{}\"\\";
        let role = "is not a role name: it contains white space, a control character or a backslash";
        let open = "the role in parentheses does not end; write, for example, cpus(web):2";
        let written = "only the role of one static reservation can be written, as in cpus(web):2";
        let table = [
            ("cpus:-1", "-1 is negative; give 0 or more"),
            ("cpus:NaN", &format!("\"NaN\" {number}")),
            ("cpus:inf", &format!("\"inf\" {number}")),
            ("cpus:", &format!("\"\" {number}")),
            ("cpus:x", &format!("\"x\" {number}")),
            ("mem:512MB", &format!("\"512MB\" {number}")),
            ("mem:2251799813686", "2251799813686 is above the largest amount, 2251799813685.247"),
            ("cpus", no_value),
            ("cpus(web)4", no_value),
            ("ports:[5-1]", "the range 5-1 begins after its end; write 1-5"),
            ("ports:[1-", &format!("\"[1-\" {ranges}")),
            ("ports:[80]", &format!("\"[80]\" {ranges}")),
            ("cpu s:1", &format!("\"cpu s\" {name}")),
            (":1", &format!("\"\" {name}")),
            ("disk[data]:5", &format!("\"disk[data]\" {name}")),
            ("cpus(a b):1", &format!("\"a b\" {role}")),
            ("cpus():1", "\"\" is not a role name: it is empty"),
            ("cpus(web:1", open),
            ("cpus(\"web):1", open),
            ("cpus(DYNAMIC,web):1", written),
            ("cpus(a)(DYNAMIC,a/b):1", written),
        ];
        for (part, expected) in table {
            let expected = format!("{part:?}: {expected}");
            assert_eq!(Resources::parse(part).unwrap_err().to_string(), expected);
            let text = format!("mem:1; {part}");
            assert_eq!(Resources::parse(&text).unwrap_err().to_string(), expected, "after another");
        }
    }

    #[test]
    fn a_bad_list_in_braces_says_what_where_and_what_to_do() {
        let table = [
            ("disks:{a", "the brace does not close"),
            ("disks:{\"a}", "a quote does not close"),
            ("disks:{a,,b}", "an item is empty"),
            ("disks:{a\"b\"}", "an item with a quote in it is not in quotes"),
            ("disks:{\"a\"b}", "a quote ends before its item does"),
            ("disks:{a:b:c}", "an item has more than one `:`; put it in quotes"),
            ("disks:{a:1,b}", "some items have thousandths and some have none"),
            ("gpus:{0:x}", "thousandths are 0 to 1000"),
            ("gpus:{0:1001}", "a device stands twice or has more than 1000 thousandths"),
            ("gpus:{0:1,0:1}", "a device stands twice or has more than 1000 thousandths"),
        ];
        for (text, reason) in table {
            let expected = format!(
                "{text:?}: {reason}; write {{sda,sdb}} for a set, {{0:1000,1:540}} for thousandths of devices"
            );
            assert_eq!(Resources::parse(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn parts_that_cannot_be_held_together_say_which() {
        let table = [
            ("ports:[1-5];ports:[5-6]", "ports 5 is held twice; it has one holder, so name it once"),
            ("disks:{a};disks:{a}", "disks a is held twice; it has one holder, so name it once"),
            ("gpus:{0:600};gpus:{0:600}", "gpus 0 is held twice; it has one holder, so name it once"),
            ("x:1;x:{a}", "x is of one type here and of another there; write it in the same form everywhere"),
            (
                "mem:2251799813685;mem:1",
                "the sum of mem is above the largest amount, 2251799813685.247; take less",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(Resources::parse(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_text_without_end_is_not_read() {
        let text = "cpus:1;".repeat(MAX_TEXT / 7 + 1);
        assert_eq!(Resources::parse(&text), Err(ParseError::TooLong(text.len())));
        let item = format!("{}:x", "ä".repeat(10_000));
        assert!(Resources::parse(&item).unwrap_err().to_string().len() < 1_000);
    }
}
