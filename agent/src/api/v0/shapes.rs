//! Values in the form that Mesos' JSON endpoints have had since before its v1 API.
//!
//! Source: Mesos, `common/http.cpp`.

use lonja_model::attributes::{AttributeValue, Attributes};
use lonja_model::resources::{Set, Value as Amount};
use lonja_model::role::Role;
use lonja_model::{Resources, TaskStatus};
use lonja_proto::convert::ids::time_to_seconds;
use lonja_proto::convert::resources::{Shape, resources_to_wire};
use lonja_proto::convert::status::status_to_wire;
use lonja_proto::json;
use prost::{Message, Name};
use serde_json::{Map, Value, json};

/// The kinds that are always there, then the others by name: ranges and sets as one text.
pub(super) fn resources(resources: &Resources) -> Value {
    let mut object = json!({ "cpus": 0.0, "gpus": 0.0, "mem": 0.0, "disk": 0.0 });
    for (name, amount) in resources.filter(|one| !one.metadata().revocable).quantities().iter() {
        object[name] = json!(amount.to_f64());
    }
    for (name, amount) in resources.filter(|one| one.metadata().revocable).quantities().iter() {
        object[format!("{name}_revocable")] = json!(amount.to_f64());
    }
    for resource in resources.iter() {
        let text = match resource.value() {
            Amount::Ranges(_) => resources.ranges(resource.name()).to_string(),
            Amount::Set(_) => set_of(resources, resource.name()).to_string(),
            Amount::Scalar(_) | Amount::Devices(_) => continue,
        };
        object[resource.name()] = json!(text);
    }
    object
}

/// The items of that name over all kinds.
fn set_of(resources: &Resources, name: &str) -> Set {
    let all = resources.iter().filter(|resource| resource.name() == name);
    let sets = all.filter_map(|resource| match resource.value() {
        Amount::Set(set) => Some(set.iter()),
        Amount::Scalar(_) | Amount::Ranges(_) | Amount::Devices(_) => None,
    });
    Set::new(sets.flatten())
}

/// What of it is reserved, by role.
pub(super) fn reserved(all: &Resources) -> Value {
    by_role(all, |part| resources(&part))
}

/// The same, with all that is known of each.
pub(super) fn reserved_full(all: &Resources) -> Value {
    by_role(all, |part| full(&part))
}

fn by_role(all: &Resources, shape: impl Fn(Resources) -> Value) -> Value {
    let mut roles: Vec<&Role> = all.iter().filter_map(|resource| resource.reserved_for()).collect();
    roles.sort();
    roles.dedup();
    let one = |role: &Role| {
        let part = all.filter(|resource| resource.reserved_for() == Some(role));
        (role.to_string(), shape(part))
    };
    Value::Object(roles.into_iter().map(one).collect())
}

/// What nobody reserved.
pub(super) fn unreserved(all: &Resources) -> Resources {
    all.filter(|resource| resource.reserved_for().is_none())
}

/// Each resource with all that is known of it.
pub(super) fn full(all: &Resources) -> Value {
    Value::Array(resources_to_wire(all, None, Shape::FULL).iter().map(message).collect())
}

/// A message as the v1 API has it, where both are the same.
pub(super) fn message<M: Message + Name>(message: &M) -> Value {
    serde_json::from_slice(&json::encode(message)).unwrap_or_default()
}

pub(super) fn attributes(attributes: &Attributes) -> Value {
    let one = |(name, value): &(String, AttributeValue)| {
        let value = match value {
            AttributeValue::Scalar(scalar) => json!(scalar.to_f64()),
            AttributeValue::Ranges(ranges) => json!(ranges.to_string()),
            AttributeValue::Text(text) => json!(text),
        };
        (name.clone(), value)
    };
    Value::Object(attributes.0.iter().map(one).collect())
}

/// What was said of a task.
pub(super) fn status(status: &TaskStatus) -> Value {
    let mut fields = Map::new();
    fields.insert("state".to_owned(), json!(status.state.name()));
    fields.insert("timestamp".to_owned(), json!(time_to_seconds(status.timestamp)));
    let wire = status_to_wire(status);
    if let Some(labels) = &wire.labels {
        fields.insert("labels".to_owned(), message(labels)["labels"].take());
    }
    if let Some(container) = &wire.container_status {
        fields.insert("container_status".to_owned(), message(container));
    }
    if let Some(healthy) = status.healthy {
        fields.insert("healthy".to_owned(), json!(healthy));
    }
    Value::Object(fields)
}
