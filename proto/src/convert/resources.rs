//! Resources and their values.
//!
//! The role that an allocation is for stands in each resource of the wire, and once in the offer, the task
//! or the call of the model. It is put in on the way out where the reader understands it, and on the way
//! in checked to be one and the same.

use std::sync::Arc;

use lonja_model::resources::{
    AddError, Devices, Metadata, Ranges, Reservation, ReservationKind, Resource, Resources, Scalar, Set,
    Value,
};
use lonja_model::role::Role;

use super::disk::{disk_from_wire, disk_to_wire};
use super::ids::{
    labels_from_wire, labels_to_wire, optional, provider_id_from_wire, provider_id_to_wire, role_from_wire,
};
use super::refusal::{At, Fault, Refusal, at_most, known, optional_text, required, text};
use crate::limits;
use crate::mesos;
use crate::mesos::resource::reservation_info;
use crate::mesos::{resource, value};

/// How a framework wants its offers shown, by its capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Whether the role of an allocation is shown (MULTI_ROLE).
    pub roles: bool,
    /// How reservations are shown.
    pub reservations: ReservationForm,
}

/// How reservations are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationForm {
    /// As a stack, the innermost last (RESERVATION_REFINEMENT).
    Stack,
    /// As a role and at most one dynamic reservation.
    Old,
    /// As a stack, and in the old form besides where that can say it: operators' tools read either.
    Both,
}

impl Shape {
    /// Everything, in its newest form.
    pub const FULL: Self = Self { roles: true, reservations: ReservationForm::Stack };

    /// Everything, as operators' tools of any age read it.
    pub const OPERATOR: Self = Self { roles: true, reservations: ReservationForm::Both };

    /// What `framework` understands.
    pub fn of(framework: &lonja_model::FrameworkInfo) -> Self {
        use lonja_model::framework::Capability;
        Self {
            roles: framework.can(Capability::MultiRole),
            reservations: if framework.can(Capability::ReservationRefinement) {
                ReservationForm::Stack
            } else {
                ReservationForm::Old
            },
        }
    }
}

/// The resources together. Reservations may come in either form.
///
/// Errors: one of them is none, they cannot be held together, they are allocated for different roles, or
/// there are more than [`limits`] allow.
pub fn resources_from_wire(wire: Vec<mesos::Resource>) -> Result<Resources, Refusal> {
    bounded(wire, &Bounds::LIST)
}

/// As [`resources_from_wire`], for all that an agent has or an offer holds: of that there may be more, as
/// [`limits::RESOURCES_PER_AGENT`] tells.
pub fn all_resources_from_wire(wire: Vec<mesos::Resource>) -> Result<Resources, Refusal> {
    bounded(wire, &Bounds::AGENT)
}

/// How much one list may hold.
struct Bounds {
    resources: usize,
    parts: usize,
    ranges: usize,
    items: usize,
    devices: usize,
}

impl Bounds {
    const LIST: Self = Self {
        resources: limits::RESOURCES_PER_LIST,
        parts: limits::PARTS_PER_LIST,
        ranges: limits::RANGES_PER_RESOURCE,
        items: limits::SET_ITEMS,
        devices: limits::DEVICES_PER_RESOURCE,
    };

    const AGENT: Self = Self {
        resources: limits::RESOURCES_PER_AGENT,
        parts: limits::PARTS_PER_AGENT,
        ranges: limits::PARTS_PER_AGENT,
        items: limits::PARTS_PER_AGENT,
        devices: limits::PARTS_PER_AGENT,
    };
}

fn bounded(wire: Vec<mesos::Resource>, bounds: &Bounds) -> Result<Resources, Refusal> {
    let count = wire.len();
    at_most(count, bounds.resources, "")?;
    at_most(wire.iter().map(parts).sum(), bounds.parts, "")?;
    one_allocation_role(&wire)?;
    let mut resources = Vec::with_capacity(count);
    for (index, resource) in wire.into_iter().enumerate() {
        let resource = resource_within(resource, bounds).at_index("", index)?;
        resources.push(Resources::of([resource]).map_err(Fault::from)?);
    }
    sum(resources).map_err(|error| Fault::from(error).into())
}

