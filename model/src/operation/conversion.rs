//! Making resources of one kind into resources of another.
//!
//! Invariants
//! - What a conversion takes away and what it puts in its place are of the same names and amounts.
//! - It changes one thing: the topmost reservation, what is stored on a disk, or a volume's size.

use crate::resources::{AddError, Disk, InvalidResource, Metadata, Resource, Resources, Scalar, Value};
use crate::resources::{DiskSourceKind, ReservationKind};

/// Makes resources of one kind into resources of another. Checked when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    kind: ConversionKind,
    before: Resources,
    after: Resources,
}

/// Which of the six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConversionKind {
    /// Adds a layer of reservation, or puts one in the place of another.
    Reserve,
    /// Takes the topmost layer of reservation off.
    Unreserve,
    /// Makes persistent volumes of reserved disk.
    Create,
    /// Removes persistent volumes with what they hold.
    Destroy,
    /// Makes a volume larger.
    Grow,
    /// Makes a volume smaller.
    Shrink,
}

/// Why something is not a conversion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// No resources are named.
    #[error("no resources are named; name at least one")]
    Nothing,
    /// RESERVE and UNRESERVE are about dynamic reservations.
    #[error(
        "the topmost reservation of {0} is not a dynamic one; a static one is made and undone by the agent's settings"
    )]
    NotDynamic(String),
    /// Nothing can be reserved, or unreserved, under a volume; nor what can be taken back.
    #[error("{0} is a persistent volume or revocable; its reservations cannot be changed")]
    NotReservable(String),
    /// CREATE and DESTROY are about volumes.
    #[error(
        "{0} is not a persistent volume: it must be disk, reserved, with a persistence id and a container path"
    )]
    NotVolume(String),
    /// Where a volume appears in its containers.
    #[error("the container path {0:?} of a volume must be relative, below the sandbox, and without `..`")]
    ContainerPath(String),
    /// A volume's id names a folder.
    #[error("the persistence id {0:?} must be a plain file name of 1 to 255 bytes")]
    PersistenceId(String),
    /// GROW and SHRINK are not for all volumes.
    #[error("volume {volume} cannot be resized: {reason}")]
    NotResizable {
        /// The volume.
        volume: String,
        /// Why.
        reason: &'static str,
    },
    /// SHRINK leaves something.
    #[error("volume {volume} has {size}, and cannot be made smaller by {by}")]
    TooSmall {
        /// The volume.
        volume: String,
        /// Its size in MiB.
        size: Scalar,
        /// By how much.
        by: Scalar,
    },
    /// A reservation in place of another must be of the same amounts.
    #[error("{before} cannot be reserved anew as {after}: they differ in more than their reservations")]
    Differs {
        /// What is reserved now.
        before: Resources,
        /// What is asked for.
        after: Resources,
    },
    /// The resources do not go together.
    #[error(transparent)]
    Sum(#[from] AddError),
    /// What would come of it cannot be.
    #[error(transparent)]
    Invalid(#[from] InvalidResource),
}

impl Conversion {
    /// RESERVE: `resources` as they are to be, the new reservation topmost; `source`: as they are, if that is not
    /// simply without the new layer.
    pub fn reserve(resources: Resources, source: Option<Resources>) -> Result<Self, ConversionError> {
        some(&resources)?;
        resources.iter().try_for_each(dynamic)?;
        let before = match source.filter(|source| !source.is_empty()) {
            None => each(&resources, without_topmost)?,
            Some(source) => {
                source.iter().try_for_each(reservable)?;
                if each(&source, without_reservations)? != each(&resources, without_reservations)? {
                    return Err(ConversionError::Differs { before: source, after: resources });
                }
                source
            }
        };
        Ok(Self { kind: ConversionKind::Reserve, before, after: resources })
    }

    /// UNRESERVE: `resources` as they are, the reservation that goes topmost.
    pub fn unreserve(resources: Resources) -> Result<Self, ConversionError> {
        some(&resources)?;
        resources.iter().try_for_each(dynamic)?;
        let after = each(&resources, without_topmost)?;
        Ok(Self { kind: ConversionKind::Unreserve, before: resources, after })
    }

    /// CREATE: the volumes as they are to be.
    pub fn create(volumes: Resources) -> Result<Self, ConversionError> {
        some(&volumes)?;
        volumes.iter().try_for_each(volume)?;
        let before = each(&volumes, without_volume)?;
        Ok(Self { kind: ConversionKind::Create, before, after: volumes })
    }

    /// DESTROY: the volumes as they are.
    pub fn destroy(volumes: Resources) -> Result<Self, ConversionError> {
        some(&volumes)?;
        volumes.iter().try_for_each(volume)?;
        let after = each(&volumes, without_volume)?;
        Ok(Self { kind: ConversionKind::Destroy, before: volumes, after })
    }

    /// GROW_VOLUME: `addition` is disk as the volume was made of.
    pub fn grow(old: Resource, addition: Resource) -> Result<Self, ConversionError> {
        resizable(&old, false)?;
        let plain = without_volume(&old)?;
        if plain.name() != addition.name() || plain.metadata() != addition.metadata() {
            let reason = "the addition is not of the same disk and reservations";
            return Err(ConversionError::NotResizable { volume: old.to_string(), reason });
        }
        let (size, more) = (size(&old)?, size(&addition)?);
        if more == Scalar::ZERO {
            return Err(ConversionError::Nothing);
        }
        let sum = size.checked_add(more).ok_or_else(|| AddError::Overflow { name: old.name().to_owned() })?;
        let after = Resources::of([sized(&old, sum)?])?;
        Ok(Self { kind: ConversionKind::Grow, before: Resources::of([old, addition])?, after })
    }

    /// SHRINK_VOLUME: by so many MiB.
    pub fn shrink(old: Resource, by: Scalar) -> Result<Self, ConversionError> {
        resizable(&old, true)?;
        let whole = size(&old)?;
        let left = whole.checked_sub(by).filter(|left| *left > Scalar::ZERO && by > Scalar::ZERO);
        let Some(left) = left else {
            return Err(ConversionError::TooSmall { volume: old.to_string(), size: whole, by });
        };
        let freed = sized(&without_volume(&old)?, by)?;
        let after = Resources::of([sized(&old, left)?, freed])?;
        Ok(Self { kind: ConversionKind::Shrink, before: Resources::of([old])?, after })
    }

    /// Which of the six.
    pub fn kind(&self) -> ConversionKind {
        self.kind
    }

    /// As the wire names it, such as `GROW_VOLUME`.
    pub fn name(&self) -> &'static str {
        match self.kind {
            ConversionKind::Reserve => "RESERVE",
            ConversionKind::Unreserve => "UNRESERVE",
            ConversionKind::Create => "CREATE",
            ConversionKind::Destroy => "DESTROY",
            ConversionKind::Grow => "GROW_VOLUME",
            ConversionKind::Shrink => "SHRINK_VOLUME",
        }
    }

    /// What it takes away.
    pub fn before(&self) -> &Resources {
        &self.before
    }

    /// What it puts in its place.
    pub fn after(&self) -> &Resources {
        &self.after
    }

    /// `resources` once this is done; `None`: they do not hold what it takes away, or hold what it would make.
    pub fn apply(&self, resources: &Resources) -> Option<Resources> {
        resources.checked_sub(&self.before)?.checked_add(&self.after).ok()
    }
}

