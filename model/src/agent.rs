//! What an agent is: where it runs, what it has, what it can do.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

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

/// One optional thing that an agent can do. Source: Mesos v1 `AgentInfo.Capability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentCapability {
    /// Its resources may be allocated to several roles.
    MultiRole,
    /// Roles may lie below others.
    HierarchicalRole,
    /// Reservations may be made below other reservations.
    ReservationRefinement,
    /// Volumes may grow and shrink.
    ResizeVolume,
    /// It tells how operations went.
    AgentOperationFeedback,
    /// It can be drained.
    AgentDraining,
    /// It holds tasks to limits apart from what they ask for.
    TaskResourceLimits,
}

impl AgentCapability {
    /// All there are: what agents of this release can do.
    pub fn all() -> BTreeSet<Self> {
        BTreeSet::from([
            Self::MultiRole,
            Self::HierarchicalRole,
            Self::ReservationRefinement,
            Self::ResizeVolume,
            Self::AgentOperationFeedback,
            Self::AgentDraining,
            Self::TaskResourceLimits,
        ])
    }
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
    /// As [`Domain::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.zone)
    }
}

/// Why a text is not a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not REGION/ZONE; write, for example, eu-west/a: two names of 1 to 128 bytes without white space"
)]
pub struct InvalidDomain(String);

impl FromStr for Domain {
    type Err = InvalidDomain;
    /// `REGION/ZONE`. Errors: [`InvalidDomain`], with the text cut to 64 characters.
    fn from_str(text: &str) -> Result<Self, InvalidDomain> {
        let has_no_place = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        let is_name = |name: &str| (1..=128).contains(&name.len()) && !name.contains(has_no_place);
        match text.split_once('/') {
            Some((region, zone)) if is_name(region) && is_name(zone) => {
                Ok(Self { region: region.to_owned(), zone: zone.to_owned() })
            }
            Some(_) | None => Err(InvalidDomain(text.chars().take(64).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_region_and_a_zone() {
        let place: Domain = "eu-west/a".parse().unwrap();
        assert_eq!((place.region.as_str(), place.zone.as_str()), ("eu-west", "a"));
        assert_eq!(place.to_string(), "eu-west/a");
        let long = format!("{}/a", "x".repeat(129));
        for bad in ["", "eu", "eu/", "/a", "eu/a/b", "eu /a", "eu/\n", &long] {
            let error = bad.parse::<Domain>().unwrap_err().to_string();
            assert!(error.contains("REGION/ZONE") && error.len() < 200, "{error}");
        }
    }
}
