//! How much memory the generated types take, by what their fields are: never less than they do, and little more.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};

use crate::tables::full;

/// A text, bytes, a list or a map: where it is, how long it is, and how long it may become. In bytes.
const POINTERS: usize = 24;

/// What is boxed. In bytes.
const POINTER: usize = 8;

/// What stands beside an optional value that has no room to say whether it is there. In bytes.
const FLAG: usize = 8;

/// The sizes of messages, and of what their fields hold elsewhere. In bytes.
#[derive(Default)]
pub(crate) struct Sizes {
    messages: BTreeMap<String, usize>,
    boxed: BTreeSet<(String, String)>,
}

/// The sizes of all messages; the paths named in `boxed` are, as is what holds itself.
pub(crate) fn of(messages: &BTreeMap<String, &DescriptorProto>, boxed: &[&str]) -> Sizes {
    let mut sizes = Sizes::default();
    for (name, message) in messages {
        for field in message.field.iter().filter(|field| field.r#type() == Type::Message) {
            let path = format!(".{name}.{}", field.name());
            let holds_itself = field.label() != Label::Repeated && reaches(messages, full(field), name);
            if holds_itself || boxed.contains(&path.as_str()) {
                sizes.boxed.insert((name.clone(), field.name().to_owned()));
            }
        }
    }
    for name in messages.keys() {
        sizes.measure(messages, name);
    }
    sizes
}

/// Whether the one message holds the other in itself, and not in a list.
fn reaches(messages: &BTreeMap<String, &DescriptorProto>, from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(name) = next.pop() {
        if name == to {
            return true;
        }
        let Some(message) = messages.get(name).filter(|_| seen.insert(name)) else { continue };
        let held = message.field.iter();
        let held = held.filter(|field| field.r#type() == Type::Message && field.label() != Label::Repeated);
        next.extend(held.map(full));
    }
    false
}

impl Sizes {
    pub(crate) fn of_message(&self, name: &str) -> usize {
        self.messages.get(name).copied().unwrap_or_default()
    }

    /// What each value of the field takes beside the message that it is in. Numbers are left out: in what is sent they
    /// take an eighth of that at least.
    pub(crate) fn taken_by(&self, message: &str, field: &FieldDescriptorProto) -> usize {
        let repeated = field.label() == Label::Repeated;
        match field.r#type() {
            Type::Message if repeated || self.is_boxed(message, field) => self.of_message(full(field)),
            Type::String | Type::Bytes if repeated => POINTERS,
            _ => 0,
        }
    }

    fn is_boxed(&self, message: &str, field: &FieldDescriptorProto) -> bool {
        self.boxed.contains(&(message.to_owned(), field.name().to_owned()))
    }

    fn measure(&mut self, messages: &BTreeMap<String, &DescriptorProto>, name: &str) -> usize {
        if let Some(size) = self.messages.get(name) {
            return *size;
        }
        let fields = messages.get(name).map(|message| message.field.as_slice()).unwrap_or_default();
        let size = fields.iter().map(|field| self.in_place(messages, name, field)).sum::<usize>();
        let size = size.next_multiple_of(POINTER);
        self.messages.insert(name.to_owned(), size);
        size
    }

    fn in_place(
        &mut self,
        messages: &BTreeMap<String, &DescriptorProto>,
        message: &str,
        field: &FieldDescriptorProto,
    ) -> usize {
        if field.label() == Label::Repeated {
            return POINTERS;
        }
        let optional = field.label() == Label::Optional;
        match field.r#type() {
            Type::String | Type::Bytes => POINTERS,
            Type::Bool => 1,
            Type::Int32 | Type::Uint32 | Type::Enum => {
                if optional {
                    FLAG
                } else {
                    FLAG / 2
                }
            }
            Type::Message if self.is_boxed(message, field) => POINTER,
            Type::Message => {
                let held = full(field).to_owned();
                self.measure(messages, &held) + if optional { FLAG } else { 0 }
            }
            _ => 8 + if optional { FLAG } else { 0 },
        }
    }
}
