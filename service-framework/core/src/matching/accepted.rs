//! Which of an offer's resources an instance may use.
//!
//! Invariants
//! - What somebody else has reserved for a task of its own is never used: a dynamic reservation with labels is its maker's.
//!   One without labels is its role's, as a static one is.
//! - Volumes, disks of their own, and what can be taken back at any time are no part of what an instance takes for its needs.

use lonja_model::resources::{Reservation, ReservationKind, Resource};
use lonja_model::{FrameworkId, Resources};

use crate::definition::RunSpec;

/// The label that names the framework on its reservations. Source: Marathon.
pub const FRAMEWORK_LABEL: &str = "marathon_framework_id";
/// The label that names the instance on its reservation. Source: Marathon.
pub const INSTANCE_LABEL: &str = "marathon_task_id";
/// The label that names the volumes that a reservation is for, parted by blanks. Lonja's own: a reservation of which the
/// volumes were not made is told from one that nobody wants.
pub const VOLUMES_LABEL: &str = "lonja_persistence_ids";

/// Which reservations may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Accepted {
    unreserved: bool,
    reserved: bool,
}

impl Accepted {
    pub(super) const UNRESERVED: Self = Self { unreserved: true, reserved: false };

    pub(super) fn of(spec: &RunSpec) -> Self {
        match spec.accepted_roles() {
            None => Self { unreserved: true, reserved: true },
            Some(roles) => {
                Self { unreserved: roles.contains("*"), reserved: roles.iter().any(|role| role != "*") }
            }
        }
    }

    /// May this be used for the needs of an instance that keeps no data?
    pub(super) fn takes(self, resource: &Resource) -> bool {
        let metadata = resource.metadata();
        if metadata.revocable || metadata.shared || metadata.disk.is_some() || metadata.provider.is_some() {
            return false;
        }
        match metadata.reservations.as_slice() {
            [] => self.unreserved,
            layers => self.reserved && !layers.iter().any(is_somebodys),
        }
    }

    /// All that may be used of these.
    pub(super) fn of_all(self, resources: &Resources) -> Resources {
        resources.filter(|resource| self.takes(resource))
    }

    /// In words.
    pub(super) fn shown(self, role: &str) -> String {
        match (self.unreserved, self.reserved) {
            (true, true) => "nothing there is unreserved, or reserved for the role alone".to_owned(),
            (true, false) => "nothing there is unreserved, which alone is accepted".to_owned(),
            (false, _) => format!("nothing there is reserved for {role}, which alone is accepted"),
        }
    }
}

fn is_somebodys(reservation: &Reservation) -> bool {
    reservation.kind == ReservationKind::Dynamic && !reservation.labels.0.is_empty()
}

/// The value of a label of this framework's reservation, if it is one.
fn label<'a>(resource: &'a Resource, framework: &FrameworkId, key: &str) -> Option<&'a str> {
    let topmost = resource.metadata().reservations.last()?;
    let label = |key: &str| {
        let found = topmost.labels.0.iter().find(|(name, _)| name == key);
        found.and_then(|(_, value)| value.as_deref())
    };
    let is_ours = label(FRAMEWORK_LABEL) == Some(framework.as_str());
    label(key).filter(|_| is_ours && topmost.kind == ReservationKind::Dynamic)
}

/// The instance that this is reserved for, if this framework has reserved it.
pub(super) fn instance_of<'a>(resource: &'a Resource, framework: &FrameworkId) -> Option<&'a str> {
    label(resource, framework, INSTANCE_LABEL)
}

/// The volumes that this is reserved for, if this framework has reserved it.
pub(super) fn volumes_of<'a>(resource: &'a Resource, framework: &FrameworkId) -> Option<Vec<&'a str>> {
    instance_of(resource, framework)?;
    let named = label(resource, framework, VOLUMES_LABEL).unwrap_or_default();
    Some(named.split(' ').filter(|id| !id.is_empty()).chain(persistence_of(resource)).collect())
}

/// The id of the volume that this is, if it is one.
pub(super) fn persistence_of(resource: &Resource) -> Option<&str> {
    let persistence = resource.metadata().disk.as_ref()?.persistence.as_ref()?;
    Some(&persistence.id)
}
