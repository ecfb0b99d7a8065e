//! One kind of one resource and how much of it.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::set::write_item;
use super::{Devices, Disk, Ranges, Reservation, ReservationKind, Scalar, Set};
use crate::ids::ResourceProviderId;
use crate::role::Role;

/// The amount of one resource, of one of four kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// An amount in thousandths.
    Scalar(Scalar),
    /// Whole numbers, such as ports.
    Ranges(Ranges),
    /// Named items.
    Set(Set),
    /// Devices in thousandths of each.
    Devices(Devices),
}

/// All that keeps one kind of a resource apart from another of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metadata {
    /// Whose it is: the innermost reservation last; none: anyone's.
    pub reservations: Vec<Reservation>,
    /// For disk: which, and what is stored there.
    pub disk: Option<Disk>,
    /// It may be taken back at any time.
    pub revocable: bool,
    /// Several tasks may use it at once; only a volume can be shared.
    pub shared: bool,
    /// Where it comes from, if not from the agent itself.
    pub provider: Option<ResourceProviderId>,
}

/// One kind of one resource and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    name: Arc<str>,
    /// `None` for the default, which nearly all have.
    metadata: Option<Arc<Metadata>>,
    value: Value,
    /// How often a shared resource is held; 1 for any other.
    copies: u32,
}

/// Why two collections cannot be held together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The sum is above [`Scalar::MAX`], or a shared volume is held more than [`u32::MAX`] times.
    #[error("the sum of {name} is above the largest amount, {max}; take less", max = Scalar::MAX)]
    Overflow {
        /// The resource.
        name: String,
    },
    /// The same port, item, device share or volume stands in both.
    #[error("{name} {item} is held twice; it has one holder, so name it once")]
    HeldTwice {
        /// The resource.
        name: String,
        /// What is held twice.
        item: String,
    },
    /// A name stands for a number here and for a list there.
    #[error("{name} is of one type here and of another there; write it in the same form everywhere")]
    MixedTypes {
        /// The resource.
        name: String,
    },
}

/// Why a resource cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResource {
    /// Names are 1 to 128 bytes and hold none of `:;,()[]{}"\`, white space or control characters.
    #[error(
        "{0:?} is not a resource name; take 1 to 128 bytes without white space, control characters \
         and :;,()[]{{}}\"\\"
    )]
    Name(String),
    /// Static reservations lie lowest, and each lies within the one below.
    #[error("the reservations of {name} are not a stack: {reason}")]
    Reservations {
        /// The resource.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Only a persistent volume can be shared.
    #[error("{0} cannot be shared: only a persistent volume can")]
    Shared(String),
    /// Disk metadata on something that is not an amount.
    #[error("{0} has disk information but is not an amount of disk; leave the information out")]
    Disk(String),
}

impl Resource {
    /// Resource `name` with default metadata.
    pub fn new(name: &str, value: Value) -> Result<Self, InvalidResource> {
        Self::with_metadata(name, value, Metadata::default())
    }

    /// Resource `name` of the kind that `metadata` tells. Errors: [`InvalidResource`].
    pub fn with_metadata(name: &str, value: Value, metadata: Metadata) -> Result<Self, InvalidResource> {
        let has_a_meaning = |c: char| c.is_whitespace() || c.is_control() || ":;,()[]{}\"\\".contains(c);
        if name.is_empty() || name.len() > 128 || name.contains(has_a_meaning) {
            return Err(InvalidResource::Name(name.chars().take(64).collect()));
        }
        check_stack(name, &metadata.reservations)?;
        if metadata.shared && metadata.disk.as_ref().is_none_or(|disk| disk.persistence.is_none()) {
            return Err(InvalidResource::Shared(name.to_owned()));
        }
        if metadata.disk.is_some() && !matches!(value, Value::Scalar(_)) {
            return Err(InvalidResource::Disk(name.to_owned()));
        }
        let metadata = (metadata != Metadata::default()).then(|| Arc::new(metadata));
        Ok(Self { name: Arc::from(name), metadata, value, copies: 1 })
    }

    /// The name, such as `cpus`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// How much.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Which kind.
    pub fn metadata(&self) -> &Metadata {
        static DEFAULT: Metadata = Metadata {
            reservations: Vec::new(),
            disk: None,
            revocable: false,
            shared: false,
            provider: None,
        };
        self.metadata.as_deref().unwrap_or(&DEFAULT)
    }

    /// How often a shared resource is held; 1 for any other.
    pub fn copies(&self) -> u32 {
        self.copies
    }

    /// The same, held so often; any but a shared resource stays as it is.
    #[must_use]
    pub fn with_copies(&self, copies: u32) -> Self {
        let copies = if self.metadata().shared { copies.max(1) } else { self.copies };
        Self { copies, ..self.clone() }
    }

