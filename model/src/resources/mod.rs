//! Resources and their algebra.
//!
//! `Resources` is a normalised collection: one entry for each kind of resource, where a kind is a name
//! together with all that may not be mixed: reservations, disk, revocable, shared, provider. Entries are
//! sorted, so that equal collections are equal values.
//!
//! Invariants
//! - `(a + b) - b == a` wherever `a + b` is defined; sums do not depend on their order.
//! - `a.contains(b)` exactly when `a.checked_sub(b)` succeeds.
//! - A range, a set item, a device's thousandth or a volume has one holder: adding it twice is refused.
//!
//! The role that an allocation is made for is not part of a resource, as it is on the Mesos wire: it
//! stands once in the offer and in the task.
//!
//! Source: Mesos v1 `Resource`; `docs/design.md`, D5.

mod devices;
mod disk;
mod parse;
mod quantities;
mod ranges;
mod reservation;
mod scalar;
mod set;

pub use devices::{DeviceId, Devices};
pub use disk::{Disk, DiskSource, DiskSourceKind, Persistence};
pub use parse::ParseError;
pub use quantities::Quantities;
pub use ranges::{InvalidRanges, Ranges};
pub use reservation::{Reservation, ReservationKind};
pub use scalar::{InvalidScalar, Scalar};
pub use set::Set;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

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

/// Resources of any kinds, normalised. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources(Vec<Resource>);

/// Why two collections cannot be held together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The sum is above [`Scalar::MAX`], or a shared resource is held too often.
    #[error("the sum of {name} is above the largest amount")]
    Overflow {
        /// The resource.
        name: String,
    },
    /// The same port, item, device share or volume stands in both.
    #[error("{name} {item} is held twice")]
    HeldTwice {
        /// The resource.
        name: String,
        /// What is held twice.
        item: String,
    },
    /// A name stands for a number here and for a list there.
    #[error("{name} is of one type here and of another there")]
    MixedTypes {
        /// The resource.
        name: String,
    },
}

/// Why a resource cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResource {
    /// Names are 1 to 128 characters and hold none of `:;,()[]{}"\`, white space or control characters.
    #[error("{0:?} is not a resource name")]
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
    /// Disk metadata on something that is not a scalar.
    #[error("{0} has disk information but is not an amount of disk")]
    Disk(String),
}

impl Resource {
    /// Resource `name` with default metadata.
    pub fn new(name: &str, value: Value) -> Result<Self, InvalidResource> {
        Self::with_metadata(name, value, Metadata::default())
    }

