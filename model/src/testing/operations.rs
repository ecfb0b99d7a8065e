//! Conversions, operations, and what is said of them.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::names::{
    any_agent_id, any_framework_id, any_id, any_operation_id, any_operation_uuid, any_provider_id, any_text,
    any_update_id,
};
use super::tasks::any_task_info;
use super::values::{any_disk_source, any_named_value, any_reservations, any_resources};
use crate::operation::{
    AgentOperation, Conversion, LaunchTask, Operation, OperationRecord, OperationState, OperationStatus,
};
use crate::resources::{
    Disk, DiskSourceKind, Metadata, Persistence, Reservation, ReservationKind, Resource, Resources, Scalar,
    Value,
};

/// Any conversion that a framework may ask for: all but a reservation in the place of another.
pub fn any_framework_conversion() -> BoxedStrategy<Conversion> {
    let reserve = |all| Conversion::reserve(all, None).ok();
    prop_oneof![
        any_reserved().prop_filter_map("what cannot be one without its reservations", reserve),
        any_reserved().prop_filter_map("what cannot be one without its reservations", |all| {
            Conversion::unreserve(all).ok()
        }),
        any_volumes().prop_filter_map("what cannot be one disk", |all| Conversion::create(all).ok()),
        any_volumes().prop_filter_map("what cannot be one disk", |all| Conversion::destroy(all).ok()),
        any_grow(),
        any_shrink(),
    ]
    .boxed()
}

/// Any conversion.
pub fn any_conversion() -> BoxedStrategy<Conversion> {
    prop_oneof![4 => any_framework_conversion(), 1 => any_new_reservation()].boxed()
}

/// A stack of reservations whose topmost is dynamic.
fn any_dynamic_stack() -> BoxedStrategy<Vec<Reservation>> {
    any_reservations()
        .prop_filter_map("no reservation at all", |mut stack| {
            stack.last_mut()?.kind = ReservationKind::Dynamic;
            Some(stack)
        })
        .boxed()
}

/// Plain metadata under `stack`, on a disk of its own if it is of disk.
fn under(stack: Vec<Reservation>, disk: Option<Disk>) -> Metadata {
    Metadata { reservations: stack, disk, ..Metadata::default() }
}

fn any_plain_disk() -> BoxedStrategy<Option<Disk>> {
    let source = |source| Disk { source: Some(source), ..Disk::default() };
    option::weighted(0.3, any_disk_source().prop_map(source)).boxed()
}

/// Something, and of what disk if it is disk.
fn any_something() -> BoxedStrategy<(String, Value, Option<Disk>)> {
    let is_something = |value: &Value| match value {
        Value::Scalar(amount) => *amount > Scalar::ZERO,
        Value::Ranges(ranges) => ranges.iter().next().is_some(),
        Value::Set(set) => !set.is_empty(),
        Value::Devices(devices) => devices.iter().any(|(_, share)| share > 0),
    };
    (any_named_value(), any_plain_disk())
        .prop_filter("nothing", move |((_, value), _)| is_something(value))
        .prop_map(|((name, value), disk)| {
            let is_disk = name == "disk" && matches!(value, Value::Scalar(_));
            (name, value, disk.filter(|_| is_disk))
        })
        .boxed()
}

fn resource(name: &str, value: Value, metadata: Metadata) -> Resource {
    Resource::with_metadata(name, value, metadata).expect("name and metadata are valid")
}

/// All of the parts that can be held together with those before them.
fn together(parts: impl IntoIterator<Item = Resource>) -> Resources {
    parts.into_iter().fold(Resources::new(), |all, part| {
        let part = Resources::of([part]).expect("one resource is a collection");
        all.checked_add(&part).unwrap_or(all)
    })
}

fn any_reserved() -> BoxedStrategy<Resources> {
    vec((any_something(), any_dynamic_stack()), 1..4)
        .prop_map(|parts| {
            let part = |((name, value, disk), stack): ((String, Value, Option<Disk>), _)| {
                resource(&name, value, under(stack, disk))
            };
            together(parts.into_iter().map(part))
        })
        .boxed()
}

/// One thing reserved for one, then for another.
fn any_new_reservation() -> BoxedStrategy<Conversion> {
    (any_something(), any_reservations(), any_dynamic_stack())
        .prop_map(|((name, value, disk), before, after)| {
            let one = |stack| Resources::of([resource(&name, value.clone(), under(stack, disk.clone()))]);
            let (before, after) = (one(before).expect("one resource"), one(after).expect("one resource"));
            Conversion::reserve(after, Some(before)).expect("they differ in their reservations only")
        })
        .boxed()
}

/// A disk with a volume on it that may be written.
fn any_volume_disk() -> BoxedStrategy<Disk> {
    let path = "[a-z][a-z0-9 ._-]{0,6}(/[a-z][a-z0-9._-]{0,6}){0,2}";
    (any_id(), option::of(any_text()), path, option::weighted(0.3, any_disk_source()))
        .prop_map(|(id, principal, path, source)| Disk {
            persistence: Some(Persistence { id, principal }),
            container_path: Some(path),
            read_only: false,
            source,
        })
        .boxed()
}