fn some(resources: &Resources) -> Result<(), ConversionError> {
    if resources.is_empty() { Err(ConversionError::Nothing) } else { Ok(()) }
}

fn each(
    resources: &Resources,
    change: impl Fn(&Resource) -> Result<Resource, ConversionError>,
) -> Result<Resources, ConversionError> {
    let changed: Result<Vec<Resource>, ConversionError> = resources.iter().map(change).collect();
    Ok(Resources::of(changed?)?)
}

fn is_volume(resource: &Resource) -> bool {
    resource.metadata().disk.as_ref().is_some_and(|disk| disk.persistence.is_some())
}

fn reservable(resource: &Resource) -> Result<(), ConversionError> {
    if is_volume(resource) || resource.metadata().revocable {
        return Err(ConversionError::NotReservable(resource.to_string()));
    }
    Ok(())
}

fn dynamic(resource: &Resource) -> Result<(), ConversionError> {
    reservable(resource)?;
    match resource.metadata().reservations.last() {
        Some(topmost) if topmost.kind == ReservationKind::Dynamic => Ok(()),
        Some(_) | None => Err(ConversionError::NotDynamic(resource.to_string())),
    }
}

fn changed(resource: &Resource, change: impl FnOnce(&mut Metadata)) -> Result<Resource, ConversionError> {
    let mut metadata = resource.metadata().clone();
    change(&mut metadata);
    Ok(Resource::with_metadata(resource.name(), resource.value().clone(), metadata)?)
}