    /// Resource `name` of the kind that `metadata` tells. Errors: [`InvalidResource`].
    pub fn with_metadata(name: &str, value: Value, metadata: Metadata) -> Result<Self, InvalidResource> {
        let meaning = |c: char| c.is_whitespace() || c.is_control() || ":;,()[]{}\"\\".contains(c);
        if name.is_empty() || name.len() > 128 || name.contains(meaning) {
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

    /// For whom it is reserved, by the innermost reservation; `None`: for anyone.
    pub fn reserved_for(&self) -> Option<&Role> {
        self.metadata().reservations.last().map(|reservation| &reservation.role)
    }

    fn kind(&self) -> (&str, Option<&Metadata>) {
        (&self.name, self.metadata.as_deref())
    }

    fn is_nothing(&self) -> bool {
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

    /// The sum of two resources of the same kind.
    fn checked_add(&self, other: &Self) -> Result<Self, AddError> {
        let name = || self.name.to_string();
        let mut sum = self.clone();
        if self.metadata().shared {
            if self.value != other.value {
                return Err(AddError::MixedTypes { name: name() });
            }
            let copies = self.copies.checked_add(other.copies);
            sum.copies = copies.ok_or_else(|| AddError::Overflow { name: name() })?;
            return Ok(sum);
        }
        if self.is_indivisible() {
            return Err(AddError::HeldTwice { name: name(), item: self.to_string() });
        }
        let twice = |item: String| AddError::HeldTwice { name: name(), item };
        sum.value = match (&self.value, &other.value) {
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
        Ok(sum)
    }

    /// What is left of two resources of the same kind; `Some(None)`: nothing.
    fn checked_sub(&self, part: &Self) -> Option<Option<Self>> {
        let mut left = self.clone();
        if self.metadata().shared {
            left.copies = self.copies.checked_sub(part.copies).filter(|_| self.value == part.value)?;
            return Some((left.copies > 0).then_some(left));
        }
        if self.is_indivisible() {
            return (self.value == part.value).then_some(None);
        }
        left.value = match (&self.value, &part.value) {
            (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(a.checked_sub(*b)?),
            (Value::Ranges(a), Value::Ranges(b)) => Value::Ranges(a.checked_sub(b)?),
            (Value::Set(a), Value::Set(b)) => Value::Set(a.checked_sub(b)?),
            (Value::Devices(a), Value::Devices(b)) => Value::Devices(a.checked_sub(b)?),
            (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) | Value::Devices(_), _) => return None,
        };
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

impl Resources {
    /// Nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// All of `resources` together. Errors: [`AddError`].
    pub fn of(resources: impl IntoIterator<Item = Resource>) -> Result<Self, AddError> {
        let mut all = Self::new();
        for resource in resources {
            all.insert(resource)?;
        }
        Ok(all)
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind with its amount, ordered by name and metadata.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.0.iter()
    }

    /// Both together. O(kinds). Errors: [`AddError`].
    pub fn checked_add(&self, other: &Self) -> Result<Self, AddError> {
        let mut sum = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.kind().cmp(&b.kind()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(Self(sum)),
            };
            match order {
                Ordering::Less => sum.extend(left.next().cloned()),
                Ordering::Greater => sum.extend(right.next().cloned()),
                Ordering::Equal => {
                    if let (Some(a), Some(b)) = (left.next(), right.next()) {
                        sum.push(a.checked_add(b)?);
                    }
                }
            }
        }
    }

    /// What is left of `self` without `part`; `None` unless `self` contains all of `part`. O(kinds).
    pub fn checked_sub(&self, part: &Self) -> Option<Self> {
        let mut rest = Vec::with_capacity(self.0.len());
        let mut parts = part.0.iter().peekable();
        for resource in &self.0 {
            match parts.peek().map(|part| resource.kind().cmp(&part.kind())) {
                Some(Ordering::Equal) => rest.extend(resource.checked_sub(parts.next()?)?),
                Some(Ordering::Greater) => return None,
                Some(Ordering::Less) | None => rest.push(resource.clone()),
            }
        }
        parts.peek().is_none().then_some(Self(rest))
    }

    /// Is all of `part` in `self`?
    pub fn contains(&self, part: &Self) -> bool {
        self.checked_sub(part).is_some()
    }

    /// Those of which `keep` says so.
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        Self(self.0.iter().filter(|resource| keep(resource)).cloned().collect())
    }

    /// What may be used for `role`: what is nobody's, and what is reserved for it or for a role above it.
    pub fn usable_by(&self, role: &Role) -> Self {
        self.filter(|resource| {
            resource.reserved_for().is_none_or(|owner| owner == role || role.is_below(owner))
        })
    }

    /// What nobody has reserved.
    pub fn unreserved(&self) -> Self {
        self.filter(|resource| resource.reserved_for().is_none())
    }

    /// The amount of scalar `name` over all kinds; stops at [`Scalar::MAX`].
    pub fn scalar(&self, name: &str) -> Scalar {
        self.0.iter().filter(|resource| &*resource.name == name).fold(Scalar::ZERO, |sum, resource| {
            match &resource.value {
                Value::Scalar(amount) => sum.checked_add(*amount).unwrap_or(Scalar::MAX),
                Value::Ranges(_) | Value::Set(_) | Value::Devices(_) => sum,
            }
        })
    }

    /// The ranges of `name` over all kinds.
    pub fn ranges(&self, name: &str) -> Ranges {
        let all = self.0.iter().filter(|resource| &*resource.name == name);
        let ranges = all.filter_map(|resource| match &resource.value {
            Value::Ranges(ranges) => Some(ranges.iter()),
            Value::Scalar(_) | Value::Set(_) | Value::Devices(_) => None,
        });
        Ranges::new(ranges.flatten()).unwrap_or_default()
    }

    /// Totals by name: scalars, and devices in thousandths of one. A shared volume counts once.
    pub fn quantities(&self) -> Quantities {
        let mut totals = Quantities::default();
        for resource in &self.0 {
            match &resource.value {
                Value::Scalar(amount) => totals.add_one(&resource.name, *amount),
                Value::Devices(devices) => {
                    let amount = Scalar::from_thousandths(devices.total()).unwrap_or(Scalar::MAX);
                    totals.add_one(&resource.name, amount);
                }
                Value::Ranges(_) | Value::Set(_) => {}
            }
        }
        totals
    }

    fn insert(&mut self, resource: Resource) -> Result<(), AddError> {
        if resource.is_nothing() {
            return Ok(());
        }
        match self.0.binary_search_by(|held| held.kind().cmp(&resource.kind())) {
            Ok(index) => self.0[index] = self.0[index].checked_add(&resource)?,
            Err(index) => self.0.insert(index, resource),
        }
        Ok(())
    }
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
            match reservation.kind {
                ReservationKind::Static if plain => write!(f, "({})", reservation.role)?,
                ReservationKind::Static => write!(f, "(STATIC,{})", reservation.role)?,
                ReservationKind::Dynamic => write!(f, "(DYNAMIC,{})", reservation.role)?,
            }
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

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, resource) in self.0.iter().enumerate() {
            write!(f, "{}{resource}", if index == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}