    /// The same kind of resource with another amount, of the same type of value.
    #[must_use]
    pub fn with_value(&self, value: Value) -> Self {
        Self { value, ..self.clone() }
    }

    /// For whom it is reserved, by the innermost reservation; `None`: for anyone.
    pub fn reserved_for(&self) -> Option<&Role> {
        self.metadata().reservations.last().map(|reservation| &reservation.role)
    }

    /// The order in a collection; equal for resources of the same kind. Most have the same metadata, or
    /// none, so that two pointers tell.
    pub(super) fn compare_kinds(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name).then_with(|| match (&self.metadata, &other.metadata) {
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => Ordering::Equal,
            (a, b) => a.cmp(b),
        })
    }

    /// Is it an amount of zero, or an empty list?
    pub fn is_empty(&self) -> bool {
        self.is_nothing()
    }

    pub(super) fn is_nothing(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => *scalar == Scalar::ZERO,
            Value::Ranges(ranges) => ranges.is_empty(),
            Value::Set(set) => set.is_empty(),
            Value::Devices(devices) => devices.is_empty(),
        }
    }

    fn is_indivisible(&self) -> bool {
        self.metadata().disk.as_ref().is_some_and(Disk::is_indivisible)
    }

    /// What an indivisible resource is called in a refusal.
    fn whole_thing(&self) -> String {
        match self.metadata().disk.as_ref().and_then(|disk| disk.persistence.as_ref()) {
            Some(persistence) => format!("volume {:?}", persistence.id),
            None => "used whole".to_owned(),
        }
    }

    /// The sum of two resources of the same kind.
    pub(super) fn checked_add(&self, other: &Self) -> Result<Self, AddError> {
        let name = || self.name.to_string();
        if self.metadata().shared {
            if self.value != other.value {
                return Err(AddError::HeldTwice { name: name(), item: self.whole_thing() });
            }
            let copies = self.copies.checked_add(other.copies);
            let copies = copies.ok_or_else(|| AddError::Overflow { name: name() })?;
            return Ok(Self { copies, ..self.clone() });
        }
        if self.is_indivisible() {
            return Err(AddError::HeldTwice { name: name(), item: self.whole_thing() });
        }
        let twice = |item: String| AddError::HeldTwice { name: name(), item };
        let value = match (&self.value, &other.value) {
            (Value::Scalar(a), Value::Scalar(b)) => {
                Value::Scalar(a.checked_add(*b).ok_or_else(|| AddError::Overflow { name: name() })?)
            }
            (Value::Ranges(a), Value::Ranges(b)) => {
                Value::Ranges(a.disjoint_union(b).map_err(|number| twice(number.to_string()))?)
            }
            (Value::Set(a), Value::Set(b)) => {
                Value::Set(a.disjoint_union(b).map_err(|item| twice(item.to_string()))?)
            }
            (Value::Devices(a), Value::Devices(b)) => {
                Value::Devices(a.checked_add(b).map_err(|device| twice(device.to_string()))?)
            }
            (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) | Value::Devices(_), _) => {
                return Err(AddError::MixedTypes { name: name() });
            }
        };
        Ok(Self { value, name: self.name.clone(), metadata: self.metadata.clone(), copies: 1 })
    }

    /// Is `part`, of the same kind, in `self`? As [`Self::checked_sub`], without making anything.
    pub(super) fn contains(&self, part: &Self) -> bool {
        if self.metadata().shared {
            return self.value == part.value && self.copies >= part.copies;
        }
        if self.is_indivisible() {
            return self.value == part.value;
        }
        match (&self.value, &part.value) {
            (Value::Scalar(a), Value::Scalar(b)) => a >= b,
            (Value::Ranges(a), Value::Ranges(b)) => a.contains(b),
            (Value::Set(a), Value::Set(b)) => a.contains(b),
            (Value::Devices(a), Value::Devices(b)) => a.contains(b),
            (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) | Value::Devices(_), _) => false,
        }
    }

    /// What is left of two resources of the same kind; `Some(None)`: nothing.
    pub(super) fn checked_sub(&self, part: &Self) -> Option<Option<Self>> {
        if self.metadata().shared {
            let copies = self.copies.checked_sub(part.copies).filter(|_| self.value == part.value)?;
            return Some((copies > 0).then(|| Self { copies, ..self.clone() }));
        }
        if self.is_indivisible() {
            return (self.value == part.value).then_some(None);
        }
        let value = match (&self.value, &part.value) {
            (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(a.checked_sub(*b)?),
            (Value::Ranges(a), Value::Ranges(b)) => Value::Ranges(a.checked_sub(b)?),
            (Value::Set(a), Value::Set(b)) => Value::Set(a.checked_sub(b)?),
            (Value::Devices(a), Value::Devices(b)) => Value::Devices(a.checked_sub(b)?),
            (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) | Value::Devices(_), _) => return None,
        };
        let left = Self { value, name: self.name.clone(), metadata: self.metadata.clone(), copies: 1 };
        Some((!left.is_nothing()).then_some(left))
    }
}

