//! What makes resources of one kind into resources of another.
//!
//! One form serves everywhere: what a framework asks in an ACCEPT, what an operator asks, what goes to an agent and
//! what is stored is a `mesos.v1.Offer.Operation`, and is read by the constructors that check a [`Conversion`].
//!
//! Source: Mesos v1 `Offer.Operation`, RESERVE to SHRINK_VOLUME.

use lonja_model::operation::{Conversion, ConversionKind};
use lonja_model::resources::{Resource, Resources, Scalar, Value};

use super::refusal::{At, Fault, Refusal, known, required};
use super::resources::{
    Shape, resource_from_wire, resource_to_wire, resources_from_wire, resources_to_wire, scalar_from_wire,
    scalar_to_wire,
};
use crate::mesos;
use crate::mesos::offer::{self, operation};

/// What an operation makes of what. A RESERVE may name its `source`, as operators may; frameworks may not, see
/// [`super::operation`]. The operation's id is not looked at.
///
/// Errors: the type is missing, or is none that converts resources; what goes with it is missing; a resource is not
/// well formed; the whole is no conversion.
pub fn conversion_from_wire(wire: offer::Operation) -> Result<Conversion, Refusal> {
    use operation::Type;
    let kind: Type = known(required(wire.r#type).at("type")?, "Offer.Operation.Type").at("type")?;
    match kind {
        Type::Unknown => Err(Fault::Missing).at("type"),
        Type::Reserve => required(wire.reserve).and_then(reserve).at("reserve"),
        Type::Unreserve => required(wire.unreserve).and_then(unreserve).at("unreserve"),
        Type::Create => required(wire.create).and_then(create).at("create"),
        Type::Destroy => required(wire.destroy).and_then(destroy).at("destroy"),
        Type::GrowVolume => required(wire.grow_volume).and_then(|part| grow(*part)).at("grow_volume"),
        Type::ShrinkVolume => required(wire.shrink_volume).and_then(|part| shrink(*part)).at("shrink_volume"),
        Type::CreateDisk | Type::DestroyDisk => Err(Fault::Unsupported(kind.as_str_name())).at("type"),
        Type::Launch | Type::LaunchGroup => {
            let name = kind.as_str_name();
            let reason = format!("{name} converts no resources; use one from RESERVE to SHRINK_VOLUME");
            Err(Fault::Invalid(reason)).at("type")
        }
    }
}

fn checked<E: Into<Fault>>(conversion: Result<Conversion, E>) -> Result<Conversion, Refusal> {
    conversion.map_err(|error| error.into().into())
}

fn reserve(wire: operation::Reserve) -> Result<Conversion, Refusal> {
    let resources = resources_from_wire(wire.resources).at("resources")?;
    let source = resources_from_wire(wire.source).at("source")?;
    checked(Conversion::reserve(resources, (!source.is_empty()).then_some(source))).at("resources")
}

fn unreserve(wire: operation::Unreserve) -> Result<Conversion, Refusal> {
    let resources = resources_from_wire(wire.resources).at("resources")?;
    checked(Conversion::unreserve(resources)).at("resources")
}

fn create(wire: operation::Create) -> Result<Conversion, Refusal> {
    let volumes = volumes(wire.volumes).at("volumes")?;
    let is_read_only =
        |volume: &&Resource| volume.metadata().disk.as_ref().is_some_and(|disk| disk.read_only);
    if let Some(volume) = volumes.iter().find(is_read_only) {
        let reason = format!("{volume} is read-only, and could never be written; set disk.volume.mode to RW");
        return Err(Fault::Invalid(reason)).at("volumes");
    }
    checked(Conversion::create(volumes)).at("volumes")
}

fn destroy(wire: operation::Destroy) -> Result<Conversion, Refusal> {
    let volumes = volumes(wire.volumes).at("volumes")?;
    checked(Conversion::destroy(volumes)).at("volumes")
}

/// Volumes, each of them once: a shared one that stands twice would be made twice of the same disk.
fn volumes(wire: Vec<mesos::Resource>) -> Result<Resources, Refusal> {
    let volumes = resources_from_wire(wire)?;
    if let Some(volume) = volumes.iter().find(|volume| volume.copies() > 1) {
        let reason = format!("{volume} stands {} times; name it once", volume.copies());
        return Err(Fault::Invalid(reason).into());
    }
    Ok(volumes)
}

fn grow(wire: operation::GrowVolume) -> Result<Conversion, Refusal> {
    let volume = some_of(wire.volume).at("volume")?;
    let addition = some_of(wire.addition).at("addition")?;
    checked(Conversion::grow(volume, addition)).at("addition")
}

fn shrink(wire: operation::ShrinkVolume) -> Result<Conversion, Refusal> {
    let volume = some_of(wire.volume).at("volume")?;
    let by = scalar_from_wire(wire.subtract).at("subtract")?;
    checked(Conversion::shrink(volume, by)).at("subtract")
}

/// An amount above zero: of no volume at all, GROW_VOLUME would make one past all that CREATE asks.
fn some_of(wire: mesos::Resource) -> Result<Resource, Refusal> {
    let resource = resource_from_wire(wire)?;
    if matches!(resource.value(), Value::Scalar(amount) if *amount == Scalar::ZERO) {
        return Err(Fault::Invalid("is 0; give an amount above 0".to_owned())).at("scalar.value");
    }
    Ok(resource)
}

/// The operation that asks for this conversion; without an id.
pub fn conversion_to_wire(conversion: &Conversion) -> offer::Operation {
    use operation::Type;
    let list = |resources: &Resources| resources_to_wire(resources, None, Shape::FULL);
    let (before, after) = (conversion.before(), conversion.after());
    let mut wire = offer::Operation::default();
    let kind = match conversion.kind() {
        ConversionKind::Reserve => {
            // What is reserved anew for somebody else has a source; in all else it goes without saying.
            let plain = Conversion::reserve(after.clone(), None);
            let is_plain = plain.is_ok_and(|plain| plain.before() == before);
            let source = if is_plain { Vec::new() } else { list(before) };
            wire.reserve = Some(operation::Reserve { resources: list(after), source });
            Type::Reserve
        }
        ConversionKind::Unreserve => {
            wire.unreserve = Some(operation::Unreserve { resources: list(before) });
            Type::Unreserve
        }
        ConversionKind::Create => {
            wire.create = Some(operation::Create { volumes: list(after) });
            Type::Create
        }
        ConversionKind::Destroy => {
            wire.destroy = Some(operation::Destroy { volumes: list(before) });
            Type::Destroy
        }
        ConversionKind::Grow => {
            wire.grow_volume = grow_to_wire(before).map(Box::new);
            Type::GrowVolume
        }
        ConversionKind::Shrink => {
            wire.shrink_volume = shrink_to_wire(before, after).map(Box::new);
            Type::ShrinkVolume
        }
    };
    wire.set_type(kind);
    wire
}

fn is_volume(resource: &Resource) -> bool {
    resource.metadata().disk.as_ref().is_some_and(|disk| disk.persistence.is_some())
}

fn grow_to_wire(before: &Resources) -> Option<operation::GrowVolume> {
    let one = |resource: &Resource| resource_to_wire(resource, None, Shape::FULL);
    Some(operation::GrowVolume {
        volume: before.iter().find(|part| is_volume(part)).map(one)?,
        addition: before.iter().find(|part| !is_volume(part)).map(one)?,
    })
}

fn shrink_to_wire(before: &Resources, after: &Resources) -> Option<operation::ShrinkVolume> {
    let volume = before.iter().find(|part| is_volume(part))?;
    let Value::Scalar(freed) = after.iter().find(|part| !is_volume(part))?.value() else { return None };
    Some(operation::ShrinkVolume {
        volume: resource_to_wire(volume, None, Shape::FULL),
        subtract: scalar_to_wire(*freed),
    })
}
