//! Does it fit, and with which of the resources?

use std::collections::BTreeSet;

use lonja_model::resources::{DeviceId, Devices, Ranges, Resource, Scalar, Value};
use lonja_model::{Offer, Resources};

use crate::placement::Gpus;
use crate::task::Need;

/// What of `available` meets `need`: scalars as they are asked for, as many ports as are asked for, the
/// lowest ones, and GPUs: whole ones by name, a share on the device that has the least left.
/// Resources reserved for the offer's role are used before those that anyone may have.
/// `None` if it does not fit.
pub fn fit(available: &Resources, need: &Need) -> Option<Resources> {
    let taken = fit_without_gpus(available, need)?;
    let gpus = available.iter().filter(|resource| resource.name() == "gpus" && plain(resource));
    let devices = |resource: &Resource| match resource.value() {
        Value::Devices(devices) => match need.gpus {
            Gpus::None => Some(Devices::default()),
            Gpus::Share(thousandths) => devices.take_share(thousandths),
            Gpus::Whole(count) => devices.take_whole(usize::from(count)),
        },
        Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) => None,
    };
    if need.gpus == Gpus::None {
        return Some(taken);
    }
    let mut gpus = gpus.filter_map(|resource| Some(resource.with_value(Value::Devices(devices(resource)?))));
    taken.checked_add(&Resources::of([gpus.next()?]).ok()?).ok()
}

/// Like [`fit`], with the GPUs on these devices: a share on the first of them, or each of them whole.
pub fn fit_on(available: &Resources, need: &Need, devices: &[DeviceId]) -> Option<Resources> {
    let taken = fit_without_gpus(available, need)?;
    let each = match need.gpus {
        Gpus::None => return Some(taken),
        Gpus::Share(thousandths) if devices.len() == 1 => thousandths,
        Gpus::Whole(count) if devices.len() == usize::from(count) => Devices::WHOLE,
        Gpus::Share(_) | Gpus::Whole(_) => return None,
    };
    let wanted = Devices::new(devices.iter().map(|device| (device.clone(), each)))?;
    let holds = |resource: &&Resource| match resource.value() {
        Value::Devices(held) => resource.name() == "gpus" && plain(resource) && held.contains(&wanted),
        Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) => false,
    };
    let gpus = available.iter().find(holds)?.with_value(Value::Devices(wanted.clone()));
    taken.checked_add(&Resources::of([gpus]).ok()?).ok()
}

/// Like [`fit_on`], with these ports, however many `need` says.
pub(crate) fn fit_exactly(
    available: &Resources,
    need: &Need,
    devices: &[DeviceId],
    ports: &BTreeSet<u64>,
) -> Option<Resources> {
    let mut taken = fit_on(available, &Need { ports: 0, ..*need }, devices)?;
    let mut missing = ports.len();
    for resource in available.iter().filter(|resource| resource.name() == "ports" && plain(resource)) {
        let Value::Ranges(ranges) = resource.value() else { continue };
        let within = |(begin, end): (u64, u64)| ports.range(begin..=end).map(|port| (*port, *port));
        let part = Ranges::new(ranges.iter().flat_map(within)).ok()?;
        missing = missing.saturating_sub(usize::try_from(part.count()).ok()?);
        taken = taken.checked_add(&Resources::of([resource.with_value(Value::Ranges(part))]).ok()?).ok()?;
    }
    (missing == 0).then_some(taken)
}

fn fit_without_gpus(available: &Resources, need: &Need) -> Option<Resources> {
    let mut taken = Resources::new();
    for (name, amount) in [("cpus", need.cpus), ("mem", need.mem), ("disk", need.disk)] {
        taken = take_scalar(available, taken, name, amount)?;
    }
    take_ports(available, taken, need.ports)
}

fn take_scalar(available: &Resources, taken: Resources, name: &str, amount: Scalar) -> Option<Resources> {
    let mut missing = amount;
    let mut taken = taken;
    let usable = available.iter().filter(|resource| resource.name() == name && plain(resource));
    let (reserved, free): (Vec<_>, Vec<_>) = usable.partition(|resource| resource.reserved_for().is_some());
    for resource in reserved.into_iter().chain(free) {
        let Value::Scalar(held) = resource.value() else { continue };
        let part = missing.min(*held);
        if part == Scalar::ZERO {
            continue;
        }
        let part_of = Resource::with_metadata(name, Value::Scalar(part), resource.metadata().clone()).ok()?;
        taken = taken.checked_add(&Resources::of([part_of]).ok()?).ok()?;
        missing = missing.saturating_sub(part);
    }
    (missing == Scalar::ZERO).then_some(taken)
}

fn take_ports(available: &Resources, taken: Resources, count: usize) -> Option<Resources> {
    let mut missing = count;
    let mut taken = taken;
    for resource in available.iter().filter(|resource| resource.name() == "ports" && plain(resource)) {
        let Value::Ranges(ranges) = resource.value() else { continue };
        let chosen: Vec<u64> = ranges.numbers().take(missing).collect();
        missing -= chosen.len();
        if chosen.is_empty() {
            continue;
        }
        let ports = Ranges::new(chosen.into_iter().map(|port| (port, port))).ok()?;
        let part =
            Resource::with_metadata("ports", Value::Ranges(ports), resource.metadata().clone()).ok()?;
        taken = taken.checked_add(&Resources::of([part]).ok()?).ok()?;
    }
    (missing == 0).then_some(taken)
}

/// Neither a volume nor something that may be taken back.
pub(crate) fn plain(resource: &Resource) -> bool {
    let metadata = resource.metadata();
    metadata.disk.is_none() && !metadata.revocable && !metadata.shared
}

/// For each of `offers`, which of `needs` (by index) go there and with what: first fit, each need once, in
/// order. Needs that fit nowhere are in no list.
pub fn first_fit(offers: &[Offer], needs: &[Need]) -> Vec<Vec<(usize, Resources)>> {
    let mut left: Vec<Resources> = offers.iter().map(|offer| offer.resources.clone()).collect();
    let mut placed = vec![Vec::new(); offers.len()];
    for (index, need) in needs.iter().enumerate() {
        for (offer, left) in left.iter_mut().enumerate() {
            let Some(taken) = fit(left, need) else { continue };
            if let Some(rest) = left.checked_sub(&taken) {
                *left = rest;
                placed[offer].push((index, taken));
                break;
            }
        }
    }
    placed
}
