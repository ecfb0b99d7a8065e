//! Resources and their parts.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::names::{any_id, any_labels, any_provider_id, any_reservable_role, any_role_component, any_text};
use crate::resources::{
    Devices, Disk, DiskSource, DiskSourceKind, Metadata, Persistence, Quantities, Ranges, Reservation,
    ReservationKind, Resource, Resources, Scalar, Set, Value,
};
use crate::role::Role;

/// Any amount: everyday ones, all others, and both ends.
pub fn any_scalar() -> BoxedStrategy<Scalar> {
    let max = Scalar::MAX.thousandths();
    prop_oneof![6 => 0..10_000_000_u64, 2 => 0..=max, 1 => Just(0), 1 => Just(max)]
        .prop_map(|thousandths| Scalar::from_thousandths(thousandths).expect("at most MAX"))
        .boxed()
}

/// Any ranges, also at both ends of the numbers; near each other, so that they meet.
pub fn any_ranges() -> BoxedStrategy<Ranges> {
    let begin = prop_oneof![6 => 0..200_u64, 1 => u64::MAX - 40..=u64::MAX, 1 => any::<u64>()];
    vec((begin, 0..20_u64), 0..8)
        .prop_map(|ranges| {
            let ranges = ranges.into_iter().map(|(begin, more)| (begin, begin.saturating_add(more)));
            Ranges::new(ranges).expect("each begins before its end")
        })
        .boxed()
}

/// Any set, odd items among its own.
pub fn any_set() -> BoxedStrategy<Set> {
    vec(any_item(), 0..6).prop_map(Set::new).boxed()
}

/// Any devices with their thousandths.
pub fn any_devices() -> BoxedStrategy<Devices> {
    let share = prop_oneof![2 => Just(Devices::WHOLE), 3 => 0..=Devices::WHOLE];
    btree_map(any_item().prop_map(Arc::from), share, 0..5)
        .prop_map(|devices| Devices::new(devices).expect("each once and at most whole"))
        .boxed()
}

/// Few plain names, so that values have some in common, and any text.
fn any_item() -> BoxedStrategy<String> {
    prop_oneof![6 => "[a-c0-3]", 1 => any_text()].boxed()
}

/// Any stack of reservations.
pub fn any_reservations() -> BoxedStrategy<Vec<Reservation>> {
    let layer = (any_role_component(), option::of(any_text()), any_labels());
    let layers = prop_oneof![3 => Just(0..=0_usize), 3 => Just(1..=1), 1 => Just(2..=3)]
        .prop_flat_map(move |count| vec(layer.clone(), count));
    (layers, any::<bool>())
        .prop_map(|(layers, mut fixed)| {
            let mut path = String::new();
            let layer = |(component, principal, labels): (String, _, _)| {
                path.push_str(if path.is_empty() { "" } else { "/" });
                path.push_str(&component);
                let is_fixed = std::mem::take(&mut fixed);
                let kind = if is_fixed { ReservationKind::Static } else { ReservationKind::Dynamic };
                let role = Role::new(&path).expect("components make a role");
                Reservation { kind, role, principal, labels }
            };
            layers.into_iter().map(layer).collect()
        })
        .boxed()
}

fn any_disk() -> BoxedStrategy<Disk> {
    let persistence =
        (any_id(), option::of(any_text())).prop_map(|(id, principal)| Persistence { id, principal });
    // A volume may be read only where it has a place to be read.
    let place = option::of((any_text(), any::<bool>()));
    (option::of(persistence), place, option::of(any_disk_source()))
        .prop_map(|(persistence, place, source)| {
            let (container_path, read_only) =
                place.map_or((None, false), |(path, read_only)| (Some(path), read_only));
            Disk { persistence, container_path, read_only, source }
        })
        .boxed()
}

pub(super) fn any_disk_source() -> BoxedStrategy<DiskSource> {
    let kind = prop_oneof![
        option::of(any_text()).prop_map(|root| DiskSourceKind::Path { root }),
        option::of(any_text()).prop_map(|root| DiskSourceKind::Mount { root }),
        Just(DiskSourceKind::Block),
        Just(DiskSourceKind::Raw),
    ];
    let text = || option::of(any_text());
    (kind, text(), any_labels(), text(), text())
        .prop_map(|(kind, id, metadata, profile, vendor)| DiskSource { kind, id, metadata, profile, vendor })
        .boxed()
}