fn check_stack(name: &str, reservations: &[Reservation]) -> Result<(), InvalidResource> {
    let refuse = |reason: String| Err(InvalidResource::Reservations { name: name.to_owned(), reason });
    for (index, reservation) in reservations.iter().enumerate() {
        if index > 0 && reservation.kind == ReservationKind::Static {
            return refuse(format!("a static one, for {}, lies above another", reservation.role));
        }
        if index > 0 && !reservation.role.is_below(&reservations[index - 1].role) {
            return refuse(format!("{} is not below {}", reservation.role, reservations[index - 1].role));
        }
        if reservation.role == Role::default_role() {
            return refuse("nothing can be reserved for `*`".to_owned());
        }
    }
    Ok(())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Set(set) => set.fmt(f),
            Self::Devices(devices) => devices.fmt(f),
        }
    }
}

impl fmt::Display for Resource {
    /// `name:value`, or `name(role):value` for a static reservation. Other metadata is written for people
    /// only: `disk(DYNAMIC,web)[data]:100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metadata = self.metadata();
        f.write_str(&self.name)?;
        for reservation in &metadata.reservations {
            let plain = reservation.principal.is_none() && reservation.labels.0.is_empty();
            f.write_str(match reservation.kind {
                ReservationKind::Static if plain => "(",
                ReservationKind::Static => "(STATIC,",
                ReservationKind::Dynamic => "(DYNAMIC,",
            })?;
            write_item(f, reservation.role.as_str())?;
            f.write_str(")")?;
        }
        if let Some(persistence) = metadata.disk.as_ref().and_then(|disk| disk.persistence.as_ref()) {
            write!(f, "[{}]", persistence.id)?;
        } else if metadata.disk.is_some() {
            f.write_str("[disk]")?;
        }
        for (is_so, mark) in [(metadata.revocable, "{REV}"), (metadata.shared, "<SHARED>")] {
            f.write_str(if is_so { mark } else { "" })?;
        }
        write!(f, ":{}", self.value)?;
        if self.copies > 1 { write!(f, "x{}", self.copies) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Persistence, Resources};
    use super::*;
    use crate::labels::Labels;

    fn amount(units: u64) -> Value {
        Value::Scalar(Scalar::from_units(units).unwrap())
    }

    fn reservation(kind: ReservationKind, role: &str) -> Reservation {
        let role = Role::new(role).unwrap();
        Reservation { kind, role, principal: None, labels: Labels::default() }
    }

    fn volume(id: &str, shared: bool) -> Metadata {
        let persistence = Some(Persistence { id: id.to_owned(), principal: None });
        let disk = Disk { persistence, container_path: Some("data".to_owned()), ..Disk::default() };
        let reservations = vec![reservation(ReservationKind::Dynamic, "web")];
        Metadata { reservations, disk: Some(disk), shared, ..Metadata::default() }
    }

    fn only(name: &str, value: Value, metadata: Metadata) -> Resources {
        Resources::of([Resource::with_metadata(name, value, metadata).unwrap()]).unwrap()
    }

    #[test]
    fn a_name_has_no_character_with_a_meaning() {
        for bad in
            ["", "cpu s", "a:b", "a;b", "a(b", "a[", "a{", "a\"", "a\\", "a,b", "a\n", &"x".repeat(129)]
        {
            let refused = Resource::new(bad, amount(1));
            assert_eq!(refused, Err(InvalidResource::Name(bad.chars().take(64).collect())), "{bad:?}");
        }
        assert!(Resource::new(&"x".repeat(128), amount(1)).is_ok());
    }

    #[test]
    fn each_reservation_lies_within_the_one_below() {
        use ReservationKind::{Dynamic, Static};
        let stack = |layers: &[(ReservationKind, &str)]| {
            let reservations = layers.iter().map(|(kind, role)| reservation(*kind, role)).collect();
            let metadata = Metadata { reservations, ..Metadata::default() };
            Resource::with_metadata("cpus", amount(1), metadata).map_err(|error| error.to_string())
        };
        let refused = |reason: &str| Err(format!("the reservations of cpus are not a stack: {reason}"));
        let top = stack(&[(Static, "eng"), (Dynamic, "eng/web"), (Dynamic, "eng/web/a")]).unwrap();
        assert_eq!(top.reserved_for().map(Role::as_str), Some("eng/web/a"));
        assert_eq!(stack(&[(Dynamic, "eng"), (Dynamic, "ops")]), refused("ops is not below eng"));
        assert_eq!(stack(&[(Dynamic, "eng"), (Dynamic, "eng")]), refused("eng is not below eng"));
        assert_eq!(stack(&[(Dynamic, "*")]), refused("nothing can be reserved for `*`"));
        assert_eq!(
            stack(&[(Dynamic, "eng"), (Static, "eng/web")]),
            refused("a static one, for eng/web, lies above another")
        );
    }

