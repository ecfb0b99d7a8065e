//! Reservations: whose a resource is.

use crate::labels::Labels;
use crate::role::Role;

/// One layer of a stack of reservations; each lies within the one below it (`eng`, then `eng/web`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reservation {
    /// Made by the agent's configuration, or while the cluster runs.
    pub kind: ReservationKind,
    /// For whom.
    pub role: Role,
    /// Who made it.
    pub principal: Option<String>,
    /// Tell one reservation from another of the same role.
    pub labels: Labels,
}

impl Reservation {
    /// A reservation by the agent's configuration.
    pub fn fixed(role: Role) -> Self {
        Self { kind: ReservationKind::Static, role, principal: None, labels: Labels::default() }
    }
}

/// How a reservation came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationKind {
    /// By the agent's configuration; only ever the lowest layer; stays while the agent does.
    Static,
    /// By an operator or a framework; can be undone.
    Dynamic,
}