fn without_topmost(resource: &Resource) -> Result<Resource, ConversionError> {
    changed(resource, |metadata| {
        metadata.reservations.pop();
    })
}

fn without_reservations(resource: &Resource) -> Result<Resource, ConversionError> {
    changed(resource, |metadata| metadata.reservations.clear())
}

fn without_volume(resource: &Resource) -> Result<Resource, ConversionError> {
    changed(resource, |metadata| {
        let source = metadata.disk.take().and_then(|disk| disk.source);
        metadata.disk = source.map(|source| Disk {
            persistence: None,
            container_path: None,
            read_only: false,
            source: Some(source),
        });
        metadata.shared = false;
    })
}

fn volume(resource: &Resource) -> Result<(), ConversionError> {
    let refuse = || Err(ConversionError::NotVolume(resource.to_string()));
    let metadata = resource.metadata();
    if resource.is_empty() || resource.copies() > 1 {
        return refuse();
    }
    let Some(disk) = metadata.disk.as_ref() else { return refuse() };
    let (Some(persistence), Some(path)) = (&disk.persistence, &disk.container_path) else { return refuse() };
    if resource.name() != "disk" || metadata.reservations.is_empty() || metadata.revocable {
        return refuse();
    }
    let plain = crate::ids::TaskId::new(&persistence.id).is_ok();
    if !plain {
        return Err(ConversionError::PersistenceId(persistence.id.clone()));
    }
    let below = !path.is_empty()
        && path.len() <= 4096
        && !path.starts_with('/')
        && !path.contains('\0')
        && path.split('/').all(|part| part != "..");
    if below { Ok(()) } else { Err(ConversionError::ContainerPath(path.clone())) }
}

fn resizable(resource: &Resource, smaller: bool) -> Result<(), ConversionError> {
    volume(resource)?;
    let metadata = resource.metadata();
    let source = metadata.disk.as_ref().and_then(|disk| disk.source.as_ref());
    let reason = match source.map(|source| &source.kind) {
        _ if metadata.shared => "it is shared",
        _ if metadata.provider.is_some() => "it comes from a resource provider",
        Some(DiskSourceKind::Mount { .. }) if smaller => "its disk is used whole",
        Some(DiskSourceKind::Block | DiskSourceKind::Raw) => "its disk is not a file system",
        Some(DiskSourceKind::Path { .. } | DiskSourceKind::Mount { .. }) | None => return Ok(()),
    };
    Err(ConversionError::NotResizable { volume: resource.to_string(), reason })
}

fn size(resource: &Resource) -> Result<Scalar, ConversionError> {
    match resource.value() {
        Value::Scalar(size) => Ok(*size),
        Value::Ranges(_) | Value::Set(_) | Value::Devices(_) => {
            Err(ConversionError::NotVolume(resource.to_string()))
        }
    }
}