    #[test]
    fn only_an_amount_has_disk_information() {
        let disk = || Metadata { disk: Some(Disk::default()), ..Metadata::default() };
        assert!(Resource::with_metadata("disk", amount(1), disk()).is_ok());
        let set = Resource::with_metadata("disk", Value::Set(Set::new(["a"])), disk());
        assert_eq!(set, Err(InvalidResource::Disk("disk".to_owned())));
    }

    #[test]
    fn only_a_volume_can_be_shared() {
        let shared = |disk| Metadata { shared: true, disk, ..Metadata::default() };
        let refused = Err(InvalidResource::Shared("disk".to_owned()));
        assert_eq!(Resource::with_metadata("disk", amount(1), shared(None)), refused);
        assert_eq!(Resource::with_metadata("disk", amount(1), shared(Some(Disk::default()))), refused);
        assert!(Resource::with_metadata("disk", amount(1), volume("v", true)).is_ok());
    }

    #[test]
    fn a_volume_is_whole_and_stands_once() {
        let disk = only("disk", amount(10), volume("v", false));
        let held_twice = AddError::HeldTwice { name: "disk".to_owned(), item: "volume \"v\"".to_owned() };
        assert_eq!(disk.checked_add(&disk), Err(held_twice));
        assert_eq!(disk.checked_sub(&only("disk", amount(9), volume("v", false))), None);
        assert_eq!(disk.checked_sub(&disk), Some(Resources::new()));
        assert!(disk.checked_add(&only("disk", amount(10), volume("w", false))).is_ok());
    }

    #[test]
    fn a_mounted_disk_is_whole_and_stands_once() {
        use super::super::{DiskSource, DiskSourceKind};
        let on = |kind, id: Option<&str>| {
            let id = id.map(str::to_owned);
            let source = DiskSource { kind, id, metadata: Labels::default(), profile: None, vendor: None };
            let disk = Disk { source: Some(source), ..Disk::default() };
            move |units| {
                only("disk", amount(units), Metadata { disk: Some(disk.clone()), ..Metadata::default() })
            }
        };
        let root = || Some("/mnt/a".to_owned());
        let whole = [
            on(DiskSourceKind::Mount { root: root() }, None),
            on(DiskSourceKind::Block, None),
            on(DiskSourceKind::Raw, Some("r1")),
        ];
        for disk in &whole {
            assert!(matches!(disk(10).checked_add(&disk(5)), Err(AddError::HeldTwice { .. })));
            assert!(!disk(10).contains(&disk(5)));
        }
        for disk in [on(DiskSourceKind::Path { root: root() }, None), on(DiskSourceKind::Raw, None)] {
            assert_eq!(disk(10).checked_sub(&disk(4)), Some(disk(6)));
        }
    }

    #[test]
    fn a_shared_volume_counts_its_holders() {
        let one = only("disk", amount(10), volume("v", true));
        let two = one.checked_add(&one).unwrap();
        assert_eq!(two.iter().map(Resource::copies).collect::<Vec<_>>(), [2]);
        assert_eq!(two.scalar("disk"), Scalar::from_units(10).unwrap());
        assert!(two.contains(&one) && !one.contains(&two));
        assert_eq!(two.checked_sub(&one), Some(one.clone()));
        assert_eq!(one.checked_sub(&one), Some(Resources::new()));
        let resized = only("disk", amount(11), volume("v", true));
        assert!(matches!(one.checked_add(&resized), Err(AddError::HeldTwice { .. })));
        assert_eq!(one.checked_sub(&resized), None);
    }

    #[test]
    fn a_name_that_stands_for_two_types_cannot_be_summed() {
        let number = only("x", amount(1), Metadata::default());
        let set = only("x", Value::Set(Set::new(["a"])), Metadata::default());
        assert_eq!(number.checked_add(&set), Err(AddError::MixedTypes { name: "x".to_owned() }));
        assert_eq!(number.checked_sub(&set), None);
        assert!(!number.contains(&set));
    }

    #[test]
    fn sums_stop_at_the_largest_amount() {
        let all = only("mem", Value::Scalar(Scalar::MAX), Metadata::default());
        assert_eq!(all.checked_add(&all), Err(AddError::Overflow { name: "mem".to_owned() }));
    }
}