/// Above zero, and so that two of them can be held together.
fn any_size() -> BoxedStrategy<Scalar> {
    let half = Scalar::MAX.thousandths() / 2;
    prop_oneof![4 => 1..10_000_000_u64, 1 => 1..=half]
        .prop_map(|thousandths| Scalar::from_thousandths(thousandths).expect("at most MAX"))
        .boxed()
}

fn any_volumes() -> BoxedStrategy<Resources> {
    let provider = option::weighted(0.1, any_provider_id());
    let stack = any_reservations().prop_filter("a volume is reserved", |stack| !stack.is_empty());
    vec((any_size(), any_volume_disk(), stack, any::<bool>(), provider), 1..4)
        .prop_map(|volumes| {
            let mut seen = std::collections::BTreeSet::new();
            let volume = |(size, disk, reservations, shared, provider): (_, Disk, _, _, _)| {
                let id: Arc<str> = disk.persistence.as_ref().map_or("", |persistence| &persistence.id).into();
                let metadata =
                    Metadata { reservations, disk: Some(disk), revocable: false, shared, provider };
                seen.insert(id).then(|| resource("disk", Value::Scalar(size), metadata))
            };
            together(volumes.into_iter().filter_map(volume))
        })
        .boxed()
}

/// A volume that can be made larger, and the disk it is made of.
fn any_growing() -> BoxedStrategy<(Resource, Metadata)> {
    let stack = any_reservations().prop_filter("a volume is reserved", |stack| !stack.is_empty());
    (any_size(), any_volume_disk(), stack)
        .prop_map(|(size, mut disk, stack)| {
            disk.source = disk.source.filter(|source| match source.kind {
                DiskSourceKind::Path { .. } | DiskSourceKind::Mount { .. } => true,
                DiskSourceKind::Block | DiskSourceKind::Raw => false,
            });
            let source = disk.source.clone();
            let plain = source.map(|source| Disk { source: Some(source), ..Disk::default() });
            let volume = resource("disk", Value::Scalar(size), under(stack.clone(), Some(disk)));
            (volume, under(stack, plain))
        })
        .boxed()
}

fn any_grow() -> BoxedStrategy<Conversion> {
    (any_growing(), any_size())
        .prop_map(|((volume, plain), more)| {
            let addition = resource("disk", Value::Scalar(more), plain);
            Conversion::grow(volume, addition).expect("the addition is of the volume's disk")
        })
        .boxed()
}

fn any_shrink() -> BoxedStrategy<Conversion> {
    (any_growing(), any_size())
        .prop_filter_map("too small, or used whole", |((volume, _), by)| Conversion::shrink(volume, by).ok())
        .boxed()
}

/// Any operation of an ACCEPT that is well formed ([`LaunchTask::Invalid`] and [`Operation::Invalid`] are only ever
/// read from the wire), or one that is not served.
pub fn any_operation() -> BoxedStrategy<Operation> {
    let task = any_task_info().prop_map(|task| LaunchTask::Valid(Box::new(task)));
    let convert = (option::of(any_operation_id()), any_framework_conversion());
    prop_oneof![
        3 => vec(task, 0..3).prop_map(Operation::Launch),
        1 => super::executors::any_launch_group().prop_map(Operation::LaunchGroup),
        3 => convert.prop_map(|(id, conversion)| Operation::Convert { id, conversion }),
        1 => select(vec!["CREATE_DISK", "DESTROY_DISK"])
            .prop_map(|name| Operation::Unsupported(name.to_owned())),
    ]
    .boxed()
}

const STATES: [OperationState; 9] = [
    OperationState::Pending,
    OperationState::Finished,
    OperationState::Failed,
    OperationState::Error,
    OperationState::Dropped,
    OperationState::Unreachable,
    OperationState::GoneByOperator,
    OperationState::Recovering,
    OperationState::Unknown,
];

/// Any status of an operation.
pub fn any_operation_status() -> BoxedStrategy<OperationStatus> {
    let what = (option::of(any_operation_id()), select(STATES.to_vec()), option::of(any_text()));
    let place = (option::of(any_update_id()), option::of(any_agent_id()));
    (what, any_resources(), place)
        .prop_map(|((operation, state, message), converted, (update, agent))| OperationStatus {
            operation,
            state,
            message,
            converted,
            update,
            agent,
        })
        .boxed()
}

/// Any operation as its agent knows it.
pub fn any_agent_operation() -> BoxedStrategy<AgentOperation> {
    let owner = (option::of(any_framework_id()), option::of(any_operation_id()));
    (any_operation_uuid(), owner, any_conversion())
        .prop_map(|(uuid, (framework, id), conversion)| AgentOperation { uuid, framework, id, conversion })
        .boxed()
}

/// Any operation that its agent has dealt with.
pub fn any_operation_record() -> BoxedStrategy<OperationRecord> {
    let status = any_operation_status()
        .prop_filter("an agent keeps what it is done with", |status| status.state != OperationState::Pending);
    (any_agent_operation(), status)
        .prop_map(|(operation, status)| OperationRecord { operation, status })
        .boxed()
}
