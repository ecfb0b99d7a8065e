//! The schema as tables: what each message of the Mesos v1 API is made of, by name and by number.
//!
//! The build writes them from the `.proto` files (`build/tables.rs`), so that no message is described twice.

use prost::Name;

use crate::limits::DECODED_BYTES;

/// One message.
pub(crate) struct Message {
    /// With its package.
    pub(crate) name: &'static str,
    /// An entry of a map: `key = 1`, `value = 2`.
    pub(crate) map_entry: bool,
    /// What one takes in memory, in bytes; what its lists, texts and boxes hold is not in it.
    pub(crate) size: usize,
    /// Places in `fields`, sorted by name.
    pub(crate) by_name: &'static [(&'static str, u8)],
    /// Sorted by number.
    pub(crate) fields: &'static [Field],
}

/// One field.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) label: Label,
    /// What stands for it in JSON where it is not set.
    pub(crate) absent: Option<&'static str>,
    /// What each value of it takes in memory beside the message that it is in, in bytes: an item of a list, a message
    /// in a box. Not what a text or bytes hold, which take as much where they come from.
    pub(crate) takes: usize,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Double,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Bool,
    Text,
    Bytes,
    /// Place among the enums.
    Enum(u16),
    /// Place among the messages.
    Message(u16),
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Required,
    Optional,
    Repeated,
}

/// One enumeration.
pub(crate) struct Enum {
    pub(crate) by_name: &'static [(&'static str, i32)],
    pub(crate) by_number: &'static [(i32, &'static str)],
}

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// The table of a message; `None` if nothing of the Mesos v1 API leads to it.
pub(crate) fn table_of<M: Name>() -> Option<&'static Message> {
    let name = M::full_name();
    MESSAGES.binary_search_by_key(&name.as_str(), |message| message.name).ok().map(|at| &MESSAGES[at])
}

impl Message {
    pub(crate) fn field_named(&self, name: &str) -> Option<(usize, &'static Field)> {
        let at = self.by_name.binary_search_by_key(&name, |(name, _)| name).ok()?;
        let at = usize::from(self.by_name[at].1);
        Some((at, &self.fields[at]))
    }

    pub(crate) fn field_numbered(&self, number: u32) -> Option<(usize, &'static Field)> {
        let at = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some((at, &self.fields[at]))
    }

    /// The first required field that is not among those seen; one bit for each, by its place.
    pub(crate) fn missing(&self, seen: u128) -> Option<&'static Field> {
        let mut fields = self.fields.iter().enumerate();
        fields
            .find(|(at, field)| field.label == Label::Required && seen & (1 << at) == 0)
            .map(|(_, field)| field)
    }
}

/// How much memory the message that is read will take.
pub(crate) struct Memory {
    taken: usize,
}

impl Memory {
    pub(crate) fn of(table: &Message) -> Self {
        Self { taken: table.size }
    }

    /// One more value of this field.
    ///
    /// Errors: it is too much.
    pub(crate) fn take(&mut self, field: &Field) -> Result<(), String> {
        self.taken += field.takes;
        if self.taken <= DECODED_BYTES {
            return Ok(());
        }
        Err(format!(
            "with it the message takes more than {} MiB once it is read; send less at once",
            DECODED_BYTES >> 20
        ))
    }
}

impl Kind {
    /// The message, if it is one.
    pub(crate) fn message(self) -> Option<&'static Message> {
        match self {
            Self::Message(at) => Some(&MESSAGES[usize::from(at)]),
            _ => None,
        }
    }

    /// What belongs there, for people.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Self::Double => "a number",
            Self::Int32 | Self::Int64 => "a whole number",
            Self::Uint32 | Self::Uint64 => "a whole number from 0 on",
            Self::Bool => "true or false",
            Self::Text => "a text",
            Self::Bytes => "a text in base64",
            Self::Enum(_) => "a name",
            Self::Message(_) => "an object",
        }
    }
}

impl Enum {
    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.by_name.binary_search_by_key(&name, |(name, _)| name).ok().map(|at| self.by_name[at].1)
    }

    pub(crate) fn name(&self, number: i32) -> Option<&'static str> {
        self.by_number
            .binary_search_by_key(&number, |(number, _)| *number)
            .ok()
            .map(|at| self.by_number[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos;

    #[test]
    fn a_size_is_never_too_small_and_not_much_too_large() {
        fn check<M: Name>() {
            let (is, said) = (size_of::<M>(), table_of::<M>().unwrap().size);
            assert!(said >= is && said <= is + is / 2 + 8, "{}: {is} bytes, {said} are said", M::full_name());
        }
        check::<mesos::scheduler::Call>();
        check::<mesos::scheduler::Event>();
        check::<mesos::executor::Call>();
        check::<mesos::master::Call>();
        check::<mesos::agent::Call>();
        check::<mesos::offer::Operation>();
        check::<mesos::Resource>();
        check::<mesos::TaskInfo>();
        check::<mesos::TaskStatus>();
        check::<mesos::FrameworkInfo>();
        check::<mesos::ContainerId>();
        check::<mesos::Label>();
        check::<mesos::maintenance::Schedule>();
    }

    #[test]
    fn what_is_boxed_is_counted_where_it_is() {
        let operation = table_of::<mesos::offer::Operation>().unwrap();
        let (_, grow) = operation.field_named("grow_volume").unwrap();
        assert_eq!(grow.takes, grow.kind.message().unwrap().size);
        let (_, launch) = operation.field_named("launch").unwrap();
        assert_eq!(launch.takes, 0, "it is part of the operation");
    }
}