/// The sum, by halves: to add one after the other to a growing sum would let a small message of many small
/// parts cost seconds.
fn sum(mut parts: Vec<Resources>) -> Result<Resources, AddError> {
    while parts.len() > 1 {
        let half = parts.chunks(2).map(|pair| match pair {
            [one, other] => one.checked_add(other),
            alone => Ok(alone.first().cloned().unwrap_or_default()),
        });
        parts = half.collect::<Result<_, _>>()?;
    }
    Ok(parts.pop().unwrap_or_default())
}

/// The resources' form on the wire, for `role` if they are allocated.
///
/// A shared volume stands there as often as it is held.
pub fn resources_to_wire(resources: &Resources, role: Option<&Role>, shape: Shape) -> Vec<mesos::Resource> {
    let one = |resource: &Resource| {
        let wire = resource_to_wire(resource, role, shape);
        let copies = usize::try_from(resource.copies()).unwrap_or(usize::MAX);
        std::iter::repeat_n(wire, copies.min(limits::RESOURCES_PER_LIST))
    };
    resources.iter().flat_map(one).collect()
}

fn parts(wire: &mesos::Resource) -> usize {
    wire.ranges.as_ref().map_or(0, |ranges| ranges.range.len())
        + wire.set.as_ref().map_or(0, |set| set.item.len())
        + wire.devices.as_ref().map_or(0, |devices| devices.device.len())
}

fn one_allocation_role(wire: &[mesos::Resource]) -> Result<(), Refusal> {
    let mut first: Option<&str> = None;
    for (index, resource) in wire.iter().enumerate() {
        let Some(role) = resource.allocation_info.as_ref().and_then(|info| info.role.as_deref()) else {
            continue;
        };
        let before = *first.get_or_insert(role);
        if before != role {
            let before: String = before.chars().take(64).collect();
            let fault = Fault::Invalid(format!("differs from {before:?} before it; use offers of one role"));
            return Err(fault).at("allocation_info.role").at_index("", index);
        }
    }
    Ok(())
}

/// One resource. Errors: it is none, or there are more parts in it than [`limits`] allow.
pub fn resource_from_wire(wire: mesos::Resource) -> Result<Resource, Refusal> {
    resource_within(wire, &Bounds::LIST)
}

fn resource_within(mut wire: mesos::Resource, bounds: &Bounds) -> Result<Resource, Refusal> {
    let reservations = reservations_from_wire(&mut wire)?;
    let metadata = Metadata {
        reservations,
        disk: wire.disk.take().map(disk_from_wire).transpose().at("disk")?,
        revocable: wire.revocable.is_some(),
        shared: wire.shared.is_some(),
        provider: optional(wire.provider_id.take(), provider_id_from_wire).at("provider_id")?,
    };
    let name = std::mem::take(&mut wire.name);
    if name.is_empty() {
        return Err(Fault::Missing).at("name");
    }
    let value = value_from_wire(wire, bounds)?;
    Resource::with_metadata(&name, value, metadata).map_err(|error| Fault::from(error).into())
}