fn sized(resource: &Resource, size: Scalar) -> Result<Resource, ConversionError> {
    Ok(Resource::with_metadata(resource.name(), Value::Scalar(size), resource.metadata().clone())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;
    use crate::resources::{Persistence, Reservation};
    use crate::role::Role;

    fn reserved(text: &str, roles: &[&str]) -> Resources {
        let plain = Resources::parse(text).unwrap();
        let layer = |role: &&str| Reservation {
            kind: ReservationKind::Dynamic,
            role: Role::new(role).unwrap(),
            principal: None,
            labels: Labels::default(),
        };
        let all = plain.iter().map(|resource| {
            let reservations = roles.iter().map(layer).collect();
            let metadata = Metadata { reservations, ..resource.metadata().clone() };
            Resource::with_metadata(resource.name(), resource.value().clone(), metadata).unwrap()
        });
        Resources::of(all).unwrap()
    }

    fn volume(size: &str, id: &str, path: &str) -> Resources {
        let disk = reserved(&format!("disk:{size}"), &["eng"]);
        let all = disk.iter().map(|resource| {
            let mut metadata = resource.metadata().clone();
            let persistence = Some(Persistence { id: id.into(), principal: None });
            let container_path = Some(path.to_owned());
            metadata.disk = Some(Disk { persistence, container_path, read_only: false, source: None });
            Resource::with_metadata("disk", resource.value().clone(), metadata).unwrap()
        });
        Resources::of(all).unwrap()
    }

    fn only(resources: &Resources) -> Resource {
        resources.iter().next().unwrap().clone()
    }

    #[test]
    fn reserve_and_unreserve_undo_each_other() {
        let (plain, eng) =
            (Resources::parse("cpus:2;ports:[1-4]").unwrap(), reserved("cpus:2;ports:[1-4]", &["eng"]));
        let refined = reserved("cpus:2;ports:[1-4]", &["eng", "eng/web"]);
        let there = Conversion::reserve(eng.clone(), None).unwrap();
        assert_eq!((there.before(), there.after()), (&plain, &eng));
        let further = Conversion::reserve(refined.clone(), None).unwrap();
        assert_eq!(further.before(), &eng);
        let back = Conversion::unreserve(refined.clone()).unwrap();
        assert_eq!(back.apply(&refined), Some(eng));
        assert_eq!(back.apply(&plain), None);
    }

    #[test]
    fn a_reservation_can_be_put_in_the_place_of_another_of_the_same_amount() {
        let (eng, ops) = (reserved("cpus:2", &["eng"]), reserved("cpus:2", &["ops"]));
        assert_eq!(Conversion::reserve(ops.clone(), Some(eng.clone())).unwrap().before(), &eng);
        let refused = Conversion::reserve(ops, Some(reserved("cpus:3", &["eng"])));
        assert!(matches!(refused, Err(ConversionError::Differs { .. })));
    }

    #[test]
    fn only_dynamic_reservations_are_made_and_undone() {
        let fixed = Resources::parse("cpus(eng):2").unwrap();
        assert!(matches!(Conversion::unreserve(fixed.clone()), Err(ConversionError::NotDynamic(_))));
        assert!(matches!(Conversion::reserve(fixed, None), Err(ConversionError::NotDynamic(_))));
        assert_eq!(Conversion::unreserve(Resources::new()), Err(ConversionError::Nothing));
    }

    #[test]
    fn a_volume_is_made_of_reserved_disk_and_gives_it_back() {
        let made = Conversion::create(volume("10", "data", "data")).unwrap();
        assert_eq!(made.before(), &reserved("disk:10", &["eng"]));
        assert_eq!(Conversion::destroy(made.after().clone()).unwrap().after(), made.before());
        assert!(matches!(
            Conversion::create(reserved("disk:10", &["eng"])),
            Err(ConversionError::NotVolume(_))
        ));
    }

    #[test]
    fn a_volume_stays_below_its_sandbox_and_its_folder() {
        for path in ["/etc", "../up", "a/../../b", ""] {
            let refused = Conversion::create(volume("1", "data", path));
            assert!(matches!(refused, Err(ConversionError::ContainerPath(_))), "{path}");
        }
        for id in ["", "..", "a/b"] {
            let refused = Conversion::create(volume("1", id, "data"));
            assert!(matches!(refused, Err(ConversionError::PersistenceId(_))), "{id}");
        }
    }

    #[test]
    fn a_volume_grows_and_shrinks_by_what_it_is_made_of() {
        let old = only(&volume("10", "data", "data"));
        let more = only(&reserved("disk:5", &["eng"]));
        let grown = Conversion::grow(old.clone(), more.clone()).unwrap();
        assert_eq!(grown.after(), &volume("15", "data", "data"));
        let shrunk = Conversion::shrink(only(grown.after()), Scalar::from_units(5).unwrap()).unwrap();
        assert_eq!(shrunk.apply(grown.after()), Some(Resources::of([old.clone(), more]).unwrap()));
        for by in [0, 10, 11] {
            let refused = Conversion::shrink(old.clone(), Scalar::from_units(by).unwrap());
            assert!(matches!(refused, Err(ConversionError::TooSmall { .. })), "{by}");
        }
        let nothing = Resource::with_metadata(
            "disk",
            Value::Scalar(Scalar::ZERO),
            only(&reserved("disk:5", &["eng"])).metadata().clone(),
        );
        assert_eq!(Conversion::grow(old.clone(), nothing.unwrap()), Err(ConversionError::Nothing));
        let other = only(&Resources::parse("disk:5").unwrap());
        assert!(matches!(Conversion::grow(old, other), Err(ConversionError::NotResizable { .. })));
    }
}
