//! The schema as tables, for what reads and writes messages by their fields' names: `src/schema.rs` has the types.
//!
//! Of every message of the Mesos v1 API and of all that is reached from one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, error, fs};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::sizes::{self, Sizes};

/// What is reached by HTTP begins in these packages.
const ROOTS: &str = "mesos.v1";

/// What frameworks send by gRPC: how much memory it takes has to be known.
const REQUEST: &str = "lonja.v1.SchedulerRequest";

/// A message may have this many fields: what was seen of them fits into one word.
const MOST_FIELDS: usize = 128;

#[derive(Default)]
struct Schema<'a> {
    messages: BTreeMap<String, &'a DescriptorProto>,
    enums: BTreeMap<String, &'a EnumDescriptorProto>,
    sizes: Sizes,
}

/// Writes the tables to the build folder.
pub(crate) fn write(descriptors: &FileDescriptorSet, boxed: &[&str]) -> Result<(), Box<dyn error::Error>> {
    let mut schema = Schema::default();
    for file in &descriptors.file {
        for message in &file.message_type {
            schema.add(file.package(), message);
        }
        for each in &file.enum_type {
            schema.enums.insert(format!("{}.{}", file.package(), each.name()), each);
        }
    }
    schema.keep_reachable();
    schema.sizes = sizes::of(&schema.messages, boxed);
    let text = schema.tables();
    let folder = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    fs::write(folder.join("tables.rs"), text)?;
    Ok(())
}

impl<'a> Schema<'a> {
    fn add(&mut self, within: &str, message: &'a DescriptorProto) {
        let name = format!("{within}.{}", message.name());
        for nested in &message.nested_type {
            self.add(&name, nested);
        }
        for each in &message.enum_type {
            self.enums.insert(format!("{name}.{}", each.name()), each);
        }
        self.messages.insert(name, message);
    }

    fn keep_reachable(&mut self) {
        let mut reached = BTreeSet::new();
        let mut next: Vec<String> = self
            .messages
            .keys()
            .filter(|name| name.starts_with(ROOTS) || *name == REQUEST)
            .cloned()
            .collect();
        while let Some(name) = next.pop() {
            let Some(message) = self.messages.get(&name) else { continue };
            if reached.insert(name) {
                let messages = message.field.iter().filter(|field| field.r#type() == Type::Message);
                next.extend(messages.map(|field| full(field).to_owned()));
            }
        }
        self.messages.retain(|name, _| reached.contains(name));
    }

    fn tables(&self) -> String {
        let mut text = String::new();
        let _fits = writeln!(text, "pub(crate) static MESSAGES: [Message; {}] = [", self.messages.len());
        for (name, message) in &self.messages {
            self.message(&mut text, name, message);
        }
        let _fits = writeln!(text, "];\n\npub(crate) static ENUMS: [Enum; {}] = [", self.enums.len());
        for each in self.enums.values() {
            let mut names: Vec<_> = each.value.iter().map(|value| (value.name(), value.number())).collect();
            names.sort_unstable();
            let mut numbers: Vec<_> = names.iter().map(|(name, number)| (*number, *name)).collect();
            numbers.sort_unstable();
            let _fits = writeln!(text, "    Enum {{ by_name: &{names:?}, by_number: &{numbers:?} }},");
        }
        text.push_str("];\n");
        text
    }

    fn message(&self, text: &mut String, name: &str, message: &DescriptorProto) {
        let map_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
        // What only reads is answered with all of its lists, also the empty ones.
        let answer = name.contains(".Response.Get") && name.rsplit('.').nth(1) == Some("Response");
        let mut fields: Vec<_> = message.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        assert!(fields.len() <= MOST_FIELDS, "{name} has more than {MOST_FIELDS} fields");
        let mut names: Vec<(&str, u8)> = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            names.push((field.name(), u8::try_from(at).expect("at most 128")));
        }
        names.sort_unstable();
        let _fits = writeln!(
            text,
            "    Message {{ name: {name:?}, map_entry: {map_entry}, size: {}, by_name: &{names:?}, fields: &[",
            self.sizes.of_message(name),
        );
        for field in fields {
            let _fits = writeln!(
                text,
                "        Field {{ name: {:?}, number: {}, kind: {}, label: {}, absent: {:?}, takes: {} }},",
                field.name(),
                field.number(),
                self.kind(name, field),
                label(field),
                self.absent(field, answer),
                self.sizes.taken_by(name, field),
            );
        }
        text.push_str("    ] },\n");
    }

    fn kind(&self, message: &str, field: &FieldDescriptorProto) -> String {
        let place = |found: Option<usize>| found.unwrap_or_else(|| panic!("{} is unknown", full(field)));
        match field.r#type() {
            Type::Double => "Kind::Double".to_owned(),
            Type::Int32 => "Kind::Int32".to_owned(),
            Type::Int64 => "Kind::Int64".to_owned(),
            Type::Uint32 => "Kind::Uint32".to_owned(),
            Type::Uint64 => "Kind::Uint64".to_owned(),
            Type::Bool => "Kind::Bool".to_owned(),
            Type::String => "Kind::Text".to_owned(),
            Type::Bytes => "Kind::Bytes".to_owned(),
            Type::Enum => {
                format!("Kind::Enum({})", place(self.enums.keys().position(|name| name == full(field))))
            }
            Type::Message => {
                format!("Kind::Message({})", place(self.messages.keys().position(|name| name == full(field))))
            }
            other => {
                panic!("{message}.{}: {other:?} is not read by name; add it to src/schema.rs", field.name())
            }
        }
    }

    /// What stands for the field in JSON where it is not set.
    fn absent(&self, field: &FieldDescriptorProto, answer: bool) -> Option<String> {
        if field.label() == Label::Repeated {
            return answer.then(|| "[]".to_owned());
        }
        let deprecated = field.options.as_ref().is_some_and(|options| options.deprecated());
        let default = field.default_value.as_deref().filter(|_| !deprecated)?;
        Some(match field.r#type() {
            Type::Double => {
                let value: f64 = default.parse().expect("a default is of its type");
                format!("{value:?}")
            }
            Type::String | Type::Enum => format!("{default:?}"),
            _ => default.to_owned(),
        })
    }
}

/// The name of a field's type, from the root.
pub(crate) fn full(field: &FieldDescriptorProto) -> &str {
    field.type_name().trim_start_matches('.')
}

fn label(field: &FieldDescriptorProto) -> &'static str {
    match field.label() {
        Label::Required => "Label::Required",
        Label::Optional => "Label::Optional",
        Label::Repeated => "Label::Repeated",
    }
}
