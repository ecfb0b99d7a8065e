//! Messages in the binary form, as untrusted peers send them.

use std::fmt;

use prost::{Message, Name};

use crate::schema::{self, Memory, Message as Table};
use crate::walk::{Fields, Value};

/// Messages within messages, at most; the decoder behind it has the same bound.
const DEPTH: usize = 100;

/// Why bytes are not the message wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BinaryError {
    /// The field, as `accept.operations.launch`; empty: the message itself.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for BinaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// The message that the bytes hold.
///
/// Generated code reads a required field that is missing as its default; here it is refused.
///
/// Errors: broken encoding, a required field that is missing, messages too deep within messages, or more than
/// [`DECODED_BYTES`](crate::limits::DECODED_BYTES) in memory.
pub fn decode<M: Message + Name + Default>(bytes: &[u8]) -> Result<M, BinaryError> {
    if let Some(table) = schema::table_of::<M>() {
        let (mut path, mut memory) = (Vec::new(), Memory::of(table));
        complete(table, bytes, &mut path, &mut memory)
            .map_err(|message| BinaryError { field: path.join("."), message })?;
    }
    M::decode(bytes).map_err(|error| BinaryError { field: String::new(), message: error.to_string() })
}

/// Whether the message that the bytes hold takes no more memory than [`DECODED_BYTES`](crate::limits::DECODED_BYTES).
/// Of what is broken nothing is said.
///
/// Errors: it takes more.
pub fn bounded<M: Name>(bytes: &[u8]) -> Result<(), BinaryError> {
    let Some(table) = schema::table_of::<M>() else { return Ok(()) };
    let (mut path, mut memory) = (Vec::new(), Memory::of(table));
    weigh(table, bytes, &mut path, &mut memory)
        .map_err(|message| BinaryError { field: path.join("."), message })
}

fn weigh(
    table: &'static Table,
    bytes: &[u8],
    path: &mut Vec<&'static str>,
    memory: &mut Memory,
) -> Result<(), String> {
    if path.len() >= DEPTH {
        return Ok(());
    }
    for (number, value) in Fields::of(bytes).map_while(Result::ok) {
        let Some((_, field)) = table.field_numbered(number) else { continue };
        path.push(field.name);
        memory.take(field)?;
        if let (Some(table), Value::Bytes(bytes)) = (field.kind.message(), value) {
            weigh(table, bytes, path, memory)?;
        }
        path.pop();
    }
    Ok(())
}

/// Whether all that is required is there, and no more than can be held. Where it is not, the path stays.
fn complete(
    table: &'static Table,
    bytes: &[u8],
    path: &mut Vec<&'static str>,
    memory: &mut Memory,
) -> Result<(), String> {
    if path.len() >= DEPTH {
        return Err(format!("messages within messages go deeper than {DEPTH}"));
    }
    let mut seen = 0_u128;
    for field in Fields::of(bytes) {
        let Ok((number, value)) = field else {
            return Err(
                "the bytes are no message: they end within a field, or a field has no known form".to_owned()
            );
        };
        let Some((at, field)) = table.field_numbered(number) else { continue };
        seen |= 1 << at;
        if let Err(much) = memory.take(field) {
            path.push(field.name);
            return Err(much);
        }
        if let (Some(table), Value::Bytes(bytes)) = (field.kind.message(), value) {
            path.push(field.name);
            complete(table, bytes, path, memory)?;
            path.pop();
        }
    }
    match table.missing(seen) {
        None => Ok(()),
        Some(field) => {
            path.push(field.name);
            Err("is missing; set it".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::scheduler::{Call, call};
    use crate::mesos::{ContainerId, FrameworkId};

    #[test]
    fn what_is_missing_is_named() {
        let call = Call {
            framework_id: Some(FrameworkId { value: "f".to_owned() }),
            r#type: Some(call::Type::Kill.into()),
            kill: Some(call::Kill::default()),
            ..Call::default()
        };
        assert_eq!(decode::<Call>(&call.encode_to_vec()).unwrap(), call);
        // `kill` with nothing in it.
        let error = decode::<Call>(&[0x32, 0x00]).unwrap_err();
        assert_eq!(error.to_string(), "kill.task_id: is missing; set it");
    }

    #[test]
    fn broken_bytes_are_refused() {
        assert!(decode::<Call>(&[0x0a]).is_err());
        assert!(decode::<Call>(&[0x07]).is_err());
        assert!(decode::<FrameworkId>(&[0x0a, 0x01, 0xff]).is_err(), "no UTF-8");
    }

    #[test]
    fn memory_is_bounded() {
        // `accept { operations {} operations {} … }`: two bytes each.
        let most = crate::limits::DECODED_BYTES / size_of::<crate::mesos::offer::Operation>();
        let mut accept = [0x12, 0x00].repeat(most + 1);
        let mut call = vec![0x22];
        crate::walk::put_varint(&mut call, accept.len() as u64);
        call.append(&mut accept);
        let error = decode::<Call>(&call).unwrap_err();
        assert_eq!(error.field, "accept.operations");
        assert!(error.message.contains("256 MiB"), "{error}");
        assert_eq!(bounded::<Call>(&call), Err(error));
        let mut request = vec![0x12];
        crate::walk::put_varint(&mut request, call.len() as u64);
        request.append(&mut call);
        let error = bounded::<crate::lonja::SchedulerRequest>(&request).unwrap_err();
        assert_eq!(error.field, "call.accept.operations");
        assert_eq!(bounded::<Call>(&[0x0a]), Ok(()));
    }

    #[test]
    fn depth_is_bounded() {
        let mut id = ContainerId { value: "c".to_owned(), ..ContainerId::default() };
        for _ in 0..200 {
            id = ContainerId { value: "c".to_owned(), parent: Some(Box::new(id)) };
        }
        assert!(decode::<ContainerId>(&id.encode_to_vec()).unwrap_err().message.contains("deeper"));
    }
}
