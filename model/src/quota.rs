//! Quota: what a role is sure of, and what it may never exceed.

use crate::resources::Quantities;

/// The quota of one role. A resource that `limits` does not name is unlimited; one that `guarantees`
/// does not name is guaranteed 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// At least this much is reachable for the role.
    pub guarantees: Quantities,
    /// At most this much is ever allocated to the role. `None` for a name: no limit.
    pub limits: Quantities,
}
