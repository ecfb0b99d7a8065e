//! What an agent is: where it runs, what it has, what it can do.

use std::fmt;

use crate::attributes::Attributes;
use crate::ids::AgentId;
use crate::resources::Resources;

/// One agent as it describes itself when it registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentInfo {
    /// Where people and frameworks reach it by name.
    pub hostname: String,
    /// The port of its API.
    pub port: u16,
    /// Everything it has to offer, static reservations included.
    pub resources: Resources,
    /// What it says of itself; shown in offers, used by constraints.
    pub attributes: Attributes,
    /// Its place in the world, if it says.
    pub domain: Option<Domain>,
    /// Its id, once the master has given one.
    pub id: Option<AgentId>,
}

/// A place whose machines tend to fail together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain {
    /// Far from other regions.
    pub region: String,
    /// Within the region.
    pub zone: String,
}

impl fmt::Display for Domain {
    /// `REGION/ZONE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.zone)
    }
}
