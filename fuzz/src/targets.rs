//! What reads bytes of strangers: one function for each decoder. Each returns in a few words what came of its input, by which new
//! ways through it are told from known ones.

use lonja_model::resources::Resources;
use lonja_proto::convert::{call, checkpoint, event, execution, link, operator, registry};
use lonja_proto::media::{self, Media};
use lonja_proto::mesos::{agent, executor, master, scheduler};
use lonja_proto::recordio::Decoder;
use lonja_proto::{binary, json, lonja};
use prost::{Message, Name};

/// A decoder by its name.
pub type Target = (&'static str, fn(&[u8]) -> String);

/// All of them.
pub const TARGETS: &[Target] = &[
    ("scheduler_call_json", |bytes| read(Media::Json, bytes, scheduler_call)),
    ("scheduler_call_protobuf", |bytes| read(Media::Protobuf, bytes, scheduler_call)),
    ("executor_call_json", |bytes| read(Media::Json, bytes, executor_call)),
    ("executor_call_protobuf", |bytes| read(Media::Protobuf, bytes, executor_call)),
    ("operator_call_json", |bytes| read(Media::Json, bytes, operator_call)),
    ("operator_call_protobuf", |bytes| read(Media::Protobuf, bytes, operator_call)),
    ("agent_call_json", |bytes| read(Media::Json, bytes, agent_call)),
    ("agent_call_protobuf", |bytes| read(Media::Protobuf, bytes, agent_call)),
    ("event_json", |bytes| read(Media::Json, bytes, scheduler_event)),
    ("event_protobuf", |bytes| read(Media::Protobuf, bytes, scheduler_event)),
    ("list_of_resources_json", |bytes| {
        match json::decode_list::<lonja_proto::mesos::Resource>(bytes, 1_000) {
            Ok(list) => format!("{}", list.len()),
            Err(error) => error.to_string(),
        }
    }),
    ("recordio", recordio),
    ("accept_header", |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => format!("{:?} {}", Media::of_answer(Some(text)), media::accepts(text, "text/html")),
        Err(_) => "no text".to_owned(),
    }),
    ("agent_message", |bytes| match lonja::AgentMessage::decode(bytes) {
        Ok(message) => outcome(link::agent_message_from_wire(message)),
        Err(error) => error.to_string(),
    }),
    ("master_message", |bytes| match lonja::MasterMessage::decode(bytes) {
        Ok(message) => outcome(link::master_message_from_wire(message)),
        Err(error) => error.to_string(),
    }),
    ("registry", |bytes| outcome(registry::decode(bytes))),
    ("checkpoint", |bytes| outcome(checkpoint::decode(bytes))),
    ("resources_text", |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => outcome(Resources::parse(text)),
        Err(_) => "no text".to_owned(),
    }),
];

fn outcome<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "read".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Reads a message in one form; if it is one, it is the same after a way through the other form.
fn read<M: Message + Name + Default + PartialEq + std::fmt::Debug>(
    media: Media,
    bytes: &[u8],
    then: impl Fn(M) -> String,
) -> String {
    let message: M = match media.decode(bytes) {
        Ok(message) => message,
        Err(error) => return error.to_string(),
    };
    let text = json::encode(&message);
    match json::decode::<M>(&text) {
        // Defaults that were written are set once they are read; then nothing changes any more.
        Ok(again) => {
            assert_eq!(json::encode(&again), text, "not the same text: {}", String::from_utf8_lossy(&text))
        }
        // The two forms have bounds of their own, and JSON no name for an unknown enum and no NaN.
        Err(error) => {
            let known = ["deeper than", "is wanted", "is no number", "none of its names"];
            let known = known.iter().any(|words| error.message.contains(words));
            assert!(known, "{error}: {}", String::from_utf8_lossy(&text));
        }
    }
    if let Err(error) = binary::decode::<M>(&message.encode_to_vec()) {
        panic!("{error}: {message:?}");
    }
    then(message)
}

fn scheduler_call(wire: scheduler::Call) -> String {
    let Ok((framework, read)) = call::call_from_wire(wire.clone()) else {
        return outcome(call::call_from_wire(wire));
    };
    // What was read can be said, and is then read as the same.
    if let Some(said) = call::call_to_wire(framework.as_ref(), &read) {
        let (_, again) = call::call_from_wire(said).unwrap_or_else(|refusal| panic!("{refusal}: {read:?}"));
        // Of a task at fault only its id is said again.
        if !format!("{read:?}").contains("Invalid {") {
            assert_eq!(again, read);
        }
    }
    format!("{:?}", wire.r#type())
}

fn executor_call(wire: executor::Call) -> String {
    outcome(execution::execution_call_from_wire(wire))
}

/// All that a call carries is read, whatever its type.
#[allow(deprecated, reason = "the older calls are still served")]
fn operator_call(call: master::Call) -> String {
    let kind = call.r#type();
    let parts = [
        call.update_weights.map(|part| outcome(operator::update_weights_from_wire(part))),
        call.update_quota.map(|part| outcome(operator::update_quota_from_wire(part))),
        call.set_quota.map(|part| outcome(operator::set_quota_from_wire(part))),
        call.remove_quota.map(|part| outcome(operator::remove_quota_from_wire(&part))),
        call.reserve_resources.map(|part| outcome(operator::reserve_from_wire(part))),
        call.unreserve_resources.map(|part| outcome(operator::unreserve_from_wire(part))),
        call.create_volumes.map(|part| outcome(operator::create_from_wire(part))),
        call.destroy_volumes.map(|part| outcome(operator::destroy_from_wire(part))),
        call.grow_volume.map(|part| outcome(operator::grow_from_wire(part))),
        call.shrink_volume.map(|part| outcome(operator::shrink_from_wire(part))),
        call.drain_agent.map(|part| outcome(operator::drain_agent_from_wire(part))),
        call.update_maintenance_schedule.map(|part| outcome(operator::schedule_from_wire(part))),
        call.start_maintenance.map(|part| outcome(operator::start_maintenance_from_wire(part))),
        call.stop_maintenance.map(|part| outcome(operator::stop_maintenance_from_wire(part))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{kind:?} {}", parts.join(" "))
}

fn agent_call(call: agent::Call) -> String {
    format!("{:?}", call.r#type())
}

fn scheduler_event(wire: scheduler::Event) -> String {
    outcome(event::event_from_wire(wire))
}

fn recordio(bytes: &[u8]) -> String {
    let (cut, body) = bytes.split_first().unwrap_or((&1, &[]));
    let mut decoder = Decoder::new(1_000);
    let mut records = 0;
    for chunk in body.chunks(usize::from(*cut).max(1)) {
        decoder.push(chunk);
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => {
                    assert!(record.len() <= 1_000);
                    records += 1;
                }
                Ok(None) => break,
                Err(error) => return error.to_string(),
            }
        }
    }
    format!("{} {}", records.min(3), decoder.is_between())
}