/// Any metadata of an amount of disk; without the disk it fits any resource.
pub fn any_metadata() -> BoxedStrategy<Metadata> {
    let rarely = prop::bool::weighted(0.2);
    let provider = option::weighted(0.1, any_provider_id());
    (any_reservations(), option::of(any_disk()), rarely, any::<bool>(), provider)
        .prop_map(|(reservations, disk, revocable, share, provider)| {
            let is_volume = disk.as_ref().is_some_and(|disk| disk.persistence.is_some());
            Metadata { reservations, disk, revocable, shared: share && is_volume, provider }
        })
        .boxed()
}

/// A name with a value of its type; odd names have any.
pub(super) fn any_named_value() -> BoxedStrategy<(String, Value)> {
    let name = |name: &str| Just(name.to_owned());
    let scalar = any_scalar().prop_map(Value::Scalar).boxed();
    let ranges = any_ranges().prop_map(Value::Ranges).boxed();
    let set = any_set().prop_map(Value::Set).boxed();
    let devices = any_devices().prop_map(Value::Devices).boxed();
    let value = prop_oneof![scalar.clone(), ranges.clone(), set.clone(), devices.clone()];
    prop_oneof![
        4 => (prop_oneof![name("cpus"), name("mem"), name("disk")], scalar),
        2 => (name("ports"), ranges),
        1 => (name("disks"), set),
        2 => (name("gpus"), devices),
        1 => (r#"[^\s\x00-\x1f\x7f-\x9f:;,()\[\]{}"\\]{1,8}"#, value),
    ]
    .boxed()
}

/// Any resource, of any kind.
pub fn any_resource() -> BoxedStrategy<Resource> {
    let metadata = prop_oneof![2 => Just(Metadata::default()), 3 => any_metadata()];
    (any_named_value(), metadata).prop_map(|((name, value), metadata)| make(&name, value, metadata)).boxed()
}

fn make(name: &str, value: Value, mut metadata: Metadata) -> Resource {
    if name != "disk" || !matches!(value, Value::Scalar(_)) {
        metadata.disk = None;
        metadata.shared = false;
    }
    Resource::with_metadata(name, value, metadata).expect("name and metadata are valid")
}

/// Any resources of up to eight kinds; shared volumes are held up to three times.
pub fn any_resources() -> BoxedStrategy<Resources> {
    vec((any_resource(), 1..=3_usize), 0..8)
        .prop_map(|parts| {
            sum(parts.into_iter().flat_map(|(resource, copies)| {
                let copies = if resource.metadata().shared { copies } else { 1 };
                std::iter::repeat_n(resource, copies)
            }))
        })
        .boxed()
}

/// Any resources that the text form can write: at most one static reservation each.
pub fn any_written_resources() -> BoxedStrategy<Resources> {
    let reservations = option::of(any_reservable_role().prop_map(Reservation::fixed));
    vec((any_named_value(), reservations), 0..8)
        .prop_map(|parts| {
            sum(parts.into_iter().map(|((name, value), reservation)| {
                let reservations = reservation.into_iter().collect();
                make(&name, value, Metadata { reservations, ..Metadata::default() })
            }))
        })
        .boxed()
}

/// All of `parts` that can be held together with those before them.
fn sum(parts: impl Iterator<Item = Resource>) -> Resources {
    parts.fold(Resources::new(), |all, part| {
        let part = Resources::of([part]).expect("one resource is a collection");
        all.checked_add(&part).unwrap_or(all)
    })
}

/// Any amounts by name.
pub fn any_quantities() -> BoxedStrategy<Quantities> {
    let name = prop_oneof![4 => "cpus|mem|gpus", 1 => "[^ ;:]{1,8}"];
    btree_map(name, any_scalar(), 0..4)
        .prop_map(|amounts| amounts.iter().map(|(name, amount)| (name.as_str(), *amount)).collect())
        .boxed()
}
