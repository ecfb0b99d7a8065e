//! How much of the host a container sees, and may ask of it.
//!
//! Source: docs/isolation.md.

use std::fmt;
use std::str::FromStr;

/// How strictly a container is kept apart from its host, the least strict first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// The host's files and users, as Mesos does it by default: own process ids, host name and queues only.
    Host,
    /// A root and users of its own, few capabilities, few system calls.
    #[default]
    Default,
    /// No root at all, no capability, a root that cannot be written, no network.
    Hardened,
}

impl Profile {
    /// All of them, the least strict first.
    pub const ALL: [Self; 3] = [Self::Host, Self::Default, Self::Hardened];

    /// Its name, as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Default => "default",
            Self::Hardened => "hardened",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A name that no profile has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no profile; use one of host, default and hardened")]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| UnknownProfile(text.chars().take(64).collect()))
    }
}

/// Which network a container has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The host's own, where ports are offered resources.
    #[default]
    Host,
    /// One of its own with a loopback and nothing else.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stricter_profiles_compare_greater_and_are_found_by_name() {
        assert!(Profile::Host < Profile::Default && Profile::Default < Profile::Hardened);
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert!("Default".parse::<Profile>().is_err());
    }
}