fn value_from_wire(wire: mesos::Resource, bounds: &Bounds) -> Result<Value, Refusal> {
    let kind: value::Type = known(wire.r#type, "Value.Type").at("type")?;
    if let Some(devices) = wire.devices {
        let devices = devices_from_wire(devices, bounds.devices).at("devices")?;
        let whole = Scalar::from_units(u64::try_from(devices.whole()).unwrap_or(u64::MAX));
        let shown = wire.scalar.map(scalar_from_wire).transpose().at("scalar")?;
        if kind != value::Type::Scalar || shown.is_some_and(|shown| Some(shown) != whole) {
            let reason = format!(
                "must be of type SCALAR beside devices, and count the whole ones, {}",
                devices.whole()
            );
            return Err(Fault::Invalid(reason)).at("scalar");
        }
        return Ok(Value::Devices(devices));
    }
    match kind {
        value::Type::Scalar => {
            let scalar = required(wire.scalar).and_then(scalar_from_wire).at("scalar")?;
            Ok(Value::Scalar(scalar))
        }
        value::Type::Ranges => {
            let ranges = required(wire.ranges).and_then(|wire| ranges_within(wire, bounds.ranges));
            Ok(Value::Ranges(ranges.at("ranges")?))
        }
        value::Type::Set => {
            let set = required(wire.set).and_then(|wire| set_from_wire(wire, bounds.items));
            Ok(Value::Set(set.at("set")?))
        }
        value::Type::Text => {
            Err(Fault::Invalid("TEXT is no type of a resource; use SCALAR, RANGES or SET".to_owned()))
                .at("type")
        }
    }
}

/// An amount, rounded to thousandths. Errors: it is negative, not finite or too large.
pub fn scalar_from_wire(wire: value::Scalar) -> Result<Scalar, Refusal> {
    Scalar::from_f64(wire.value).map_err(Fault::from).at("value")
}

/// The amount's form on the wire.
pub fn scalar_to_wire(scalar: Scalar) -> value::Scalar {
    value::Scalar { value: scalar.to_f64() }
}

pub(super) fn ranges_from_wire(wire: value::Ranges) -> Result<Ranges, Refusal> {
    ranges_within(wire, limits::RANGES_PER_RESOURCE)
}

fn ranges_within(wire: value::Ranges, most: usize) -> Result<Ranges, Refusal> {
    at_most(wire.range.len(), most, "range")?;
    for (index, range) in wire.range.iter().enumerate() {
        Ranges::new([(range.begin, range.end)]).map_err(Fault::from).at_index("range", index)?;
    }
    Ranges::new(wire.range.into_iter().map(|range| (range.begin, range.end))).map_err(Fault::from).at("range")
}

pub(super) fn ranges_to_wire(ranges: &Ranges) -> value::Ranges {
    value::Ranges { range: ranges.iter().map(|(begin, end)| value::Range { begin, end }).collect() }
}

fn set_from_wire(wire: value::Set, most: usize) -> Result<Set, Refusal> {
    at_most(wire.item.len(), most, "item")?;
    let mut items = Vec::with_capacity(wire.item.len());
    for (index, item) in wire.item.into_iter().enumerate() {
        items.push(text(item, limits::TEXT_BYTES).at_index("item", index)?);
    }
    Ok(Set::new(items))
}

fn devices_from_wire(wire: resource::Devices, most: usize) -> Result<Devices, Refusal> {
    at_most(wire.device.len(), most, "device")?;
    let mut devices = Vec::with_capacity(wire.device.len());
    for (index, device) in wire.device.into_iter().enumerate() {
        let id = text(device.id, limits::TEXT_BYTES).at("id").at_index("device", index)?;
        let thousandths = u16::try_from(device.thousandths).ok().filter(|share| (1..=1000).contains(share));
        let out_of_range = || Fault::Invalid(format!("{} is not 1 to 1000 thousandths", device.thousandths));
        let thousandths = thousandths.ok_or_else(out_of_range).at("thousandths").at_index("device", index)?;
        devices.push((Arc::from(id), thousandths));
    }
    let twice = || Fault::Invalid("a device stands twice; name each once".to_owned());
    Devices::new(devices).ok_or_else(twice).at("device")
}

fn devices_to_wire(devices: &Devices) -> resource::Devices {
    let device = |(id, thousandths): (&Arc<str>, u16)| resource::devices::Device {
        id: id.to_string(),
        thousandths: u32::from(thousandths),
    };
    resource::Devices { device: devices.iter().map(device).collect() }
}

/// The stack of reservations, from the new form, the old form (a role and perhaps one dynamic
/// reservation), or both if they say the same, as the operator API shows them.
#[allow(deprecated, reason = "the old form is still spoken")]
fn reservations_from_wire(wire: &mut mesos::Resource) -> Result<Vec<Reservation>, Refusal> {
    let stack = std::mem::take(&mut wire.reservations);
    at_most(stack.len(), limits::RESERVATIONS_PER_RESOURCE, "reservations")?;
    let mut reservations = Vec::with_capacity(stack.len());
    for (index, layer) in stack.into_iter().enumerate() {
        reservations.push(reservation_from_wire(layer).at_index("reservations", index)?);
    }
    let Some(old) = old_reservation(wire)? else { return Ok(reservations) };
    if reservations.is_empty() {
        return Ok(vec![old]);
    }
    if reservations != [old] {
        let reason = "differs from what reservation and role say; use reservations alone";
        return Err(Fault::Invalid(reason.to_owned())).at("reservations");
    }
    Ok(reservations)
}

#[allow(deprecated, reason = "the old form is still spoken")]
fn old_reservation(wire: &mut mesos::Resource) -> Result<Option<Reservation>, Refusal> {
    let role = wire.role.take().filter(|role| role != "*");
    let Some(role) = role else {
        if wire.reservation.is_some() {
            let reason = "is missing or `*`, for which nothing can be reserved; name the reservation's role";
            return Err(Fault::Invalid(reason.to_owned())).at("role");
        }
        return Ok(None);
    };
    let role = role_from_wire(&role).at("role")?;
    let Some(dynamic) = wire.reservation.take() else { return Ok(Some(Reservation::fixed(role))) };
    Ok(Some(Reservation {
        kind: ReservationKind::Dynamic,
        role,
        principal: optional_text(dynamic.principal, "principal").at("reservation")?,
        labels: labels_from_wire(dynamic.labels).at("labels").at("reservation")?,
    }))
}

fn reservation_from_wire(wire: resource::ReservationInfo) -> Result<Reservation, Refusal> {
    let kind = match known(required(wire.r#type).at("type")?, "ReservationInfo.Type").at("type")? {
        reservation_info::Type::Static => ReservationKind::Static,
        reservation_info::Type::Dynamic => ReservationKind::Dynamic,
        reservation_info::Type::Unknown => return Err(Fault::Missing).at("type"),
    };
    let role = required(wire.role).and_then(|role| role_from_wire(&role)).at("role")?;
    let principal = optional_text(wire.principal, "principal")?;
    Ok(Reservation { kind, role, principal, labels: labels_from_wire(wire.labels).at("labels")? })
}

fn reservation_to_wire(reservation: &Reservation) -> resource::ReservationInfo {
    let kind = match reservation.kind {
        ReservationKind::Static => reservation_info::Type::Static,
        ReservationKind::Dynamic => reservation_info::Type::Dynamic,
    };
    resource::ReservationInfo {
        principal: reservation.principal.clone(),
        labels: labels_to_wire(&reservation.labels),
        role: Some(reservation.role.to_string()),
        r#type: Some(kind.into()),
    }
}

/// One resource, as [`resources_to_wire`] has it.
pub fn resource_to_wire(resource: &Resource, role: Option<&Role>, shape: Shape) -> mesos::Resource {
    let metadata = resource.metadata();
    let mut wire = mesos::Resource {
        name: resource.name().to_owned(),
        disk: metadata.disk.as_ref().map(disk_to_wire),
        revocable: metadata.revocable.then_some(resource::RevocableInfo {}),
        shared: metadata.shared.then_some(resource::SharedInfo {}),
        allocation_info: role
            .filter(|_| shape.roles)
            .map(|role| resource::AllocationInfo { role: Some(role.to_string()) }),
        provider_id: metadata.provider.as_ref().map(provider_id_to_wire),
        ..Default::default()
    };
    match resource.value() {
        Value::Scalar(scalar) => {
            wire.set_type(value::Type::Scalar);
            wire.scalar = Some(scalar_to_wire(*scalar));
        }
        Value::Ranges(ranges) => {
            wire.set_type(value::Type::Ranges);
            wire.ranges = Some(ranges_to_wire(ranges));
        }
        Value::Set(set) => {
            wire.set_type(value::Type::Set);
            wire.set = Some(value::Set { item: set.iter().map(str::to_owned).collect() });
        }
        Value::Devices(devices) => {
            wire.set_type(value::Type::Scalar);
            let whole = u64::try_from(devices.whole()).unwrap_or(u64::MAX);
            wire.scalar = Some(scalar_to_wire(Scalar::from_units(whole).unwrap_or(Scalar::MAX)));
            wire.devices = Some(devices_to_wire(devices));
        }
    }
    put_reservations(&mut wire, &metadata.reservations, shape);
    wire
}

/// In the form that the reader knows.
#[allow(deprecated, reason = "the old form is still spoken")]
fn put_reservations(wire: &mut mesos::Resource, reservations: &[Reservation], shape: Shape) {
    match reservations {
        [] if shape.reservations != ReservationForm::Stack => wire.role = Some("*".to_owned()),
        [only] if shape.reservations != ReservationForm::Stack => {
            wire.role = Some(only.role.to_string());
            wire.reservation = (only.kind == ReservationKind::Dynamic).then(|| resource::ReservationInfo {
                principal: only.principal.clone(),
                labels: labels_to_wire(&only.labels),
                role: None,
                r#type: None,
            });
        }
        _ => {}
    }
    // A stack of several is never offered to who knows the old form alone.
    if shape.reservations != ReservationForm::Old || reservations.len() > 1 {
        wire.reservations = reservations.iter().map(reservation_to_wire).collect();
    }
}
